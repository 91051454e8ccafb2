package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Readers beside one who stores, cuts and deletes: an entry is what was stored under its index last, or not there.
func TestReadersBesideWrites(t *testing.T) {
	s := open(t, vfstest.NewMem())
	defer closeStore(t, s)
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				if err := readOne(s, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := uint64(1)
	for round := range 300 / uint64(vfstest.Step(3)) {
		if err := s.StoreLogs(entries(next, 8, round, 60)); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(next+6, next+8); err != nil {
			t.Fatal(err)
		}
		next += 6
		if round%3 == 0 {
			if err := errors.Join(s.DeleteRange(0, next-10), s.SetUint64([]byte("round"), round)); next > 10 && err != nil {
				t.Fatal(err)
			}
		}
	}
	stop.Store(true)
	readers.Wait()
}

// readOne reads one of the entries that there were a moment ago.
func readOne(s *Store, i uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil || last < first || first == 0 {
		return err
	}
	i = first + i%(last-first+1)
	var l raft.Log
	switch err := s.GetLog(i, &l); {
	case err == raft.ErrLogNotFound:
	case err != nil:
		return err
	case !sameLog(&l, entry(i, l.Term, 60)):
		return fmt.Errorf("entry %d: %+v", i, l)
	}
	return nil
}

// More segments are read than are kept open.
func TestManySegments(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	s, m := open(t, fault), newModel()
	m.logs = entries(1, 200, 1, 100)
	if err := s.StoreLogs(m.logs); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.check(s); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.files.count(); n > maxOpenFiles || s.Stats().Segments < 2*maxOpenFiles {
		t.Errorf("%d of %d segments are open", n, s.Stats().Segments)
	}
	closeStore(t, s)
	if n := s.files.count(); n != 0 {
		t.Errorf("%d segments are open after Close", n)
	}
}

func (f *files) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.open)
}
