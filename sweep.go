package ebb

import (
	"time"

	"github.com/ebbdb/ebb/ttl"
)

// The sweeper turns deadlines that have passed into space. It never looks at a key: the histograms of memtables and tables
// tell how much has expired where. A memtable that is mostly expired is flushed, which leaves the expired out and lets go
// of the log behind it; tables are dropped whole or compacted, by the picker's rules.
const (
	// sweepShare is the part of a memtable's bytes that must have expired to make it worth a flush: at a half, a flush
	// writes no more than it frees.
	sweepShare = 0.5
	// sweepMin is how many expired bytes are worth a flush at all. What stays behind is bounded by it and the log's zeros.
	sweepMin = 256 << 10
)

// sweepLoop sweeps as often as it pays, until Close.
func (db *DB) sweepLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	cadence := ttl.Cadence{}
	for {
		select {
		case <-db.work.Done():
			return
		case <-timer.C:
		case <-db.sweeps: // something has got a deadline, the first in a memtable
		}
		start := time.Now()
		next := db.sweep()
		wait, ok := cadence.Wait(db.clock.Now(), next, time.Since(start))
		if !ok {
			timer.Stop()
			continue
		}
		timer.Reset(wait)
	}
}

// sweep frees what is worth it and returns when there will be more to do: a time, or 0 if nothing has a deadline.
func (db *DB) sweep() (next int64) {
	if db.opts.manual { // nobody else would; what fails is tried again
		db.expiries.sweep()
		db.marks.tick()
	}
	start, now := time.Now(), db.clock.Now()
	var e Swept
	next, e.Frozen = db.sweepMemtable(db.dropNow())
	tables := db.view.Load().tables
	for _, level := range tables.levels {
		for _, t := range level {
			if p := t.Reader.Properties(); p.DeadlineEntries > 0 {
				if due := max(p.MinDeadline, now); next == 0 || due < next {
					next = due
				}
				if p.MinDeadline <= now {
					request(db.compacts) // whether it pays is for the picker to say
				}
				e.ExpiredBytes += int64(p.ExpiredBytes(now))
				e.Lag = max(e.Lag, overdue(p.MinDeadline, now))
			}
		}
	}
	if jump := db.clock.Jumped(); jump != db.jumped {
		db.emit(ClockJumped{By: jump - db.jumped})
		db.jumped = jump
	}
	db.stats.sweeps.Add(1)
	if e.Duration = time.Since(start); e.Frozen || e.Lag > 0 {
		db.emit(e)
	}
	return next
}

// sweepMemtable freezes the active memtable if enough of it has expired.
func (db *DB) sweepMemtable(now int64) (next int64, frozen bool) {
	db.commit.Lock()
	defer db.commit.Unlock()
	if db.closed.Load() {
		return 0, false
	}
	m := db.commit.mem
	worth := max(int64(sweepShare*float64(m.Size())), sweepMin)
	if m.deadlines.Entries() == 0 {
		return 0, false
	}
	if m.deadlines.ExpiredBytes(now) < worth {
		if next = m.deadlines.When(worth); next == 0 {
			next = m.deadlines.Max()
		}
		return max(next, now), false
	}
	if len(db.view.Load().frozen) >= maxFrozen {
		return now, false
	}
	err := db.freezeLocked() // if it fails the next sweep tries again, and the log has told an event
	return now, err == nil
}
