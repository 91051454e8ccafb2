package raftlog

import (
	"io"
	"math"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// step is one call of a script.
type step struct {
	do    func(s *Store) error
	model func(m *model)
}

func storeStep(logs []*raft.Log) step {
	return step{
		do:    func(s *Store) error { return s.StoreLogs(logs) },
		model: func(m *model) { m.logs = append(m.logs, logs...) },
	}
}

func deleteStep(from, to uint64) step {
	return step{
		do:    func(s *Store) error { return s.DeleteRange(from, to) },
		model: func(m *model) { m.delete(from, to) },
	}
}

func setStep(name, value string) step {
	return step{
		do:    func(s *Store) error { return s.Set([]byte(name), []byte(value)) },
		model: func(m *model) { m.stable[name] = value },
	}
}

// script has every kind of change, over several segments.
func script() []step {
	return []step{
		setStep("term", "1"),
		storeStep(entries(5, 3, 1, 20)),
		storeStep(entries(8, 9, 1, 40)),
		setStep("vote", "a"),
		deleteStep(14, math.MaxUint64),
		storeStep(entries(14, 6, 2, 30)),
		deleteStep(5, 12),
		storeStep(entries(20, 2, 2, 600)),
		setStep("term", "2"),
		deleteStep(0, 100),
		storeStep(entries(50, 4, 3, 30)),
		deleteStep(50, 51),
		storeStep(entries(54, 8, 3, 50)),
	}
}

// states returns what each step of a script leaves, from none on.
func states(steps []step) (all []*model) {
	m := newModel()
	all = append(all, m)
	for _, st := range steps {
		m = m.clone()
		st.model(m)
		all = append(all, m)
	}
	return all
}

// bounds say how many steps must be there, and how many may.
type bounds struct{ least, most int }

// record runs the script on a file system that records, and closes the store.
func record(t *testing.T, mem *vfstest.Mem, steps []step) *vfstest.Promises {
	t.Helper()
	mem.Record()
	s := open(t, mem)
	promises := vfstest.NewPromises(mem)
	for i, st := range steps {
		promises.Begin()
		if err := st.do(s); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		promises.Done()
		promises.Synced()
	}
	closeStore(t, s)
	return promises
}

// Every state that a crash at any operation may leave opens, with all that was acknowledged and nothing that was not begun.
func TestCrashStates(t *testing.T) {
	mem, steps := vfstest.NewMem(), script()
	promises := record(t, mem, steps)
	all := states(steps)
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
		least, most := promises.At(c)
		if tried.Before(c, bounds{least, most}) {
			return nil
		}
		return reopens(c.FS, all[least:most+1])
	})
}

// The same for crashes of the recovery from a crash.
func TestCrashStatesOfRecovery(t *testing.T) {
	mem, steps := vfstest.NewMem(), script()
	promises := record(t, mem, steps)
	all := states(steps)
	r := vfstest.Recoveries[bounds]{Every: 4}
	r.Open = func(fs *vfstest.Mem, _ bounds) (io.Closer, error) { return Open(testDir, testOptions(fs)) }
	r.Check = func(fs *vfstest.Mem, b bounds) error { return reopens(fs, all[b.least:b.most+1]) }
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Step: 17 * vfstest.Step(3), Random: 1}, func(c *vfstest.Crash) error {
		least, most := promises.At(c)
		return r.Try(c, 1, bounds{least, most})
	})
	t.Logf("%d crash states of recovery, %d of them different", r.States, r.Different)
}

// runScript runs a script as far as it goes. It returns how many steps were acknowledged, one after another, and the error
// that ended it.
func runScript(fs vfs.FS, steps []step) (done int, err error) {
	s, err := Open(testDir, testOptions(fs))
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	for _, st := range steps {
		if err := st.do(s); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}
