package kv

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Lists of evictions say the same as all evictions one by one, with those left out that others make unneeded.
func TestEvictions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all, list, parts Evictions
		seq := uint64(0)
		for range rapid.IntRange(0, 12).Draw(t, "evictions") {
			seq += rapid.Uint64Range(1, 3).Draw(t, "step")
			e := Eviction{Seq: seq, Horizon: rapid.Int64Range(1, 8).Draw(t, "horizon")}
			all = append(all, e)
			if rapid.Bool().Draw(t, "apart") {
				parts = parts.With(Evictions{e})
			} else {
				before := slices.Clone(list)
				longer := list.With(Evictions{e})
				if !slices.Equal(list, before) {
					t.Fatalf("With has changed %v to %v", before, list)
				}
				list = longer
			}
		}
		list = list.With(parts)
		for i := 1; i < len(list); i++ {
			if list[i-1].Seq >= list[i].Seq || list[i-1].Horizon <= list[i].Horizon {
				t.Fatalf("%v is no staircase", list)
			}
		}
		for s := range seq + 2 {
			for d := range int64(10) {
				e := Entry{Seq: s, Deadline: d}
				covered := func(asOf uint64) bool {
					return slices.ContainsFunc(all, func(v Eviction) bool { return v.Seq <= asOf && s < v.Seq && 0 < d && d <= v.Horizon })
				}
				if got, want := list.Cover(&e, seq), covered(seq); got != want {
					t.Fatalf("%v cover %+v: %v, want %v", list, e, got, want)
				}
				for asOf := range seq + 2 {
					got, upTo := all.Cover(&e, asOf), all.AppendUpTo(nil, asOf).Cover(&e, seq)
					if want := covered(asOf); got != want || upTo != want {
						t.Fatalf("%v as of %d cover %+v: %v and %v, want %v", all, asOf, e, got, upTo, want)
					}
				}
			}
		}
	})
}
