package kv

import (
	"cmp"
	"slices"
	"sort"
)

// RangeDelete says that every entry with Start <= key < End and a sequence below Seq is gone.
type RangeDelete struct {
	Start, End []byte
	Seq        uint64
}

// RangeDeletes answers which range delete covers a key. It is immutable: any goroutine may ask.
//
// The deletes' bounds cut the keys into stretches, over which there is a segment tree: each node of it stands for some
// neighbouring stretches, and a delete is entered in the O(log n) nodes that make up its range. Deletes that overlap (a
// log whose beginning is cut off again and again) then take O(n log n) memory; a list a stretch would take O(n^2).
type RangeDeletes struct {
	all    []RangeDelete // as given, by ascending sequence
	bounds [][]byte      // ascending; stretch i is bounds[i] <= key < bounds[i+1]
	seqs   [][]uint64    // of the deletes in each node, ascending; stretch i is node stretches+i, the parent of i is i/2
}

// NewRangeDeletes builds the answer for a set of deletes. It keeps the slices' memory; those with an empty range are
// dropped. A nil result is valid and covers nothing.
func NewRangeDeletes(deletes []RangeDelete) *RangeDeletes {
	all := make([]RangeDelete, 0, len(deletes))
	bounds := make([][]byte, 0, 2*len(deletes))
	for _, d := range deletes {
		if Compare(d.Start, d.End) < 0 {
			all = append(all, d)
			bounds = append(bounds, d.Start, d.End)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(bounds, Compare)
	bounds = slices.CompactFunc(bounds, func(a, b []byte) bool { return Compare(a, b) == 0 })
	slices.SortStableFunc(all, func(a, b RangeDelete) int { return cmp.Compare(a.Seq, b.Seq) })
	r := &RangeDeletes{all: all, bounds: bounds, seqs: make([][]uint64, 2*(len(bounds)-1))}
	for _, d := range all {
		r.enter(d)
	}
	return r
}

// enter adds a delete to the nodes that make up its range.
func (r *RangeDeletes) enter(d RangeDelete) {
	stretches := len(r.seqs) / 2
	from, _ := slices.BinarySearchFunc(r.bounds, d.Start, Compare)
	to, _ := slices.BinarySearchFunc(r.bounds, d.End, Compare)
	for from, to = from+stretches, to+stretches; from < to; from, to = from/2, to/2 {
		if from%2 == 1 {
			r.seqs[from] = append(r.seqs[from], d.Seq)
			from++
		}
		if to%2 == 1 {
			to--
			r.seqs[to] = append(r.seqs[to], d.Seq)
		}
	}
}

// Seq returns the highest sequence <= asOf of the deletes that cover key, 0 if none does.
func (r *RangeDeletes) Seq(key []byte, asOf uint64) uint64 {
	if r == nil {
		return 0
	}
	stretches := len(r.seqs) / 2
	above := sort.Search(len(r.bounds), func(i int) bool { return Compare(r.bounds[i], key) > 0 })
	if above == 0 || above > stretches {
		return 0
	}
	var newest uint64
	for node := above - 1 + stretches; node > 0; node /= 2 {
		seqs := r.seqs[node]
		n := sort.Search(len(seqs), func(i int) bool { return seqs[i] > asOf })
		if n > 0 {
			newest = max(newest, seqs[n-1])
		}
	}
	return newest
}

// All returns the deletes by ascending sequence. The slice is not the caller's to change.
func (r *RangeDeletes) All() []RangeDelete {
	if r == nil {
		return nil
	}
	return r.all
}
