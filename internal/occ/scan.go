package occ

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

// Scan holds the stretches of keys that one iterator has walked over, each from where a walk began to where it has come,
// whether a key was present there or not. A Scan is for one goroutine. Keys are copied.
//
// Each method but Show records a move: the iterator now stands on key, or has come to its bound, lower or upper, if key is
// nil. An empty bound is none. The stretch that the move has crossed becomes part of the scan.
type Scan struct {
	stretches []stretch
	deadline  int64 // the first deadline of the entries that the iterator has shown; 0: none had one
}

// stretch is a range of keys: from start, inclusive, up to end, exclusive.
type stretch struct {
	start   []byte // empty: from the first key
	end     []byte
	endless bool // the stretch has no end
}

// Show adds the deadline of an entry that the iterator has shown, in Unix ms; 0 is none.
func (s *Scan) Show(deadline int64) { s.deadline = earlier(s.deadline, deadline) }

// Ascend begins a walk upwards, at the greater of from and the lower bound.
func (s *Scan) Ascend(from, key, lower, upper []byte) {
	if kv.Compare(from, lower) < 0 {
		from = lower
	}
	s.stretches = append(s.stretches, stretch{start: slices.Clone(from)})
	s.last().endAt(key, upper)
}

// AscendTo goes on with the last walk.
func (s *Scan) AscendTo(key, upper []byte) {
	if len(s.stretches) > 0 { // otherwise the iterator stood nowhere
		s.last().endAt(key, upper)
	}
}

// Descend begins a walk downwards from the upper bound.
func (s *Scan) Descend(key, lower, upper []byte) {
	s.stretches = append(s.stretches, stretch{})
	s.last().endAt(nil, upper)
	s.descended(key, lower)
}

// DescendBefore begins a walk downwards before a key, or at the upper bound if the upper bound is not after the key.
func (s *Scan) DescendBefore(before, key, lower, upper []byte) {
	s.stretches = append(s.stretches, stretch{})
	t := s.last()
	t.endAt(nil, upper)
	if t.endless || kv.Compare(before, upper) < 0 {
		t.end, t.endless = slices.Clone(before), false
	}
	s.descended(key, lower)
}

// descended sets the start of a walk downwards that has just begun.
func (s *Scan) descended(key, lower []byte) {
	if key == nil {
		key = lower
	}
	s.last().start = slices.Clone(key)
}

// DescendTo goes on with the last walk.
func (s *Scan) DescendTo(key, lower []byte) {
	if len(s.stretches) > 0 {
		s.last().startAt(key, lower)
	}
}

func (s *Scan) last() *stretch { return &s.stretches[len(s.stretches)-1] }

// endAt moves the end behind key, or to the upper bound if key is nil. The end stays if key lies before it, as when the
// iterator has turned round.
func (t *stretch) endAt(key, upper []byte) {
	switch {
	case key == nil:
		t.end, t.endless = append(t.end[:0], upper...), len(upper) == 0
	case !t.endless && kv.Compare(key, t.end) >= 0:
		t.end = append(append(t.end[:0], key...), 0)
	}
}

// startAt moves the start to key, or to the lower bound if key is nil. The start stays if key does not lie before it.
func (t *stretch) startAt(key, lower []byte) {
	if key == nil {
		key = lower
	} else if kv.Compare(key, t.start) >= 0 {
		return
	}
	t.start = append(t.start[:0], key...)
}

// empty reports whether there can be no key in the stretch.
func (t *stretch) empty() bool { return !t.endless && kv.Compare(t.start, t.end) >= 0 }

// overlaps reports whether the stretch has keys in common with [start, end).
func (t *stretch) overlaps(start, end []byte) bool {
	return kv.Compare(end, t.start) > 0 && (t.endless || kv.Compare(start, t.end) < 0)
}

// contains reports whether a key lies in the stretch.
func (t *stretch) contains(key []byte) bool {
	return kv.Compare(key, t.start) >= 0 && (t.endless || kv.Compare(key, t.end) < 0)
}
