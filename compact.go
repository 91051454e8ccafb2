package ebb

import (
	"context"
	"slices"

	"github.com/ebbdb/ebb/compaction"
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

// Compact flushes, and then rewrites all tables until everything is in one level and nothing that was deleted, overwritten
// or has expired takes space. It is never needed: the background keeps space and reads in bounds. Where tables are damaged it
// does what can be done around them, and returns an error that matches ErrCorrupt.
func (db *DB) Compact(ctx context.Context) error {
	if err := db.reporter.catchUp(); err != nil {
		return err
	}
	if err := db.Flush(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.health.work, cancel)()
	defer cancel()
	db.compacter.compacting.Lock()
	defer db.compacter.compacting.Unlock()
	if db.health.closed.Load() { // ctx may lag behind
		return ErrClosed
	}
	all, last := false, db.live.View().Version.LastSeq
	err := db.compacter.runPlans(ctx, func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
		plan := compaction.PickAll(l, now, c)
		if plan == nil || plan.All && all || !plan.All && onlyNewer(plan, l, last) {
			return nil // what has been flushed meanwhile is not ours: writers could keep us here for ever
		}
		all = all || plan.All
		return plan
	})
	if err != nil && db.health.closed.Load() {
		return ErrClosed
	}
	if err == nil {
		err = db.compacter.damage.left()
	}
	return err
}

// onlyNewer reports whether all tables that a plan takes from level 0 have something that is newer than a sequence.
func onlyNewer(plan *compaction.Plan, l *compaction.Levels, last uint64) bool {
	newer := 0
	for _, t := range plan.Tables() {
		if !slices.Contains(l[0], t) {
			continue
		}
		if t.Reader.Properties().MaxSeq <= last {
			return false
		}
		newer++
	}
	return newer > 0 && plan.Action != compaction.Drop
}
