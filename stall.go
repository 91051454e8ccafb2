package ebb

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
)

// Writers are slowed when flushes and compactions fall behind, a little at first. They are stopped before memory, or the
// number of tables that every read has to ask, grows without bound.
const (
	// From slowAt tables in level 0 on writers are slowed, at stopAt they are stopped. Compaction begins at 32 or before.
	slowAt = 40
	stopAt = 64
	// A slowed write waits slowStep for slowAt tables, and as much again for each table above.
	slowStep = 20 * time.Microsecond
)

// stall is where writers wait for the background.
//
// pressure follows from the view of the last update. Every change of the view is followed by an update, and so is the
// filling of the active memtable. So no writer goes on waiting for a flush or a compaction that is done.
type stall struct {
	live         *lsm.Set
	memtableSize int64
	health       *health
	counters     *counters
	flush        *worker      // the flusher
	compact      *worker      // the compacter
	bound        *bound       // nil: the directory may grow
	flushNow     func() error // flushes in a database without background goroutines; nil: it has them

	pressure atomic.Int32 // pressureNone to pressureCompact; unless it is pressureNone writers call throttle
	mu       struct {
		sync.Mutex
		began  time.Time // when pressure became what it is
		reason string    // why pressure is not pressureNone
	}
	changed sync.Cond // the conditions that throttle waits for may have changed
}

// bindTo makes writers wait for room in a bounded directory.
func (s *stall) bindTo(b *bound) {
	s.bound, b.update, b.tables = b, s.update, stopAt
	b.stopped = func() bool { return s.pressure.Load() == pressureDisk }
}

// wake lets the writers that wait in throttle look at their conditions again.
func (s *stall) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// Values of pressure.
const (
	pressureNone    = iota
	pressureSlow    // slowed by the number of tables in level 0
	pressureFlush   // stopped until a memtable is flushed
	pressureCompact // stopped until level 0 is compacted
	pressureDisk    // stopped until space was freed: see bound
)

// stops reports whether writers are stopped.
func stops(pressure int32) bool { return pressure >= pressureFlush }

// update sets pressure from the newest view.
func (s *stall) update() {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.live.View()
	level0 := len(v.Version.Levels[0])
	p, reason := int32(pressureNone), ""
	switch {
	case s.bound != nil && s.bound.closed(v):
		p, reason = pressureDisk, "the directory is as large as MaxDisk allows"
	case s.full(v):
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

// full reports whether nothing more may be written before a memtable is flushed.
func (s *stall) full(v *lsm.View) bool {
	return v.Mem.Size() >= s.memtableSize && v.Full(s.memtableSize)
}

// tellLocked emits the events of a change of pressure. The caller holds mu.
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

// awaited returns why the worker that writers wait for makes no progress, or nil if it does. The failure of the other worker
// is not reported to them.
func (s *stall) awaited() error {
	if s.pressure.Load() == pressureCompact {
		return s.compact.err()
	}
	return s.flush.err()
}

// refusal returns why a writer is refused in a bounded directory. One that was admitted waits for a flush.
func (s *stall) refusal(admitted bool) error {
	if admitted {
		return s.flush.err()
	}
	return s.bound.refusal()
}

// throttle slows or stops a writer, as pressure says. It returns an error if the database takes no writes, if the flush or the
// compaction that a stopped writer waits for has failed, or if there is no room for what the writer claims.
func (s *stall) throttle(c claim) error {
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
	if s.flushNow != nil { // without background goroutines nobody else flushes
		if s.pressure.Load() == pressureDisk {
			if err := s.bound.freeNow(c); err != nil {
				return err
			}
		}
		return s.flushNow()
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
		if s.pressure.Load() == pressureDisk {
			admitted := s.bound.admits(c)
			if admitted && !s.full(s.live.View()) {
				return nil
			}
			if err := s.refusal(admitted); err != nil {
				return err
			}
		} else if err := s.awaited(); err != nil {
			return err
		}
		s.changed.Wait()
	}
	return nil
}
