package lsm

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/wal"
)

func isCorrupt(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, corrupt.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

// Once the database is closed nobody enters and nothing is pinned.
func TestNobodyEntersAClosedSet(t *testing.T) {
	b := newBench(t)
	b.closed.Store(true)
	if _, ok := b.Enter(1); ok {
		t.Error("entered")
	}
	if _, _, _, ok := b.EnterNewest(1); ok {
		t.Error("entered")
	}
	if _, _, ok := b.Pin(); ok {
		t.Error("pinned")
	}
	b.Wait() // for nobody
	b.closed.Store(false)
}

// Show moves forward only.
func TestShow(t *testing.T) {
	b := newBench(t)
	for _, c := range [][2]uint64{{5, 5}, {3, 5}, {5, 5}, {6, 6}} {
		if b.Show(c[0]); b.Visible() != c[1] {
			t.Errorf("after Show(%d): %d", c[0], b.Visible())
		}
	}
}

// A view that was replaced between the look at it and the look at how far reads see is not whole: what was written since is in
// another memtable.
func TestWholeAt(t *testing.T) {
	b := newBench(t)
	b.put("a")
	v := b.View()
	if seq, ok := b.WholeAt(v); !ok || seq != 1 {
		t.Errorf("a view that is up to date: %d, %v", seq, ok)
	}
	b.freeze()
	b.put("a")
	if seq, ok := b.WholeAt(v); ok {
		t.Errorf("a view that ends before %d is whole", seq)
	}
	// Of an Ingest the tables are in the view before reads see them.
	m := b.View().Frozen[0]
	must(t, b.Commit(&Edit{Add: b.build(m), Flushed: m, LastSeq: m.LastSeq, FirstSegment: b.View().Mem.Segment}))
	must(t, b.Commit(b.flushEdit()))
	tables := b.flushEdit2("z")
	b.seq += 10
	b.visible.Store(1)
	must(t, b.Commit(&Edit{Add: tables, Active: NewMem(memtable.Hint{}, b.segment, 0), LastSeq: b.seq}))
	if seq, ok := b.WholeAt(b.View()); !ok || seq != 3 {
		t.Errorf("whole at %d, %v, the tables have %d", seq, ok, b.View().Version.LastSeq)
	}
	v, seq, _ := b.Pin()
	if b.Unpin(v); seq != 3 {
		t.Errorf("pinned as of %d", seq)
	}
}

// While others write, freeze, flush and compact, every read finds the newest version that was shown before it began, or a later
// one, and a pinned view always the same.
func TestReadsBesideChanges(t *testing.T) {
	b := newBench(t)
	const rounds, keys = 60, 4
	var shown [keys]atomic.Uint64
	for k := range keys {
		b.put(fmt.Sprint("key", k))
		shown[k].Store(b.seq)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	check := func(v *View, seq uint64, k int, least uint64) uint64 {
		var e kv.Entry
		value, found, err := v.Get(nil, fmt.Append(nil, "key", k), seq, WithValue, &e)
		if err != nil || !found || e.Seq < least || e.Seq > seq || string(value) != fmt.Sprintf("key%d@%d", k, e.Seq) {
			t.Errorf("key%d as of %d: %q of %d, %v, %v, want %d or later", k, seq, value, e.Seq, found, err, least)
		}
		return e.Seq
	}
	for r := range 2 {
		readers.Go(func() {
			for n := 0; !done.Load() && !t.Failed(); n++ {
				k := n % keys
				least := shown[k].Load()
				ticket, v, seq, ok := b.EnterNewest(uint32(r))
				if !ok {
					t.Error("not entered")
					return
				}
				check(v, seq, k, least)
				b.Exit(ticket)
				if n%16 != 0 {
					continue
				}
				least = shown[k].Load()
				v, seq, _ = b.Pin()
				got := check(v, seq, k, least)
				for range 3 {
					if again := check(v, seq, k, least); again != got {
						t.Errorf("a pinned view has changed: %d, %d", got, again)
					}
				}
				b.Unpin(v)
			}
		})
	}
	for n := range rounds {
		for k := range keys {
			b.put(fmt.Sprint("key", k))
			shown[k].Store(b.seq)
		}
		must(t, b.Commit(b.flushEdit()))
		if n%3 == 2 {
			b.compact()
		}
	}
	done.Store(true)
	readers.Wait()
}

// compact merges level 0 into the last level.
func (b *bench) compact() {
	b.t.Helper()
	plan := compaction.PickAll(&b.View().Version.Levels, b.clock, compaction.Config{Base: 1 << 20})
	if plan == nil {
		return
	}
	result, err := compaction.Run(b.t.Context(), plan, b.clock, b.Output(plan.Level))
	must(b.t, err)
	must(b.t, b.Commit(&Edit{Remove: plan.Tables(), Add: result.Tables, Level: plan.Level}))
}

// A walk over a view whose memtable is empty does without the memtable, and so shows nothing that comes into it later.
func TestEmptyMemtableIsNoSource(t *testing.T) {
	b := newBench(t)
	put := func() {
		b.seq++
		must(t, b.View().Mem.Apply(&op.Op{Kind: op.Put, Seq: b.seq, Key: []byte("k"), Value: []byte("v")}))
		b.Show(b.seq)
	}
	var s Sources
	s.Init()
	if n := len(s.Open(b.View(), b.Visible(), nil, nil, nil, false)); n != 0 {
		t.Errorf("%d sources where there is nothing", n)
	}
	s.Release()
	put()
	if n := len(s.Open(b.View(), b.Visible(), nil, nil, nil, false)); n != 1 {
		t.Errorf("%d sources, want the memtable", n)
	}
	s.Release()
}

// Sources are asked from the newest to the oldest, and nothing falls through a delete.
func TestViewGet(t *testing.T) {
	b := newBench(t)
	apply := func(o op.Op) {
		b.seq++
		o.Seq = b.seq
		must(t, b.View().Mem.Apply(&o))
		b.Show(b.seq)
	}
	b.put("a", "b", "c", "d", "e") // 1 to 5
	must(t, b.Commit(b.flushEdit()))
	apply(op.Op{Kind: op.Delete, Key: []byte("a")})                              // 6
	apply(op.Op{Kind: op.DeleteRange, Key: []byte("c"), End: []byte("e")})       // 7
	apply(op.Op{Kind: op.Expired, Key: []byte("b"), Version: 2, Deadline: 1000}) // 8
	b.put("d")                                                                   // 9
	for _, move := range []string{"in the memtable", "in a frozen memtable", "in tables", "in one table"} {
		v := b.View()
		for key, want := range map[string]string{"a": "", "b": "", "c": "", "d": "d@9", "e": "e@5", "f": ""} {
			b.reads(v, math.MaxUint64, key, want)
		}
		if v.Mem.Empty() == (move == "in the memtable") {
			t.Errorf("%s: the memtable is empty: %v", move, v.Mem.Empty())
		}
		switch move {
		case "in the memtable":
			b.reads(v, 6, "c", "c@3")
			b.reads(v, 8, "d", "")
			b.freeze()
		case "in a frozen memtable":
			m := v.Frozen[0]
			must(t, b.Commit(&Edit{Add: b.build(m), Flushed: m, LastSeq: m.LastSeq, FirstSegment: v.Mem.Segment}))
		case "in tables":
			b.compact()
		}
		if t.Failed() {
			t.Fatal(move)
		}
	}
	if err := b.View().Mem.Apply(&op.Op{Kind: op.Kinds}); !errors.Is(err, op.ErrUnknown) {
		t.Errorf("an unknown operation: %v", err)
	}
}

// The chain leads from each memtable that was active to the one after, as far as a transaction may need it, and is cut behind
// those that are older, and where tables bring what no memtable has.
func TestChain(t *testing.T) {
	b := newBench(t)
	walk := func(m *Mem) (n int, whole bool) {
		for {
			next, whole := m.Next()
			if !whole || next == nil {
				return n, whole
			}
			m = next
			n++
		}
	}
	mems := []*Mem{b.View().Mem}
	for i := range MaxFrozen + 3 {
		b.put("a")
		must(t, b.Commit(b.flushEdit()))
		mems = append(mems, b.View().Mem)
		for age, m := range mems {
			back := i + 1 - age
			n, whole := walk(m)
			if want := back <= MaxFrozen+1; whole != want || whole && n != back {
				t.Errorf("after %d freezes, from memtable %d: %d more, %v", i+1, age, n, whole)
			}
		}
	}
	tables := b.flushEdit2("z")
	must(t, b.Commit(&Edit{Add: tables, Active: NewMem(memtable.Hint{}, b.segment, 0), LastSeq: b.seq}))
	for age, m := range append(mems, b.View().Mem) {
		if _, whole := walk(m); whole != (age == len(mems)) {
			t.Errorf("after an Ingest the chain from memtable %d is whole: %v", age, whole)
		}
	}
}

// Where a view says which memtable is the first with something after a sequence, and which the one after another.
func TestViewOrder(t *testing.T) {
	b := newBench(t)
	b.put("a", "b")
	one := b.freeze()
	b.put("c")
	two := b.freeze()
	v := b.View()
	for seq, want := range []*Mem{one, one, two, v.Mem, v.Mem} {
		if v.FirstAfter(uint64(seq)) != want {
			t.Errorf("the first memtable after %d is another", seq)
		}
	}
	if v.After(one) != two || v.After(two) != v.Mem || v.Oldest() != one || !v.Full(1<<20) {
		t.Error("the order of memtables")
	}
	if one.LastSeq != 2 || two.LastSeq != 3 || two.LogEnd != (wal.Position{Segment: b.segment}) {
		t.Errorf("memtables end with %d and %d", one.LastSeq, two.LastSeq)
	}
}

// A read allocates nothing of its own.
func TestReadsAllocateNothing(t *testing.T) {
	b := newBench(t)
	b.flush("a")
	b.put("b")
	dst, e := make([]byte, 0, 64), new(kv.Entry)
	for _, key := range []string{"a", "b", "c"} {
		if n := testing.AllocsPerRun(100, func() {
			ticket, v, seq, _ := b.EnterNewest(1)
			_, _, _ = v.Get(dst, []byte(key), seq, WithValue, e)
			b.Exit(ticket)
		}); n != 0 {
			t.Errorf("%s: %v allocations", key, n)
		}
	}
}

// A loader that begins again with a newer manifest closes what only the older one named.
func TestLoaderClosesWhatOnlyAnOlderManifestNamed(t *testing.T) {
	b := newBench(t)
	b.flush("a")
	old := b.stored()
	b.flush("b")
	newest := b.stored()
	// The newest manifest, without the table of the old one.
	var tables []manifest.Table
	for _, m := range newest.Tables {
		if m.File != old.Tables[0].File {
			tables = append(tables, m)
		}
	}
	newest.Tables = tables
	b.workers.Wait()
	must(t, b.Set.Close())

	r := &bench{t: t, fault: b.fault, Set: new(Set), segment: b.segment, clock: b.clock, seq: b.seq}
	empty := *old
	empty.Tables = nil
	r.open(&empty, true)
	l := r.NewLoader()
	must(t, l.Load(old)) // and then the log turns out to have moved on
	first := l.tables[old.Tables[0].File]
	must(t, l.Load(newest))
	l.Publish(NewMem(memtable.Hint{}, r.segment, r.clock), nil, r.seq, &wal.Replayed{NextSeq: r.seq + 1})
	l.Close()
	r.closed.Store(true)
	must(t, r.Set.Close())
	b.closed.Store(true)
	if err := first.Reader.Close(); err == nil {
		t.Errorf("table %d is open after all has been closed", first.File)
	}
}

// The last key of a view is that of a memtable, of any table of level 0, or of the last table of a level that has keys: the
// very last may hold range deletes alone.
func TestLastKey(t *testing.T) {
	b := newBench(t)
	b.flush("a", "c")
	b.flush("f")
	b.seq++
	must(t, b.View().Mem.Apply(&op.Op{Kind: op.DeleteRange, Seq: b.seq, Key: []byte("g"), End: []byte("k")}))
	b.flush()
	level0 := b.View().Version.Levels[0] // newest first
	deep := compaction.Levels{3: {level0[2], level0[1], level0[0]}}
	empty := NewMem(memtable.Hint{}, b.segment, b.clock)
	for _, c := range []struct {
		name   string
		levels compaction.Levels
		want   string
	}{
		{"no tables", compaction.Levels{}, ""},
		{"level 0, in any order", compaction.Levels{0: level0}, "f"},
		{"range deletes behind the last key", deep, "f"},
		{"range deletes alone", compaction.Levels{3: level0[:1]}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &View{Mem: empty, Version: newVersion(c.levels, nil, nil)}
			if last := v.LastKey(); string(last) != c.want {
				t.Errorf("%q, want %q", last, c.want)
			}
		})
	}
	b.put("x")
	if last := b.View().LastKey(); string(last) != "x" {
		t.Errorf("%q beside a memtable", last)
	}
}
