package ebb

import (
	"context"
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
	log   *wal.Log
	clock *ttl.Clock
	wake  requests // wanted is new

	// Guarded by the commit lock, which the callers of the methods but loop hold.
	last    int64 // the time that was marked last; 0: none since Open
	wanted  bool  // something has a deadline, or had at the last tick
	entries [1]wal.Entry
}

// want says that something has a deadline.
func (m *clockMarks) want() {
	if !m.wanted {
		m.wanted = true
		m.wake.request()
	}
}

// before makes a mark before a write, if it is time to. If that fails the write is not to be made: the log would refuse it
// too.
func (m *clockMarks) before() error {
	if !m.wanted {
		return nil
	}
	if now := m.clock.Now(); now-m.last >= clockEvery {
		return m.mark(now)
	}
	return nil
}

// mark makes a mark.
func (m *clockMarks) mark(now int64) error {
	m.entries[0] = wal.Entry{Kind: wal.KindClock, Time: now}
	if _, err := m.log.Write(m.entries[:]); err != nil {
		return err
	}
	m.last = now
	return nil
}

// tick makes a mark if it is time to, and returns how long to wait for the next; 0: until something has a deadline.
func (m *clockMarks) tick() time.Duration {
	if !m.wanted {
		return 0
	}
	if err := m.before(); err != nil {
		return clockEvery * time.Millisecond // the log has told an event
	}
	return max(ttl.Remaining(m.last+clockEvery, m.clock.Now()), time.Millisecond)
}

// loop makes the marks that no write makes, by calls of tick, until ctx is done.
func (m *clockMarks) loop(ctx context.Context, tick func() time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		if wait := tick(); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}
