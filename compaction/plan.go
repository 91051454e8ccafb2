package compaction

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

// Plan says what to do with some tables.
type Plan struct {
	Reason string // for people
	Action Action
	Inputs [][]*Table // newest first; the tables of one element do not overlap
	Level  int        // where the outputs belong
	// Deleted says of a Drop that newer range deletes cover the inputs; false: they have expired or were evicted.
	Deleted bool
	// ForReads says that it is what Config.Paid asks for.
	ForReads bool

	older   Levels // the tables that are older than the inputs and not among them
	evicted kv.Evictions
	cuts    [][]byte // see Output.Cuts
	into    []*Table // of the inputs, those that lie in Level already
}

// Action is how a plan is carried out.
type Action uint8

const (
	// Rewrite merges the inputs into new tables: see Run.
	Rewrite Action = iota
	// Move takes the inputs to another level as they are.
	Move
	// Drop takes the inputs away, unread: everything in them has expired or was evicted, and they hide nothing older; or newer
	// range deletes cover all of them.
	Drop
)

// String returns the action's name.
func (a Action) String() string { return [...]string{"rewrite", "move", "drop"}[a] }

// Tables returns all inputs.
func (p *Plan) Tables() []*Table {
	var all []*Table
	for _, run := range p.Inputs {
		all = append(all, run...)
	}
	return all
}

// level0 plans to compact level 0 into the first level, or as many of its tables as can go there; if there is no room for that,
// to merge some of them. It is nil if none can.
func (p *picker) level0(reason string) *Plan {
	tables := p.free()
	to := p.below(tables)
	if to == 0 {
		if plan := p.within0(reason); p.fits(plan) {
			return plan
		}
		return p.merge0(reason)
	}
	plan := p.rewrite(reason, 0, to, tables)
	if p.inRuns() {
		plan.cut(p.Levels, p.base)
	}
	if p.fits(plan) {
		return plan
	}
	return p.merge0(reason)
}

// push brings a table one level down.
func (p *picker) push(reason string, level int, t *Table) *Plan {
	return p.rewrite(reason, level, level+1, []*Table{t})
}

// rewrite plans to bring tables of a level to another, merged with the tables that they overlap there. If there are none, and
// a rewrite would leave nothing out, they move.
func (p *picker) rewrite(reason string, from, to int, tables []*Table) *Plan {
	plan := &Plan{Reason: reason, Level: to, older: p.after(to), evicted: p.evicted}
	if from == 0 {
		for _, t := range tables {
			plan.Inputs = append(plan.Inputs, []*Table{t})
		}
	} else {
		plan.Inputs = [][]*Table{slices.Clone(tables)}
	}
	var overlapped []*Table
	if from != to {
		start, end := hull(tables)
		overlapped = p.overlapping(to, start, end)
	}
	if len(overlapped) > 0 {
		plan.into = slices.Clone(overlapped)
		plan.Inputs = append(plan.Inputs, plan.into)
	} else if from != to && disjoint(tables) && (!p.rewarding(tables) || p.damaged[tables[0]]) {
		plan.Action = Move
	}
	return plan
}

// everything plans to rewrite all tables into the last level.
func (p *picker) everything() *Plan {
	plan := &Plan{Reason: "compact all", Level: bottom, evicted: p.evicted}
	for _, t := range p.Levels[0] {
		plan.Inputs = append(plan.Inputs, []*Table{t})
	}
	for _, tables := range p.Levels[1:] {
		if len(tables) > 0 {
			plan.Inputs = append(plan.Inputs, slices.Clone(tables))
		}
	}
	return plan
}

// after returns the levels that are older than one.
func (p *picker) after(level int) Levels {
	var older Levels
	copy(older[level+1:], p.Levels[level+1:])
	return older
}

// rewarding reports whether rewriting tables leaves something out.
func (p *picker) rewarding(tables []*Table) bool {
	return slices.ContainsFunc(tables, func(t *Table) bool {
		return t.props.ExpiredBytes(p.gone(t)) > 0 || t.props.Tombstones > 0 || len(t.props.RangeDeletes) > 0
	})
}

// hull returns the least stretch of keys that all of some tables lie in.
func hull(tables []*Table) (start, end []byte) {
	start, end = tables[0].start, tables[0].end
	for _, t := range tables {
		if kv.Compare(t.start, start) < 0 {
			start = t.start
		}
		if kv.Compare(t.end, end) > 0 {
			end = t.end
		}
	}
	return start, end
}

// disjoint reports whether no two tables overlap.
func disjoint(tables []*Table) bool {
	sorted := slices.SortedFunc(slices.Values(tables), func(a, b *Table) int { return kv.Compare(a.start, b.start) })
	for i := 1; i < len(sorted); i++ {
		if kv.Compare(sorted[i-1].end, sorted[i].start) > 0 {
			return false
		}
	}
	return true
}
