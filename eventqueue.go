package ebb

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// diskFullEvery is how often DiskFull is told at most while the disk stays full: each refused write tells its caller anyway.
const diskFullEvery = 10 * time.Second

// eventQueue holds events on their way to Options.OnEvent and Options.Logger. A goroutine of the queue tells the events, one
// at a time and in order. So emit takes no time and may be called under any lock, and the listener may use the database:
// nothing that the listener waits for waits for the listener.
type eventQueue struct {
	dir      string // the database's directory, for the logger
	onEvent  func(Event)
	logger   *slog.Logger
	counters *counters
	sys      *system

	mu struct {
		sync.Mutex
		queue   []Event
		started bool // somebody listens
		stopped bool
		full    time.Time // when DiskFull was last told
	}
	changed sync.Cond // mu.queue is not empty, or mu.stopped is true
	told    sync.WaitGroup
}

// start begins to tell events if there is a listener or a logger.
func (q *eventQueue) start(o *Options, dir string, c *counters) {
	q.dir, q.onEvent, q.logger, q.counters, q.sys = dir, o.OnEvent, o.Logger, c, &o.sys
	q.changed.L = &q.mu
	if q.onEvent == nil && q.logger.Handler() == slog.DiscardHandler {
		return
	}
	q.mu.started = true
	q.told.Go(func() {
		for e, ok := q.next(); ok; e, ok = q.next() {
			q.tell(e)
		}
	})
}

// stop returns when all events have been told. Later events are told to nobody.
func (q *eventQueue) stop() {
	q.mu.Lock()
	q.mu.stopped = true
	q.changed.Broadcast()
	q.mu.Unlock()
	q.told.Wait()
}

// emit has an event told. It may be called under any lock.
func (q *eventQueue) emit(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.mu.started || q.mu.stopped {
		return
	}
	if _, ok := e.(DiskFull); ok {
		if !q.mu.full.IsZero() && q.sys.since(q.mu.full) < diskFullEvery {
			return
		}
		q.mu.full = q.sys.now()
	}
	q.mu.queue = append(q.mu.queue, e)
	q.changed.Signal()
}

// backgroundError tells of a failure that no caller waits for. retry is 0 if the failure is final.
func (q *eventQueue) backgroundError(task string, err error, retry time.Duration) {
	q.counters.backgroundErrors.Add(1)
	q.emit(BackgroundError{Task: task, Err: err, Retry: retry})
}

// waiting returns how many events wait to be told.
func (q *eventQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.queue)
}

// next waits for an event. It is false once the queue is stopped and empty.
func (q *eventQueue) next() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.mu.queue) == 0 {
		if q.mu.stopped {
			return nil, false
		}
		q.changed.Wait()
	}
	e := q.mu.queue[0]
	q.mu.queue[0] = nil
	q.mu.queue = q.mu.queue[1:]
	return e, true
}

// tell is the one place from which events leave the database.
func (q *eventQueue) tell(e Event) {
	if level, message := e.event(); q.logger.Enabled(context.Background(), level) {
		attrs := append([]slog.Attr{slog.String("dir", q.dir)}, e.LogValue().Group()...)
		q.logger.LogAttrs(context.Background(), level, "ebb: "+message, attrs...)
	}
	if q.onEvent != nil {
		q.onEvent(e)
	}
}
