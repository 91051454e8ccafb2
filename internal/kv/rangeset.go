package kv

import (
	"slices"
	"sort"
)

// KeyRange is the keys from Start on, up to but not including End. A nil End is no bound.
type KeyRange struct{ Start, End []byte }

// RangeSet is a set of keys that is made of ranges. The zero RangeSet is empty. It is for one goroutine.
type RangeSet struct {
	list []KeyRange // in order; none is empty, and no two touch
}

// Add adds the keys from start on, up to but not including end; a nil end is no bound. It copies both.
func (s *RangeSet) Add(start, end []byte) {
	if end != nil && Compare(start, end) >= 0 {
		return
	}
	r := KeyRange{Start: slices.Clone(start), End: slices.Clone(end)}
	first := s.search(func(o KeyRange) bool { return o.End == nil || Compare(o.End, start) >= 0 })
	last := s.search(func(o KeyRange) bool { return end != nil && Compare(o.Start, end) > 0 })
	if first < last { // those between touch r
		if o := s.list[first].Start; Compare(o, start) < 0 {
			r.Start = o
		}
		if o := s.list[last-1].End; o == nil || r.End != nil && Compare(o, r.End) > 0 {
			r.End = o
		}
	}
	s.list = slices.Replace(s.list, first, last, r)
}

// search returns the first range of which is is true. It is false of those before, and true of those after.
func (s *RangeSet) search(is func(KeyRange) bool) int {
	return sort.Search(len(s.list), func(i int) bool { return is(s.list[i]) })
}

// Find returns the range in which a key lies. The caller must not change it.
func (s *RangeSet) Find(key []byte) (r KeyRange, ok bool) {
	if len(s.list) == 0 {
		return r, false
	}
	i := s.search(func(o KeyRange) bool { return o.End == nil || Compare(key, o.End) < 0 })
	if i == len(s.list) || Compare(key, s.list[i].Start) < 0 {
		return r, false
	}
	return s.list[i], true
}

// All returns the ranges in order. No two touch. The caller must not change them, and they are valid until the next Add.
func (s *RangeSet) All() []KeyRange { return s.list }

// Within returns a set of those ranges that reach into lower <= key < upper, each whole; an empty upper is no bound. Later
// changes of s leave it as it is.
func (s *RangeSet) Within(lower, upper []byte) RangeSet {
	first := s.search(func(o KeyRange) bool { return o.End == nil || Compare(o.End, lower) > 0 })
	last := s.search(func(o KeyRange) bool { return len(upper) > 0 && Compare(o.Start, upper) >= 0 })
	return RangeSet{slices.Clone(s.list[first:max(first, last)])}
}

// Overlapping returns the ranges that have a key from first to last, inclusive. It is as All.
func (s *RangeSet) Overlapping(first, last []byte) []KeyRange {
	from := s.search(func(o KeyRange) bool { return o.End == nil || Compare(o.End, first) > 0 })
	to := s.search(func(o KeyRange) bool { return Compare(o.Start, last) > 0 })
	return s.list[from:max(from, to)]
}

// Clear removes all keys, and keeps memory for a few ranges.
func (s *RangeSet) Clear() {
	const keep = 1 << 10
	if cap(s.list) > keep {
		s.list = nil
	}
	clear(s.list)
	s.list = s.list[:0]
}
