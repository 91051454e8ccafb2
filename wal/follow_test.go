package wal

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

var followSeed = flag.Uint64("followseed", 1, "first seed of TestFollowModel")

// followed is a log that is appended to, rotated, cut off, left by its owner and opened again at random, and what a
// follower has to see of it.
type followed struct {
	t    *testing.T
	r    *rand.Rand
	o    Options
	l    *Log
	made int
	all  []Entry // that take a sequence

	f    *Follower
	next uint64 // which f has to see next
}

func (m *followed) append() {
	es := puts(m.made, m.made+1+m.r.IntN(3))
	m.made += len(es)
	if err := m.l.AppendAll(es); err != nil {
		m.t.Fatal(err)
	}
	for i := range es {
		if es[i].sequences() > 0 {
			m.all = append(m.all, clone(&es[i]))
		}
	}
}

// change does one thing to the log.
func (m *followed) change() {
	var err error
	switch n := m.r.IntN(20); {
	case n < 12:
		m.append()
	case n < 14:
		err = m.l.Rotate()
	case n == 14:
		err = m.l.SkipTo(m.l.NextSeq() + m.r.Uint64N(5))
	case n == 15:
		err = m.l.DeleteBefore(m.l.End().Segment - min(m.l.End().Segment-1, m.r.Uint32N(3)))
	case n == 16:
		err = m.l.Prepare()
	case n == 17:
		err = m.l.Sync()
	case n == 18: // it dies, and another takes its place
		m.l, _ = open(m.t, m.o)
	default:
		closeLog(m.t, m.l)
		m.l, _ = open(m.t, m.o)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if m.o.FirstSegment = m.l.First().Segment; m.r.IntN(4) == 0 {
		m.o.MinNextSeq = m.l.NextSeq()
	}
}

// follow begins a follower.
func (m *followed) follow() {
	m.next = m.l.NextSeq()
	if len(m.all) > 0 && m.r.IntN(2) == 0 {
		e := m.all[m.r.IntN(len(m.all))]
		m.next = e.Seq + m.r.Uint64N(e.sequences())
	}
	m.f = Follow("db/wal", &m.o, m.next)
}

// read reads up to some number of entries. Those that it may have missed are no longer in the log.
func (m *followed) read(most int) {
	for range most {
		i := slices.IndexFunc(m.all, func(e Entry) bool { return e.Seq+e.sequences() > m.next })
		var got Entry
		switch err := m.f.Next(&got); {
		case errors.Is(err, ErrDeleted) && m.l.FirstSeq() > m.next:
			if err := m.f.Close(); err != nil {
				m.t.Fatal(err)
			}
			m.follow()
		case err == io.EOF && i < 0:
			if m.f.NextSeq() > m.l.NextSeq() {
				m.t.Fatalf("at the end %d is next, not %d", m.f.NextSeq(), m.l.NextSeq())
			}
			return
		case err != nil:
			m.t.Fatalf("%d is next, the log has %d to %d: %v", m.next, m.l.FirstSeq(), m.l.NextSeq(), err)
		case i < 0:
			m.t.Fatalf("%+v from nowhere", got)
		default:
			if sprint(&got) != sprint(&m.all[i]) {
				m.t.Fatalf("%s, want %s", sprint(&got), sprint(&m.all[i]))
			}
			m.next = got.Seq + got.sequences()
		}
	}
}

// sprint tells all of an entry but its position, which a put in another segment may have.
func sprint(e *Entry) string {
	return fmt.Sprintf("%d: %d %q %q until %d, %d operations", e.Seq, e.Kind, e.Key, e.Value, e.Deadline, e.Ops)
}

// A follower sees every entry once, in order, whatever becomes of the log and its owner meanwhile, unless it is too late.
func TestFollowModel(t *testing.T) {
	for i := range 300 / vfstest.Step(6) {
		seed := *followSeed + uint64(i)
		policy := []SyncPolicy{SyncAlways, SyncNever}[i%2]
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			m := &followed{t: t, r: rand.New(rand.NewPCG(seed, 0)), o: testOptions(unlocked{vfstest.NewMem()}, policy)}
			m.o.Retain = []int64{0, 2 * minSegmentSize, 1 << 30}[i%3]
			m.l, _ = open(t, m.o)
			m.follow()
			for range 150 {
				m.change()
				if m.r.IntN(3) == 0 {
					m.read(1 + m.r.IntN(10))
				}
			}
			m.read(1 << 30)
			if err := m.f.Close(); err != nil {
				t.Error(err)
			}
			if err := m.f.Next(new(Entry)); err != ErrClosed {
				t.Errorf("after close: %v", err)
			}
			closeLog(t, m.l)
		})
	}
}

// followAll reads all that there is.
func followAll(f *Follower) (got []Entry, err error) {
	for {
		var e Entry
		if err := f.Next(&e); err != nil {
			return got, err
		}
		got = append(got, clone(&e))
	}
}

// A record is seen once its last byte is there, and a file that is only begun is none.
func TestFollowHalfWritten(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncNever)
	l, _ := open(t, o)
	want := puts(0, 2)
	if err := l.AppendAll(want[:1]); err != nil {
		t.Fatal(err)
	}
	if err := l.AppendAll(want[1:]); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	whole, err := mem.ReadFile("db/wal/000001.wal")
	if err != nil {
		t.Fatal(err)
	}
	f := Follow("db/wal", &o, 1)
	write := func(b []byte) {
		t.Helper()
		if err := mem.WriteFile("db/wal/000001.wal", b); err != nil {
			t.Fatal(err)
		}
	}
	end := int(want[1].Pos.Offset)
	for n := 0; n < end+recordMinSize; n++ {
		for _, zeros := range []int{0, 100} {
			write(append(slices.Clone(whole[:n]), make([]byte, zeros)...))
			got, err := followAll(f)
			if seen := n == end && zeros == 0; err != io.EOF || len(got) > 0 != seen {
				t.Fatalf("%d bytes: %d entries, %v", n, len(got), err)
			}
		}
	}
	write(whole)
	got, err := followAll(f)
	if err != io.EOF || len(got) != 1 || sprint(&got[0]) != sprint(&want[1]) {
		t.Fatalf("%v, %v", got, err)
	}
}

// What was read and then taken back, or replaced, is told, and never passed over.
func TestFollowTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b []byte, last int) []byte
		want   error
	}{
		"nothing":          {func(b []byte, _ int) []byte { return b }, io.EOF},
		"zeros behind":     {func(b []byte, _ int) []byte { return append(b, make([]byte, 1000)...) }, io.EOF},
		"the last record":  {func(b []byte, last int) []byte { return b[:last] }, ErrDeleted},
		"zeros in place":   {func(b []byte, last int) []byte { return append(b[:last], make([]byte, 1000)...) }, ErrDeleted},
		"others in place":  {func(b []byte, last int) []byte { b[len(b)-1] ^= 1; return b }, ErrDeleted},
		"another database": {func(b []byte, _ int) []byte { return []byte("short") }, ErrDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfstest.NewMem()
			o := testOptions(mem, SyncNever)
			l, _ := open(t, o)
			es := puts(0, 2)
			if err := l.AppendAll(es); err != nil {
				t.Fatal(err)
			}
			f := Follow("db/wal", &o, 1)
			if got, err := followAll(f); err != io.EOF || len(got) != 2 {
				t.Fatalf("%d, %v", len(got), err)
			}
			file := segmentName("db/wal", 1)
			b, err := mem.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b = c.change(b[:l.End().Offset], int(es[1].Pos.Offset))
			if err := mem.WriteFile(file, b); err != nil {
				t.Fatal(err)
			}
			if got, err := followAll(f); !errors.Is(err, c.want) || len(got) > 0 {
				t.Errorf("%d entries, %v, want %v", len(got), err, c.want)
			}
		})
	}
}

func TestFollowErrors(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	empty := Follow("db/wal", &o, 7)
	if err := empty.Next(new(Entry)); err != io.EOF || empty.NextSeq() != 7 {
		t.Errorf("no log yet: %v", err)
	}
	l, _ := open(t, o)
	es := puts(0, 100)
	if err := l.AppendAll(es); err != nil {
		t.Fatal(err)
	}
	next := l.NextSeq()
	if err := Follow("db/wal", &o, next).Next(new(Entry)); err != io.EOF {
		t.Errorf("from the end: %v", err)
	}
	if err := Follow("db/wal", &o, next+1).Next(new(Entry)); !errors.Is(err, ErrAhead) {
		t.Errorf("ahead: %v", err)
	}
	other := o
	other.ID = ID{9}
	if err := Follow("db/wal", &other, 1).Next(new(Entry)); !errors.Is(err, ErrForeign) {
		t.Errorf("another database: %v", err)
	}
	at := es[60].Pos
	if err := mem.Corrupt(segmentName("db/wal", at.Segment), int64(at.Offset)+3, 1); err != nil {
		t.Fatal(err)
	}
	got, err := followAll(Follow("db/wal", &o, 1))
	var ce *CorruptError
	if !errors.As(err, &ce) || ce.File != segmentName("db/wal", at.Segment) ||
		len(got) == 0 || got[len(got)-1].Pos.Compare(at) >= 0 {
		t.Errorf("damage: %d entries, %v", len(got), err)
	}
	if err := l.DeleteBefore(l.End().Segment); err != nil {
		t.Fatal(err)
	}
	if err := Follow("db/wal", &o, 1).Next(new(Entry)); !errors.Is(err, ErrDeleted) {
		t.Errorf("deleted: %v", err)
	}
	end := Follow("db/wal", &o, next)
	if err := end.Next(new(Entry)); err != io.EOF {
		t.Errorf("from the end: %v", err)
	}
	closeLog(t, l)
	for _, err := range []error{vfs.RemoveAll(mem, "db/wal"), mem.MkdirAll("db/wal")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := end.Next(new(Entry)); !errors.Is(err, ErrDeleted) {
		t.Errorf("all of it is gone: %v", err)
	}
}
