package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
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

// compacter keeps tables few, and frees the space of what has expired, was overwritten or deleted.
type compacter struct {
	worker
	compacting sync.Mutex // held by whoever compacts, one at a time

	pipeline  *pipeline
	live      *lsm.Set
	counters  *counters
	lastFlush *flushTime
	damage    damagedSet
}

// compactPicked compacts what the picker picks.
func (c *compacter) compactPicked() error {
	paid := c.readsHavePaid()
	c.compacting.Lock()
	defer c.compacting.Unlock()
	return c.runPlans(c.health.work, func(l *compaction.Levels, now int64, how compaction.Config) *compaction.Plan {
		how.Paid = paid
		return compaction.Pick(l, now, how)
	})
}

// readsHavePaid reports whether reads have paid for a compaction of level 0. If they have, and the memtable is worth it, it
// is flushed first, which brings the background back here.
func (c *compacter) readsHavePaid() bool {
	v := c.live.View()
	levels := &v.Version.Levels
	memory := int64(0)
	if c.live.Rent().Worth(v.Mem) {
		memory = v.Mem.Size()
	}
	if memory == 0 && len(levels[0]) == 0 {
		c.live.Rent().Reset()
		return false
	}
	if c.live.Rent().Paid() < memory+compaction.Level0Cost(levels, c.compaction()) {
		return false
	}
	if memory > 0 {
		t := c.pipeline.lock()
		defer t.end()
		if v.Mem == t.mem() && len(v.Frozen) == 0 && c.health.failure() == nil {
			if err := t.freeze(); err != nil { // that is the next write's to report
				c.live.Rent().Reset()
			}
		}
		return false
	}
	c.live.Rent().Reset()
	return true
}

// compaction returns how to compact now.
func (c *compacter) compaction() compaction.Config {
	damaged, _ := c.damage.in(c.live.View().Version)
	return compaction.Config{
		Damaged: damaged,
		Base:    8 * c.pipeline.memtableSize,
		Settle:  c.lastFlush.settled(),
	}
}

// runPlans picks and runs until there is nothing to do. A table that turns out to be damaged is no failure: it is set apart,
// and picking goes on without it. The caller is the only one that compacts.
func (c *compacter) runPlans(ctx context.Context, pick func(*compaction.Levels, int64, compaction.Config) *compaction.Plan) error {
	for ctx.Err() == nil {
		plan := pick(&c.live.View().Version.Levels, c.pipeline.dropNow(), c.compaction())
		if plan == nil {
			return nil
		}
		err := c.runPlan(ctx, plan)
		if in := (*compaction.InputError)(nil); errors.As(err, &in) {
			c.damage.setApart(in.Table, in.Err)
		} else if err != nil {
			return fmt.Errorf("compact: %w", err)
		} else {
			c.succeeded()
		}
	}
	return ctx.Err()
}

// runPlan carries a plan out and commits the result. The steps are those of a flush: tables, directory, manifest, view,
// and only then are the inputs deleted.
func (c *compacter) runPlan(ctx context.Context, p *compaction.Plan) error {
	start := c.health.sys.now()
	inputs := p.Tables()
	result := compaction.Result{Tables: inputs}
	switch p.Action {
	case compaction.Drop:
		result.Tables = nil
	case compaction.Rewrite:
		var err error
		if result, err = compaction.Run(ctx, p, c.pipeline.dropNow(), c.live.Output(p.Level)); err != nil {
			return noSpace(err)
		}
	}
	err := c.live.Commit(&lsm.Edit{Remove: inputs, Add: result.Tables, Level: p.Level})
	if err != nil {
		return noSpace(err)
	}
	if p.Action == compaction.Drop {
		c.dropped(p, inputs)
	} else {
		c.compacted(p, inputs, result, c.health.sys.since(start))
	}
	return nil
}

// dropped counts tables that were dropped whole and tells of them.
func (c *compacter) dropped(plan *compaction.Plan, tables []*compaction.Table) {
	now := c.pipeline.clock.Now()
	for _, t := range tables {
		p := t.Reader.Properties()
		c.counters.dropped.Add(1)
		c.counters.droppedBytes.Add(t.Size)
		if plan.Deleted {
			c.health.events.emit(TableDeleted{Table: t.File, Bytes: t.Size, Entries: p.Entries})
			continue
		}
		c.counters.expired.Add(p.Entries)
		c.health.events.emit(TableExpired{Table: t.File, Bytes: t.Size, Entries: p.Entries, Overdue: ttl.Overdue(p.MaxDeadline, now)})
	}
}

// compacted counts a plan that was carried out and tells of it.
func (c *compacter) compacted(p *compaction.Plan, inputs []*compaction.Table, result compaction.Result, took time.Duration) {
	e := Compacted{Reason: p.Reason, Level: p.Level, Moved: p.Action == compaction.Move, Inputs: len(inputs),
		Outputs: len(result.Tables), OutputBytes: result.Bytes, Expired: result.Expired, Duration: took}
	if !e.Moved {
		for _, t := range inputs {
			e.InputBytes += t.Size
		}
		n := c.counters
		n.compactions.Add(1)
		n.compactionRead.Add(e.InputBytes)
		n.compacted.Add(result.Bytes)
		n.compactedFor.Add(int64(took))
		n.expired.Add(result.Expired)
	}
	c.health.events.emit(e)
}
