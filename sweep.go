package ebb

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
)

// The sweeper frees the space of expired entries. It never looks at a key: the histograms of memtables and tables tell how
// much has expired where. A memtable that is mostly expired is flushed: the flush leaves expired entries out, and the
// memtable's log segments can go. Tables are dropped whole or compacted, by the picker's rules.
const (
	// sweepShare is the part of a memtable's bytes that must have expired to make it worth a flush: at a half, a flush
	// writes no more than it frees.
	sweepShare = 0.5
	// sweepMin is how many expired bytes are worth a flush at all: fewer are not worth a table. So that much expired data,
	// and the zeroed end of the log, can outlive its deadline.
	sweepMin = 256 << 10
	// sweepAgain is how long, in ms, after a sweep the next may find more to free: in a memtable that was not worth a flush,
	// and at the earliest in tables.
	sweepAgain = 1000
)

// sweeper finds out when freeing expired entries pays, and then has the flusher or the compacter do it.
type sweeper struct {
	requests  // a memtable has got its first deadline
	pipeline  *pipeline
	live      *lsm.Set
	counters  *counters
	compacter *worker

	// What the last sweep has found. The same expired bytes in the same tables are no news: the picker has been asked about
	// them.
	mu struct { // held by whoever sweeps, and taken before any other lock
		sync.Mutex
		expired int64         // bytes in tables
		tables  *lsm.Version  // the tables
		jumped  time.Duration // how far the clock had jumped in all
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

// sweep frees expired entries where that pays. It returns the time of the next sweep, Unix ms, or 0 if nothing has a
// deadline.
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
		s.compacter.request() // the picker decides whether a compaction pays
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

// look adds to e how much has expired in the tables of v. news is whether anything has, and the last sweep found otherwise.
// next is when more will have expired, at the earliest sweepAgain from now; 0 if nothing more will expire.
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

// sweepMemtable freezes the active memtable if enough of it has expired. next is when to look at it again, Unix ms; 0 if it
// has no deadline.
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
		if next <= now { // a flush does not pay, or not yet
			next = now + sweepAgain
		}
		return next, false
	}
	if s.live.View().Full(s.pipeline.memtableSize) {
		return now, false
	}
	err := t.freeze() // after a failure the next sweep tries again; the log has emitted an event
	return now, err == nil
}

// settleAfter is how long after the last flush the database counts as idle: then it compacts only to save space. It is also
// how often the settler looks at the active memtable. A database in which the active memtable has grown since so fast that it
// would be full after fillsIn is not idle, unless the settler rests: on a busy machine one flush of a load may be longer ago than
// settleAfter, and where few are written beside many reads, to rewrite everything would take from these.
const (
	settleAfter = time.Second
	fillsIn     = 30 * time.Second
)

// flushTime is when the last flush was, by a monotonic clock. The zero value is long ago.
type flushTime struct {
	sys   *system
	at    atomic.Pointer[flushMoment]
	rests atomic.Bool // nothing was written between the settler's last two looks, nor since
}

// flushMoment is the end of a flush.
type flushMoment struct {
	time time.Time
	mem  *lsm.Mem // the active memtable
	size int64    // its size
}

func (f *flushTime) set(v *lsm.View) { f.at.Store(&flushMoment{f.sys.now(), v.Mem, v.Mem.Size()}) }

// settled reports whether the last flush is so long ago, and so little was written since, or nothing lately, that the database
// counts as idle.
func (f *flushTime) settled(v *lsm.View, memtableSize int64) bool {
	at := f.at.Load()
	if at == nil {
		return true
	}
	since, grown := f.sys.since(at.time), v.Mem.Size()
	if v.Mem == at.mem {
		grown -= at.size
	}
	return since >= settleAfter && len(v.Frozen) == 0 &&
		(f.rests.Load() || float64(grown)*float64(fillsIn) <= float64(memtableSize)*float64(since))
}

// The settler flushes a memtable that is not full but hides a large part of the tables. A delete of everything, for example,
// is one record, and the entries that it deletes cannot be freed before the record is in a table. While nothing is written
// the settler rests.
const (
	// A memtable is worth a flush if it hides more bytes of tables than a full memtable holds and, together with the bytes
	// that tables hide already, more than idleShare of all tables, or busyShare while it is written to. After the flush the
	// picker does the rest.
	idleShare = 0.25
	busyShare = 0.5
)

// settler looks at how much of the tables the active memtable hides.
type settler struct {
	requests  // a write was made while it rested
	pipeline  *pipeline
	live      *lsm.Set
	lastFlush *flushTime
	compacter *worker
	seen      uint64 // sequence of the newest write at the last look
}

// loop calls settle once in settleAfter, except while the settler rests, until Close.
func (s *settler) loop() {
	timer := time.NewTimer(settleAfter)
	defer timer.Stop()
	for {
		select {
		case <-s.pipeline.health.work.Done():
			return
		case <-s.requests:
			s.lastFlush.rests.Store(false)
			timer.Reset(settleAfter)
			continue
		case <-timer.C:
		}
		if !s.settle() {
			timer.Reset(settleAfter)
		}
	}
}

// settle freezes the active memtable if it is worth a flush. It reports whether the settler rests until the next write: the
// memtable was frozen, or is not worth a flush and nothing was written since the last look.
func (s *settler) settle() (rests bool) {
	t := s.pipeline.lock()
	m, idle := t.mem(), t.lastSeq() == s.seen
	s.seen = t.lastSeq()
	t.restSettler(idle)
	t.end()
	if s.lastFlush.rests.Swap(idle) != idle && idle {
		s.compacter.request()
	}
	if !s.worth(m, idle) {
		return idle
	}
	t = s.pipeline.lock()
	defer t.end()
	if t.mem() == m && len(s.live.View().Frozen) == 0 && s.pipeline.health.refusal() == nil {
		rests = t.freeze() == nil // after a failure the log has emitted an event
	}
	t.restSettler(rests)
	return rests
}

// worth reports whether a memtable hides so much of the tables that it should be flushed.
func (s *settler) worth(m *lsm.Mem, idle bool) bool {
	levels := &s.live.View().Version.Levels
	share := busyShare
	if idle {
		share = idleShare
	}
	hidden := m.Hides(levels).Size
	return hidden > s.pipeline.memtableSize && float64(hidden+levels.Hidden().Size) > share*float64(levels.Total())
}
