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
// Get takes no lock. An Iterator takes one for about a microsecond every 64 entries, and the writer does not wait for it. The
// first one of a memtable sorts the keys that there are, 0.1 us each, or 0.4; others wait for it, the writer does not.
//
// # How it works
//
//	arena.go, format.go   memory without pointers; a key is a node in it, with a chain of versions, newest first
//	links.go              finds an old version in a long chain
//	index.go              finds a key's node by hash: for Get, and for Set to find out whether there is one
//	tree.go, head.go      keeps the nodes in order (google/btree), for iterators
//	list.go, batch.go     put what came before the first iterator, or is in a large batch, in order, all at once
//
// Overwriting a key adds a version to its node and touches neither index nor tree.
//
// # Measured
//
// 1 M keys of 24 bytes ("user" and 20 random digits), values of 100 bytes, two cores; ns, the best of several runs of the
// benchmarks, which spend 60 of them themselves. In order: the memtable before this one was walked. Beside it the obvious way to
// write one: items by value in a google/btree behind a sync.RWMutex.
//
//	                                         memtable  in order    btree
//	insert                                        352     1,014    2,000    the hash index takes 130
//	overwrite                                     619       611    2,323
//	get                                           413       344    1,766
//	get beside a writer                           734       786    4,175    a write taking 1.6, 2.4 and 13.2 us
//	scan of 50, an item                           122       132      129
//	scan of 50 beside a writer, an item           368       527      239    a write taking 2.1, 1.5 and 14.7 us
//	bytes a key                                   164       183      206
//	first seek of all                              98         -        -    71 of 200 k keys
//	walk over all, an item                         80         -        -
//
// One thing is slow. An insert takes three times as long if its key ties with many others in the 12 bytes after the
// prefix: 2.0 us against 0.6 at 500 k keys like "tenant/000123/session/" and 16 hexadecimal digits.
package memtable
