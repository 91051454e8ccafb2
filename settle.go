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

// settleLoop looks at the memtable once in settleAfter, until Close.
func (db *DB) settleLoop() {
	timer := time.NewTimer(settleAfter)
	defer timer.Stop()
	seen := uint64(0)
	for {
		select {
		case <-db.health.work.Done():
			return
		case <-db.settles: // the first write since it rested
			timer.Reset(settleAfter)
			continue
		case <-timer.C:
		}
		if !db.settle(&seen) {
			timer.Reset(settleAfter)
		}
	}
}

// settle freezes the memtable if it is worth it. It reports whether there is nothing to do before the next write: nothing was
// written since it last was called, with seen.
func (db *DB) settle(seen *uint64) (rests bool) {
	t := db.pipeline.lock()
	m, idle := t.mem(), t.lastSeq() == *seen
	*seen = t.lastSeq()
	t.restSettler(idle)
	t.end()
	if !db.worthSettling(m, idle) {
		return idle
	}
	t = db.pipeline.lock()
	defer t.end()
	if t.mem() == m && len(db.live.View().Frozen) == 0 && db.health.refusal() == nil {
		rests = t.freeze() == nil // if it fails the log has told an event
	}
	t.restSettler(rests)
	return rests
}

// worthSettling reports whether a memtable hides so much that it should be flushed.
func (db *DB) worthSettling(m *lsm.Mem, idle bool) bool {
	levels := &db.live.View().Version.Levels
	share := busyShare
	if idle {
		share = idleShare
	}
	hidden := m.Hides(levels).Size
	return hidden > db.opts.memtableSize && float64(hidden+levels.Hidden().Size) > share*float64(levels.Total())
}
