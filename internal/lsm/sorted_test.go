package lsm

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/op"
)

func never() bool { return false }

// scan returns what a scan of the newest view shows, and how many sources it merges, an empty memtable with them.
func (b *bench) scan() (entries []string, sources int) {
	b.t.Helper()
	v, seq, ok := b.Pin()
	if !ok {
		b.t.Fatal("closed")
	}
	defer b.Unpin(v)
	var s Sources
	s.Init()
	list := s.Open(v, seq, nil, nil, nil, false)
	defer s.Release()
	var m merge.Iterator
	m.Reset(list)
	defer m.Close()
	for ok := m.First(); ok; ok = m.Next() {
		entries = append(entries, fmt.Sprintf("%s@%d", m.Entry().Key, m.Entry().Seq))
	}
	if m.Err() != nil {
		b.t.Error(m.Err())
	}
	if sources = len(list); v.Mem.Len() == 0 { // which is left out
		sources++
	}
	return entries, sources
}

// A sorted view takes the place of the tables that it is of, in scans of the version that it was built for and of later ones as
// long as these have all of the tables, and in no other.
func TestSorted(t *testing.T) {
	b := newBench(t)
	expect := func(when string, sources int, deep bool) {
		t.Helper()
		got, n := b.scan()
		o := b.View().Version.order.Load()
		b.View().Version.order.Store(new(order))
		want, _ := b.scan()
		b.View().Version.order.Store(o)
		if n != sources || o.covers.deep != deep || !slices.Equal(got, want) {
			t.Errorf("%s: a scan of %d sources, deep %v, shows %q; want %d, %v, %q", when, n, o.covers.deep, got, sources, deep, want)
		}
		if (b.View().Version.SortedBytes() > 0) != (o.sorted != nil) {
			t.Errorf("%s: a sorted view takes %d bytes", when, b.View().Version.SortedBytes())
		}
	}
	b.flush("a", "c", "e")
	b.flush("b", "c", "d")
	expect("two tables", 3, false)
	b.Sort(never)
	expect("two tables, sorted", 2, true)
	b.flush("a", "f")
	expect("a newer table", 3, true)
	b.Sort(func() bool { return true })
	expect("a newer table, and a view that was stopped", 3, true)
	if b.SortPaid() {
		t.Error("what was tried is paid again")
	}
	b.flush("g")
	b.Sort(never)
	expect("four tables, sorted", 2, true)
	b.compact()
	expect("compacted", 2, false)
	b.Sort(never)
	expect("one run", 2, false)
	b.flush("c", "h")
	b.flush("b")
	expect("a run and two tables", 4, false)
	b.Sort(never)
	expect("a run and two tables, sorted", 2, true)
	b.compact()
	expect("compacted again", 2, false)

	// Range deletes are left to the sources that know of them.
	b.flush("m")
	b.seq++
	must(t, b.View().Mem.Apply(&op.Op{Kind: op.DeleteRange, Seq: b.seq, Key: []byte("a"), End: []byte("c")}))
	b.flush("n")
	b.flush("o")
	b.flush("p")
	b.Sort(never)
	expect("a table with a range delete in the middle", 6, false)
}

// What a sorted view may take bounds the tables that it is of: the oldest, and those below level 0 all or not at all.
func TestSortedMemory(t *testing.T) {
	b := newBench(t)
	flush := func(n int) {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf("%03d", i))
		}
		b.flush(keys...)
	}
	flush(100)
	b.compact()
	flush(100) // some 600 bytes each
	b.Sort(never)
	if _, n := b.scan(); n != 3 {
		t.Errorf("%d sources, want the memtable, the table and the level, which have more entries than the memory", n)
	}
	flush(60)
	flush(60)
	b.Sort(never)
	if _, n := b.scan(); n != 4 || b.View().Version.SortedBytes() > b.config.SortedMemory+64 {
		t.Errorf("%d sources and %d bytes, want the memtable, the newest table, the sorted view and the level", n, b.View().Version.SortedBytes())
	}
}

// A sorted view of large rows would spare scans little, and take long to build.
func TestSortedLargeRows(t *testing.T) {
	b := newBench(t)
	for range 4 {
		b.seq++
		must(t, b.View().Mem.Apply(&op.Op{Kind: op.Put, Seq: b.seq, Key: []byte("k"), Value: make([]byte, 400<<10)}))
		b.Show(b.seq)
		b.flush("a")
	}
	b.Sort(never)
	if _, n := b.scan(); n != 4 {
		t.Errorf("%d sources, want the memtable, two tables, and a sorted view of two with less than 1 MiB", n)
	}
}

// Scans pay for a sorted view what it spares them, ask for it, and do not pay for a compaction of its tables.
func TestSortPaid(t *testing.T) {
	b := newBench(t)
	asked := 0
	b.rent.sort = func() { asked++ }
	scan := func() { b.View().PayForScan(len(b.View().Version.Levels[0])) }
	b.flush("a")
	scan()
	if before := b.Rent().Paid(); asked > 0 || before != ScanBytes {
		t.Errorf("one table: asked %d times, paid %d", asked, before)
	}
	b.Rent().Reset()
	b.flush("b")
	b.flush("c")
	o := b.View().Version.order.Load()
	o.cost = 5 * sourceTime
	b.View().Version.order.Store(o)
	for n := range 3 {
		if scan(); (asked > 0) != (n == 2) || b.SortPaid() != (n == 2) {
			t.Errorf("after %d scans that would be spared 2 sources: asked %d times, paid %v", n+1, asked, b.SortPaid())
		}
	}
	if paid := b.Rent().Paid(); paid > 0 {
		t.Errorf("for a compaction 3 scans have paid %d: the sorted view will be of everything", paid)
	}
	b.Sort(never)
	if asked = 0; b.SortPaid() {
		t.Error("it is paid for twice")
	}
	b.Rent().Reset()
	b.View().PayForScan(0)
	if asked > 0 {
		t.Error("a scan pays for what is there")
	}
	if paid := b.Rent().Paid(); paid != SortedBytes {
		t.Errorf("a scan of a sorted view of everything has paid %d for a compaction, want %d", paid, SortedBytes)
	}
}

// Scans beside commits and the building of sorted views show every key, and the newest version that they may.
func TestSortBesideChanges(t *testing.T) {
	b := newBench(t)
	const rounds, keys = 60, 8
	b.flush("k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7")
	var done atomic.Bool
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for last := ""; !done.Load() && !t.Failed(); {
				entries, _ := b.scan()
				if now := strings.Join(entries, " "); len(entries) != keys {
					t.Errorf("after %s: %s", last, now)
				} else {
					last = now
				}
			}
		})
	}
	others.Go(func() {
		for !done.Load() {
			b.Sort(done.Load)
		}
	})
	for n := range rounds {
		b.put(fmt.Sprint("k", n%keys), fmt.Sprint("k", n%3))
		must(t, b.Commit(b.flushEdit()))
		if n%7 == 6 {
			b.compact()
		}
	}
	done.Store(true)
	others.Wait()
	entries, _ := b.scan()
	v, seq, _ := b.Pin()
	defer b.Unpin(v)
	for _, e := range entries {
		key, at, _ := strings.Cut(e, "@")
		b.reads(v, min(seq, math.MaxUint64), key, key+"@"+at)
	}
}

// A sorted view that a change of the tables has overtaken takes nothing from what there is.
func TestSortOvertaken(t *testing.T) {
	b := newBench(t)
	for i := range 300 { // more than the memory, so that the level is not sorted
		b.put(fmt.Sprintf("%03d", i))
	}
	b.flush("z")
	b.compact()
	b.flush("a", "c")
	b.flush("b")
	b.Sort(never)
	last := b.flush("d")
	gone := false
	b.Sort(func() bool {
		if !gone { // as a table goes in which all has expired
			must(t, b.Commit(&Edit{Remove: []*compaction.Table{last}}))
		}
		gone = true
		return false
	})
	if _, n := b.scan(); n != 3 || b.View().Version.SortedBytes() == 0 {
		t.Errorf("%d sources, %d bytes of a sorted view; want the memtable, the sorted view, the level", n, b.View().Version.SortedBytes())
	}
}

// A sorted view of which a table goes is given up at once: who builds it has the tables pinned.
func TestSortGivesUp(t *testing.T) {
	b := newBench(t)
	b.config.SortedMemory = 1 << 20
	for i := range 3000 {
		b.put(fmt.Sprintf("%04d", i))
	}
	b.flush("a")
	b.flush("b")
	calls := 0
	b.Sort(func() bool {
		switch calls++; calls {
		case 1:
			b.flush("c") // is none of its tables
		case 2:
			b.compact()
		}
		return false
	})
	if calls != 2 || b.View().Version.SortedBytes() > 0 {
		t.Errorf("asked %d times, %d bytes of a sorted view", calls, b.View().Version.SortedBytes())
	}
	b.flush("d")
	if o := b.View().Version.order.Load(); o.saves == 0 {
		t.Error("no sorted view is worth its cost any more")
	}
}

// Scans of a version that was replaced ask for no sorted view, as it gets none, and it keeps none that the newest does not have.
func TestSortReplaced(t *testing.T) {
	b := newBench(t)
	asked := 0
	b.rent.sort = func() { asked++ }
	pin := func() *View {
		v, _, ok := b.Pin()
		if !ok {
			t.Fatal("closed")
		}
		t.Cleanup(func() { b.Unpin(v) })
		return v
	}
	b.flush("a")
	b.flush("b")
	b.flush("c")
	first := pin()
	b.Sort(never)
	b.flush("d")
	second := pin()
	b.compact()
	for _, v := range []*View{first, second} {
		for range 2 {
			b.rent.sorting.Store(1 << 40)
			v.PayForScan(len(v.Version.Levels[0]))
		}
		if asked > 0 || v.Version.SortedBytes() > 0 {
			t.Errorf("a replaced version asks %d times for a sorted view, and has one of %d bytes", asked, v.Version.SortedBytes())
		}
	}

	b.flush("e")
	b.flush("f")
	b.Sort(never)
	third := pin()
	b.flush("g")
	if third.Version.SortedBytes() == 0 {
		t.Error("the sorted view is gone that the newest version has, too")
	}
	b.Sort(never)
	if third.Version.SortedBytes() > 0 {
		t.Error("a replaced version keeps a sorted view that the newest does not have")
	}
}

// A scan between bounds pays for what a sorted view would spare it, not others, and for a compaction of what the view would not:
// the level below, here, has more entries than the memory.
func TestSortPaidBetweenBounds(t *testing.T) {
	b := newBench(t)
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("%03d", i))
	}
	b.flush(keys...)
	b.compact()
	for range 5 {
		b.flush("a")
	}
	v := b.View()
	for _, test := range []struct {
		tables      int
		spared, own int64
	}{{0, 0, 0}, {1, 0, 1}, {3, 2, 1}, {5, 4, 1}} {
		b.rent.sorting.Store(0)
		b.Rent().Reset()
		v.PayForScan(test.tables)
		if n, paid := b.rent.sorting.Load(), b.Rent().Paid(); n != test.spared*sourceTime || paid != test.own*ScanBytes {
			t.Errorf("a scan of %d of 5 tables has paid %d sources of a sorted view, and %d bytes", test.tables, n/sourceTime, paid)
		}
	}
}
