package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDir = "node/raft"

// testOptions are those of a log with segments so small that a few entries fill one.
func testOptions(fs vfs.FS) *Options { return &Options{SegmentSize: 512, FS: fs} }

func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(testDir, testOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// entry returns an entry whose fields all follow from its index and term.
func entry(index, term uint64, size int) *raft.Log {
	l := &raft.Log{Index: index, Term: term, Type: raft.LogType(index % 6), Data: bytes.Repeat([]byte{byte(index), byte(term)}, size/2)}
	if index%3 == 0 {
		l.Extensions = []byte{byte(index), 0xee}
	}
	if index%4 != 0 {
		l.AppendedAt = time.Unix(int64(index), int64(term))
	}
	return l
}

func entries(from uint64, n int, term uint64, size int) (logs []*raft.Log) {
	for i := range n {
		logs = append(logs, entry(from+uint64(i), term, size))
	}
	return logs
}

func sameLog(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

// model is what a store has to hold.
type model struct {
	logs   []*raft.Log // without a gap
	stable map[string]string
	commit uint64
}

func newModel() *model { return &model{stable: map[string]string{}} }

func (m *model) clone() *model {
	return &model{slices.Clone(m.logs), maps.Clone(m.stable), m.commit}
}

func (m *model) bounds() (first, last uint64) {
	if len(m.logs) == 0 {
		return 0, 0
	}
	return m.logs[0].Index, m.logs[len(m.logs)-1].Index
}

func (m *model) delete(from, to uint64) {
	if _, last := m.bounds(); to >= last && len(m.logs) > 0 && from > m.logs[0].Index && from <= last {
		m.commit = min(m.commit, from-1)
	}
	m.logs = slices.DeleteFunc(m.logs, func(l *raft.Log) bool { return l.Index >= from && l.Index <= to })
	if len(m.logs) == 0 {
		m.commit = 0
	}
}

// check holds a store against the model.
func (m *model) check(s *Store) error {
	first, last := m.bounds()
	if got, err := s.FirstIndex(); err != nil || got != first {
		return fmt.Errorf("first index %d, %v, want %d", got, err, first)
	}
	if got, err := s.LastIndex(); err != nil || got != last {
		return fmt.Errorf("last index %d, %v, want %d", got, err, last)
	}
	for _, want := range m.logs {
		var got raft.Log
		if err := s.GetLog(want.Index, &got); err != nil || !sameLog(&got, want) {
			return fmt.Errorf("entry %d is %+v, %v, want %+v", want.Index, got, err, want)
		}
	}
	for _, i := range []uint64{first - 1, last + 1} {
		if len(m.logs) > 0 || i == last+1 {
			if err := s.GetLog(i, new(raft.Log)); err != raft.ErrLogNotFound {
				return fmt.Errorf("entry %d: %v", i, err)
			}
		}
	}
	for name, want := range m.stable {
		if got, err := s.Get([]byte(name)); err != nil || string(got) != want {
			return fmt.Errorf("value of %q is %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := s.Get([]byte("never set")); err != nil || len(got) != 0 {
		return fmt.Errorf("value that was never set: %q, %v", got, err)
	}
	if got, err := s.GetCommitIndex(); err != nil || got != m.commit {
		return fmt.Errorf("commit index %d, %v, want %d", got, err, m.commit)
	}
	return nil
}

// reopens opens what a crash has left, holds it against each of the models, writes to the one that it is, and opens it again.
func reopens(fs *vfstest.Mem, models []*model) error {
	s, err := Open(testDir, testOptions(fs))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	m, err := oneOf(s, models)
	if err != nil {
		return err
	}
	m = m.clone()
	_, last := m.bounds()
	l := entry(last+1, 99, 20)
	if err := errors.Join(s.StoreLog(l), s.Set([]byte("after"), []byte("crash"))); err != nil {
		return err
	}
	m.logs = append(m.logs, l)
	m.stable["after"] = "crash"
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(testDir, testOptions(fs)); err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer s.Close()
	return m.check(s)
}

// oneOf returns which of the models a store is.
func oneOf(s *Store, models []*model) (*model, error) {
	var errs []error
	for _, m := range models {
		err := m.check(s)
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("none of %d states: %w", len(models), errors.Join(errs...))
}
