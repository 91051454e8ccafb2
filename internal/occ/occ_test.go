package occ

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/wal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database is a chain of memtables, and a model: which operation was the last on each of a few keys.
type database struct {
	lsm.Set
	t    *testing.T
	last LastWrites
	seq  uint64

	written [keys]uint64 // sequence of the last operation
	present [keys]bool
}

const keys = 12

func key(i int) []byte { return []byte{'a' + byte(i)} }

func newDatabase(t *testing.T) *database {
	d := &database{t: t}
	d.Init(lsm.Config{MemtableSize: 1 << 20, GapMemory: 1 << 10, WorthGap: 2, Closed: new(atomic.Bool),
		Workers: new(sync.WaitGroup), Compact: func() {}, Now: func() time.Time { return time.Time{} }})
	l := d.NewLoader()
	must(t, l.Load(new(manifest.State)))
	l.Publish(lsm.NewMem(memtable.Hint{}, 1, 0), nil, 0, nil)
	return d
}

// apply applies an operation to the keys from i up to j.
func (d *database) apply(kind op.Kind, i, j int) {
	d.seq++
	o := op.Op{Kind: kind, Seq: d.seq, Key: key(i)}
	if kind == op.DeleteRange {
		o.End = key(j)
	} else {
		j = i + 1
	}
	d.last.Note(d.seq, o.Key, o.End)
	must(d.t, d.View().Mem.Apply(&o))
	for k := i; k < j; k++ {
		d.written[k], d.present[k] = d.seq, kind == op.Put
	}
}

// freeze begins a new memtable.
func (d *database) freeze() {
	old := d.View().Mem
	d.Freeze(lsm.NewMem(old.Hint(), old.Segment+1, 0), d.seq, wal.Position{})
}

// walker is an iterator over what is present at a moment, that tells a scan of its moves and notes the keys that it has come by.
type walker struct {
	scan         *Scan
	present      [keys]bool
	lower, upper int // keys from one up to the other
	at           int // -1: nowhere
	seen         map[int]bool
}

func (w *walker) bounds() (lower, upper []byte) {
	if w.lower > 0 {
		lower = key(w.lower)
	}
	if w.upper < keys {
		upper = key(w.upper)
	}
	return lower, upper
}

// up walks upwards from a key to the first that is present.
func (w *walker) up(from int) (to []byte) {
	w.at = -1
	for i := max(from, w.lower); i < w.upper; i++ {
		if w.seen[i] = true; w.present[i] {
			w.at = i
			return key(i)
		}
	}
	return nil
}

// down walks downwards from before a key to the first that is present.
func (w *walker) down(before int) (to []byte) {
	w.at = -1
	for i := min(before, w.upper) - 1; i >= w.lower; i-- {
		if w.seen[i] = true; w.present[i] {
			w.at = i
			return key(i)
		}
	}
	return nil
}

// move makes a random move.
func (w *walker) move(r *rand.Rand) {
	lower, upper := w.bounds()
	at, to := w.at, r.IntN(keys)
	switch r.IntN(12) {
	case 0:
		w.scan.Ascend(nil, w.up(0), lower, upper)
	case 1:
		w.scan.Ascend(key(to), w.up(to), lower, upper)
	case 2:
		w.scan.Descend(w.down(keys), lower, upper)
	case 3:
		w.scan.DescendBefore(key(to), w.down(to), lower, upper)
	case 4, 5, 6, 7:
		if at >= 0 {
			w.scan.AscendTo(w.up(at+1), upper)
		}
	default:
		if at >= 0 {
			w.scan.DescendTo(w.down(at), lower)
		}
	}
}

// Whatever is read and written, in whatever order: Check finds a conflict if and only if something that was read was written
// since, with the last writes and without them, and says up to where.
func TestChecksModel(t *testing.T) {
	conflicts, passed := 0, 0
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := newDatabase(t)
		write := func(n int) {
			for range n {
				switch i, j := r.IntN(keys), r.IntN(keys); {
				case r.IntN(8) == 0:
					d.freeze()
				case i < j && r.IntN(4) == 0:
					d.apply(op.DeleteRange, i, j)
				case r.IntN(3) == 0:
					d.apply([]op.Kind{op.Delete, op.Expired}[r.IntN(2)], i, 0)
				default:
					d.apply(op.Put, i, 0)
				}
			}
		}
		write(r.IntN(20))
		if r.IntN(3) > 0 {
			d.last.Want()
		}
		since, from := d.seq, d.View()
		var reads Reads
		seen := make(map[int]bool)
		for range r.IntN(3) {
			i := r.IntN(keys)
			reads.AddKey(key(i))
			seen[i] = true
		}
		for range r.IntN(3) {
			lower, upper := r.IntN(keys), r.IntN(keys+1)
			w := walker{scan: reads.AddScan(), present: d.present, lower: min(lower, upper), upper: max(lower, upper), at: -1, seen: seen}
			for range r.IntN(9) {
				w.move(r)
			}
		}
		freezes := d.View()
		write(r.IntN(5))
		want := true
		for i := range keys {
			want = want && !(seen[i] && d.written[i] > since)
		}
		for _, last := range []*LastWrites{nil, &d.last} {
			checked, ok := reads.Check(from.FirstAfter(since), since, last)
			whole := d.View() == freezes || len(d.View().Frozen)-len(from.Frozen) <= lsm.MaxFrozen
			if whole && (ok != want || ok && checked != d.seq) {
				t.Fatalf("seed %d: %v up to %d, want %v up to %d: read %v since %d, written %v, with the last writes: %v", seed, ok, checked,
					want, d.seq, seen, since, d.written, last != nil)
			}
		}
		if want {
			passed++
		} else {
			conflicts++
		}
	}
	if conflicts < 500 || passed < 500 {
		t.Errorf("%d conflicts, %d passed: too few of one", conflicts, passed)
	}
}

// Where the chain of memtables was cut nobody can tell, so there is a conflict.
func TestCutChain(t *testing.T) {
	d := newDatabase(t)
	d.apply(op.Put, 0, 0)
	var reads Reads
	reads.AddKey(key(5))
	from, since := d.View().Mem, d.seq
	for i := range lsm.MaxFrozen + 1 {
		d.freeze()
		d.apply(op.Put, 0, 0)
		if checked, ok := reads.Check(from, since, nil); !ok || checked != d.seq {
			t.Errorf("after %d freezes: %d, %v", i+1, checked, ok)
		}
	}
	d.freeze()
	if _, ok := reads.Check(from, since, nil); ok {
		t.Error("a chain that was cut is checked")
	}
}

// The first deadline is that of what was got or shown.
func TestFirstDeadline(t *testing.T) {
	for _, c := range []struct {
		got, shown []int64
		want       int64
	}{
		{nil, nil, 0},
		{[]int64{0, 0}, []int64{0}, 0},
		{[]int64{7, 0, 5}, []int64{0}, 5},
		{[]int64{0}, []int64{0, 9, 8}, 8},
		{[]int64{4}, []int64{3}, 3},
		{[]int64{2}, []int64{3}, 2},
	} {
		var r Reads
		for _, d := range c.got {
			r.AddDeadline(d)
		}
		s := r.AddScan()
		for _, d := range c.shown {
			s.Show(d)
		}
		if got := r.FirstDeadline(); got != c.want {
			t.Errorf("%v got, %v shown: %d, want %d", c.got, c.shown, got, c.want)
		}
		if r.Reset(); r.FirstDeadline() != 0 || r.Scans() != 0 {
			t.Error("something is left after Reset")
		}
	}
}

// A move before the empty key has read nothing.
func TestDescendBeforeTheFirstKey(t *testing.T) {
	d := newDatabase(t)
	var r Reads
	r.AddScan().DescendBefore(nil, nil, nil, nil)
	d.apply(op.Put, 0, 0)
	if _, ok := r.Check(d.View().Mem, 0, nil); !ok {
		t.Error("nothing that was read has changed")
	}
}

// TestLastWrites holds that a gap and too many operations are noticed.
func TestLastWrites(t *testing.T) {
	var l LastWrites
	all := &stretch{endless: true}
	l.Note(1, []byte("k"), nil)
	if l.has(0, 1) {
		t.Error("an operation is noted that nobody wants")
	}
	l.Want()
	for seq := uint64(10); seq < 20; seq++ {
		l.Note(seq, fmt.Append(nil, seq), nil)
	}
	for _, c := range []struct {
		since, upTo uint64
		has         bool
	}{{9, 19, true}, {8, 19, false}, {9, 20, false}, {15, 15, true}, {0, 5, false}} {
		if l.has(c.since, c.upTo) != c.has {
			t.Errorf("has %d to %d: %t", c.since, c.upTo, !c.has)
		}
	}
	if l.touch(all, 19, 19) || !l.touch(all, 18, 19) || l.touch(&stretch{start: []byte("2"), endless: true}, 9, 19) {
		t.Error("touch")
	}
	l.Note(30, []byte("k"), []byte("m"))
	if l.has(19, 30) || !l.has(29, 30) || !l.touch(&stretch{start: []byte("l"), endless: true}, 29, 30) {
		t.Error("after a gap")
	}
	for seq := uint64(31); seq < 31+uint64(len(l.ops)); seq++ {
		l.Note(seq, []byte("k"), nil)
	}
	if i := slices.IndexFunc(l.ops[:], func(o lastWrite) bool { return cap(o.start)+cap(o.end) > 2*maxNoted }); i >= 0 {
		t.Errorf("%d bytes are kept of an operation", cap(l.ops[i].start)+cap(l.ops[i].end))
	}
	if l.has(29, 40) || !l.has(30, 30+uint64(len(l.ops))) {
		t.Error("after too many")
	}
	l.Note(400, []byte("k"), nil)
	l.Note(401, make([]byte, 64<<10), nil)
	if l.has(399, 401) || l.has(400, 401) || l.has(399, 400) {
		t.Error("an operation on a long key is noted")
	}
	l.Note(402, []byte("k"), make([]byte, maxNoted-1))
	if l.has(400, 402) || !l.has(401, 402) || !l.touch(all, 401, 402) {
		t.Error("after a long key")
	}
	l.Unwant()
	if l.Note(403, []byte("k"), nil); l.has(402, 403) {
		t.Error("an operation is noted after the last transaction has ended")
	}
}

// An iterator that turns round has read what it stood on when it turned, and what it had walked over before.
func TestTurningRound(t *testing.T) {
	for _, c := range []struct {
		name string
		walk func(*Scan)
		want stretch
	}{
		{"up again", func(s *Scan) { s.DescendBefore(key(5), key(3), nil, nil); s.AscendTo(key(5), nil) },
			stretch{start: key(3), end: []byte("f\x00")}},
		{"up again, inside", func(s *Scan) { s.DescendBefore(key(5), key(3), nil, nil); s.AscendTo(key(4), nil) },
			stretch{start: key(3), end: key(5)}},
		{"down again", func(s *Scan) { s.Ascend(key(3), key(5), nil, nil); s.DescendTo(key(2), nil) },
			stretch{start: key(2), end: []byte("f\x00")}},
		{"down again, inside", func(s *Scan) { s.Ascend(key(3), key(5), nil, nil); s.DescendTo(key(4), nil) },
			stretch{start: key(3), end: []byte("f\x00")}},
		{"to the bounds", func(s *Scan) { s.Ascend(key(3), nil, key(1), key(9)); s.DescendTo(nil, key(1)) },
			stretch{start: key(1), end: key(9)}},
	} {
		var s Scan
		c.walk(&s)
		got := s.stretches[0]
		if string(got.start) != string(c.want.start) || string(got.end) != string(c.want.end) || got.endless != c.want.endless {
			t.Errorf("%s: from %q to %q, %v, want from %q to %q", c.name, got.start, got.end, got.endless, c.want.start, c.want.end)
		}
	}
}
