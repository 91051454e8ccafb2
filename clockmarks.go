package ebb

import (
	"time"

	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// clockEvery is how far time passes, in ms, between marks of the clock.
const clockEvery = 1000

// clockMarks notes in the log how far time has come. Open lets time run on from the last mark, so that a clock which is set
// back across a crash brings back nothing that had expired before it.
//
// While anything has a deadline, a mark is never more than clockEvery old when a write is made: the write makes a new one
// first. While nothing is written a timer makes them.
type clockMarks struct {
	db *DB

	// Guarded by the commit lock.
	last    int64 // the time that was marked last; 0: none since Open
	wanted  bool  // something has a deadline, or had at the last tick
	entries [1]wal.Entry

	wake requests // holds one request: wanted is new
}

func newClockMarks(db *DB) clockMarks {
	return clockMarks{db: db, wake: newRequests()}
}

// wantLocked says that something has a deadline.
func (m *clockMarks) wantLocked() {
	if !m.wanted {
		m.wanted = true
		m.wake.request()
	}
}

// beforeLocked makes a mark before a write, if it is time to. If that fails the write is not to be made: the log would
// refuse it too.
func (m *clockMarks) beforeLocked() error {
	if !m.wanted {
		return nil
	}
	if now := m.db.clock.Now(); now-m.last >= clockEvery {
		return m.markLocked(now)
	}
	return nil
}

// markLocked makes a mark.
func (m *clockMarks) markLocked(now int64) error {
	m.entries[0] = wal.Entry{Kind: wal.KindClock, Time: now}
	if _, err := m.db.log.Write(m.entries[:]); err != nil {
		return err
	}
	m.last = now
	return nil
}

// loop makes the marks that no write makes, until Close.
func (m *clockMarks) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.db.health.work.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		if wait := m.tick(); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// tick makes a mark if it is time to, and returns how long to wait for the next; 0: until something has a deadline.
func (m *clockMarks) tick() time.Duration {
	db := m.db
	db.commit.Lock()
	defer db.commit.Unlock()
	if m.wanted = !db.health.closed.Load() && db.live.View().HasDeadlines(); !m.wanted {
		return 0
	}
	if err := m.beforeLocked(); err != nil {
		return clockEvery * time.Millisecond // the log has told an event
	}
	return max(ttl.Remaining(m.last+clockEvery, db.clock.Now()), time.Millisecond)
}
