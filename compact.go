package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
)

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
	db.compacting.Lock()
	defer db.compacting.Unlock()
	if db.health.closed.Load() { // ctx may lag behind
		return ErrClosed
	}
	all, last := false, db.live.View().Version.LastSeq
	err := db.runPlans(ctx, func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
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
		err = db.leftAsTheyAre()
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

// compactPicked compacts what the picker picks.
func (db *DB) compactPicked() error {
	paid := db.readsHavePaid()
	db.compacting.Lock()
	defer db.compacting.Unlock()
	return db.runPlans(db.health.work, func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
		c.Paid = paid
		return compaction.Pick(l, now, c)
	})
}

// compaction returns how to compact now.
func (db *DB) compaction() compaction.Config {
	damaged, _ := db.damage.in(db.live.View().Version)
	return compaction.Config{
		Damaged: damaged,
		Base:    8 * db.opts.memtableSize,
		Settle:  db.lastFlush.settled(),
	}
}

// runPlans picks and runs until there is nothing to do. A table that turns out to be damaged is no failure: it is set apart,
// and picking goes on without it. The caller is the only one that compacts.
func (db *DB) runPlans(ctx context.Context, pick func(*compaction.Levels, int64, compaction.Config) *compaction.Plan) error {
	for ctx.Err() == nil {
		plan := pick(&db.live.View().Version.Levels, db.reporter.dropNow(db.clock.Now()), db.compaction())
		if plan == nil {
			return nil
		}
		err := db.runPlan(ctx, plan)
		if in := (*compaction.InputError)(nil); errors.As(err, &in) {
			db.setApart(in.Table, in.Err)
		} else if err != nil {
			return fmt.Errorf("compact: %w", err)
		} else {
			db.compacter.succeeded()
		}
	}
	return ctx.Err()
}

// runPlan carries a plan out and commits the result. The steps are those of a flush: tables, directory, manifest, view,
// and only then are the inputs deleted.
func (db *DB) runPlan(ctx context.Context, p *compaction.Plan) error {
	start := db.health.sys.now()
	inputs := p.Tables()
	result := compaction.Result{Tables: inputs}
	switch p.Action {
	case compaction.Drop:
		result.Tables = nil
	case compaction.Rewrite:
		var err error
		if result, err = compaction.Run(ctx, p, db.reporter.dropNow(db.clock.Now()), db.live.Output(p.Level)); err != nil {
			return noSpace(err)
		}
	}
	err := db.live.Commit(&lsm.Edit{Remove: inputs, Add: result.Tables, Level: p.Level})
	if err != nil {
		return noSpace(err)
	}
	if p.Action == compaction.Drop {
		db.dropped(p, inputs)
	} else {
		db.compacted(p, inputs, result, db.health.sys.since(start))
	}
	return nil
}

// dropped counts tables that were dropped whole and tells of them.
func (db *DB) dropped(plan *compaction.Plan, tables []*compaction.Table) {
	now := db.clock.Now()
	for _, t := range tables {
		p := t.Reader.Properties()
		db.stats.dropped.Add(1)
		db.stats.droppedBytes.Add(t.Size)
		if plan.Deleted {
			db.events.emit(TableDeleted{Table: t.File, Bytes: t.Size, Entries: p.Entries})
			continue
		}
		db.stats.expired.Add(p.Entries)
		db.events.emit(TableExpired{Table: t.File, Bytes: t.Size, Entries: p.Entries, Overdue: overdue(p.MaxDeadline, now)})
	}
}

// compacted counts a plan that was carried out and tells of it.
func (db *DB) compacted(p *compaction.Plan, inputs []*compaction.Table, result compaction.Result, took time.Duration) {
	e := Compacted{Reason: p.Reason, Level: p.Level, Moved: p.Action == compaction.Move, Inputs: len(inputs),
		Outputs: len(result.Tables), OutputBytes: result.Bytes, Expired: result.Expired, Duration: took}
	if !e.Moved {
		for _, t := range inputs {
			e.InputBytes += t.Size
		}
		c := &db.stats
		c.compactions.Add(1)
		c.compactionRead.Add(e.InputBytes)
		c.compacted.Add(result.Bytes)
		c.compactedFor.Add(int64(took))
		c.expired.Add(result.Expired)
	}
	db.events.emit(e)
}
