package ebb

import (
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
)

// settleAfter is how long after the last flush the database counts as idle, and compacts only to save space; and how often
// a memtable is looked at for what it hides.
const settleAfter = time.Second

// flushTime is when the last flush was, by a clock that nobody sets. The zero value is long ago.
type flushTime struct {
	sys *system
	at  atomic.Pointer[time.Time]
}

func (f *flushTime) set() {
	now := f.sys.now()
	f.at.Store(&now)
}

// settled reports whether it is long enough ago to count as idle.
func (f *flushTime) settled() bool {
	at := f.at.Load()
	return at == nil || f.sys.since(*at) >= settleAfter
}

// The settler flushes a memtable that is not full but hides much of what is in tables: a delete of everything is one record,
// and nothing that it deletes can go before it is in a table. While nothing is written it rests.
const (
	// A memtable is worth a flush if it hides more than a full one holds and, with what tables hide already, more than
	// idleShare of all tables, or busyShare while it is written to. After the flush the picker does the rest.
	idleShare = 0.25
	busyShare = 0.5
)

// settler looks at the active memtable for what it hides.
type settler struct {
	requests // the first write since it rested
	pipeline *pipeline
	live     *lsm.Set
	seen     uint64 // the newest write at the last look
}

// loop looks at the memtable once in settleAfter, until Close.
func (s *settler) loop() {
	timer := time.NewTimer(settleAfter)
	defer timer.Stop()
	for {
		select {
		case <-s.pipeline.health.work.Done():
			return
		case <-s.requests:
			timer.Reset(settleAfter)
			continue
		case <-timer.C:
		}
		if !s.settle() {
			timer.Reset(settleAfter)
		}
	}
}

// settle freezes the memtable if it is worth it. It reports whether there is nothing to do before the next write: nothing was
// written since the last look.
func (s *settler) settle() (rests bool) {
	t := s.pipeline.lock()
	m, idle := t.mem(), t.lastSeq() == s.seen
	s.seen = t.lastSeq()
	t.restSettler(idle)
	t.end()
	if !s.worth(m, idle) {
		return idle
	}
	t = s.pipeline.lock()
	defer t.end()
	if t.mem() == m && len(s.live.View().Frozen) == 0 && s.pipeline.health.refusal() == nil {
		rests = t.freeze() == nil // if it fails the log has told an event
	}
	t.restSettler(rests)
	return rests
}

// worth reports whether a memtable hides so much that it should be flushed.
func (s *settler) worth(m *lsm.Mem, idle bool) bool {
	levels := &s.live.View().Version.Levels
	share := busyShare
	if idle {
		share = idleShare
	}
	hidden := m.Hides(levels).Size
	return hidden > s.pipeline.memtableSize && float64(hidden+levels.Hidden().Size) > share*float64(levels.Total())
}
