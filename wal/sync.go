package wal

import (
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Sync makes everything that was appended before the call durable.
func (l *Log) Sync() error {
	l.mu.Lock()
	err := l.usableLocked()
	end := l.End()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.SyncTo(end)
}

// SyncTo returns when the log is on the disk up to p, a position that Write returned. Concurrent calls share one fsync:
// the first becomes the leader and syncs for all that have written by then, who wait; those that come later are led by one
// of their own.
func (l *Log) SyncTo(p Position) error {
	target := p.pack()
	for l.synced.Load() < target {
		if err := l.Err(); err != nil {
			return err
		}
		if target > l.end.Load() {
			return fmt.Errorf("wal: sync to %v: the log ends at %v", p, l.End())
		}
		if !l.turn.take(target) {
			continue // somebody else has synced, or failed to
		}
		// The leader before has just woken its followers. Letting them run first gathers what they append next.
		runtime.Gosched()
		l.syncActive()
		l.turn.release(l.settled)
		l.tail.wake()
		l.tellFailure()
	}
	return nil
}

// syncActive syncs the active segment. The caller has the turn, so that no two fsyncs of one file run at once: the kernel
// reports a failure to one of them only.
func (l *Log) syncActive() {
	s, end := l.active.Load(), l.end.Load()
	if l.synced.Load() >= end || l.Err() != nil {
		return
	}
	if err := s.file.SyncData(); err != nil {
		l.fail(err)
		return
	}
	l.syncs.Add(1)
	l.synced.Store(end)
}

// settled reports whether waiting for target is over: it is on the disk, or never will be.
func (l *Log) settled(target uint64) bool {
	return l.synced.Load() >= target || l.Err() != nil && target != exclusive
}

// turn is the right to sync or to replace the active segment. One goroutine has it at a time; the others queue, and are
// woken when what they wait for is settled, or to take the turn themselves.
type turn struct {
	mu sync.Mutex
	// Guarded by mu.
	taken   bool
	waiting []*waiter // in order of arrival
	spare   []*waiter // the other of two buffers

	waiters sync.Pool // of *waiter
}

// waiter is a goroutine in the queue.
type waiter struct {
	target uint64
	wake   chan bool // true: the turn is yours; false: your target is settled
}

// exclusive is the target of those who want the turn for itself.
const exclusive = math.MaxUint64

// take waits until the turn is the caller's, and returns true, or until target is settled, and returns false.
func (t *turn) take(target uint64) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	w, _ := t.waiters.Get().(*waiter)
	if w == nil {
		w = &waiter{wake: make(chan bool, 1)}
	}
	w.target = target
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	mine := <-w.wake
	t.waiters.Put(w)
	return mine
}

// release gives the turn up: to the first in the queue whose target is not settled, if there is one.
func (t *turn) release(settled func(target uint64) bool) {
	t.mu.Lock()
	queue, rest := t.waiting, t.spare[:0]
	var heir *waiter
	done := queue[:0]
	for _, w := range queue {
		switch {
		case settled(w.target):
			done = append(done, w)
		case heir == nil:
			heir = w
		default:
			rest = append(rest, w)
		}
	}
	t.waiting = rest
	if heir == nil {
		t.taken = false
		t.spare = nil
	}
	t.mu.Unlock()
	for _, w := range done {
		w.wake <- false
	}
	if heir != nil {
		t.spare = queue[:0] // the turn guards it until the heir is woken
		heir.wake <- true
	}
}
