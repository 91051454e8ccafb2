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
//	links.go              finds an old version in a long chain
//	index.go              finds a key's node by hash: for Get, and for Set to find out whether there is one
//	tree.go, head.go      keeps the nodes in order (google/btree), for iterators
//	load.go, batch.go     put what is replayed from a log, or is in a large batch, in order, all at once
//
// Overwriting a key adds a version to its node and touches neither index nor tree.
//
// # Measured
//
// 1 M keys of 24 bytes ("user" and 20 random digits), values of 100 bytes, two cores; ns, the best of several runs of the
// benchmarks, which spend 60 of them themselves. Beside it the obvious way to write one: items by value in a google/btree
// behind a sync.RWMutex.
//
//	                                         memtable    btree
//	insert                                        846    1,795    of which the tree takes 430, the hash index 130
//	overwrite                                     623    2,478
//	get                                           393    2,027
//	get beside a writer                           437    3,690    a write taking 1.3 us, and 10.8 behind the RWMutex
//	scan of 50, an item                           164      129
//	scan of 50 beside a writer, an item           438      304    a write taking 0.9 us, and 15.2 behind the RWMutex
//	walk over all, an item                         80        -
//	bytes a key                                   183      206
//
// One thing is slow. An insert takes three times as long if its key ties with many others in the 12 bytes after the
// prefix: 2.0 us against 0.6 at 500 k keys like "tenant/000123/session/" and 16 hexadecimal digits.
package memtable
