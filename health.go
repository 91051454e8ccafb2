package ebb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// health tells whether a database is open, and whether it takes writes.
//
// closed goes from false to true once, failed from nil to an error once: whoever has seen one of them set need not look again.
type health struct {
	closed atomic.Bool
	failed atomic.Pointer[error] // why no write is taken any more

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

// close begins the end: operations are refused, and the background stops. It is false if that has happened before.
func (h *health) close() bool {
	if h.closed.Swap(true) {
		return false
	}
	h.stopWork()
	h.wake()
	return true
}

// fail refuses all writes from now on, with err as the reason unless there is one already, and returns the reason. Reads go
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
