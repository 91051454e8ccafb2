// Package occ knows what a transaction has read of a database, and whether that has changed since: backward validation, as in
// Kung and Robinson, "On Optimistic Methods for Concurrency Control" (1981).
//
//	Reads        the keys that a transaction got, and the ranges that it scanned
//	Scan         what one iterator of it has walked over
//	LastWrites   the newest operations of the database, so that ranges need not be walked over once more
//
// # What holds
//
// If [Reads.Check] finds nothing, no operation from the transaction's sequence up to the one that it returns has written to a
// key that was got, or into a range that was scanned, whether a key was there or not. So whoever then writes at once, with all
// other writes kept waiting, writes what it would have written if the transaction had begun now. What expires changes too, at
// [Reads.FirstDeadline].
//
// The operations since are looked for in memtables alone, from the one that was active on: see lsm.Mem.Next. Tables do not have
// them all: a flush drops tombstones, and all versions of a key but the newest.
package occ
