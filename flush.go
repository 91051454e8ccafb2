package ebb

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
)

// Flush writes what is in memory to tables. It returns when everything that was written before the call is in one.
func (db *DB) Flush() error {
	if v := db.live.View(); !db.health.closed.Load() && !db.opts.ReadOnly && !v.Mem.Empty() {
		_ = db.log.Prepare() // so that writes do not wait for it; if it fails freeze says so
	}
	if err := db.freezeAll(); err != nil {
		return err
	}
	return db.flusher.flushFrozen()
}

// freezeAll freezes the active memtable, unless that is empty.
func (db *DB) freezeAll() error {
	t := db.pipeline.lock()
	defer t.end()
	switch {
	case db.health.closed.Load():
		return ErrClosed
	case db.opts.ReadOnly:
		return ErrReadOnly
	case t.mem().Empty():
		return nil
	}
	return t.freeze()
}

// flusher makes tables of frozen memtables, the oldest first, and deletes the log segments that are obsolete then.
type flusher struct {
	worker
	flushing sync.Mutex // held by whoever flushes, one at a time

	pipeline   *pipeline
	live       *lsm.Set
	counters   *counters
	compacter  *worker
	writerIdle time.Duration
	trim       logTrim
	last       flushTime
}

// flushFrozen flushes all frozen memtables, the oldest first. Once Close has begun it is ErrClosed.
func (f *flusher) flushFrozen() error { return f.flushUntil(f.health.work) }

// flushUntil is flushFrozen until ctx is done.
func (f *flusher) flushUntil(ctx context.Context) error {
	f.flushing.Lock()
	defer f.flushing.Unlock()
	for {
		if ctx.Err() != nil {
			return ErrClosed
		}
		v := f.live.View()
		if len(v.Frozen) == 0 {
			f.trim.again()
			return nil
		}
		if err := f.flush(v.Frozen[len(v.Frozen)-1]); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		f.succeeded()
		f.compacter.request()
	}
}

// flush makes a table of the oldest frozen memtable.
//
//  1. Sync the log past the memtable, and let reads see all of it: a table holds the newest version of each key only, so who
//     reads that must see no less. With that the next segment's header is on the disk, before a manifest counts on it.
//  2. Build the table and sync it, with its directory. A crash leaves a table that no manifest names; Open removes it.
//  3. Commit the manifest with the table, and with the log's first segment moved past the memtable. A crash leaves the old
//     manifest or the new one; with the new one the segments before are obsolete, and Open removes them.
//  4. Swap the view: the table takes the memtable's place.
//  5. Delete the obsolete segments. The memtable is flushed, whatever becomes of them: see logTrim.
func (f *flusher) flush(m *lsm.Mem) error {
	start := f.health.sys.now()
	if err := f.pipeline.showSynced(m.LastSeq, m.LogEnd); err != nil {
		return err
	}
	built, err := f.buildFlush(m, f.pipeline.dropNow())
	if err != nil {
		return noSpace(err)
	}
	next := f.live.View().After(m).Segment
	err = f.live.Commit(&lsm.Edit{
		Add:          built.Tables,
		FirstSegment: next,
		LastSeq:      m.LastSeq,
		Flushed:      m,
		Writers:      m.WritersAfter(f.live.Manifest().Writers, f.pipeline.clock.Now()-f.writerIdle.Milliseconds()),
	})
	if err != nil {
		return noSpace(err)
	}
	f.flushed(built, f.health.sys.since(start))
	f.last.set()
	time.AfterFunc(settleAfter+settleAfter/10, func() { f.compacter.request() })
	f.trim.before(next)
	return nil
}

// flushed counts a flush and tells of it.
func (f *flusher) flushed(built compaction.Result, took time.Duration) {
	c := f.counters
	c.flushes.Add(1)
	c.flushed.Add(built.Bytes)
	c.flushedFor.Add(int64(took))
	c.expired.Add(built.Expired)
	e := Flushed{Bytes: built.Bytes, Entries: built.Entries, Expired: built.Expired, Duration: took}
	for _, t := range built.Tables { // more than one only of a batch that is larger than a memtable
		e.Table = t.File
	}
	f.health.events.emit(e)
}

// buildFlush builds the table of a frozen memtable. What of it has expired is left out, and so are tombstones with nothing
// below.
func (f *flusher) buildFlush(m *lsm.Mem, now int64) (compaction.Result, error) {
	levels := f.live.View().Version.Levels
	// A compaction that runs meanwhile can only take from the levels.
	return compaction.BuildMemtable(context.Background(), m.Memtable, levels.Overlap, now, f.live.Output(0))
}

// flushOnClose writes what is in memory to a table if replaying it would take the next Open long. If that fails nothing is
// lost: the log has it.
func (db *DB) flushOnClose() {
	const worth = 1 << 20
	if db.health.failure() != nil || db.log.Err() != nil {
		return // nothing may be written any more
	}
	var err error
	t := db.pipeline.lock()
	if t.mem().Size() >= worth {
		err = t.freeze()
	}
	t.end()
	if err == nil {
		err = db.flusher.flushUntil(context.Background())
	}
	_ = db.pipeline.markClock() // what has expired in this run stays so; if it fails the log has told an event
	if err != nil {
		db.events.backgroundError("flush on close", err, 0)
	}
}
