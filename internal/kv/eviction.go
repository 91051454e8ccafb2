package kv

import (
	"cmp"
	"slices"
)

// Eviction says that every entry with a sequence below Seq and a deadline up to Horizon, Unix ms, is gone. An evicted entry
// is absent as an expired one is: nothing falls through it. An entry without a deadline is not evicted.
type Eviction struct {
	Seq     uint64
	Horizon int64 // above 0
}

// Evictions are evictions by ascending Seq. The slice is not changed once it is shared.
type Evictions []Eviction

// Horizon returns up to which deadline the evictions up to a sequence, asOf, take entries that have the sequence seq; 0 if
// they take none.
func (v Evictions) Horizon(seq, asOf uint64) (horizon int64) {
	for i := len(v) - 1; i >= 0 && v[i].Seq > seq; i-- {
		if v[i].Seq <= asOf {
			horizon = max(horizon, v[i].Horizon)
		}
	}
	return horizon
}

// Cover reports whether the evictions up to a sequence, asOf, take an entry. It is the only test of that.
func (v Evictions) Cover(e *Entry, asOf uint64) bool {
	return len(v) > 0 && e.Deadline != 0 && e.Deadline <= v.Horizon(e.Seq, asOf)
}

// With returns v and more, in memory of its own unless more is empty. An eviction that takes nothing which another does not
// take is left out: so horizons descend while sequences ascend.
func (v Evictions) With(more Evictions) Evictions {
	if len(more) == 0 {
		return v
	}
	all := append(slices.Clone(v), more...)
	slices.SortStableFunc(all, func(a, b Eviction) int { return cmp.Compare(a.Seq, b.Seq) })
	return all.staircase()
}

// staircase leaves out the evictions of which a later one takes all that they take. It reuses the memory.
func (v Evictions) staircase() Evictions {
	n := len(v)
	for i := len(v) - 1; i >= 0; i-- {
		if n == len(v) || v[i].Horizon > v[n].Horizon {
			n--
			v[n] = v[i]
		}
	}
	return v[:copy(v, v[n:])]
}

// AppendUpTo appends to dst, which it returns, the evictions of a list up to a sequence.
func (v Evictions) AppendUpTo(dst Evictions, asOf uint64) Evictions {
	for _, e := range v {
		if e.Seq > asOf {
			break
		}
		dst = append(dst, e)
	}
	return dst
}
