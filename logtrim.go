package ebb

import (
	"sync"
	"time"

	"github.com/ebbdb/ebb/wal"
)

// logTrim deletes the log segments that no memtable needs any more. What made them obsolete has happened whether that
// succeeds or not, so a failure is nobody's error: it is told as an event, and tried again with a flush, which is asked for
// after a while.
type logTrim struct {
	log     *wal.Log // nil in a read-only database
	flusher *worker

	mu struct { // no read and no write waits for it
		sync.Mutex
		obsolete uint32        // segments before it
		pause    time.Duration // from the last failure to due; 0 if there was none
		due      time.Time     // when to try again
	}
}

// before deletes the segments before one.
func (t *logTrim) before(segment uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.obsolete = max(t.mu.obsolete, segment)
	t.deleteLocked()
}

// again deletes what could not be deleted before, if it is time to.
func (t *logTrim) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.pause != 0 && !t.flusher.health.sys.now().Before(t.mu.due) {
		t.deleteLocked()
	}
}

func (t *logTrim) deleteLocked() {
	err := t.log.DeleteBefore(t.mu.obsolete)
	switch {
	case err == nil:
		t.mu.pause = 0
	case t.log.Err() != nil:
		t.mu.pause = 0
		t.flusher.health.events.backgroundError("delete log segments", err, 0) // the next Open deletes them
	default:
		t.mu.pause = min(max(2*t.mu.pause, retryFirst), retryLast)
		t.mu.due = t.flusher.health.sys.now().Add(t.mu.pause)
		t.flusher.health.events.backgroundError("delete log segments", err, t.mu.pause)
		time.AfterFunc(t.mu.pause, t.flusher.request)
	}
}
