package ebb

import (
	"sync/atomic"
	"time"
)

// A worker that failed, most often for a full disk, tries again after retryFirst, and then after twice as long each time, up
// to retryLast.
const (
	retryFirst = 250 * time.Millisecond
	retryLast  = 30 * time.Second
)

// worker is a background loop that works on request. A request that comes while it works is looked after next: none is lost.
type worker struct {
	name     string
	health   *health
	requests requests
	failed   atomic.Pointer[error] // why the last run failed; nil after one that did not
}

func (w *worker) init(name string, h *health) {
	w.name, w.health, w.requests = name, h, newRequests()
}

// requests holds one request to a background goroutine.
type requests chan struct{}

func newRequests() requests { return make(requests, 1) }

// request asks for work, without waiting.
func (r requests) request() {
	select {
	case r <- struct{}{}:
	default:
	}
}

// request asks the worker to look, without waiting.
func (w *worker) request() { w.requests.request() }

// run calls do whenever it is requested, until Close, and again after a failure.
func (w *worker) run(do func() error) {
	h, retry := w.health, retryFirst
	for {
		select {
		case <-h.work.Done():
			return
		case <-w.requests:
		}
		err := do()
		if h.work.Err() != nil {
			return
		}
		if err == nil {
			w.succeeded()
			retry = retryFirst
			continue
		}
		w.failed.Store(&err)
		h.events.backgroundError(w.name, err, retry)
		h.wake() // writers that wait for this worker get the error
		timer := time.NewTimer(retry)
		select {
		case <-h.work.Done():
			timer.Stop()
			return
		case <-timer.C:
			w.request()
		}
		retry = min(2*retry, retryLast)
	}
}

// succeeded forgets the last failure.
func (w *worker) succeeded() { w.failed.Store(nil) }

// err returns why the worker makes no progress, or nil if it does.
func (w *worker) err() error {
	if p := w.failed.Load(); p != nil {
		return *p
	}
	return nil
}
