package kv

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestRangeSet adds ranges to a set and to a map of keys, and holds one against the other; what was taken of it
// stays as it was.
func TestRangeSet(t *testing.T) {
	const keys = 20
	key := func(i int) []byte { return fmt.Appendf(nil, "%02d", i) }
	rapid.Check(t, func(t *rapid.T) {
		var s, before RangeSet
		var in, inBefore [keys]bool
		lower, upper := 0, 0 // of before
		for range rapid.IntRange(1, 12).Draw(t, "ranges") {
			from, to := rapid.IntRange(0, keys).Draw(t, "from"), rapid.IntRange(0, keys+1).Draw(t, "to")
			start, end := key(from), key(to)
			switch {
			case from == 0 && rapid.Bool().Draw(t, "from the beginning"):
				start = nil
			case rapid.IntRange(0, 5).Draw(t, "empty end") == 0:
				end, to = []byte{}, 0
			}
			if to == keys+1 {
				end = nil
			}
			if rapid.Bool().Draw(t, "copy") {
				lower, upper = rapid.IntRange(0, keys).Draw(t, "lower"), rapid.IntRange(0, keys+1).Draw(t, "upper")
				bound := key(upper)
				if upper == keys+1 {
					bound = nil
				}
				before, inBefore = s.Within(key(lower), bound), in
			}
			s.Add(start, end)
			clear(start)
			clear(end)
			for i := from; i < min(to, keys); i++ {
				in[i] = true
			}
		}
		checkRangeSet(t, &s, in[:], key)
		if upper = min(upper, keys); lower < upper {
			checkRangeSet(t, &before, inBefore[lower:upper], func(i int) []byte { return key(lower + i) })
		}
		for _, r := range before.All() {
			if r.End != nil && Compare(r.End, key(lower)) <= 0 || upper < keys && Compare(r.Start, key(upper)) >= 0 {
				t.Fatalf("%q does not reach into %d to %d", r, lower, upper)
			}
		}
		s.Clear()
		checkRangeSet(t, &s, make([]bool, keys), key)
	})
}

func checkRangeSet(t *rapid.T, s *RangeSet, in []bool, key func(int) []byte) {
	t.Helper()
	for i, want := range in {
		r, ok := s.Find(key(i))
		if ok != want || ok && (Compare(r.Start, key(i)) > 0 || r.End != nil && Compare(key(i), r.End) >= 0) {
			t.Fatalf("%q lies in %q to %q, %v, want %v: %q", key(i), r.Start, r.End, ok, want, s.All())
		}
	}
	from, to := len(in)/3, len(in)*2/3
	next := s.Overlapping(key(from), key(to))
	for _, r := range s.All() {
		if (r.End == nil || Compare(r.End, key(from)) > 0) && Compare(r.Start, key(to)) <= 0 {
			if len(next) == 0 || Compare(next[0].Start, r.Start) != 0 {
				t.Fatalf("%q to %q overlaps", r.Start, r.End)
			}
			next = next[1:]
		}
	}
	if len(next) > 0 {
		t.Fatalf("%q overlaps not", next)
	}
	for i, r := range s.All() {
		if r.End != nil && Compare(r.Start, r.End) >= 0 || r.End == nil && i < len(s.All())-1 {
			t.Fatalf("%q to %q: %q", r.Start, r.End, s.All())
		}
		if i > 0 && Compare(s.All()[i-1].End, r.Start) >= 0 {
			t.Fatalf("two ranges touch: %q", s.All())
		}
	}
}
