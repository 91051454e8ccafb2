package ebb

import (
	"sync"
	"time"
)

// logTrim deletes the log segments that no memtable needs any more. What made them obsolete has happened whether that
// succeeds or not, so a failure is nobody's error: it is told as an event, and tried again with a flush, which is asked for
// after a while.
type logTrim struct {
	mu sync.Mutex
	// Guarded by mu, which nobody who reads or writes waits for.
	obsolete uint32        // segments before it
	pause    time.Duration // from the last failure to due; 0 if there was none
	due      time.Time     // when to try again
}

// before deletes the segments before one.
func (t *logTrim) before(db *DB, segment uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.obsolete = max(t.obsolete, segment)
	t.deleteLocked(db)
}

// again deletes what could not be deleted before, if it is time to.
func (t *logTrim) again(db *DB) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pause != 0 && !db.health.sys.now().Before(t.due) {
		t.deleteLocked(db)
	}
}

func (t *logTrim) deleteLocked(db *DB) {
	err := db.log.DeleteBefore(t.obsolete)
	switch {
	case err == nil:
		t.pause = 0
	case db.log.Err() != nil:
		t.pause = 0
		db.events.backgroundError("delete log segments", err, 0) // the next Open deletes them
	default:
		t.pause = min(max(2*t.pause, retryFirst), retryLast)
		t.due = db.health.sys.now().Add(t.pause)
		db.events.backgroundError("delete log segments", err, t.pause)
		time.AfterFunc(t.pause, func() { db.flusher.request() })
	}
}
