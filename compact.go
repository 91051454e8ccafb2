package ebb

import (
	"context"

	"github.com/ebbdb/ebb/compaction"
)

// Flush writes the memtables to tables. It returns when every write before the call is in a table.
func (db *DB) Flush() error {
	if v := db.live.View(); !db.health.closed.Load() && !db.opts.ReadOnly && !v.Mem.Empty() {
		_ = db.log.Prepare() // the next segment, so that writes do not wait for it; freeze reports a failure
	}
	if err := db.freezeAll(); err != nil {
		return err
	}
	return db.flusher.flushFrozen()
}

// freezeAll freezes the active memtable, unless the memtable is empty.
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

// Compact flushes, and then rewrites all tables until everything is in one level and no deleted, overwritten or expired
// entry takes space. Calling Compact is never needed: the background keeps space and the cost of reads in bounds. Damaged
// tables are left as they are and the others compacted around them; the error of Compact then matches ErrCorrupt.
func (db *DB) Compact(ctx context.Context) error {
	if err := db.reporter.catchUp(); err != nil {
		return err
	}
	if err := db.Flush(); err != nil {
		return err
	}
	return db.compacter.finish(ctx, compaction.PickAll)
}

// CompactRange is Compact for the keys from start up to but not including end; a nil end is no bound. It rewrites the tables
// that hold something of the range, until what they hold of it is in one level and takes no more space than it needs. A range
// whose end is not behind its start is no error: there is nothing to do.
func (db *DB) CompactRange(ctx context.Context, start, end []byte) error {
	if err := checkRange(start, end); err != nil {
		return err
	}
	if isEmpty(start, end) {
		return db.health.refusal()
	}
	if err := db.reporter.catchUp(); err != nil {
		return err
	}
	if err := db.Flush(); err != nil {
		return err
	}
	return db.compacter.finish(ctx, func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
		return compaction.PickRange(l, now, c, start, end)
	})
}

// finish runs the plans that pick picks until it picks none, for a caller who waits. It leaves flushes that come meanwhile to
// the background: writers could keep it here for ever.
func (c *compacter) finish(ctx context.Context, pick picker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(c.health.work, cancel)()
	defer cancel()
	c.compacting.Lock()
	defer c.compacting.Unlock()
	if c.health.closed.Load() { // ctx is cancelled a little later
		return ErrClosed
	}
	last := c.live.View().Version.LastSeq
	err := c.runPlans(ctx, func(l *compaction.Levels, now int64, how compaction.Config) *compaction.Plan {
		return pick(withoutNewer(l, last), now, how)
	})
	if err != nil && c.health.closed.Load() {
		return ErrClosed
	}
	if err == nil {
		err = c.damage.left()
	}
	return err
}

// withoutNewer returns levels without the tables of level 0 that have an entry newer than sequence last. All others are older
// than these.
func withoutNewer(l *compaction.Levels, last uint64) *compaction.Levels {
	older := *l
	for len(older[0]) > 0 && older[0][0].Reader.Properties().MaxSeq > last {
		older[0] = older[0][1:]
	}
	return &older
}
