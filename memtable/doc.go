// Package memtable is the mutable sorted map that every write goes to first and most reads look at first.
//
// A [Memtable] keeps all versions of its keys, each with its sequence, so that a reader at any sequence sees what was
// there then. It owns the memory of what it is given (it copies) and hands out slices of that memory, which stay valid
// and unchanged for as long as anybody holds the memtable: a view that keeps one needs no copies and no locks. Range
// deletes and deadlines it only records: what they hide is for the reader to work out.
//
// It never does I/O, never looks at a clock, never drops anything, and never frees memory but as a whole, through the
// garbage collector, for which it holds next to no pointers.
//
// # Concurrency
//
// One goroutine at a time is the writer: Set and DeleteRange. Whoever hands that role on does so through a lock or the
// like. Every other method may be called from any goroutine at any time. A reader at a sequence sees all of it once the
// writer has let the reader know of the sequence, and nothing of later ones.
//
// Get takes no lock. An Iterator takes one for about a microsecond every 64 entries, and the writer does not wait for it.
//
// # How it works
//
//	arena.go, format.go   memory without pointers; a key is a node in it, with a chain of versions, newest first
//	index.go              finds a key's node by hash: for Get, and for Set to find out whether there is one
//	tree.go, head.go      keeps the nodes in order (google/btree), for iterators
//	ranges.go             the range deletes
//
// Overwriting a key adds a version to its node and touches neither index nor tree.
//
// # Measured
//
// MEASURED
package memtable
