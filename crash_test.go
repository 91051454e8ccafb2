package ebb

import (
	"flag"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

var (
	crashSeed   = flag.Uint64("crashseed", 1, "seed of the random crash states")
	crashRandom = flag.Int("crashrandom", 2, "random crash states at each operation")
)

// history is what a script did to a database, and at how many file operations it did it.
type history struct {
	policy SyncPolicy
	states []*model       // states[i]: what is there after i writes
	bySeq  map[uint64]int // which of them is that as of a sequence
	begun  []int          // operations recorded when write i began
	acked  []int          // when it had returned
	synced []int          // when it was known to be on the disk
	times  []moment       // the clock at each number of operations
}

// record runs the script on a recording file system.
func record(t *testing.T, mem *vfstest.Mem, policy SyncPolicy) *history {
	t.Helper()
	clock := newFakeClock()
	h := &history{policy: policy, states: []*model{newModel(clock)}, bySeq: map[uint64]int{0: 0}}
	db, err := Open("db", manualOptions(mem, clock, policy))
	must(t, err)
	h.tick(mem, clock)
	seq := uint64(0)
	for _, s := range lifeScript(clock) {
		if s.apply != nil {
			h.begun = append(h.begun, mem.OpCount())
		}
		if err := s.run(db); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		db.health.workers.Wait()
		h.tick(mem, clock)
		if s.apply != nil {
			m := h.states[len(h.states)-1].clone()
			s.apply(m)
			seq += s.ops
			h.states, h.bySeq[seq] = append(h.states, m), len(h.states)
			h.acked = append(h.acked, mem.OpCount())
		}
		if policy == SyncAlways || s.apply == nil && s.name != "sweep" {
			h.allSynced(mem)
		}
	}
	must(t, db.Close())
	h.allSynced(mem)
	h.tick(mem, clock)
	return h
}

func (h *history) allSynced(mem *vfstest.Mem) {
	for len(h.synced) < len(h.acked) {
		h.synced = append(h.synced, mem.OpCount())
	}
}

// tick notes the time up to the operations recorded so far.
func (h *history) tick(mem *vfstest.Mem, clock *fakeClock) {
	for len(h.times) <= mem.OpCount() {
		h.times = append(h.times, moment(clock.ms()))
	}
}

// at returns how many writes must be there after a crash behind k operations: of the process, and of the power; and how
// many may be.
func (h *history) at(k int) (killed, powerCut, most int) {
	for i := range h.acked {
		if h.acked[i] <= k {
			killed = i + 1
		}
		if h.synced[i] <= k {
			powerCut = i + 1
		}
		if h.begun[i] <= k {
			most = i + 1
		}
	}
	return killed, powerCut, most
}

// check opens the database in a crash state and holds it against the history: then writes, and opens it again.
func (h *history) check(fs *vfstest.Mem, now int64, least, most int) error {
	o := manualOptions(fs, newClockAt(now), h.policy)
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	n, ok := h.bySeq[db.commit.lastSeq]
	if !ok {
		return fmt.Errorf("sequence %d is in the middle of a batch", db.commit.lastSeq)
	}
	if n < least || n > most {
		return fmt.Errorf("%d writes are there, want %d to %d", n, least, most)
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
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		mem := vfstest.NewMem()
		mem.Record()
		h := record(t, mem, policy)
		crashes := mem.Crashes(*crashSeed, *crashRandom)
		for k := range crashes.OpCount() + 1 {
			killed, powerCut, most := h.at(k)
			for state := range crashes.At(k) {
				least := powerCut
				if state.Name == "all" {
					least = killed
				}
				if err := h.check(state.FS, int64(h.times[k]), least, most); err != nil {
					t.Fatalf("policy %d, -crashseed %d, after operation %d (%s), %s: %v",
						policy, *crashSeed, k, mem.OpString(max(k-1, 0)), state.Name, err)
				}
			}
		}
		total, distinct := crashes.Counts()
		t.Logf("policy %d: %d writes, %d operations, %d crash states, %d distinct",
			policy, len(h.acked), crashes.OpCount(), total, distinct)
	}
}

// The same for crashes of the recovery from a crash, and of the recovery from that.
func TestCrashStatesOfRecovery(t *testing.T) {
	mem := vfstest.NewMem()
	mem.Record()
	h := record(t, mem, SyncAlways)
	crashes := mem.Crashes(*crashSeed, 1)
	step := 5
	if testing.Short() {
		step = 23
	}
	states := 0
	for k := 0; k <= crashes.OpCount(); k += step {
		_, powerCut, most := h.at(k)
		i := 0
		for state := range crashes.At(k) {
			if i++; i%8 == k%8 {
				path := fmt.Sprintf("operation %d, %s", k, state.Name)
				states += h.crashDuringOpen(t, state.FS, int64(h.times[k]), 2, powerCut, most, path)
			}
		}
	}
	t.Logf("%d crash states of recovery", states)
}

// crashDuringOpen opens the database in fs and checks states that a crash during that may leave, to a depth.
func (h *history) crashDuringOpen(t *testing.T, fs *vfstest.Mem, now int64, depth, least, most int, path string) (states int) {
	fs.Record()
	db, err := Open("db", manualOptions(fs, newClockAt(now), h.policy))
	if err != nil {
		t.Fatalf("-crashseed %d, %s: %v", *crashSeed, path, err)
	}
	crashes := fs.Crashes(*crashSeed, 1)
	defer db.Close()
	for k := range crashes.OpCount() + 1 {
		for state := range crashes.At(k) {
			states++
			here := fmt.Sprintf("%s; recovery %d (%s), %s", path, k, fs.OpString(max(k-1, 0)), state.Name)
			deeper := state.FS.Clone()
			if err := h.check(state.FS, now, least, most); err != nil {
				t.Fatalf("-crashseed %d, %s: %v", *crashSeed, here, err)
			}
			if depth > 1 && k%5 == 1 && state.Name != "all" {
				states += h.crashDuringOpen(t, deeper, now, depth-1, least, most, here)
			}
		}
	}
	return states
}
