package ebb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

// compacter keeps the tables few, and frees the space of expired, overwritten and deleted entries.
type compacter struct {
	worker
	compacting sync.Mutex // held by whoever compacts, one at a time

	pipeline    *pipeline
	live        *lsm.Set
	counters    *counters
	lastFlush   *flushTime
	buildMemory int64 // of the keys of a table
	damage      damagedSet
	awaited     *lsm.Mem // see readsHavePaid; only the worker's
	overwritten overwritten
	bound       *bound // nil: there is all the room that a compaction may need
}

// compactPicked runs the plans that the picker picks, until it picks none.
func (c *compacter) compactPicked() error {
	paid := c.readsHavePaid()
	c.compacting.Lock()
	defer c.compacting.Unlock()
	return c.runPlans(c.health.work, pickerFor(paid))
}

// pickerFor returns compaction.Pick. If reads have paid for a compaction it picks that, once: what is flushed while that runs
// is not paid for.
func pickerFor(paid bool) picker {
	return func(l *compaction.Levels, now int64, how compaction.Config) *compaction.Plan {
		how.Paid = paid
		plan := compaction.Pick(l, now, how)
		if plan != nil && plan.ForReads {
			paid = false
		}
		return plan
	}
}

// readsHavePaid reports whether reads have paid for a compaction, and as much was written since the last that it is allowed. If
// they have, memtables that wait for their flush are waited for, and the active one is frozen if it is large enough: then
// readsHavePaid returns false, and the flush asks for a compaction, which asks again. What has come since is not waited for.
func (c *compacter) readsHavePaid() bool {
	v, rent := c.live.View(), c.live.Rent()
	if slices.Contains(v.Frozen, c.awaited) {
		return false
	}
	waited := c.awaited != nil
	c.awaited = nil
	memory := int64(0)
	if !waited && rent.Worth(v.Mem) {
		memory = v.Mem.Size()
	}
	levels := &v.Version.Levels
	if memory == 0 && len(levels[0]) == 0 && (levels.Runs() == 0 || c.bound != nil) {
		rent.Reset()
		return false
	}
	cost := compaction.CostForReads(levels, c.compaction(), memory)
	if !cost.Flush {
		memory = 0
	}
	if cost.Bytes == 0 || rent.Paid() < cost.Bytes || !rent.Allows(cost.Bytes, memory) {
		return false
	}
	switch {
	case len(v.Frozen) > 0 && !waited:
		c.awaited = v.Frozen[0]
		return false
	case memory > 0:
		c.freezeForReads(v.Mem)
		return false
	}
	rent.Reset()
	rent.Spend(cost.Bytes, cost.All)
	return true
}

// freezeForReads freezes the active memtable, if that is m, and awaits its flush.
func (c *compacter) freezeForReads(m *lsm.Mem) {
	t := c.pipeline.lock()
	defer t.end()
	if m != t.mem() || len(c.live.View().Frozen) > 0 || c.health.failure() != nil {
		return
	}
	if err := t.freeze(); err != nil { // the next write reports the error
		c.live.Rent().Reset()
		return
	}
	c.awaited = m
}

// compaction returns how to compact now: the levels of a view that was loaded before the call.
func (c *compacter) compaction() compaction.Config {
	view := c.live.View()
	v := view.Version
	damaged, _ := c.damage.in(v)
	return compaction.Config{
		Evictions: v.Evictions,
		Damaged:   damaged,
		Base:      8 * c.pipeline.memtableSize,
		Settle:    c.lastFlush.settled(view, c.pipeline.memtableSize),
		Memory:    c.buildMemory,
		Bound:     c.bound.compactions(),

		Overwritten: c.overwritten.share(),
	}
}

// overwritten is which part of what came into the last level has overwritten something, by the last compactions. It is not
// stored: after Open it is taken to be half, until a compaction has shown it.
type overwritten struct{ less atomic.Uint64 } // Float64bits of half less the share

func (o *overwritten) share() float64 { return 0.5 - math.Float64frombits(o.less.Load()) }

// note takes a share into account, three times as much as all before it: one compaction of many entries says nearly all. The
// caller holds compacting.
func (o *overwritten) note(share float64, ok bool) {
	if ok {
		o.less.Store(math.Float64bits(0.5 - (o.share()+3*share)/4))
	}
}

// picker picks what to compact next: see compaction.Pick.
type picker func(*compaction.Levels, int64, compaction.Config) *compaction.Plan

// runPlans picks a plan and runs it, until there is none. A table that turns out to be damaged is no failure: the table is
// set apart, and picking goes on without it. The caller holds compacting.
func (c *compacter) runPlans(ctx context.Context, pick picker) error {
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
		if len(p.Inputs) >= lsm.UsualTables { // of level 0, or of runs: each is a source that reads are spared
			c.live.Rent().Merging(true)
			defer c.live.Rent().Merging(false)
		}
		var err error
		out := c.live.Output(p.Level)
		if c.bound != nil {
			out = c.bound.begin(p, out)
			defer c.bound.end()
		}
		if result, err = compaction.Run(ctx, p, c.pipeline.dropNow(), out); err != nil {
			return noSpace(err)
		}
	}
	err := c.live.Commit(&lsm.Edit{Remove: inputs, Add: result.Tables, Level: p.Level})
	if err != nil {
		return noSpace(err)
	}
	c.overwritten.note(p.Overwritten(result))
	if p.Action == compaction.Drop {
		c.dropped(p, inputs)
	} else {
		c.compacted(p, inputs, result, c.health.sys.since(start))
	}
	return nil
}

// dropped counts tables that were dropped whole, and emits an event for each.
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
		if !kv.Expired(p.MaxDeadline, now) {
			c.counters.evicted.Add(p.Entries)
			c.health.events.emit(TableEvicted{Table: t.File, Bytes: t.Size, Entries: p.Entries})
			continue
		}
		c.counters.expired.Add(p.Entries)
		c.health.events.emit(TableExpired{Table: t.File, Bytes: t.Size, Entries: p.Entries, Overdue: ttl.Overdue(p.MaxDeadline, now)})
	}
}

// compacted counts a plan that was carried out, and emits its event.
func (c *compacter) compacted(p *compaction.Plan, inputs []*compaction.Table, result compaction.Result, took time.Duration) {
	e := Compacted{Reason: p.Reason, Level: p.Level, Moved: p.Action == compaction.Move, Inputs: len(inputs),
		Outputs: len(result.Tables), OutputBytes: result.Bytes, Expired: result.Expired, Evicted: result.Evicted, Duration: took}
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
		n.evicted.Add(result.Evicted)
	}
	c.health.events.emit(e)
}

// damagedSet holds the tables that a compaction or Verify could not read whole. These tables are set apart: they stay live
// and are read, and the others are compacted around them. So one bad block stops neither compaction nor, with level 0 full,
// all writes.
//
// The set is not stored: after Open the next compaction that needs a damaged table finds the damage again.
type damagedSet struct {
	live   *lsm.Set
	events *eventQueue
	sys    *system
	mu     struct {
		sync.Mutex
		tables map[*compaction.Table]damagedTable
	}
}

type damagedTable struct {
	err   error
	found time.Time
}

// retryUnread is how long a table stays set apart whose read failed without ErrCorrupt: the disk did not give the bytes, and
// they may be right. After that the table is tried again.
const retryUnread = 10 * time.Minute

// note adds a table that cannot be read whole, and reports whether the set did not have it yet.
func (d *damagedSet) note(t *compaction.Table, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.mu.tables[t]; known {
		return false
	}
	if d.mu.tables == nil {
		d.mu.tables = make(map[*compaction.Table]damagedTable)
	}
	d.mu.tables[t] = damagedTable{err, d.sys.now()}
	return true
}

// in returns the damaged tables of a version, nil if there are none, and the error of one of them. It drops from the set the
// tables that are not in the version, and those that are to be tried again.
func (d *damagedSet) in(v *lsm.Version) (set map[*compaction.Table]bool, one error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, is := range d.mu.tables {
		if !v.Has(t) || !errors.Is(is.err, ErrCorrupt) && d.sys.since(is.found) > retryUnread {
			delete(d.mu.tables, t)
			continue
		}
		if set == nil {
			set = make(map[*compaction.Table]bool)
		}
		set[t], one = true, is.err
	}
	return set, one
}

// setApart adds a table that cannot be read whole, and emits TableDamaged if the table is new to the set.
func (d *damagedSet) setApart(t *compaction.Table, err error) {
	if !d.note(t, err) {
		return
	}
	for level, o := range d.live.View().Version.Levels.All() {
		if o == t {
			d.events.emit(TableDamaged{Table: t.File, Level: level, Bytes: t.Size, Err: err})
		}
	}
}

// left returns an error that counts the live tables that are damaged and so left as they are; nil if there are none.
func (d *damagedSet) left() error {
	if set, one := d.in(d.live.View().Version); set != nil {
		return fmt.Errorf("compact: %d damaged tables are left as they are: %w", len(set), one)
	}
	return nil
}
