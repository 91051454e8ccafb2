package ebb

import (
	"sync"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/memtable"
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
	// sweepAgain is after how long, in ms, a sweep may find more of what was not worth it: no sooner in tables.
	sweepAgain = 1000
)

// sweeper finds out when it pays to free what has expired, and sees to it.
type sweeper struct {
	requests  // something has got a deadline, the first in a memtable
	pipeline  *pipeline
	live      *lsm.Set
	counters  *counters
	compacter *worker

	// What the last sweep has found in tables. Nothing is told twice of it: the picker has seen it, and will see it again when
	// tables have changed.
	mu struct { // held by whoever sweeps, and taken before any other lock
		sync.Mutex
		expired int64         // bytes
		tables  *lsm.Version  // in these
		jumped  time.Duration // by the clock
	}
}

// loop sweeps as often as it pays, until Close.
func (s *sweeper) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	cadence := ttl.Cadence{}
	for {
		select {
		case <-s.pipeline.health.work.Done():
			return
		case <-timer.C:
		case <-s.requests:
		}
		start := s.pipeline.health.sys.now()
		next := s.sweep()
		wait, ok := cadence.Wait(s.pipeline.clock.Now(), next, s.pipeline.health.sys.since(start))
		if !ok {
			timer.Stop()
			continue
		}
		timer.Reset(wait)
	}
}

// sweep frees what is worth it and returns when there will be more to do: a time, or 0 if nothing has a deadline.
func (s *sweeper) sweep() (next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, now := s.pipeline.health.sys.now(), s.pipeline.clock.Now()
	var e Swept
	next, e.Frozen = s.sweepMemtable(s.pipeline.dropNow())
	due, news := s.look(s.live.View().Version, now, &e)
	if due != 0 && (next == 0 || due < next) {
		next = due
	}
	if news {
		s.compacter.request() // whether it pays is for the picker to say
	}
	if jump := s.pipeline.clock.Jumped(); jump != s.mu.jumped {
		s.pipeline.health.events.emit(ClockJumped{By: jump - s.mu.jumped})
		s.mu.jumped = jump
	}
	s.counters.sweeps.Add(1)
	if e.Duration = s.pipeline.health.sys.since(start); e.Frozen || news {
		s.pipeline.health.events.emit(e)
	}
	return next
}

// look finds out how much has expired in tables, whether that is news, and when more will have, but not before the next look
// at tables is due. It is 0 if nothing more will.
func (s *sweeper) look(v *lsm.Version, now int64, e *Swept) (next int64, news bool) {
	for _, t := range v.Levels.All() {
		p := t.Reader.Properties()
		if p.DeadlineEntries == 0 {
			continue
		}
		if due := p.NextExpiry(now); due != 0 && (next == 0 || due < next) {
			next = due
		}
		e.ExpiredBytes += int64(p.ExpiredBytes(now))
		e.Lag = max(e.Lag, ttl.Overdue(p.MinDeadline, now))
	}
	if next != 0 {
		next = max(next, now+sweepAgain)
	}
	news = e.ExpiredBytes > 0 && (e.ExpiredBytes != s.mu.expired || v != s.mu.tables)
	s.mu.expired, s.mu.tables = e.ExpiredBytes, v
	return next, news
}

// sweepMemtable freezes the active memtable if enough of it has expired.
func (s *sweeper) sweepMemtable(now int64) (next int64, frozen bool) {
	t := s.pipeline.lock()
	defer t.end()
	if s.pipeline.health.closed.Load() {
		return 0, false
	}
	m := t.mem()
	h := m.Deadlines
	if h.Entries() == 0 {
		return 0, false
	}
	worth := max(int64(sweepShare*float64(m.Size())), sweepMin)
	if memtable.Footprint(h.ExpiredEntries(now), h.ExpiredBytes(now)) < worth {
		part := float64(worth) / float64(memtable.Footprint(h.Entries(), h.Bytes()))
		if next = h.When(int64(part * float64(h.Bytes()))); next == 0 {
			next = h.Max()
		}
		if next <= now { // it does not pay, or not yet
			next = now + sweepAgain
		}
		return next, false
	}
	if s.live.View().Full(s.pipeline.memtableSize) {
		return now, false
	}
	err := t.freeze() // if it fails the next sweep tries again, and the log has told an event
	return now, err == nil
}
