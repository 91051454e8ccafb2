package compaction

import (
	"context"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
)

// Plan is what is to be done with some tables.
type Plan struct {
	Reason string // for people
	Action Action
	Inputs [][]*Table // newest first; the tables of one element do not overlap
	Level  int        // where the outputs belong
	All    bool       // the inputs are all tables
	older  Levels     // the tables that are older than the inputs and not among them
}

// Action is how a plan is carried out.
type Action uint8

const (
	// Rewrite merges the inputs into new tables: see Run.
	Rewrite Action = iota
	// Move takes the inputs to another level as they are.
	Move
	// Drop takes the inputs away, unread: everything in them has expired, and they hide nothing older.
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

// Run carries a Rewrite out and returns the new tables. The owner commits them in the place of the inputs, which must stay
// open until then, or discards them.
func Run(ctx context.Context, p *Plan, now int64, out Output) (Result, error) {
	in := Input{Older: p.older.Overlap, Now: now, BaseSeq: math.MaxUint64}
	var sources []kv.Iterator
	for _, run := range p.Inputs {
		source := new(merge.Concat[*Table])
		source.Reset(run, scan)
		sources = append(sources, source)
		for _, t := range run {
			in.Deletes = append(in.Deletes, t.props.RangeDeletes...)
			in.BaseSeq = min(in.BaseSeq, t.props.MinSeq)
		}
	}
	merged := new(merge.Iterator)
	merged.Reset(sources)
	defer merged.Close()
	in.Source = merged
	return Build(ctx, in, out)
}

// scan returns an iterator that leaves the cache alone. (Reset would give it the cache back.)
func scan(t *Table) kv.Iterator { return t.Reader.NewScanner() }

// Scan returns iterators over all tables, newest first, that leave the cache alone.
func (l *Levels) Scan() []kv.Iterator {
	var list []kv.Iterator
	for _, t := range l[0] {
		list = append(list, scan(t))
	}
	for _, tables := range l[1:] {
		if len(tables) > 0 {
			level := new(merge.Concat[*Table])
			level.Reset(tables, scan)
			list = append(list, level)
		}
	}
	return list
}
