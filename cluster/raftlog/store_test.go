package raftlog

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestStore(t *testing.T) {
	mem := vfstest.NewMem()
	s, m := open(t, mem), newModel()
	store := func(logs []*raft.Log) {
		t.Helper()
		if err := s.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
		m.logs = append(m.logs, logs...)
	}
	remove := func(from, to uint64) {
		t.Helper()
		if err := s.DeleteRange(from, to); err != nil {
			t.Fatal(err)
		}
		m.delete(from, to)
	}
	steps := []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"the first entries, from 5 on", func() { store(entries(5, 20, 1, 40)) }},
		{"no entries", func() { store(nil) }},
		{"a new leader has other ones", func() { remove(18, math.MaxUint64); store(entries(18, 9, 2, 30)) }},
		{"a snapshot", func() { remove(5, 15) }},
		{"what is not there", func() { remove(1, 15); remove(27, 40); remove(20, 19) }},
		{"a snapshot of more than there is", func() { remove(0, 100) }},
		{"a log that begins behind it", func() { store(entries(101, 5, 3, 100)) }},
		{"all of it at the end", func() { remove(101, 105); store(entries(101, 3, 4, 10)) }},
		{"an entry larger than a segment", func() { store(entries(104, 2, 4, 3000)) }},
		{"many more than a segment has", func() { store(entries(106, 60, 4, 50)) }},
	}
	for _, step := range steps {
		step.do()
		if err := m.check(s); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		closeStore(t, s)
		if _, err := Verify(testDir, testOptions(mem)); err != nil {
			t.Fatalf("%s: verify: %v", step.name, err)
		}
		s = open(t, mem)
		if err := m.check(s); err != nil {
			t.Fatalf("%s, opened again: %v", step.name, err)
		}
	}
	closeStore(t, s)
}

func TestStable(t *testing.T) {
	mem := vfstest.NewMem()
	s := open(t, mem)
	if n, err := s.GetUint64([]byte("term")); n != 0 || err != nil {
		t.Errorf("a number that was never set: %d, %v", n, err)
	}
	for i := range uint64(50) { // over several segments
		if err := errors.Join(s.SetUint64([]byte("term"), i), s.Set([]byte("vote"), []byte("node")), s.Set(nil, []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.StoreLogs(entries(1, 3, 1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(1, 3); err != nil { // drops all segments but the last
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, mem)
	if n, err := s.GetUint64([]byte("term")); n != 49 || err != nil {
		t.Errorf("term %d, %v", n, err)
	}
	if _, err := s.GetUint64([]byte("vote")); err == nil || !strings.Contains(err.Error(), "vote") {
		t.Errorf("a name as a number: %v", err)
	}
	got, err := s.Get([]byte("vote"))
	if err != nil || string(got) != "node" {
		t.Errorf("vote %q, %v", got, err)
	}
	got[0] = 'X' // is the caller's
	if got, _ := s.Get([]byte("vote")); string(got) != "node" {
		t.Error("Get returned memory of the store")
	}
	closeStore(t, s)
}

// A segment that has only stable values is needed as long as no checkpoint has them.
func TestStableBeforeTheFirstEntry(t *testing.T) {
	mem := vfstest.NewMem()
	s, m := open(t, mem), newModel()
	for range 30 {
		if err := s.Set([]byte("vote"), []byte("node")); err != nil {
			t.Fatal(err)
		}
	}
	m.stable["vote"] = "node"
	m.logs = entries(7, 30, 1, 40)
	if err := s.StoreLogs(m.logs); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		closeStore(t, s)
		s = open(t, mem)
		if err := m.check(s); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
}

func TestBadInput(t *testing.T) {
	s, m := open(t, vfstest.NewMem()), newModel()
	m.logs = entries(10, 10, 1, 10)
	if err := s.StoreLogs(m.logs); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		do   func() error
		want error
	}{
		{"a gap", func() error { return s.StoreLog(entry(21, 1, 10)) }, ErrOrder},
		{"again", func() error { return s.StoreLog(entry(19, 1, 10)) }, ErrOrder},
		{"a gap within", func() error { return s.StoreLogs([]*raft.Log{entry(20, 1, 10), entry(22, 1, 10)}) }, ErrOrder},
		{"a range in the middle", func() error { return s.DeleteRange(12, 15) }, ErrRange},
		{"no entry", func() error { return s.GetLog(20, new(raft.Log)) }, raft.ErrLogNotFound},
		{"index 0", func() error { return s.GetLog(0, new(raft.Log)) }, raft.ErrLogNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.do(); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if err := m.check(s); err != nil {
				t.Error(err)
			}
		})
	}
	closeStore(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	_, err := s.FirstIndex()
	_, err2 := s.LastIndex()
	_, err3 := s.Get([]byte("x"))
	for i, err := range []error{err, err2, err3, s.StoreLog(entry(20, 1, 1)), s.DeleteRange(1, 15), s.GetLog(10, new(raft.Log)),
		s.Set(nil, nil), s.SetUint64(nil, 1)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d after Close: %v", i, err)
		}
	}
}

func TestLocked(t *testing.T) {
	mem := vfstest.NewMem()
	s := open(t, mem)
	if _, err := Open(testDir, testOptions(mem)); !errors.Is(err, ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	closeStore(t, s)
}

// The commit index comes back with the entries it was stored with, and is never above the last.
func TestCommitIndex(t *testing.T) {
	mem := vfstest.NewMem()
	s := open(t, mem)
	commit := func(want uint64) {
		t.Helper()
		if got, err := s.GetCommitIndex(); got != want || err != nil {
			t.Errorf("commit index %d, %v, want %d", got, err, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	again := func() { t.Helper(); closeStore(t, s); s = open(t, mem) }
	commit(0)
	do(s.StageCommitIndex(3))
	again()
	commit(0)
	do(s.StageCommitIndex(30))
	do(s.StoreLogs(entries(1, 10, 1, 10)))
	commit(10)
	again()
	commit(10)
	do(s.DeleteRange(8, 10))
	commit(7)
	do(s.DeleteRange(1, 5))
	again()
	commit(7)
	do(s.StoreLogs(entries(8, 3, 1, 10)))
	do(s.StageCommitIndex(9))
	commit(7)
	do(s.StoreLogs(entries(11, 3, 1, 10)))
	again()
	commit(9)
	do(s.DeleteRange(1, 20))
	commit(0)
	closeStore(t, s)
}
