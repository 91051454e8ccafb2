package cluster

import (
	"context"
	"sync"
	"sync/atomic"
)

// waiters wait until entries were applied. The zero value is ready.
type waiters struct {
	count atomic.Int64
	mu    struct {
		sync.Mutex
		waiting map[chan struct{}]uint64 // the index that is waited for
	}
}

// wake wakes those who wait for an index up to one.
func (w *waiters) wake(index uint64) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, want := range w.mu.waiting {
		if want <= index {
			close(ch)
			delete(w.mu.waiting, ch)
			w.count.Add(-1)
		}
	}
}

// wait returns when reached reports an index, or ctx is done. Whoever moves it on calls wake after that.
func (w *waiters) wait(ctx context.Context, want uint64, reached func() bool) error {
	if reached() {
		return nil
	}
	ch := make(chan struct{})
	w.mu.Lock()
	if w.mu.waiting == nil {
		w.mu.waiting = make(map[chan struct{}]uint64)
	}
	w.mu.waiting[ch] = want
	w.count.Add(1)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.mu.waiting[ch]; ok {
			delete(w.mu.waiting, ch)
			w.count.Add(-1)
		}
	}()
	if reached() { // since, and wake may have found nobody
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
