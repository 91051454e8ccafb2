package wal

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
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

// SyncTo returns when the log is on the disk up to p, a position that Write returned. Concurrent calls share one fsync: the
// first caller becomes the leader and syncs all that is written by then, while the others wait. Of those that come later, one
// becomes the next leader.
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
			continue // another leader has synced, or failed to
		}
		// Letting those run first who are about to append gathers what they append: see chain.
		if !l.opts.OneWriter {
			runtime.Gosched()
		}
		began := l.opts.elapsed()
		l.syncAll()
		l.turn.patience = l.opts.elapsed() - began
		l.turn.release()
		l.tail.wake()
		l.tellFailure()
	}
	return nil
}

// syncAll syncs everything that was appended before the call, segment by segment: nothing of one counts as synced before
// those before it are whole on the disk. The caller has the turn, so that no two fsyncs of one file run at once: the kernel
// reports a failure to one of them only.
func (l *Log) syncAll() {
	l.unsynced.mu.Lock()
	s, end := l.active.Load(), l.end.Load() // of one segment
	l.unsynced.mu.Unlock()
	if l.synced.Load() >= end || l.syncSealed() != nil {
		return
	}
	if l.synced.Load() >= end { // s was sealed meanwhile
		return
	}
	if err := s.file.SyncData(); err != nil {
		l.fail(err)
		return
	}
	l.syncs.Add(1)
	l.syncedTo(s, unpack(end))
}

// syncSealed syncs the sealed segments. The caller has the turn.
func (l *Log) syncSealed() error {
	for l.Err() == nil {
		s := l.unsynced.first()
		if s == nil {
			return nil
		}
		if s.extending != nil {
			<-s.extending.done
		}
		if err := s.file.SyncData(); err != nil {
			return l.fail(err)
		}
		l.syncedTo(s.segment, s.end())
		l.unsynced.removeFirst()
		// The zeros that are left are room for nothing. They do no harm: where there is none to cut them, they stay.
		if err := s.file.Truncate(s.off); err != nil && !vfs.Exhausted(err) {
			return errors.Join(l.fail(err), s.file.Close())
		}
		if err := s.file.Close(); err != nil {
			return l.fail(err)
		}
	}
	return l.Err()
}

// syncedTo takes note that the log is on the disk up to an end of s. The caller has the turn.
func (l *Log) syncedTo(s *segment, end Position) {
	if a := l.anchor.Load(); a.Segment < s.segment {
		l.anchor.Store(&Anchor{Position{s.segment, headerSize}, s.headCRC})
	}
	l.synced.Store(end.pack())
}

// unsynced are the sealed segments whose end is not known to be on the disk. They are synced under the turn, the oldest first,
// and their files closed.
type unsynced struct {
	mu struct { // guards Log.active and the segment of Log.end, too: a segment is added when another becomes active
		sync.Mutex
		// +checklocks:Mutex
		list []sealedSegment
	}
}

// sealedSegment is a segment that does not change any more but for the zeros behind its end.
type sealedSegment struct {
	*segment
	extending *extension // that was under way when it was sealed, or nil
}

// maxUnsynced is how many sealed segments may be on no disk yet. The next rotation syncs them: appends have outrun the disk.
const maxUnsynced = 4

// count returns the number of segments.
func (u *unsynced) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.mu.list)
}

// first returns the oldest, nil if there is none.
func (u *unsynced) first() *sealedSegment {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.mu.list) == 0 {
		return nil
	}
	s := u.mu.list[0]
	return &s
}

// removeFirst takes the oldest out of the list.
func (u *unsynced) removeFirst() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.list = slices.Delete(u.mu.list, 0, 1)
}

// close closes the files of the segments that a failure has left.
func (u *unsynced) close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for _, s := range u.mu.list {
		if s.extending != nil {
			<-s.extending.done
		}
		errs = append(errs, s.file.Close())
	}
	u.mu.list = nil
	return errors.Join(errs...)
}

// settled reports whether waiting for target is over: it is on the disk, or never will be.
func (l *Log) settled(target uint64) bool {
	return l.synced.Load() >= target || l.Err() != nil && target != exclusive
}

// turn is the right to sync or to replace the active segment. One goroutine has it at a time; the others queue, and are
// woken when their target is settled, or to take the turn themselves.
//
// Those whose target is settled are woken as a chain: each wakes the next before it returns from take, and the last gives the
// turn on. Such a goroutine most often appends again at once. If all were woken together they would wait for one another at
// the locks of their appends, and the next leader would sync while most of them are not back. As a chain they follow each
// other closely, and the next sync finds nearly all of them in the queue: measured with 64 goroutines on 2 processors, it
// serves 61 of them instead of 37.
//
// Where they have other work to do, a chain would keep the turn idle and the rest of the chain waiting. So a chain lasts no
// longer than the sync before it: then the goroutine that is to wake the next wakes all that are left.
//
// A chain changes nothing on the disk and decides nothing: a crash during it finds what the sync before it has left.
type turn struct {
	settled func(target uint64) bool // whether waiting for target is over
	elapsed func() time.Duration     // a clock
	mu      struct {
		sync.Mutex
		// +checklocks:Mutex
		taken bool // by a goroutine, or by a chain
		// +checklocks:Mutex
		waiting []*waiter // in order of arrival
		// +checklocks:Mutex
		spare []*waiter // the other of two buffers for waiting
	}

	patience time.Duration // how long a chain may last; guarded by the turn
	deadline time.Duration // of the chain under way, by elapsed; guarded by the turn, which the chain has

	waiters sync.Pool // of *waiter
}

// waiter is a goroutine in the queue.
type waiter struct {
	target uint64
	wake   chan bool // true: the turn is yours; false: your target is settled

	// Of a chain. Whoever wakes a waiter does not look at it afterwards.
	chained bool
	next    *waiter // nil: it is the last
}

// exclusive is the target of a caller that wants the turn for itself.
const exclusive = math.MaxUint64

// take waits until the turn is the caller's, and returns true, or until target is settled, and returns false.
func (t *turn) take(target uint64) bool {
	t.mu.Lock()
	if !t.mu.taken {
		t.mu.taken = true
		t.mu.Unlock()
		return true
	}
	w, _ := t.waiters.Get().(*waiter)
	if w == nil {
		w = &waiter{wake: make(chan bool, 1)}
	}
	w.target = target
	t.mu.waiting = append(t.mu.waiting, w)
	t.mu.Unlock()
	mine := <-w.wake
	chained, next := w.chained, w.next
	w.chained, w.next = false, nil
	t.waiters.Put(w)
	if chained {
		t.pass(next)
	}
	return mine
}

// release gives the turn up: to those in the queue whose target is settled, as a chain; if there are none, to the first.
func (t *turn) release() {
	t.mu.Lock()
	queue, rest := t.mu.waiting, t.mu.spare[:0]
	var first, last, heir *waiter
	for _, w := range queue {
		switch {
		case !t.settled(w.target):
			rest = append(rest, w)
		case first == nil:
			first, last = w, w
		default:
			last.next, last = w, w
		}
	}
	if first == nil && len(rest) > 0 {
		heir = rest[0]
		rest = slices.Delete(rest, 0, 1)
	}
	clear(queue)
	t.mu.waiting, t.mu.spare = rest, queue
	if first == nil && heir == nil {
		t.mu.taken = false
		t.mu.spare = nil
	}
	t.mu.Unlock()
	switch {
	case heir != nil:
		heir.wake <- true
	case first != nil:
		t.deadline = t.elapsed() + t.patience
		t.wakeChain(first)
	}
}

// wakeChain wakes the first of a chain, who goes on with it.
func (t *turn) wakeChain(w *waiter) {
	w.chained = true
	w.wake <- false
}

// pass goes on with a chain, which has come to its end if next is nil.
func (t *turn) pass(next *waiter) {
	if next != nil && t.elapsed() < t.deadline {
		t.wakeChain(next)
		return
	}
	for w := next; w != nil; {
		next, w.next = w.next, nil
		w.wake <- false
		w = next
	}
	t.release()
}
