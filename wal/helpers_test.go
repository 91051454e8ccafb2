package wal

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// crashNow calls check with every state that a crash may leave now.
func crashNow(t *testing.T, mem *vfstest.Mem, check func(c *vfstest.Crash) error) {
	t.Helper()
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: mem.OpCount(), Random: 8}, check)
}

// holds returns a check that the log opens under a policy with exactly these entries.
func holds(policy SyncPolicy, want []Entry) func(c *vfstest.Crash) error {
	return func(c *vfstest.Crash) error {
		l, got, err := tryOpen(testOptions(c.FS, policy))
		if err != nil {
			return err
		}
		return errors.Join(sameEntries(got, want), l.Close())
	}
}

// begins returns a check that the log opens under a policy with a beginning of these entries, at least so many.
func begins(policy SyncPolicy, want []Entry, least int) func(c *vfstest.Crash) error {
	return func(c *vfstest.Crash) error {
		l, got, err := tryOpen(testOptions(c.FS, policy))
		if err != nil {
			return err
		}
		err = errors.Join(isPrefix(got, want), l.Close())
		if err == nil && len(got) < least {
			err = fmt.Errorf("%d entries, want at least %d", len(got), least)
		}
		return err
	}
}

// untilStuck returns when a goroutine is inside the function, as a stack trace names it, or done is closed.
func untilStuck(function string, done <-chan struct{}) {
	buf := make([]byte, 1<<20)
	for !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte(function)) {
		select {
		case <-done:
			return
		default:
			runtime.Gosched()
		}
	}
}

// openTwice makes a log, closes it and opens it again, so that a Fault knows its active segment by the segment's name.
func openTwice(t *testing.T, o Options) *Log {
	t.Helper()
	l, _ := open(t, o)
	closeLog(t, l)
	l, _ = open(t, o)
	return l
}

// slowZeros opens a log whose background goroutine stands still in the middle of an extension until goOn is called.
func slowZeros(t *testing.T, mem *vfstest.Mem) (l *Log, goOn func()) {
	t.Helper()
	fault := vfstest.NewFault(mem)
	o := testOptions(fault, SyncNever)
	o.inline, o.SegmentSize = false, 8<<20
	l, _ = open(t, o)
	reached, gate := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite && op.Len == largeZeros && !first.Swap(true) {
			close(reached)
			<-gate
		}
		return nil
	})
	e := put(0)
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	<-reached
	return l, func() { close(gate) }
}

// unlocked is a file system whose locks the dead do not keep.
type unlocked struct{ *vfstest.Mem }

func (unlocked) Lock(string) (vfs.Lock, error) { return noLock{}, nil }

// noLock is a lock that locks nothing.
type noLock struct{}

func (noLock) Check() error { return nil }
func (noLock) Close() error { return nil }

// liveUntil opens the log, appends and closes, but dies before its n-th file operation. It returns what it replayed and
// what it had acknowledged.
func liveUntil(t *testing.T, mem *vfstest.Mem, policy SyncPolicy, n int) (acked []Entry, died bool) {
	t.Helper()
	type death struct{}
	fault, count := vfstest.NewFault(unlocked{mem}), 0
	fault.Inject(func(vfstest.Op) error {
		if count++; count == n {
			panic(death{})
		}
		return nil
	})
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(death); !ok {
				panic(r)
			}
			died = true
		}
	}()
	l, acked, err := tryOpen(testOptions(fault, policy))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		e := put(len(acked))
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, e)
	}
	closeLog(t, l)
	return acked, false
}

// dying is a file system on which the process dies before it syncs the quarantine.
type dying struct{ unlocked }

// locked reports whether somebody holds the lock that appends take.
//
// +checklocksignore: checklocks does not know TryLock.
func (l *Log) locked() bool {
	if l.mu.TryLock() {
		l.mu.Unlock()
		return false
	}
	return true
}
