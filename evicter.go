package ebb

import (
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/wal"
)

// evicter makes what has a deadline absent before the deadline, to free space.
type evicter struct {
	pipeline  *pipeline
	reporter  *reporter // nil: expiries are not reported
	live      *lsm.Set
	counters  *counters
	compacter *worker
}

// evict makes everything absent that was written before and has a deadline up to horizon, in Unix ms. Keys without a
// deadline stay.
//
//  1. A record with its own sequence goes through the log, as any write. From here on the write may survive a crash.
//  2. The log is synced, and the record becomes visible: reads find no evicted entry, and nothing beneath one.
//  3. The manifest takes the eviction. Only from here on do flushes and compactions leave out what was evicted: so nothing is
//     missing from tables that a crash before 2 brings back. If this step fails, which is told as an event, the eviction has
//     happened all the same, and the flush of the memtable that holds the record takes the step.
func (v *evicter) evict(horizon int64) error {
	e := Evicted{UpTo: time.UnixMilli(horizon)}
	e.Entries, e.Bytes = v.evictable(horizon)
	t, err := beginRange(v.pipeline, v.reporter)
	if err != nil {
		return err
	}
	err = t.write(wal.Entry{Kind: wal.KindEvict, Deadline: horizon}, &params{sync: true, versionTo: &e.Version})
	if err != nil {
		return err
	}
	v.counters.evictions.Add(1)
	v.pipeline.health.events.emit(e)
	if err := v.live.Commit(&lsm.Edit{Evicted: kv.Evictions{{Seq: e.Version, Horizon: horizon}}}); err != nil {
		v.pipeline.health.events.backgroundError("evict", noSpace(err), 0)
	}
	v.compacter.request()
	return nil
}

// evictable returns how much in tables has a deadline up to horizon, has not expired and was not evicted: a lower bound.
func (v *evicter) evictable(horizon int64) (entries uint64, bytes int64) {
	now, version := v.pipeline.clock.Now(), v.live.View().Version
	for _, t := range version.Levels.All() {
		gone := max(now, t.Evicted(version.Evictions))
		for _, b := range t.Reader.Properties().Deadlines {
			if b.UpTo > gone && b.UpTo <= horizon {
				entries, bytes = entries+b.Entries, bytes+int64(b.Bytes)
			}
		}
	}
	return entries, bytes
}
