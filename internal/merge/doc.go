// Package merge makes one sorted sequence of entries out of several.
//
// It owns two iterators. An Iterator merges sources that may hold the same keys: of each key the newest source's entry
// comes out, and no other. A Concat strings together parts that are sorted and do not overlap, as the tables of one level
// are, and opens each when it gets there. Both are a kv.Iterator, run in both directions, and can be used again and again
// without allocating.
//
// It never interprets an entry: tombstones, expired entries and those that a range delete covers come out like any other.
// It does no I/O but through its sources. Keys that it compares may lie in mapped memory: with such sources it is to
// be called under vfs.Guard; after a fault only First, Last, a seek, Reset or Close may follow.
//
// An Iterator and a Concat belong to one goroutine at a time.
package merge
