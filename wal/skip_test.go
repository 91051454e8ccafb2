package wal

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// skipping appends and skips, and returns the sequences that the entries got.
func skipping(t *testing.T, l *Log) (seqs []uint64) {
	t.Helper()
	for i := range 9 {
		if i%3 == 2 {
			if err := l.SkipTo(l.NextSeq() + uint64(i)*1000); err != nil {
				t.Fatal(err)
			}
		}
		e := Entry{Key: []byte("k"), Value: make([]byte, i)}
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// Sequences that were skipped stay skipped: for who reads the log, and when it is opened again.
func TestSkipTo(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	l, _ := open(t, o)
	seqs := skipping(t, l)
	if want := []uint64{1, 2, 2003, 2004, 2005, 7006, 7007, 7008, 15009}; fmt.Sprint(seqs) != fmt.Sprint(want) {
		t.Fatalf("sequences %v, want %v", seqs, want)
	}
	r, err := l.NewReader(l.First())
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	for i, seq := range seqs {
		if err := r.Next(&e); err != nil || e.Seq != seq {
			t.Fatalf("entry %d is read as %d, %v, want %d", i, e.Seq, err, seq)
		}
	}
	if err := r.Next(&e); err != io.EOF {
		t.Fatal(err)
	}
	r.Close()
	for seq := uint64(1); seq <= 15010; seq += 100 {
		wantFound(t, l, seqs, seq)
	}
	if err := l.SkipTo(15009); err == nil {
		t.Error("skipped back")
	}
	if err := l.SkipTo(20000); err != nil { // and nothing is appended
		t.Fatal(err)
	}
	closeLog(t, l)
	o.MinNextSeq = 20000
	l, replayed := open(t, o)
	defer closeLog(t, l)
	for i, seq := range seqs {
		if replayed[i].Seq != seq {
			t.Errorf("entry %d is replayed as %d, want %d", i, replayed[i].Seq, seq)
		}
	}
	if len(replayed) != len(seqs) || l.NextSeq() != 20000 {
		t.Errorf("%d entries replayed, %d is next", len(replayed), l.NextSeq())
	}
}

// wantFound holds that a reader from a sequence begins with the first entry that is not before it.
func wantFound(t *testing.T, l *Log, seqs []uint64, seq uint64) {
	t.Helper()
	r, err := l.NewReaderAt(seq)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range seqs {
		if want < seq {
			continue
		}
		var e Entry
		if err = r.Next(&e); err != nil || e.Seq != want {
			t.Fatalf("from %d: %d, %v, want %d", seq, e.Seq, err, want)
		}
		return
	}
}

func TestReaderAtDeleted(t *testing.T) {
	l, _ := open(t, testOptions(vfstest.NewMem(), SyncAlways))
	defer closeLog(t, l)
	skipping(t, l)
	if err := l.DeleteBefore(l.End().Segment); err != nil {
		t.Fatal(err)
	}
	if _, err := l.NewReaderAt(15008); !errors.Is(err, ErrDeleted) {
		t.Error(err)
	}
	r, err := l.NewReaderAt(15009)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	closeLog(t, l)
	if err := l.SkipTo(1 << 40); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A crash around a skip leaves the sequences before it or after it, and every entry.
func TestCrashStatesOfSkip(t *testing.T) {
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncAlways))
	e := Entry{Key: []byte("k")}
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	mem.Record()
	if err := l.SkipTo(500); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	skipped := mem.OpCount()
	e = Entry{Key: []byte("k")}
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	appended := mem.OpCount()
	vfstest.EachCrash(t, mem, allStates, func(c *vfstest.Crash) error {
		l, replayed, err := tryOpen(testOptions(c.FS, SyncAlways))
		if err != nil {
			return err
		}
		next := l.NextSeq()
		ok := next == 2 && c.Op < skipped || next == 500 && c.Op < appended || next == 501 && len(replayed) == 2
		if !ok || len(replayed) < 1 || replayed[0].Seq != 1 {
			return fmt.Errorf("%d entries, %d is next", len(replayed), next)
		}
		return l.Close()
	})
}
