package raftlog

import (
	"errors"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// An error of the disk at any operation, and a short write: what was acknowledged is there afterwards, and the step that
// failed as a whole or not at all.
func TestErrorAtEveryOperation(t *testing.T) {
	steps := script()
	all := states(steps)
	counter := vfstest.NewFault(vfstest.NewMem())
	if _, err := runScript(counter, steps); err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{syscall.EIO, vfstest.Short(3, syscall.EIO)} {
		for n := 1; n <= counter.Count(vfstest.OpAny); n += vfstest.Step(5) {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			done, err := runScript(fault, steps)
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatalf("error at operation %d: %v", n, err)
			}
			if err := reopens(mem, all[done:min(done+2, len(all))]); err != nil {
				t.Fatalf("error at operation %d, after %d steps: %v", n, done, err)
			}
		}
	}
}

// A failed fsync is never tried again: nothing is acknowledged any more, and reads go on.
func TestFailedSyncIsFinal(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	s, m := open(t, fault), newModel()
	m.logs = entries(1, 5, 1, 10)
	if err := s.StoreLogs(m.logs); err != nil {
		t.Fatal(err)
	}
	fault.Inject(vfstest.FailNth(vfstest.OpSync, "", 1, syscall.EIO))
	if err := s.StoreLogs(entries(6, 2, 1, 10)); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("store: %v", err)
	}
	syncs := fault.Count(vfstest.OpSync)
	for i, err := range []error{s.StoreLogs(entries(6, 2, 1, 10)), s.Set([]byte("a"), nil), s.DeleteRange(4, 5), s.DeleteRange(1, 2), s.Err()} {
		if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d after the failure: %v", i, err)
		}
	}
	if err := m.check(s); err != nil {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("close: %v", err)
	}
	if n := fault.Count(vfstest.OpSync); n != syncs {
		t.Errorf("%d fsyncs after the one that failed", n-syncs)
	}
}

// A disk that is full leaves no trace of what it has refused, and the next call works: for every room, and for entries that
// are larger than a segment together.
func TestFullDisk(t *testing.T) {
	for room := int64(0); room < 3000; room += 31 * int64(vfstest.Step(5)) {
		mem := vfstest.NewMem()
		fault := vfstest.NewFault(mem)
		s, m := open(t, fault), newModel()
		m.logs = entries(1, 9, 1, 30)
		if err := s.StoreLogs(m.logs); err != nil {
			t.Fatal(err)
		}
		fault.SetRoom(room)
		for try := range 30 {
			_, last := m.bounds()
			logs := entries(last+1, 1+try%9, 2, 100)
			err := s.StoreLogs(logs)
			switch {
			case err == nil:
				m.logs = append(m.logs, logs...)
			case !errors.Is(err, ErrNoSpace):
				t.Fatalf("room %d: %v", room, err)
			}
			if err := m.check(s); err != nil {
				t.Fatalf("room %d: %v", room, err)
			}
		}
		if err := s.GetLog(1, new(raft.Log)); err != nil {
			t.Fatal(err)
		}
		fault.SetRoom(-1)
		_, last := m.bounds()
		logs := entries(last+1, 3, 3, 20)
		if err := s.StoreLogs(logs); err != nil {
			t.Fatalf("room %d: with room again: %v", room, err)
		}
		m.logs = append(m.logs, logs...)
		killed := mem.Clone()
		closeStore(t, s)
		for _, fs := range []*vfstest.Mem{killed, mem} {
			if err := reopens(fs, []*model{m}); err != nil {
				t.Fatalf("room %d: %v", room, err)
			}
		}
	}
}

// A deletion of segments that fails has deleted the entries all the same, and the next one goes on.
func TestFailedRemove(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	s, m := open(t, fault), newModel()
	m.logs = entries(1, 60, 1, 40)
	if err := s.StoreLogs(m.logs); err != nil {
		t.Fatal(err)
	}
	segments := s.Stats().Segments
	fault.Inject(vfstest.FailNth(vfstest.OpRemove, "", 2, syscall.EIO))
	if err := s.DeleteRange(1, 50); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	m.delete(1, 50)
	if err := m.check(s); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().Segments
	if err := s.DeleteRange(51, 51); err != nil {
		t.Fatal(err)
	}
	m.delete(51, 51)
	if after := s.Stats().Segments; before != segments-1 && before != segments || after >= before || after > 4 {
		t.Errorf("%d segments, %d after the failure, %d at last", segments, before, after)
	}
	closeStore(t, s)
	if err := reopens(mem, []*model{m}); err != nil {
		t.Fatal(err)
	}
}
