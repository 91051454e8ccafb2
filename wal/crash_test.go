package wal

import (
	"fmt"
	"io"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// eachPolicy runs a test for the policies that promise most and least.
func eachPolicy(t *testing.T, test func(t *testing.T, policy SyncPolicy)) {
	t.Run("SyncAlways", func(t *testing.T) { test(t, SyncAlways) })
	t.Run("SyncNever", func(t *testing.T) { test(t, SyncNever) })
}

// allStates are the crashes at every operation, with more chance in them than elsewhere: those of a log are quick to try.
var allStates = vfstest.CrashPoints{Random: 8}

// history is what a script did to a log.
type history struct {
	entries  []Entry
	promises *vfstest.Promises
	anchors  []toldAnchor
}

// toldAnchor is what Log.Anchor returned, and how many operations had been recorded by then.
type toldAnchor struct {
	Anchor
	at int
}

// script appends, syncs, rotates and deletes on a file system, which it makes record, and notes what was promised when.
func script(t *testing.T, mem *vfstest.Mem, policy SyncPolicy) *history {
	t.Helper()
	mem.Record()
	l, _ := open(t, testOptions(mem, policy))
	h := &history{promises: vfstest.NewPromises(mem)}
	for i := range 26 {
		if i%8 == 3 { // as the background does
			if err := l.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		e := put(i)
		h.promises.Begin()
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		h.promises.Done()
		h.entries = append(h.entries, e)
		if i == 12 {
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if i%9 == 5 || i == 14 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			h.promises.Synced()
		}
		if policy == SyncAlways {
			h.promises.Synced()
		}
		h.anchors = append(h.anchors, toldAnchor{l.Anchor(), mem.OpCount()})
	}
	closeLog(t, l)
	h.anchors = append(h.anchors, toldAnchor{l.Anchor(), mem.OpCount()})
	h.promises.Synced()
	return h
}

// check opens the log in a crash state and holds what it replays against the history.
func (h *history) check(mem *vfstest.Mem, policy SyncPolicy, b bounds) error {
	l, got, err := tryOpen(testOptions(mem, policy))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	if err := isPrefix(got, h.entries); err != nil {
		return err
	}
	if len(got) < b.least || len(got) > b.most {
		return fmt.Errorf("%d entries, want %d to %d", len(got), b.least, b.most)
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
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		h := script(t, mem, policy)
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, allStates, func(c *vfstest.Crash) error {
			least, most := h.promises.At(c)
			if tried.Before(c, bounds{least, most}) {
				return nil
			}
			return h.check(c.FS, policy, bounds{least, most})
		})
	})
}

// The same for crashes of the recovery from a crash, and of the recovery from that.
func TestCrashStatesOfRecovery(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		h := script(t, mem, policy)
		points := vfstest.CrashPoints{Step: 7, Random: 1}
		if policy == SyncNever {
			points.Step = 11
		}
		if testing.Short() {
			points.Step = 25
		}
		r := vfstest.Recoveries[bounds]{Every: 4}
		r.Open = func(fs *vfstest.Mem, _ bounds) (io.Closer, error) {
			return Open("db/wal", ptr(testOptions(fs, SyncAlways)))
		}
		r.Check = func(fs *vfstest.Mem, b bounds) error { return h.check(fs, SyncAlways, b) }
		vfstest.EachCrash(t, mem, points, func(c *vfstest.Crash) error {
			least, most := h.promises.At(c)
			return r.Try(c, 2, bounds{least, most})
		})
		t.Logf("%d crash states of recovery, %d of them different", r.States, r.Different)
	})
}

// bounds say how many entries must be there, and how many may.
type bounds struct{ least, most int }

func ptr[T any](v T) *T { return &v }
