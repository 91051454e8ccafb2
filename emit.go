package ebb

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ebbdb/ebb/wal"
)

// diskFullEvery is how often a disk that stays full is told of: each write that it refuses tells its caller anyway.
const diskFullEvery = 10 * time.Second

// events are on their way to Options.OnEvent and Options.Logger. A goroutine of its own tells them, one at a time and in
// order. So emit takes no time and may be called under any lock, and whoever is told may use the database: nothing that it
// waits for waits for it.
type events struct {
	mu      sync.Mutex
	changed sync.Cond // queue is not empty, or stopped is true
	// Guarded by mu.
	queue   []Event
	started bool // somebody listens
	stopped bool
	full    time.Time // when DiskFull was last told

	told sync.WaitGroup
}

// startEvents begins to tell events if anybody listens.
func (db *DB) startEvents() {
	q := &db.events
	q.changed.L = &q.mu
	if db.opts.OnEvent == nil && db.opts.Logger.Handler() == slog.DiscardHandler {
		return
	}
	q.started = true
	q.told.Go(func() {
		for e, ok := q.next(); ok; e, ok = q.next() {
			db.tell(e)
		}
	})
}

// stopEvents returns when all has been told.
func (db *DB) stopEvents() {
	q := &db.events
	q.mu.Lock()
	q.stopped = true
	q.changed.Broadcast()
	q.mu.Unlock()
	q.told.Wait()
}

// emit has an event told. It may be called under any lock.
func (db *DB) emit(e Event) {
	q := &db.events
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started || q.stopped {
		return
	}
	if _, ok := e.(DiskFull); ok {
		if !q.full.IsZero() && time.Since(q.full) < diskFullEvery {
			return
		}
		q.full = time.Now()
	}
	q.queue = append(q.queue, e)
	q.changed.Signal()
}

// waiting returns how many events wait to be told.
func (q *events) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// next waits for an event. It is false when there are no more.
func (q *events) next() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 {
		if q.stopped {
			return nil, false
		}
		q.changed.Wait()
	}
	e := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	return e, true
}

// tell is the one place from which events leave the database.
func (db *DB) tell(e Event) {
	if level, message := e.event(); db.opts.Logger.Enabled(context.Background(), level) {
		attrs := append([]slog.Attr{slog.String("dir", db.dir)}, e.LogValue().Group()...)
		db.opts.Logger.LogAttrs(context.Background(), level, "ebb: "+message, attrs...)
	}
	if db.opts.OnEvent != nil {
		db.opts.OnEvent(e)
	}
}

// logEvent tells what the log did. What it has rotated and deleted is of no use to anybody else.
func (db *DB) logEvent(e wal.Event) {
	switch e := e.(type) {
	case wal.TailCut:
		db.emit(TailCut(e))
	case wal.HistoryLost:
		db.backgroundError("keep "+e.File+" for watchers", e.Err, 0)
	case wal.DiskFull:
		db.stats.noSpace.Add(1)
		db.emit(DiskFull(e))
	case wal.Failed:
		db.emit(Failed(e))
		db.stall.wake()
	}
}

// backgroundError tells of a failure that nobody waits for; retry is 0 if it is final.
func (db *DB) backgroundError(task string, err error, retry time.Duration) {
	db.stats.backgroundErrors.Add(1)
	db.emit(BackgroundError{Task: task, Err: err, Retry: retry})
}
