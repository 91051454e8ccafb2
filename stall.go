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
	// A paced writer waits for paceStep at least, as to sleep for less takes longer, and for mostPace at most.
	paceStep = 500 * time.Microsecond
	mostPace = 100 * time.Millisecond
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
	pace         pace

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
	pressurePaced   // as fast as memtables are flushed; nobody is told, as each load comes to this
	pressureSlow    // slowed by the number of tables in level 0
	pressureFlush   // stopped until a memtable is flushed
	pressureCompact // stopped until level 0 is compacted
	pressureDisk    // stopped until space was freed: see bound
)

// stops reports whether writers are stopped.
func stops(pressure int32) bool { return pressure >= pressureFlush }

// reported returns the pressure that events tell of.
func reported(pressure int32) int32 {
	if pressure == pressurePaced {
		return pressureNone
	}
	return pressure
}

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
	case s.flushNow == nil && v.Full(s.memtableSize):
		p = pressurePaced
	}
	if p != pressureNone && !stops(p) && v.Full(s.memtableSize) {
		s.pace.begin(s.health.sys.now(), s.fill(v), v.Oldest().Size())
	}
	if was, is := reported(s.pressure.Swap(p)), reported(p); was != is {
		s.tellLocked(was, is, reason)
	}
	s.changed.Broadcast()
}

// fill returns which part of the active memtable is full.
func (s *stall) fill(v *lsm.View) float64 { return float64(v.Mem.Size()) / float64(s.memtableSize) }

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

// slow slows a writer by the number of tables in level 0, or for the flush under way.
func (s *stall) slow() {
	v, start := s.live.View(), s.health.sys.now()
	wait := time.Duration(len(v.Version.Levels[0])-slowAt+1) * slowStep
	if s.flushNow == nil && v.Full(s.memtableSize) {
		wait = max(wait, s.pace.wait(start, s.fill(v)))
	}
	if wait <= 0 {
		return
	}
	s.health.sys.sleep(wait)
	s.counters.slowed.Add(1)
	s.counters.slowedFor.Add(int64(s.health.sys.since(start)))
}

// throttle slows or stops a writer, as pressure says. It returns an error if the database takes no writes, if the flush or the
// compaction that a stopped writer waits for has failed, or if there is no room for what the writer claims.
func (s *stall) throttle(c claim) error {
	if !stops(s.pressure.Load()) {
		s.slow()
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

// pace spreads what writers wait for a flush. While as many memtables wait as may, the active one fills evenly over the time
// that the flush under way is going to take: so no put waits for all of that time, as one would that finds the memtable full. If
// a flush takes longer than the last ones did, writers are stopped for the rest.
type pace struct {
	mu      sync.Mutex
	least   int64     // bytes of a memtable from which on its flush tells how long others take: see flushEnds
	perByte float64   // of a memtable that is flushed, in nanoseconds, by the last flushes; 0: none is known
	size    int64     // of the memtable whose flush is under way, or next
	began   time.Time // when that flush began; zero if none is under way

	from time.Time // since when puts are paced, by now,
	fill float64   // and which part of the active memtable was full then
}

// begin begins to pace puts, or does so anew.
func (p *pace) begin(now time.Time, fill float64, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.fill, p.size = now, fill, size
}

// wait returns how long a put has to wait that finds a part of the active memtable full.
func (p *pace) wait(now time.Time, fill float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := p.began
	if began.IsZero() {
		began = p.from
	}
	left := began.Add(time.Duration(p.perByte * float64(p.size))).Sub(p.from)
	if left <= 0 || p.fill >= 1 {
		return 0
	}
	share := (fill - p.fill) / (1 - p.fill)
	wait := time.Duration(share*float64(left)) - now.Sub(p.from)
	if wait < paceStep {
		return 0
	}
	return min(wait, mostPace)
}

// flushBegins notes that a flush has begun.
func (p *pace) flushBegins(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = now
}

// flushEnds notes that the flush of a memtable of so many bytes has ended, well or not. The estimate follows the last flushes of
// memtables that are not small: a small one's takes as long as the disk takes to sync, whatever its bytes.
func (p *pace) flushEnds(now time.Time, size int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && size > 0 && size >= p.least {
		perByte := float64(now.Sub(p.began)) / float64(size)
		if p.perByte > 0 {
			perByte = (perByte + p.perByte) / 2
		}
		p.perByte = perByte
	}
	p.began = time.Time{}
}
