// Package ttl answers the database's questions about time: what time it is, when a key expires, how much of a memtable has
// expired, which versions expire next, and when the sweeper should look again.
//
// Time is Unix milliseconds in an int64 everywhere. A deadline is the first millisecond at which the entry is absent;
// 0 means that there is none. Arithmetic saturates and never wraps. Whether a deadline has passed is internal/kv's
// test, which this package uses and does not repeat.
//
// The Clock is max(wall clock, mark + monotonic time since), so that a clock that is set back brings no expired key
// back and does not stop the rest from expiring. The mark is a Now of an earlier run. The owner loads it at open,
// stores it from time to time and at close, and thereby decides how far back a clock can be set across a crash without
// effect: to the last mark stored. Where the system does not discipline its monotonic clock along with its wall clock
// and the former is the faster one, Now gets ahead by the difference for as long as the process runs; Ahead tells.
//
// The package does no I/O, starts no goroutine, sets no timer and deletes nothing: the owner stores the mark and runs
// the sweeper. A Clock is for all goroutines, a Histogram and an Upcoming for one at a time; the rest is pure functions.
package ttl
