package kv

import (
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
// It holds the deletes cut at each other's bounds into spans that do not overlap, as Pebble's and RocksDB's fragmented
// range tombstones do, so that a look-up is one binary search however many there are.
type RangeDeletes struct {
	all   []RangeDelete // as given, by ascending sequence
	spans []span        // by start, disjoint
}

// span is a stretch of keys with the sequences of the deletes that cover all of it, newest first.
type span struct {
	start, end []byte
	seqs       []uint64
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
	slices.SortStableFunc(all, func(a, b RangeDelete) int {
		if a.Seq < b.Seq {
			return -1
		}
		if a.Seq > b.Seq {
			return 1
		}
		return 0
	})
	return &RangeDeletes{all: all, spans: cut(all, bounds)}
}

// cut spreads each delete over the stretches between neighbouring bounds that it covers.
func cut(all []RangeDelete, bounds [][]byte) []span {
	spans := make([]span, len(bounds)-1)
	for i := range spans {
		spans[i].start, spans[i].end = bounds[i], bounds[i+1]
	}
	for i := len(all) - 1; i >= 0; i-- { // newest first
		d := all[i]
		first := sort.Search(len(spans), func(j int) bool { return Compare(spans[j].start, d.Start) >= 0 })
		for j := first; j < len(spans) && Compare(spans[j].start, d.End) < 0; j++ {
			spans[j].seqs = append(spans[j].seqs, d.Seq)
		}
	}
	return slices.DeleteFunc(spans, func(s span) bool { return len(s.seqs) == 0 })
}

// Seq returns the highest sequence <= asOf of the deletes that cover key, 0 if none does.
func (r *RangeDeletes) Seq(key []byte, asOf uint64) uint64 {
	if r == nil {
		return 0
	}
	i := sort.Search(len(r.spans), func(i int) bool { return Compare(r.spans[i].end, key) > 0 })
	if i == len(r.spans) || Compare(r.spans[i].start, key) > 0 {
		return 0
	}
	for _, s := range r.spans[i].seqs {
		if s <= asOf {
			return s
		}
	}
	return 0
}

// All returns the deletes by ascending sequence. The slice is not the caller's to change.
func (r *RangeDeletes) All() []RangeDelete {
	if r == nil {
		return nil
	}
	return r.all
}
