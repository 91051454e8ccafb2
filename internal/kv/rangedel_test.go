package kv

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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
	if none.All() != nil || none.Len() != 0 || none.Newest() != 0 || NewRangeDeletes(nil) != nil {
		t.Errorf("nil covers something: %v", none.All())
	}
	given := []RangeDelete{
		{Start: []byte("b"), End: []byte("c"), Seq: 7},
		{Start: []byte("x"), End: []byte("a"), Seq: 8},
		{Start: []byte("a"), End: []byte("z"), Seq: 3},
	}
	if got := fmt.Sprint(NewRangeDeletes(given).All()); got != "[{[97] [98] 3} {[98] [99] 7} {[99] [122] 3}]" {
		t.Errorf("All = %s", got)
	}
	if given[0].Seq != 7 || given[2].Seq != 3 {
		t.Errorf("the argument was reordered: %v", given)
	}
	if NewRangeDeletes(given[1:2]) != nil {
		t.Errorf("an empty range covers something")
	}
}

// rangeKeys are some keys, ascending.
func rangeKeys() (keys [][]byte) {
	for _, a := range []string{"", "\x00", "a", "b", "\xff"} {
		for _, b := range []string{"", "\x00", "a", "b", "\xff"} {
			keys = append(keys, []byte(a+b))
		}
	}
	slices.SortFunc(keys, Compare)
	return slices.CompactFunc(keys, func(a, b []byte) bool { return Compare(a, b) == 0 })
}

// checkRangeDeletes compares a set with the definition, for some keys and sequences.
func checkRangeDeletes(t *testing.T, set *RangeDeletes, deletes []RangeDelete, keys [][]byte, asOfs ...uint64) {
	t.Helper()
	for _, asOf := range asOfs {
		walk := set.Walk(asOf)
		for _, key := range keys {
			want := covering(deletes, key, asOf)
			if got := set.Seq(key, asOf); got != want {
				t.Fatalf("Seq(%q, %d) = %d, want %d of %v", key, asOf, got, want, deletes)
			}
			seq, _ := walk.Seq(key)
			start, end := walk.Start, walk.End
			if seq != want || Compare(key, start) < 0 || end != nil && Compare(key, end) >= 0 {
				t.Fatalf("a walk as of %d has at %q: %q to %q, %d, want %d of %v", asOf, key, start, end, seq, want, deletes)
			}
			for _, other := range keys {
				if inside := Compare(start, other) <= 0 && (end == nil || Compare(other, end) < 0); inside {
					if got := covering(deletes, other, asOf); got != want {
						t.Fatalf("a walk as of %d has at %q: %q to %q, %d; %q has %d of %v", asOf, key, start, end, seq, other, got, deletes)
					}
				}
			}
		}
	}
}

// checkNewest compares what a set says of now with the definition.
func checkNewest(t *testing.T, set *RangeDeletes, deletes []RangeDelete, keys [][]byte, since ...uint64) {
	t.Helper()
	all := set.All()
	for i, d := range all {
		if Compare(d.Start, d.End) >= 0 || i > 0 && (Compare(all[i-1].End, d.Start) > 0 ||
			all[i-1].Seq == d.Seq && Compare(all[i-1].End, d.Start) == 0) {
			t.Fatalf("All is not apart: %v", all)
		}
	}
	for _, key := range keys {
		if got, want := covering(all, key, math.MaxUint64), covering(deletes, key, math.MaxUint64); got != want {
			t.Fatalf("All covers %q as of %d, want %d: %v of %v", key, got, want, all, deletes)
		}
		for _, end := range append(keys, nil) {
			for _, seq := range since {
				want := slices.ContainsFunc(deletes, func(d RangeDelete) bool {
					return d.Seq > seq && Compare(d.Start, d.End) < 0 && Compare(key, d.End) < 0 && (end == nil || Compare(d.Start, end) < 0)
				})
				if end != nil && Compare(key, end) >= 0 {
					continue
				}
				if got := set.Touched(key, end, seq); got != want {
					t.Fatalf("Touched(%q, %q, %d) = %t, want %t of %v", key, end, seq, got, want, deletes)
				}
			}
		}
	}
}

// TestRangeDeletesModel compares random sets with the definition, at every key and every sequence.
func TestRangeDeletesModel(t *testing.T) {
	const seed = 20
	step := 1
	if testing.Short() {
		step = 10
	}
	r := rand.New(rand.NewPCG(seed, 0))
	keys := rangeKeys()
	var asOfs []uint64
	for asOf := range uint64(27) {
		asOfs = append(asOfs, asOf)
	}
	for round := 0; round < 500; round += step {
		deletes := make([]RangeDelete, r.IntN(20))
		for i := range deletes {
			start, end := keys[r.IntN(len(keys))], keys[r.IntN(len(keys))]
			deletes[i] = RangeDelete{Start: start, End: end, Seq: 1 + r.Uint64N(25)}
		}
		t.Logf("seed %d round %d", seed, round)
		set := NewRangeDeletes(deletes)
		checkRangeDeletes(t, set, deletes, keys, asOfs...)
		checkNewest(t, set, deletes, keys, asOfs...)
		again := set.All()
		checkNewest(t, NewRangeDeletes(again), deletes, keys, asOfs[:1]...)
	}
}

// TestRangeDeletesAdded adds many deletes, long and short ones, and asks as of every sequence there was on the way.
func TestRangeDeletesAdded(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var keys [][]byte
			for i := range 120 {
				keys = append(keys, fmt.Appendf(nil, "key%03d", i))
			}
			set := new(RangeDeletes)
			var deletes []RangeDelete
			for seq := uint64(1); seq <= 300; seq += 1 + r.Uint64N(3) {
				d := randomRange(r, keys, seq)
				set.Add(d.Start, d.End, seq)
				deletes = append(deletes, d)
				if r.IntN(10) == 0 {
					probe := keys[r.IntN(len(keys)):][:1]
					checkRangeDeletes(t, set, deletes, probe, seq, r.Uint64N(seq+1), r.Uint64N(seq+1))
				}
			}
			checkRangeDeletes(t, set, deletes, keys[:40], 1, 20, r.Uint64N(300), r.Uint64N(300), 299, math.MaxUint64)
			checkNewest(t, set, deletes, append([][]byte{nil}, keys[50:70]...), 0, 150, 290, 299)
		})
	}
}

// randomRange returns a delete of a few keys, or now and then of many or of none.
func randomRange(r *rand.Rand, keys [][]byte, seq uint64) RangeDelete {
	from, n := r.IntN(len(keys)), r.IntN(4)
	switch r.IntN(20) {
	case 0:
		n = r.IntN(len(keys))
	case 1:
		from, n = 0, r.IntN(len(keys))
	}
	return RangeDelete{Start: keys[from], End: keys[min(from+n, len(keys)-1)], Seq: seq}
}

// FuzzRangeDeletes takes three bytes for a delete: where it begins, how long it is, and how much newer than the one before.
func FuzzRangeDeletes(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x05\x02\x01\x00\xff\x01"), []byte("\x08"), uint64(2))
	f.Fuzz(func(t *testing.T, program, key []byte, asOf uint64) {
		set, seq := new(RangeDeletes), uint64(0)
		var deletes []RangeDelete
		keys := [][]byte{nil, key}
		for ; len(program) >= 3 && len(deletes) < 100; program = program[3:] {
			seq += uint64(program[2] % 3)
			d := RangeDelete{Start: []byte{program[0]}, End: []byte{program[0] + program[1]}, Seq: seq}
			if program[2] > 200 {
				d.Start, d.End = nil, key
			}
			deletes = append(deletes, d)
			set.Add(d.Start, d.End, d.Seq)
			keys = append(keys, d.Start, d.End)
		}
		keys = keys[max(0, len(keys)-20):]
		checkRangeDeletes(t, set, deletes, keys, asOf, seq/2, math.MaxUint64)
		checkNewest(t, set, deletes, keys[:min(len(keys), 6)], 0, seq/2, seq)
	})
}

// TestRangeDeletesRace asks while deletes are added: nothing as of an older sequence changes.
func TestRangeDeletesRace(t *testing.T) {
	const n = 3000
	keys := rangeKeys()
	r := rand.New(rand.NewPCG(5, 5))
	deletes := make([]RangeDelete, n)
	for i := range deletes {
		deletes[i] = randomRange(r, keys, uint64(i+1))
	}
	set := new(RangeDeletes)
	var shown atomic.Uint64
	var readers sync.WaitGroup
	for g := range uint64(3) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(g, 6))
			for {
				seq := shown.Load()
				asOf := r.Uint64N(seq + 1)
				key := keys[r.IntN(len(keys))]
				want := covering(deletes[:asOf], key, asOf)
				if got := set.Seq(key, asOf); got != want {
					t.Errorf("Seq(%q, %d) = %d at %d, want %d", key, asOf, got, seq, want)
					return
				}
				walk := set.Walk(asOf)
				if got, _ := walk.Seq(key); got != want {
					t.Errorf("Walk(%d).Seq(%q) = %d at %d, want %d", asOf, key, got, seq, want)
					return
				}
				if want > 0 && !set.Touched(key, nil, want-1) {
					t.Errorf("%d does not touch what is from %q on", want, key)
					return
				}
				if seq == n {
					return
				}
			}
		})
	}
	for _, d := range deletes {
		set.Add(d.Start, d.End, d.Seq)
		shown.Store(d.Seq)
	}
	readers.Wait()
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

// TestRangeDeletesCost adds n deletes and four times as many. What the last of them take, and what a search goes through, is
// the same but for the depth of the tree.
func TestRangeDeletesCost(t *testing.T) {
	type cost struct{ bytes, looks, depth int }
	measure := func(n int) (c cost) {
		key := func(i int) []byte { return fmt.Appendf(nil, "key%08d", i*7919%n*10) }
		keys := make([][2][]byte, n)
		for i := range keys {
			keys[i] = [2][]byte{key(i), append(key(i), '5')}
		}
		set := new(RangeDeletes)
		var before, after runtime.MemStats
		for i, k := range keys {
			if i == n-1000 {
				runtime.ReadMemStats(&before)
			}
			set.Add(k[0], k[1], uint64(i+1))
		}
		runtime.ReadMemStats(&after)
		c.bytes = int(after.TotalAlloc-before.TotalAlloc) / 1000
		for _, k := range keys {
			depth := 0
			node := set.newestTree()
			for ; node.leaf == nil; depth++ {
				if len(node.kids) > fanout {
					t.Fatalf("%d nodes below one", len(node.kids))
				}
				c.looks += bits.Len(uint(len(node.kids)))
				node = node.kids[node.kid(k[0])].node
			}
			c.looks += int(node.leaf.n.Load())
			c.depth = max(c.depth, depth)
		}
		c.looks /= n
		return c
	}
	few, many := measure(5000), measure(20_000)
	t.Logf("%+v and %+v", few, many)
	if many.bytes > few.bytes*2 || many.looks > few.looks+8 || many.depth > few.depth+1 {
		t.Errorf("one of 5,000 takes %+v, one of 20,000 %+v", few, many)
	}
}
