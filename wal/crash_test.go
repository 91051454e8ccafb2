package wal

import (
	"flag"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

var (
	crashSeed   = flag.Uint64("crashseed", 1, "seed of the random crash states")
	crashRandom = flag.Int("crashrandom", 8, "random crash states at each operation")
)

// history is what a script did to a log, with the number of file operations at which it happened.
type history struct {
	entries []Entry
	written []int // operations recorded when entry i was with the kernel
	durable []int // operations recorded when entry i was known to be on the disk
	anchors []toldAnchor
}

// toldAnchor is what Log.Anchor returned, and how many operations had been recorded by then.
type toldAnchor struct {
	Anchor
	at int
}

// at returns how many entries must be there after a crash behind k operations: of the process, and of the power; and how
// many may.
func (h *history) at(k int) (killed, powerCut, most int) {
	for i := range h.entries {
		if h.written[i] <= k {
			killed = i + 1
		}
		if i < len(h.durable) && h.durable[i] <= k {
			powerCut = i + 1
		}
		if i == 0 || h.written[i-1] <= k {
			most = i + 1
		}
	}
	return killed, powerCut, most
}

// script appends, syncs, rotates and deletes on a recording file system, and notes what was promised when.
func script(t *testing.T, mem *vfstest.Mem, policy SyncPolicy) *history {
	t.Helper()
	l, _ := open(t, testOptions(mem, policy))
	h := &history{}
	durable := func() {
		for len(h.durable) < len(h.entries) {
			h.durable = append(h.durable, mem.OpCount())
		}
	}
	for i := range 26 {
		if i%8 == 3 { // as the background does
			if err := l.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		e := put(i)
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		h.entries, h.written = append(h.entries, e), append(h.written, mem.OpCount())
		if i%9 == 5 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			durable()
		}
		if i == 12 {
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 14 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			durable()
		}
		if policy == SyncAlways {
			durable()
		}
		h.anchors = append(h.anchors, toldAnchor{l.Anchor(), mem.OpCount()})
	}
	closeLog(t, l)
	h.anchors = append(h.anchors, toldAnchor{l.Anchor(), mem.OpCount()})
	durable()
	return h
}

// check opens the log in a crash state and holds what it replays against the history.
func (h *history) check(mem *vfstest.Mem, policy SyncPolicy, least, most int) error {
	l, got, err := tryOpen(testOptions(mem, policy))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	if err := isPrefix(got, h.entries); err != nil {
		return err
	}
	if len(got) < least || len(got) > most {
		return fmt.Errorf("%d entries, want %d to %d", len(got), least, most)
	}
	e := put(len(got))
	if err := l.Append(&e); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	l, again, err := tryOpen(testOptions(mem, policy))
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	defer l.Close()
	return sameEntries(again, append(got[:len(got):len(got)], e))
}

// Every state that a crash at any operation of a log's life may leave opens, with all that was promised and nothing that
// was not appended.
func TestCrashStates(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		mem := vfstest.NewMem()
		mem.Record()
		h := script(t, mem, policy)
		crashes := mem.Crashes(*crashSeed, *crashRandom)
		for k := range crashes.OpCount() + 1 {
			killed, powerCut, most := h.at(k)
			for state := range crashes.At(k) {
				least := powerCut
				if state.Name == "all" {
					least = killed
				}
				if err := h.check(state.FS, policy, least, most); err != nil {
					t.Fatalf("policy %d, seed %d, after operation %d (%s), %s: %v",
						policy, *crashSeed, k, mem.OpString(max(k-1, 0)), state.Name, err)
				}
			}
		}
		total, distinct := crashes.Counts()
		t.Logf("policy %d: %d operations, %d crash states, %d distinct", policy, crashes.OpCount(), total, distinct)
	}
}

// The same for crashes of the recovery from a crash, and of the recovery from that.
func TestCrashStatesOfRecovery(t *testing.T) {
	for policy, step := range map[SyncPolicy]int{SyncAlways: 7, SyncNever: 11} {
		mem := vfstest.NewMem()
		mem.Record()
		h := script(t, mem, policy)
		crashes := mem.Crashes(*crashSeed, 1)
		states := 0
		if testing.Short() {
			step = 25
		}
		for k := 0; k <= crashes.OpCount(); k += step {
			_, powerCut, most := h.at(k)
			for state := range crashes.At(k) {
				states += crashDuringOpen(t, h, state.FS, 2, powerCut, most,
					fmt.Sprintf("policy %d, operation %d, %s", policy, k, state.Name))
			}
		}
		t.Logf("policy %d: %d crash states of recovery", policy, states)
	}
}

// crashDuringOpen opens the log in fs and checks every state that a crash during that may leave, to a depth.
func crashDuringOpen(t *testing.T, h *history, fs *vfstest.Mem, depth, least, most int, path string) int {
	fs.Record()
	l, err := Open("db/wal", ptr(testOptions(fs, SyncAlways)))
	if err != nil {
		t.Fatalf("%s: open: %v", path, err)
	}
	crashes := fs.Crashes(*crashSeed, 1)
	defer l.Close()
	states := 0
	for k := range crashes.OpCount() + 1 {
		for state := range crashes.At(k) {
			states++
			deeper := state.FS.Clone()
			here := fmt.Sprintf("%s; recovery %d (%s), %s", path, k, fs.OpString(max(k-1, 0)), state.Name)
			if err := h.check(state.FS, SyncAlways, least, most); err != nil {
				t.Fatalf("seed %d, %s: %v", *crashSeed, here, err)
			}
			if depth > 1 && k%4 == 1 && state.Name != "all" {
				states += crashDuringOpen(t, h, deeper, depth-1, least, most, here)
			}
		}
	}
	return states
}

func ptr[T any](v T) *T { return &v }
