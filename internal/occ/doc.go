// Package occ records the reads of a transaction, and checks whether they have changed since: backward validation, as in
// Kung and Robinson, "On Optimistic Methods for Concurrency Control" (1981).
//
//	Reads        the keys that a transaction got, and the ranges that it scanned
//	Scan         the ranges that one iterator of a transaction has walked over
//	LastWrites   the newest operations of the database, so that ranges need not be walked over once more
//
// # What holds
//
// If [Reads.Check] succeeds, no operation after the transaction's sequence, up to the sequence that Check returns, has
// written to a key that was got or into a range that was scanned, whether the key was present or not. So a transaction that
// then writes at once, with all other writes kept waiting, writes what it would have written if it had begun now. A read
// entry also changes when it expires: see [Reads.FirstDeadline].
//
// Check looks for later operations in memtables alone: in the one that was active when the transaction began and in all
// after it, see lsm.Mem.Next. Tables do not hold all operations: a flush drops tombstones, and all versions of a key but the
// newest.
package occ
