package merge

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

const benchEntries = 100_000 // in all sources together

// benchSources spreads sorted keys of 24 bytes over k sources at random. Neighbours in one source come in runs of the given
// average length.
func benchSources(k, runLength int, pattern string) []kv.Iterator {
	rnd := rand.New(rand.NewPCG(1, 2))
	numbers := make([]uint64, benchEntries)
	for i := range numbers {
		numbers[i] = uint64(i)
		if pattern == "hashed" {
			numbers[i] = rnd.Uint64()
		}
	}
	slices.Sort(numbers)
	sources := make([][]kv.Entry, k)
	at := 0
	for _, n := range numbers {
		if rnd.IntN(runLength) == 0 {
			at = rnd.IntN(k)
		}
		sources[at] = append(sources[at], kv.Entry{Key: fmt.Appendf(nil, "user%020d", n)})
	}
	its := make([]kv.Iterator, k)
	for i, s := range sources {
		its[i] = &bareIter{entries: s}
	}
	return its
}

// bareIter costs as little as an iterator can.
type bareIter struct {
	kv.Iterator
	entries []kv.Entry
	at      int
}

func (it *bareIter) First() bool      { it.at = 0; return len(it.entries) > 0 }
func (it *bareIter) Last() bool       { it.at = len(it.entries) - 1; return it.at >= 0 }
func (it *bareIter) Next() bool       { it.at++; return it.at < len(it.entries) }
func (it *bareIter) Prev() bool       { it.at--; return it.at >= 0 }
func (it *bareIter) Entry() *kv.Entry { return &it.entries[it.at] }
func (it *bareIter) Err() error       { return nil }

// heapMerge is the textbook's merge, to compare with.
type heapMerge []kv.Iterator

func (h heapMerge) Len() int           { return len(h) }
func (h heapMerge) Less(i, j int) bool { return kv.Compare(h[i].Entry().Key, h[j].Entry().Key) < 0 }
func (h heapMerge) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heapMerge) Push(any)          {}
func (h *heapMerge) Pop() any          { *h = (*h)[:len(*h)-1]; return nil }

func (h *heapMerge) next() bool {
	if (*h)[0].Next() {
		heap.Fix(h, 0)
	} else {
		heap.Remove(h, 0)
	}
	return len(*h) > 0
}

// benchAll times what goes through all entries.
func benchAll(b *testing.B, all func()) {
	for b.Loop() {
		all()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}

func BenchmarkMerge(b *testing.B) {
	for _, pattern := range []string{"hashed", "counted"} {
		for _, k := range []int{1, 2, 4, 8, 16, 32} {
			for _, run := range []int{1, 50} {
				benchMerge(b, fmt.Sprintf("%s/sources=%d/run=%d", pattern, k, run), benchSources(k, run, pattern))
			}
		}
	}
}

func benchMerge(b *testing.B, name string, sources []kv.Iterator) {
	b.Run(name+"/order", func(b *testing.B) {
		it := newMerge(sources...)
		benchAll(b, func() {
			for ok := it.First(); ok; ok = it.Next() {
			}
		})
	})
	b.Run(name+"/heap", func(b *testing.B) {
		benchAll(b, func() {
			h := heapMerge(slices.Clone(sources))
			for _, it := range h {
				it.First()
			}
			heap.Init(&h)
			for h.next() {
			}
		})
	})
	b.Run(name+"/none", func(b *testing.B) { // no merge: one source after another
		benchAll(b, func() {
			for _, it := range sources {
				for ok := it.First(); ok; ok = it.Next() && len(it.Entry().Key) > 0 {
				}
			}
		})
	})
}
