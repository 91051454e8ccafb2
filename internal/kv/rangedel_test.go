package kv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// covering is the definition that RangeDeletes must agree with.
func covering(deletes []RangeDelete, key []byte, asOf uint64) uint64 {
	var newest uint64
	for _, d := range deletes {
		if Compare(d.Start, key) <= 0 && Compare(key, d.End) < 0 && d.Seq <= asOf {
			newest = max(newest, d.Seq)
		}
	}
	return newest
}

func TestRangeDeletes(t *testing.T) {
	del := func(start, end string, seq uint64) RangeDelete {
		return RangeDelete{Start: []byte(start), End: []byte(end), Seq: seq}
	}
	nested := []RangeDelete{del("c", "d", 3), del("a", "z", 1), del("b", "e", 2)}
	for _, c := range []struct {
		name    string
		deletes []RangeDelete
		key     string
		asOf    uint64
		want    uint64
	}{
		{"none", nil, "a", math.MaxUint64, 0},
		{"only an empty range", []RangeDelete{del("b", "b", 1), del("c", "a", 2)}, "b", math.MaxUint64, 0},
		{"below the start", []RangeDelete{del("b", "d", 5)}, "a\xff", math.MaxUint64, 0},
		{"the start is inside", []RangeDelete{del("b", "d", 5)}, "b", math.MaxUint64, 5},
		{"the last key inside", []RangeDelete{del("b", "d", 5)}, "c\xff\xff", math.MaxUint64, 5},
		{"the end is outside", []RangeDelete{del("b", "d", 5)}, "d", math.MaxUint64, 0},
		{"above", []RangeDelete{del("b", "d", 5)}, "e", math.MaxUint64, 0},
		{"from the empty key", []RangeDelete{del("", "d", 5)}, "", math.MaxUint64, 5},
		{"at its own sequence", []RangeDelete{del("b", "d", 5)}, "c", 5, 5},
		{"before its sequence", []RangeDelete{del("b", "d", 5)}, "c", 4, 0},
		{"between two", []RangeDelete{del("a", "b", 1), del("c", "d", 2)}, "b", math.MaxUint64, 0},
		{"where two meet", []RangeDelete{del("a", "b", 2), del("b", "c", 1)}, "b", math.MaxUint64, 1},
		{"the newest of nested ones", nested, "c", math.MaxUint64, 3},
		{"an older one of nested ones", nested, "c", 2, 2},
		{"the same range twice", []RangeDelete{del("a", "z", 4), del("a", "z", 9)}, "m", 8, 4},
		{"one end is another's start", []RangeDelete{del("a", "m", 4), del("m", "z", 9)}, "l", math.MaxUint64, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := NewRangeDeletes(c.deletes).Seq([]byte(c.key), c.asOf); got != c.want {
				t.Errorf("Seq(%q, %d) = %d, want %d", c.key, c.asOf, got, c.want)
			}
		})
	}
}

func TestRangeDeletesAll(t *testing.T) {
	var none *RangeDeletes
	if got := none.All(); got != nil {
		t.Errorf("All of none = %v", got)
	}
	given := []RangeDelete{
		{Start: []byte("b"), End: []byte("c"), Seq: 7},
		{Start: []byte("x"), End: []byte("a"), Seq: 8},
		{Start: []byte("a"), End: []byte("z"), Seq: 3},
	}
	if got := fmt.Sprint(NewRangeDeletes(given).All()); got != fmt.Sprint([]RangeDelete{given[2], given[0]}) {
		t.Errorf("All = %s", got)
	}
	if given[0].Seq != 7 || given[2].Seq != 3 {
		t.Errorf("the argument was reordered: %v", given)
	}
}

// TestRangeDeletesModel compares random sets with the definition, at every key and every sequence.
func TestRangeDeletesModel(t *testing.T) {
	const seed = 20
	r := rand.New(rand.NewPCG(seed, 0))
	var keys [][]byte
	for _, a := range []string{"", "\x00", "a", "b", "\xff"} {
		for _, b := range []string{"", "\x00", "a", "b", "\xff"} {
			keys = append(keys, []byte(a+b))
		}
	}
	for round := range 2000 {
		deletes := make([]RangeDelete, r.IntN(20))
		for i := range deletes {
			start, end := keys[r.IntN(len(keys))], keys[r.IntN(len(keys))]
			deletes[i] = RangeDelete{Start: start, End: end, Seq: 1 + r.Uint64N(25)}
		}
		set := NewRangeDeletes(deletes)
		for _, key := range keys {
			for asOf := range uint64(27) {
				if got, want := set.Seq(key, asOf), covering(deletes, key, asOf); got != want {
					t.Fatalf("seed %d round %d: Seq(%q, %d) = %d, want %d of %v", seed, round, key, asOf, got, want, deletes)
				}
			}
		}
		if !slices.IsSortedFunc(set.All(), func(a, b RangeDelete) int { return int(a.Seq) - int(b.Seq) }) {
			t.Fatalf("seed %d round %d: All is not sorted: %v", seed, round, set.All())
		}
	}
}

// TestRangeDeletesOverlapping cuts off the beginning of a log again and again: every delete overlaps every other.
func TestRangeDeletesOverlapping(t *testing.T) {
	const n = 5000
	deletes := make([]RangeDelete, n)
	for i := range deletes {
		deletes[i] = RangeDelete{Start: []byte("log/"), End: fmt.Appendf(nil, "log/%06d", i), Seq: uint64(i + 1)}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	set := NewRangeDeletes(deletes)
	runtime.ReadMemStats(&after)
	for _, asOf := range []uint64{1, n / 2, n} {
		if got := set.Seq([]byte("log/"), asOf); got != asOf {
			t.Errorf("Seq as of %d = %d", asOf, got)
		}
	}
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(1000*n); got > limit {
		t.Errorf("%d overlapping deletes took %d bytes, want at most %d", n, got, limit)
	}
}

func TestRangeDeletesSeqAllocs(t *testing.T) {
	set := NewRangeDeletes([]RangeDelete{
		{Start: []byte("a"), End: []byte("m"), Seq: 1},
		{Start: []byte("c"), End: []byte("z"), Seq: 2},
	})
	key := []byte("d")
	if n := testing.AllocsPerRun(100, func() { set.Seq(key, math.MaxUint64) }); n != 0 {
		t.Errorf("Seq allocates %v times", n)
	}
}
