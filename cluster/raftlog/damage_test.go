package raftlog

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// closedLog returns a log of several segments that was closed, and what it holds.
func closedLog(t testing.TB) (*vfstest.Mem, *model) {
	t.Helper()
	mem, m := vfstest.NewMem(), newModel()
	s := open(t, mem)
	m.logs = entries(1, 14, 1, 60)
	m.stable["vote"] = "a"
	if err := errors.Join(s.Set([]byte("vote"), []byte("a")), s.StoreLogs(m.logs), s.DeleteRange(1, 2)); err != nil {
		t.Fatal(err)
	}
	m.delete(1, 2)
	closeStore(t, s)
	return mem, m
}

func logFiles(t testing.TB, mem *vfstest.Mem) (names []string) {
	t.Helper()
	all, err := mem.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasSuffix(name, wal.SegmentSuffix) || name == endName {
			names = append(names, path.Join(testDir, name))
		}
	}
	return names
}

// refused checks that Open and Verify refuse a damaged log, with a place in a file, and that nothing was changed.
func refused(t *testing.T, what string, mem *vfstest.Mem) {
	t.Helper()
	before := mem.Clone()
	s, err := Open(testDir, testOptions(mem))
	if err == nil {
		s.Close()
	}
	var at *wal.CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &at) || at.File == "" {
		if !errors.Is(err, ErrVersion) { // a flipped bit of a version
			t.Fatalf("%s: open: %v", what, err)
		}
	}
	if changed := before.Diff(mem); len(changed) > 0 {
		t.Fatalf("%s: the failed open changed %v", what, changed)
	}
	if _, err := Verify(testDir, testOptions(mem)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		t.Fatalf("%s: verify: %v", what, err)
	}
}

func TestEveryBitFlip(t *testing.T) {
	mem, _ := closedLog(t)
	for _, name := range logFiles(t, mem) {
		size, err := mem.Size(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := int64(0); i < size*8; i += int64(vfstest.Step(7)) {
			damaged := mem.Clone()
			if err := damaged.Corrupt(name, i/8, 1<<(i%8)); err != nil {
				t.Fatal(err)
			}
			refused(t, name, damaged)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	mem, _ := closedLog(t)
	for _, name := range logFiles(t, mem) {
		data, err := mem.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			damaged := mem.Clone()
			if err := damaged.WriteFile(name, data[:n]); err != nil {
				t.Fatal(err)
			}
			refused(t, name, damaged)
		}
	}
}

// A segment that is missing is damage, the first and the last one too.
func TestMissingSegment(t *testing.T) {
	mem, _ := closedLog(t)
	for _, name := range logFiles(t, mem) {
		if path.Base(name) == endName {
			continue
		}
		damaged := mem.Clone()
		if err := damaged.Remove(name); err != nil {
			t.Fatal(err)
		}
		refused(t, name, damaged)
	}
}

// The beginning of a log that was not closed is missing: no checkpoint tells what was before.
func TestMissingBeginning(t *testing.T) {
	mem := vfstest.NewMem()
	s := open(t, mem)
	if err := s.StoreLogs(entries(1, 14, 1, 60)); err != nil {
		t.Fatal(err)
	}
	killed := mem.Clone()
	closeStore(t, s)
	if err := killed.Remove(path.Join(testDir, wal.SegmentName(1))); err != nil {
		t.Fatal(err)
	}
	refused(t, "the first segment", killed)
}

// The segments of another log, with its END, are refused in the place of those of this one.
func TestForeignSegments(t *testing.T) {
	mem, _ := closedLog(t)
	other, _ := closedLog(t)
	for _, name := range logFiles(t, mem) {
		data, err := other.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		mixed := mem.Clone()
		if err := mixed.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
		refused(t, name, mixed)
	}
}

// Damage that comes after the opening is an error of the read, with its place; the other entries are read.
func TestDamageWhileOpen(t *testing.T) {
	mem, m := closedLog(t)
	s := open(t, mem)
	defer closeStore(t, s)
	p, err := s.place(5)
	if err != nil {
		t.Fatal(err)
	}
	if err := mem.Corrupt(s.segment(p), int64(p.Offset+p.size-6), 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range m.logs {
		var got raft.Log
		err := s.GetLog(want.Index, &got)
		var at *wal.CorruptError
		switch {
		case want.Index == 5 && (!errors.As(err, &at) || at.File != s.segment(p) || at.Offset != int64(p.Offset)):
			t.Errorf("damaged entry: %v", err)
		case want.Index != 5 && (err != nil || !sameLog(&got, want)):
			t.Errorf("entry %d: %v", want.Index, err)
		}
	}
	if err := mem.Remove(s.segment(p)); err != nil {
		t.Fatal(err)
	}
	s.files.closeBefore(1 << 32)
	if err := s.GetLog(5, new(raft.Log)); !errors.Is(err, ErrCorrupt) || !errors.Is(err, wal.ErrGap) {
		t.Errorf("entry of a missing segment: %v", err)
	}
}

// A log of the core's database is not taken for a raft log.
func TestAnotherKindOfLog(t *testing.T) {
	mem := vfstest.NewMem()
	l, err := wal.Open(testDir, &wal.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Append(&wal.Entry{Key: []byte("key"), Value: []byte("value")}), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testDir, testOptions(mem)); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
