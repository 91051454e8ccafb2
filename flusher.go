package ebb

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/wal"
)

// flusher makes tables of frozen memtables, the oldest first, and deletes the log segments that become obsolete.
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
		oldest, pace := v.Frozen[len(v.Frozen)-1], &f.pipeline.stall.pace
		size := oldest.Size()
		pace.flushBegins(f.health.sys.now())
		err := f.flush(oldest)
		pace.flushEnds(f.health.sys.now(), size, err)
		if err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		f.succeeded()
		f.compacter.request()
	}
}

// flush makes a table of the oldest frozen memtable.
//
//  1. Sync the log past the memtable, and make everything in the memtable visible: a table holds the newest version of each
//     key only, so a reader of the table must see that version. The same sync puts the next segment's header on the disk,
//     before a manifest counts on it.
//  2. Build the table and sync it, with its directory. A crash leaves a table that no manifest names; Open removes it.
//  3. Commit the manifest with the table, and with the log's first segment moved past the memtable. A crash leaves the old
//     manifest or the new one; with the new one the earlier segments are obsolete, and Open removes them.
//  4. Swap the view: the table takes the memtable's place.
//  5. Delete the obsolete segments. If that fails the memtable is flushed all the same: see logTrim.
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
	f.last.set(f.live.View())
	for _, after := range []time.Duration{settleAfter, fillsIn} {
		time.AfterFunc(after+after/10, func() { f.compacter.request() })
	}
	f.trim.before(next)
	return nil
}

// flushed counts a flush and emits its event.
func (f *flusher) flushed(built compaction.Result, took time.Duration) {
	c := f.counters
	c.flushes.Add(1)
	c.flushed.Add(built.Bytes)
	c.flushedFor.Add(int64(took))
	c.expired.Add(built.Expired)
	c.evicted.Add(built.Evicted)
	e := Flushed{Bytes: built.Bytes, Entries: built.Entries, Expired: built.Expired, Evicted: built.Evicted, Duration: took}
	for _, t := range built.Tables { // more than one only of a batch that is larger than a memtable
		e.Table = t.File
	}
	f.health.events.emit(e)
}

// buildFlush builds the table of a frozen memtable. Expired entries are left out, or kept as tombstones if there may be
// older versions below; tombstones with nothing below them are left out.
func (f *flusher) buildFlush(m *lsm.Mem, now int64) (compaction.Result, error) {
	v := f.live.View().Version
	levels := v.Levels
	// A compaction that runs meanwhile can only take from the levels.
	return compaction.BuildMemtable(context.Background(), m.Memtable, levels.Overlap, now, v.Evictions, f.live.Output(0))
}

// logTrim deletes the log segments that no memtable needs any more. The flush or Ingest that made the segments obsolete has
// succeeded, whether they can be deleted or not. So a failure is no caller's error: it is told as an event, and the deletion
// is tried again with a flush, which logTrim requests after a pause.
type logTrim struct {
	log     *wal.Log // nil in a read-only database
	flusher *worker

	mu struct { // no read and no write waits for it
		sync.Mutex
		obsolete uint32        // the segments before this one are obsolete
		pause    time.Duration // from the last failure to due; 0 if there was none
		due      time.Time     // when to try again
	}
}

// before deletes the segments before the given one.
func (t *logTrim) before(segment uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.obsolete = max(t.mu.obsolete, segment)
	t.deleteLocked()
}

// again retries a deletion that has failed, if it is due.
func (t *logTrim) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.pause != 0 && !t.flusher.health.sys.now().Before(t.mu.due) {
		t.deleteLocked()
	}
}

func (t *logTrim) deleteLocked() {
	err := t.log.DeleteBefore(t.mu.obsolete)
	switch {
	case err == nil:
		t.mu.pause = 0
	case t.log.Err() != nil:
		t.mu.pause = 0
		t.flusher.health.events.backgroundError("delete log segments", err, 0) // the next Open deletes them
	default:
		t.mu.pause = min(max(2*t.mu.pause, retryFirst), retryLast)
		t.mu.due = t.flusher.health.sys.now().Add(t.mu.pause)
		t.flusher.health.events.backgroundError("delete log segments", err, t.mu.pause)
		time.AfterFunc(t.mu.pause, t.flusher.request)
	}
}
