package ebb

import (
	"fmt"
	"io"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// history is what a script did to a database.
type history struct {
	policy   SyncPolicy
	states   []*model       // states[i]: what is there after i writes
	bySeq    map[uint64]int // which of them is that as of a sequence
	promises *vfstest.Promises
	times    []moment // the clock at each number of file operations
}

// eachPolicy runs a test for the policies that promise most and least.
func eachPolicy(t *testing.T, test func(t *testing.T, policy SyncPolicy)) {
	t.Run("SyncAlways", func(t *testing.T) { test(t, SyncAlways) })
	t.Run("SyncNever", func(t *testing.T) { test(t, SyncNever) })
}

// record runs a script on a database in mem, which it makes record, and closes the database. After each step, and before
// that, it calls seen with the database.
func record(t *testing.T, mem *vfstest.Mem, o *Options, clock *fakeClock, script []step, seen func(*DB)) *history {
	t.Helper()
	mem.Record()
	h := &history{policy: o.Sync, states: []*model{newModel(clock)}, bySeq: map[uint64]int{0: 0}, promises: vfstest.NewPromises(mem)}
	db, err := Open("db", o)
	must(t, err)
	h.tick(mem, clock)
	seq := uint64(0)
	for _, s := range script {
		if s.apply != nil {
			h.promises.Begin()
		}
		if err := s.run(db); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		db.health.workers.Wait()
		if s.apply != nil {
			m := h.states[len(h.states)-1].clone()
			s.apply(m)
			seq += s.ops
			h.states, h.bySeq[seq] = append(h.states, m), len(h.states)
			h.promises.Done()
		}
		if o.Sync == SyncAlways || s.syncs {
			h.promises.Synced()
		}
		seen(db)
		h.tick(mem, clock)
	}
	must(t, db.Close())
	h.promises.Synced()
	h.tick(mem, clock)
	return h
}

// recordLife records lifeScript under a policy.
func recordLife(t *testing.T, mem *vfstest.Mem, policy SyncPolicy) *history {
	t.Helper()
	clock := newFakeClock()
	return record(t, mem, manualOptions(mem, clock, policy), clock, lifeScript(clock), func(*DB) {})
}

// tick notes the time up to the operations recorded so far.
func (h *history) tick(mem *vfstest.Mem, clock *fakeClock) {
	for len(h.times) <= mem.OpCount() {
		h.times = append(h.times, moment(clock.ms()))
	}
}

// bounds are what a crash state is held against: how many writes must be there, how many may, and when it is opened.
type bounds struct {
	least, most int
	now         moment
}

// at returns the bounds of a crash.
func (h *history) at(c *vfstest.Crash) bounds {
	least, most := h.promises.At(c)
	return bounds{least, most, h.times[c.Op]}
}

// clockAt returns a clock that shows the time of a crash.
func (h *history) clockAt(c *vfstest.Crash) *fakeClock { return newClockAt(int64(h.times[c.Op])) }

// check opens the database that a crash has left and holds it against the history: then writes, and opens it again.
func (h *history) check(fs *vfstest.Mem, b bounds) error {
	o := manualOptions(fs, newClockAt(int64(b.now)), h.policy)
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	n, ok := h.bySeq[lastSeq(db)]
	if !ok {
		return fmt.Errorf("sequence %d is in the middle of a batch", lastSeq(db))
	}
	if n < b.least || n > b.most {
		return fmt.Errorf("%d writes are there, want %d to %d", n, b.least, b.most)
	}
	m := h.states[n].clone()
	if err := m.compare(db, db.clock.Now()); err != nil {
		return fmt.Errorf("after %d writes: %w", n, err)
	}
	if err := m.writerIs(db); err != nil {
		return fmt.Errorf("after %d writes: %w", n, err)
	}
	return reopenAndWrite(db, o, m)
}

// Every state that a crash at any operation of a database's life may leave opens, with all that was promised, batches whole,
// nothing that was not written, and nothing that had expired or been deleted.
func TestCrashStates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		eachCrashOfLife(t, mem, recordLife(t, mem, policy))
	})
}

// eachCrashOfLife checks every state that a crash during a history may leave.
func eachCrashOfLife(t *testing.T, mem *vfstest.Mem, h *history) {
	t.Helper()
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
		if b := h.at(c); !tried.Before(c, b) {
			return h.check(c.FS, b)
		}
		return nil
	})
}

// The same for crashes of the recovery from a crash, and of the recovery from that.
func TestCrashStatesOfRecovery(t *testing.T) {
	mem := vfstest.NewMem()
	h := recordLife(t, mem, SyncAlways)
	points := vfstest.CrashPoints{Step: 5, OneIn: 8, Random: 1}
	if testing.Short() {
		points.Step = 23
	}
	r := vfstest.Recoveries[bounds]{Every: 5, Check: h.check}
	r.Open = func(fs *vfstest.Mem, b bounds) (io.Closer, error) {
		return Open("db", manualOptions(fs, newClockAt(int64(b.now)), h.policy))
	}
	vfstest.EachCrash(t, mem, points, func(c *vfstest.Crash) error { return r.Try(c, 2, h.at(c)) })
	t.Logf("%d crash states of recovery, %d of them different", r.States, r.Different)
}
