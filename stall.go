package ebb

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
)

// Writers are slowed when the background falls behind, a little at first, and stopped before memory or the number of
// tables that every read has to ask runs away.
const (
	// From slowAt tables in level 0 on writers are slowed, at stopAt they are stopped. Compaction begins at 32 or before.
	slowAt = 40
	stopAt = 64
	// A writer that is slowed waits slowStep for each table above slowAt.
	slowStep = 20 * time.Microsecond
)

// stall is where writers wait for the background.
//
// pressure is what the view of the last update asks for: every change of the view, and of whether the active memtable is full,
// is followed by an update. So no writer waits for what has happened.
type stall struct {
	live         *lsm.Set
	memtableSize int64
	health       *health
	counters     *counters
	flush        *worker      // the flusher
	compact      *worker      // the compacter
	flushNow     func() error // of a database without background; nil: there is one

	pressure atomic.Int32 // not 0 while writers have to look how far the background is behind: see throttle
	mu       struct {
		sync.Mutex
		began  time.Time // when pressure became what it is
		reason string    // for it
	}
	changed sync.Cond // what throttle looks at has changed
}

// wake lets the writers that wait look again.
func (s *stall) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// Values of pressure.
const (
	pressureNone    = iota
	pressureSlow    // by the number of tables in level 0
	pressureFlush   // stopped until a memtable is flushed
	pressureCompact // stopped until level 0 is compacted
)

// stops reports whether writers are stopped.
func stops(pressure int32) bool { return pressure >= pressureFlush }

// update decides how writers are to be treated.
func (s *stall) update() {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.live.View()
	level0 := len(v.Version.Levels[0])
	p, reason := int32(pressureNone), ""
	switch {
	case v.Mem.Size() >= s.memtableSize && v.Full(s.memtableSize):
		p, reason = pressureFlush, "memtables wait for their flush"
	case level0 >= stopAt:
		p, reason = pressureCompact, "level 0 waits for its compaction"
	case level0 >= slowAt:
		p, reason = pressureSlow, "level 0 waits for its compaction"
	}
	if was := s.pressure.Swap(p); was != p {
		s.tellLocked(was, p, reason)
	}
	s.changed.Broadcast()
}

// tellLocked tells that pressure has changed. The caller holds mu.
func (s *stall) tellLocked(was, is int32, reason string) {
	now := s.health.sys.now()
	if was != pressureNone {
		s.health.events.emit(StallEnded{Stopped: stops(was), Reason: s.mu.reason, Duration: now.Sub(s.mu.began)})
	}
	if is != pressureNone {
		s.health.events.emit(StallBegan{Stopped: stops(is), Reason: reason})
	}
	s.mu.began, s.mu.reason = now, reason
}

// awaited returns why what writers wait for makes no progress, or nil if it does. What else fails is not theirs to be told.
func (s *stall) awaited() error {
	if s.pressure.Load() == pressureCompact {
		return s.compact.err()
	}
	return s.flush.err()
}

// throttle holds a writer up as far as the background is behind.
func (s *stall) throttle() error {
	if s.pressure.Load() == pressureSlow {
		behind := len(s.live.View().Version.Levels[0]) - slowAt + 1
		start := s.health.sys.now()
		s.health.sys.sleep(time.Duration(behind) * slowStep)
		s.counters.slowed.Add(1)
		s.counters.slowedFor.Add(int64(s.health.sys.since(start)))
	}
	if !stops(s.pressure.Load()) {
		return nil
	}
	if s.flushNow != nil {
		return s.flushNow() // nobody else would
	}
	s.counters.stopped.Add(1)
	start := s.health.sys.now()
	defer func() { s.counters.stoppedFor.Add(int64(s.health.sys.since(start))) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	for stops(s.pressure.Load()) {
		if err := s.health.refusal(); err != nil {
			return err
		}
		if err := s.awaited(); err != nil {
			return err
		}
		s.changed.Wait()
	}
	return nil
}
