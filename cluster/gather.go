package cluster

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// gatherer sends calls of writes on, to raft or to the leader. Those that come while others are under way wait, and go on
// together: so each costs a part of an entry, of a sync and of a message. A call that comes alone waits for nobody.
type gatherer struct {
	work    *sync.WaitGroup
	send    func(calls []*waiting) // has calls made, and answers each
	stopped <-chan struct{}        // closed when nobody is answered any more
	cause   func() error           // why

	mu struct {
		sync.Mutex
		queue  []*waiting
		size   int // bytes of queue
		sends  int // under way
		closed error
	}
}

// waiting is a call that waits for its outcome.
type waiting struct {
	entry []byte // of the call alone
	until time.Time
	done  chan outcome // of one
}

// outcome is what has become of a call.
type outcome struct {
	result
	err error
}

const (
	// maxGathered bounds the calls of a send, and maxGatheredBytes their bytes but for the last: raft keeps the newest entries in
	// memory, and sends many at a time.
	maxGathered      = 1024
	maxGatheredBytes = 128 << 10
	// maxSends is how many sends of a gatherer are under way at a time where more waits than fits into one. Else it is one: with 64
	// clients one send has 60 of their calls, and costs the processors 18 to 22 us a call, two have 32, and cost 21 to 28.
	maxSends = 4
)

var waitings = sync.Pool{New: func() any { return &waiting{done: make(chan outcome, 1)} }}

// newWaiting returns a call that waits.
func newWaiting(entry []byte, until time.Time) *waiting {
	w := waitings.Get().(*waiting)
	w.entry, w.until = entry, until
	return w
}

// answered takes the outcome, and lets go of the call.
func (w *waiting) answered(o outcome) (result, error) {
	w.entry = nil
	waitings.Put(w)
	return o.result, o.err
}

// do has a call made. What ends it before its outcome is known, ctx or stopped, is a *sentError unless it was not sent at all.
func (g *gatherer) do(ctx context.Context, entry []byte) (result, error) {
	until, _ := ctx.Deadline()
	w := newWaiting(entry, until)
	g.add(w)
	return g.wait(ctx, w)
}

// wait is do of a call that was added.
func (g *gatherer) wait(ctx context.Context, w *waiting) (result, error) {
	var err error
	select {
	case o := <-w.done:
		return w.answered(o)
	case <-ctx.Done():
		err = ctx.Err()
	case <-g.stopped:
		err = g.cause()
	}
	if g.remove(w) {
		return w.answered(outcome{err: fmt.Errorf("%w: %w", errUnsent, err)})
	}
	select {
	case o := <-w.done:
		return w.answered(o)
	default:
		return result{}, &sentError{err} // nobody takes the answer
	}
}

// add has calls sent, or answers them.
func (g *gatherer) add(calls ...*waiting) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.mu.closed; err != nil {
		answerAll(calls, err)
		return
	}
	g.mu.queue = append(g.mu.queue, calls...)
	for _, w := range calls {
		g.mu.size += len(w.entry)
	}
	if g.mu.sends == 0 || g.mu.sends < maxSends && (g.mu.size > maxGatheredBytes || len(g.mu.queue) > maxGathered) {
		g.mu.sends++
		g.work.Go(g.run)
	}
}

// run sends until nobody waits.
func (g *gatherer) run() {
	for calls := g.next(); calls != nil; calls = g.next() {
		g.send(calls)
		g.settle()
	}
}

// settle lets those who were answered call again, as most do at once, before the next send takes what waits: else a third of
// them would always be late for it.
func (g *gatherer) settle() {
	for n, last := g.waits(), -1; n > last && n < maxGathered; n = g.waits() {
		last = n
		runtime.Gosched()
	}
}

func (g *gatherer) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mu.queue)
}

// next takes the calls of the next send. Nil ends the run.
func (g *gatherer) next() []*waiting {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.mu.queue
	n, size := 0, 0
	for n < len(q) && n < maxGathered && (n == 0 || size+len(q[n].entry) <= maxGatheredBytes) {
		size += len(q[n].entry)
		n++
	}
	if n == 0 {
		g.mu.sends--
		return nil
	}
	g.mu.size -= size
	calls := append([]*waiting(nil), q[:n]...)
	rest := copy(q, q[n:])
	clear(q[rest:])
	g.mu.queue = q[:rest]
	return calls
}

// remove takes back a call that was not sent, and reports whether it was there.
func (g *gatherer) remove(w *waiting) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, q := range g.mu.queue {
		if q == w {
			g.mu.queue = slices.Delete(g.mu.queue, i, i+1)
			g.mu.size -= len(w.entry)
			return true
		}
	}
	return false
}

// refuse answers the calls that were not sent.
func (g *gatherer) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answerAll(g.mu.queue, err)
	clear(g.mu.queue)
	g.mu.queue, g.mu.size = g.mu.queue[:0], 0
}

// close refuses calls from now on.
func (g *gatherer) close(err error) {
	g.mu.Lock()
	g.mu.closed = err
	g.mu.Unlock()
	g.refuse(err)
}

func answerAll(calls []*waiting, err error) {
	for _, w := range calls {
		w.done <- outcome{err: err}
	}
}
