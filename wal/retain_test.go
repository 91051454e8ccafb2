package wal

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// filledLog returns a log of many small segments and what is in it, with the sequences set.
func filledLog(t *testing.T, o Options) (*Log, []Entry) {
	t.Helper()
	l, _ := open(t, o)
	want := puts(0, 60)
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	return l, want
}

// fromSeq returns the entries that take a sequence from seq on.
func fromSeq(want []Entry, seq uint64) []Entry {
	for i := range want {
		if want[i].Seq+want[i].sequences() > seq {
			return want[i:]
		}
	}
	return nil
}

// readFrom reads what a log has from a sequence on.
func readFrom(l *Log, seq uint64) ([]Entry, error) {
	r, err := l.NewReaderAt(seq)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var got []Entry
	var e Entry
	for {
		if err := r.Next(&e); err == io.EOF {
			if r.NextSeq() != l.NextSeq() {
				return got, fmt.Errorf("at the end the next sequence is %d, the log's %d", r.NextSeq(), l.NextSeq())
			}
			return got, nil
		} else if err != nil {
			return got, err
		}
		got = append(got, clone(&e))
	}
}

func sameFrom(l *Log, want []Entry, seq uint64) error {
	got, err := readFrom(l, seq)
	if err != nil {
		return err
	}
	want = fromSeq(want, seq)
	if len(got) != len(want) {
		return fmt.Errorf("from %d: %d entries, want %d", seq, len(got), len(want))
	}
	for i := range got {
		if got[i].Seq != want[i].Seq || got[i].Kind != want[i].Kind || string(got[i].Key) != string(want[i].Key) {
			return fmt.Errorf("from %d: entry %d is %+v, want %+v", seq, i, got[i], want[i])
		}
	}
	return nil
}

// A reader begins at every sequence that there is, be it in the middle of a batch, and at no other.
func TestReaderAtSequence(t *testing.T) {
	l, want := filledLog(t, testOptions(vfstest.NewMem(), SyncAlways))
	defer closeLog(t, l)
	for seq := uint64(1); seq <= l.NextSeq(); seq++ {
		if err := sameFrom(l, want, seq); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.NewReaderAt(l.NextSeq() + 1); !errors.Is(err, ErrAhead) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := l.DeleteBefore(3); err != nil {
		t.Fatal(err)
	}
	first := l.FirstSeq()
	if _, err := l.NewReaderAt(first - 1); !errors.Is(err, ErrDeleted) {
		t.Errorf("before the beginning: %v", err)
	}
	if err := sameFrom(l, want, first); err != nil {
		t.Error(err)
	}
}

// Obsolete segments stay up to the limit, the newest of them, also when the log is opened again, and nothing of them is
// replayed.
func TestRetain(t *testing.T) {
	for _, retain := range []int64{0, 1, 600, 1500, 1 << 30} {
		mem := vfstest.NewMem()
		o := testOptions(mem, SyncAlways)
		o.Retain = retain
		l, want := filledLog(t, o)
		needed := l.End().Segment - 1
		total := int64(0)
		sizes := map[uint32]int64{}
		for number := uint32(1); number < needed; number++ {
			size, err := mem.Size(segmentName("db/wal", number))
			if err != nil {
				t.Fatal(err)
			}
			sizes[number], total = size, total+size
		}
		first := needed
		for room := retain; first > 1 && room >= sizes[first-1]; first-- {
			room -= sizes[first-1]
		}
		check := func(when string) {
			t.Helper()
			if got := l.First().Segment; got != first {
				t.Errorf("retain %d, %s: segments from %d on, want from %d on", retain, when, got, first)
			}
			if s := l.Stats(); s.Retained > retain || retain >= total && s.Retained != total {
				t.Errorf("retain %d, %s: %d bytes of %d are retained", retain, when, s.Retained, total)
			}
			if err := sameFrom(l, want, l.FirstSeq()); err != nil {
				t.Errorf("retain %d, %s: %v", retain, when, err)
			}
		}
		if err := l.DeleteBefore(needed); err != nil {
			t.Fatal(err)
		}
		check("running")
		o.FirstSegment = needed
		for _, when := range []string{"opened", "opened again"} {
			closeLog(t, l)
			var es []Entry
			l, es = open(t, o)
			check(when)
			if es[0].Pos.Segment != needed {
				t.Errorf("retain %d: replay begins with %v", retain, es[0].Pos)
			}
		}
		closeLog(t, l)
		first, o.Retain = needed, 0
		retain = 0
		l, _ = open(t, o)
		check("no more")
		closeLog(t, l)
		if n := len(segmentNames(t, mem)); n != 2 {
			t.Errorf("%d segments are left, want 2", n)
		}
	}
}

// Whatever is wrong with an obsolete segment, the log opens, says so, and what comes behind is there.
func TestDamagedRetained(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	o.Retain = 1 << 30
	l, want := filledLog(t, o)
	needed := l.End().Segment
	closeLog(t, l)
	o.FirstSegment = needed
	names := segmentNames(t, mem)
	damaged := needed - 3
	name := names[damaged-1]
	data, err := mem.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		damage func(*vfstest.Mem) error
	}{
		{"header", func(fs *vfstest.Mem) error { return fs.Corrupt(name, 10, 1) }},
		{"cut", func(fs *vfstest.Mem) error { return fs.WriteFile(name, data[:len(data)-1]) }},
		{"empty", func(fs *vfstest.Mem) error { return fs.WriteFile(name, nil) }},
		{"missing", func(fs *vfstest.Mem) error { return fs.Remove(name) }},
		{"another", func(fs *vfstest.Mem) error { return errors.Join(fs.Remove(name), fs.Rename(names[0], name)) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			fs := mem.Clone()
			if err := c.damage(fs); err != nil {
				t.Fatal(err)
			}
			var lost []HistoryLost
			o := o
			o.FS = fs
			o.OnEvent = func(e Event) {
				if e, ok := e.(HistoryLost); ok {
					lost = append(lost, e)
				}
			}
			l, _ := open(t, o)
			if l.First().Segment != damaged+1 {
				t.Errorf("the log begins with segment %d, want %d", l.First().Segment, damaged+1)
			}
			if err := sameFrom(l, want, l.FirstSeq()); err != nil {
				t.Error(err)
			}
			if c.what != "missing" && (len(lost) != 1 || lost[0].File != name || !errors.Is(lost[0].Err, ErrCorrupt)) {
				t.Errorf("events %v", lost)
			}
			closeLog(t, l)
			if n := len(segmentNames(t, fs)); n != 3 {
				t.Errorf("%d segments are left, want 3", n)
			}
		})
	}

	// Zeros behind the seal, which a crash has left, are no damage.
	padded := mem.Clone()
	if err := padded.WriteFile(name, append(data[:len(data):len(data)], make([]byte, 600)...)); err != nil {
		t.Fatal(err)
	}
	o.FS = padded
	l, _ = open(t, o)
	if err := sameFrom(l, want, 1); err != nil {
		t.Errorf("zeros behind the seal: %v", err)
	}
	closeLog(t, l)

	// Damage that only reading finds ends the reader.
	fs := mem.Clone()
	if err := fs.Corrupt(name, headerSize+10, 1); err != nil {
		t.Fatal(err)
	}
	o.FS = fs
	l, _ = open(t, o)
	if _, err := readFrom(l, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read of damage: %v", err)
	}
	closeLog(t, l)

	// What cannot be read at the moment is left alone.
	fault := vfstest.NewFault(mem.Clone())
	fault.Inject(func(op vfstest.Op) error {
		if op.Name == name {
			return syscall.EIO
		}
		return nil
	})
	o.FS = fault
	l, _ = open(t, o)
	if l.First().Segment != damaged+1 {
		t.Errorf("the log begins with segment %d, want %d", l.First().Segment, damaged+1)
	}
	closeLog(t, l)
	fault.Inject(nil)
	l, _ = open(t, o)
	if err := sameFrom(l, want, 1); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

// Nobody who appends waits for the file system to delete a segment.
func TestDeleteBeforeHoldsNoLock(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	l, _ := filledLog(t, testOptions(fault, SyncAlways))
	defer closeLog(t, l)
	defer fault.Inject(nil)
	needed, operations := l.End().Segment, 0
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind != vfstest.OpCheck { // which asks where the lock is
			operations++
		}
		if l.locked() {
			t.Errorf("%v %s under the lock that appends take", op.Kind, op.Name)
		}
		return nil
	})
	if err := l.DeleteBefore(needed); err != nil {
		t.Fatal(err)
	}
	if want := 2 * int(needed-1); operations != want {
		t.Errorf("%d operations, want %d", operations, want)
	}
}
