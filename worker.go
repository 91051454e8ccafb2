package ebb

import (
	"sync/atomic"
	"time"
)

// A worker that failed, most often for a full disk, tries again after retryFirst. Each further pause is twice as long, up to
// retryLast.
const (
	retryFirst = 250 * time.Millisecond
	retryLast  = 30 * time.Second
)

// worker is a background loop that works on request. A request that comes while the worker works is served next: none is
// lost.
type worker struct {
	name     string
	health   *health
	requests requests
	failed   atomic.Pointer[error] // why the last work failed; nil if it did not
}

func (w *worker) init(name string, h *health) {
	w.name, w.health, w.requests = name, h, newRequests()
}

// requests holds at most one request to a background goroutine.
type requests chan struct{}

func newRequests() requests { return make(requests, 1) }

// request makes a request, unless one is held already. It does not wait.
func (r requests) request() {
	select {
	case r <- struct{}{}:
	default:
	}
}

// request asks the worker to work. It does not wait.
func (w *worker) request() { w.requests.request() }

// run calls do for each request, and again after a failure, until Close.
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
