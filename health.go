package ebb

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// health tells whether a database is open, and whether it takes writes.
//
// closed goes from false to true once, failed from nil to an error once: neither is ever reset.
type health struct {
	closed atomic.Bool
	failed atomic.Pointer[error] // why no write is taken any more; nil: writes are taken

	work     context.Context // of the background goroutines; done when Close begins
	stopWork context.CancelFunc
	workers  sync.WaitGroup // the background goroutines; Close waits for them

	sys    *system
	events *eventQueue
	wake   func() // lets writers that wait for the background look again
}

func (h *health) init(sys *system, events *eventQueue, wake func()) {
	h.work, h.stopWork = context.WithCancel(context.Background())
	h.sys, h.events, h.wake = sys, events, wake
}

// close refuses operations from now on, and stops the background. It is false if the database was closed before.
func (h *health) close() bool {
	if h.closed.Swap(true) {
		return false
	}
	h.stopWork()
	h.wake()
	return true
}

// fail refuses all writes from now on, with err as the reason unless there is one already. It returns the reason. Reads go
// on.
func (h *health) fail(err error) error {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	if h.failed.CompareAndSwap(nil, &err) {
		h.events.emit(Failed{err})
		h.wake()
	}
	return *h.failed.Load()
}

// failure returns why no writes are taken, or nil.
func (h *health) failure() error {
	if p := h.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// refusal returns why a write is not taken, or nil if it is.
func (h *health) refusal() error {
	if h.closed.Load() {
		return ErrClosed
	}
	return h.failure()
}

// system is the time, pauses and randomness that a database takes from the process. Files and the wall clock are passed in
// Options. No other file of the package asks for the time or for random numbers, so that a test can decide both.
type system struct {
	now    func() time.Time // with a monotonic reading: for durations and pauses, never for deadlines
	sleep  func(time.Duration)
	random func() uint64  // for numbers that only have to be spread
	secret func(b []byte) // fills b, for ids and names that nobody may guess or meet twice
}

// withDefaults returns a copy with every field set.
func (s system) withDefaults() system {
	if s.now == nil {
		s.now = time.Now //permit:time.Now the way in for time
	}
	if s.sleep == nil {
		s.sleep = time.Sleep //permit:time.Sleep the way in for pauses
	}
	if s.random == nil {
		s.random = rand.Uint64 //permit:rand.Uint64 the way in for chance
	}
	if s.secret == nil {
		s.secret = func(b []byte) { crand.Read(b) } //permit:crand.Read the way in for ids; it never fails
	}
	return s
}

// since returns how long ago start was, a moment that now has returned.
func (s *system) since(start time.Time) time.Duration { return s.now().Sub(start) }

// counters are the moving parts of Stats. Times are in nanoseconds.
type counters struct {
	flushes, flushed, flushedFor           atomic.Int64
	compactions, compacted, compactedFor   atomic.Int64
	compactionRead                         atomic.Int64
	dropped, droppedBytes, sweeps          atomic.Int64
	expired, evicted                       atomic.Uint64
	evictions                              atomic.Int64
	expiryEvents                           atomic.Int64
	slowed, slowedFor, stopped, stoppedFor atomic.Int64
	noSpace, backgroundErrors, logCut      atomic.Int64
	refused                                atomic.Int64
}
