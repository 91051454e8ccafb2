package ebb

import (
	"sync"
	"time"
)

// Writers are slowed when the background falls behind, a little at first, and stopped before memory or the number of
// tables that every read has to ask runs away.
const (
	// maxFrozen memtables may wait for their flush; with as many, a full memtable stops writers.
	maxFrozen = 2
	// From slowAt tables in level 0 on writers are slowed, at stopAt they are stopped. Compaction begins at 32 or before.
	slowAt = 40
	stopAt = 64
	// A writer that is slowed waits slowStep for each table above slowAt.
	slowStep = 20 * time.Microsecond
)

// stall is where writers wait for the background.
type stall struct {
	mu      sync.Mutex
	changed sync.Cond // what throttle looks at has changed
	began   time.Time // when DB.pressure became what it is; guarded by mu
	reason  string    // for it; guarded by mu
}

func (s *stall) init() { s.changed.L = &s.mu }

// wake lets the writers that wait look again.
func (s *stall) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// Values of DB.pressure.
const (
	pressureNone    = iota
	pressureSlow    // by the number of tables in level 0
	pressureFlush   // stopped until a memtable is flushed
	pressureCompact // stopped until level 0 is compacted
)

// stops reports whether writers are stopped.
func stops(pressure int32) bool { return pressure >= pressureFlush }

// updatePressure decides how writers are to be treated. It is called whenever the view or the active memtable's fill has
// changed.
func (db *DB) updatePressure() {
	db.stall.mu.Lock()
	defer db.stall.mu.Unlock()
	v := db.view.Load()
	level0 := len(v.tables.levels[0])
	p, reason := int32(pressureNone), ""
	switch {
	case v.mem.Size() >= db.opts.memtableSize && v.full(db.opts.memtableSize):
		p, reason = pressureFlush, "memtables wait for their flush"
	case level0 >= stopAt:
		p, reason = pressureCompact, "level 0 waits for its compaction"
	case level0 >= slowAt:
		p, reason = pressureSlow, "level 0 waits for its compaction"
	}
	if was := db.pressure.Swap(p); was != p {
		db.tellStallLocked(was, p, reason)
	}
	db.stall.changed.Broadcast()
}

// tellStallLocked tells that pressure has changed. The caller holds stall.mu.
func (db *DB) tellStallLocked(was, is int32, reason string) {
	s, now := &db.stall, time.Now()
	if was != pressureNone {
		db.emit(StallEnded{Stopped: stops(was), Reason: s.reason, Duration: now.Sub(s.began)})
	}
	if is != pressureNone {
		db.emit(StallBegan{Stopped: stops(is), Reason: reason})
	}
	s.began, s.reason = now, reason
}

// awaited returns why what writers wait for makes no progress, or nil if it does. What else fails is not theirs to be told.
func (db *DB) awaited() error {
	failure := &db.flushFailed
	if db.pressure.Load() == pressureCompact {
		failure = &db.compactFailed
	}
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// throttle holds a writer up as far as the background is behind.
func (db *DB) throttle() error {
	if db.pressure.Load() == pressureSlow {
		behind := len(db.view.Load().tables.levels[0]) - slowAt + 1
		start := time.Now()
		time.Sleep(time.Duration(behind) * slowStep)
		db.stats.slowed.Add(1)
		db.stats.slowedFor.Add(int64(time.Since(start)))
	}
	if !stops(db.pressure.Load()) {
		return nil
	}
	if db.opts.manual {
		return db.flushFrozen() // nobody else would
	}
	db.stats.stopped.Add(1)
	start := time.Now()
	defer func() { db.stats.stoppedFor.Add(int64(time.Since(start))) }()
	db.stall.mu.Lock()
	defer db.stall.mu.Unlock()
	for stops(db.pressure.Load()) {
		if db.closed.Load() {
			return ErrClosed
		}
		if err := db.failure(); err != nil {
			return err
		}
		if err := db.awaited(); err != nil {
			return err
		}
		db.stall.changed.Wait()
	}
	return nil
}
