package table

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Filter tells of most keys that a table lacks that it lacks them, without a look at the table: a blocked Bloom filter ("Cache-,
// Hash- and Space-Efficient Bloom Filters", Putze and others, 2007), each key in one cache line. With some thirty tables in
// level 0 a look-up misses the cache and the TLB in the hash pages of each; the filters of all of them are a few megabytes.
//
// It is in memory only: what wrote the table has it, what opened the table has none.
type Filter struct {
	words []uint64 // lines of filterWords
	lines uint64
}

const (
	filterWords = 8
	// filterKeys is how many keys a line has on average: with ten bits for each key and three of them set, 2 % of absent keys pass.
	filterKeys = 50
)

// Hash returns the hash of a key, for Lacks.
func Hash(key []byte) uint64 { return xxhash.Sum64(key) }

func newFilter(keys int) *Filter {
	lines := keys/filterKeys + 1
	return &Filter{make([]uint64, lines*filterWords), uint64(lines)}
}

// line returns the words of a key's line.
func (f *Filter) line(h uint64) []uint64 {
	line, _ := bits.Mul64(h, f.lines) // the low bits of the hash choose the bits in it
	return f.words[line*filterWords:][:filterWords]
}

func (f *Filter) add(h uint64) {
	line := f.line(h)
	for range 3 {
		line[h>>6&7] |= 1 << (h & 63)
		h >>= 9
	}
}

func (f *Filter) has(h uint64) bool {
	line := f.line(h)
	return line[h>>6&7]>>(h&63)&1 != 0 && line[h>>15&7]>>(h>>9&63)&1 != 0 && line[h>>24&7]>>(h>>18&63)&1 != 0
}

func (f *Filter) memory() int64 {
	if f == nil {
		return 0
	}
	return 8 * int64(len(f.words))
}

// Filter returns a filter of the entries that were added. Call it after Finish.
func (w *Writer) Filter() *Filter {
	f := newFilter(w.hash.count)
	for _, c := range w.hash.chunks {
		for _, h := range c.hashes {
			f.add(h)
		}
	}
	return f
}

// SetFilter gives the table its filter, before anybody else has the Reader.
func (t *Reader) SetFilter(f *Filter) { t.filter = f }

// Lacks reports that the table has no entry for a key with that hash. False says nothing.
func (t *Reader) Lacks(hash uint64) bool { return t.filter != nil && !t.filter.has(hash) }
