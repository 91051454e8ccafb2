package compaction

import (
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// A bounded database has little room for what a Rewrite writes before its inputs go. So a plan whose inputs are larger than
// that room is none:
//
//   - A table of a level whose push does not fit stays, and another goes down.
//   - If level 0 does not fit as a whole, neighbours in it are merged, which stay there: so what is written and expires in one
//     order lies in one order, and goes unread, table by table. A look-up asks fewer tables then.
//   - A table of level 0 of which much has expired or was evicted is rewritten in its place.
//   - When nothing can be written any more, the oldest tables of level 0 go into the level above the last, a few at a time, as
//     tables that each overlap little of the last one. So these can be pushed down one by one, and there is always a plan that
//     fits: RocksDB cuts tables by what they overlap for the same reason (max_compaction_bytes).

// Bound says how a bounded database compacts.
type Bound struct {
	// Room is how many bytes a Rewrite may write.
	Room int64
	// Target is the size at which it begins the next table.
	Target int64
	// Table is how large a table of level 0 becomes by merging, at most: a part of what Room is when it is least.
	Table int64
	// Tight says that space is scarce: a table is rewritten for a quarter of it.
	Tight bool
	// Full says that nothing can be written until space was freed: what may free any is done.
	Full bool
}

// Of a table 1/freeShare has to be of no use to be worth a rewrite, and 1/tightShare where space is tight: then four bytes are
// written for each that is freed.
const (
	freeShare  = 2
	tightShare = 4
)

// fits reports whether there is room for a plan.
func (p *picker) fits(plan *Plan) bool {
	if p.bound == nil || plan == nil || plan.Action != Rewrite {
		return true
	}
	return plan.Need(p.bound) <= p.bound.Room
}

// TableCost is how many bytes a table has at most beside its entries and what grows with them: parts begin at a page.
const TableCost = 5 << 10

// entryCost is how many bytes a table has for an entry at most, beside value and key, which an index may have once more.
const entryCost = 128

// Need returns how many bytes a Rewrite writes at most.
func (p *Plan) Need(b *Bound) (n int64) {
	for _, t := range p.Tables() {
		n += t.Size
	}
	outputs := int64(1)
	if p.Level > 0 {
		outputs += n/b.Target + int64(len(p.cuts))
	}
	return n + outputs*TableCost
}

// worth reports whether so many bytes of no use make a rewrite of a table worth it.
func (p *picker) worth(t *Table, gone uint64) bool {
	share := uint64(freeShare)
	if p.bound != nil && p.bound.Tight {
		share = tightShare
	}
	return gone > 0 && share*gone >= t.props.KeyBytes+t.props.ValueBytes
}

// merge0 merges neighbours of level 0 such that none is larger than all newer ones together: so a byte is written but a few
// times. It is nil if there are too few.
func (p *picker) merge0(reason string) *Plan {
	first, most := 0, 0
	tables := p.Levels[0]
	for i := range tables {
		n, size := 0, int64(0)
		for _, t := range tables[i:] {
			if p.damaged[t] || size+t.Size > min(p.bound.Room-TableCost, p.bound.Table) || n > 0 && t.Size > size {
				break
			}
			n, size = n+1, size+t.Size
		}
		if n > most {
			first, most = i, n
		}
	}
	if most < level0Settled {
		return nil
	}
	return p.rewrite0(reason, first, most)
}

// rewrite0 rewrites neighbours of level 0, from one on, into one table that takes their place.
func (p *picker) rewrite0(reason string, from, n int) *Plan {
	plan := &Plan{Reason: reason, older: p.after(0), evicted: p.evicted}
	plan.older[0] = p.Levels[0][from+n:]
	for _, t := range p.Levels[0][from : from+n] {
		plan.Inputs = append(plan.Inputs, []*Table{t})
	}
	return plan
}

// PickFree is Pick for what frees space: tables are dropped, or rewritten for what has expired or was evicted, and with
// Bound.Full for all that newer entries hide, too.
func PickFree(l *Levels, now int64, c Config) *Plan {
	p := newPicker(l, now, c)
	choices := []func() *Plan{p.drop, p.dropCovered, p.sink, p.reclaim}
	if c.Bound != nil && c.Bound.Full {
		choices = append(choices, p.whole0, p.down, p.split, p.stage, p.join)
	}
	for _, choose := range choices {
		if plan := choose(); plan != nil {
			return plan
		}
	}
	return nil
}

// full is the reason of the plans that Bound.Full asks for.
const full = "space is wanted"

// whole0 plans to compact all of level 0, if there is room.
func (p *picker) whole0() *Plan {
	if plan := p.level0(full); plan != nil && plan.Level > 0 {
		return plan
	}
	return nil
}

// down plans to push a table down, from the lowest level of which there is room to push one.
func (p *picker) down() *Plan {
	for level := bottom - 1; level > 0; level-- {
		if t := p.cheapest(level); t != nil {
			return p.push(full, level, t)
		}
	}
	return nil
}

// split plans to cut a table that overlaps too much to be pushed, so that its parts do not.
func (p *picker) split() *Plan {
	for level := bottom - 1; level > 0; level-- {
		cuts := p.cuts(level + 1)
		for _, t := range p.Levels[level] {
			plan := p.rewrite(full, level, level, []*Table{t})
			for _, cut := range cuts {
				if kv.Compare(t.start, cut) < 0 && kv.Compare(cut, t.props.Largest) <= 0 {
					plan.cuts = append(plan.cuts, cut)
				}
			}
			if len(plan.cuts) > 0 && !p.damaged[t] && p.fits(plan) {
				return plan
			}
		}
	}
	return nil
}

// stage plans to bring the oldest tables of level 0, as many as there is room for, into the level above the last.
func (p *picker) stage() *Plan {
	var best *Plan
	to := min(p.first, bottom-1)
	cuts := p.cuts(to + 1)
	for from := len(p.Levels[0]) - 1; from >= 0; from-- {
		plan := p.rewrite(full, 0, to, p.Levels[0][from:])
		plan.Action, plan.cuts = Rewrite, cuts // moved as it is, it would overlap too much to be pushed
		if p.anyDamaged(plan.Tables()) || !p.fits(plan) {
			break
		}
		best = plan
	}
	return best
}

// join plans to make one of neighbours of the last level that surely fit one table: each has some bytes for itself.
func (p *picker) join() *Plan {
	tables := p.Levels[bottom]
	for i := range tables {
		n, data, entries := 0, uint64(0), uint64(0)
		for _, t := range tables[i:] {
			data, entries = data+2*t.props.KeyBytes+t.props.ValueBytes, entries+t.props.Entries
			if p.damaged[t] || len(t.deletes) > 0 || int64(data+entries*entryCost) > p.bound.Target ||
				p.memory > 0 && table.EntryMemory*int64(entries) > p.memory {
				break
			}
			n++
		}
		if n > 1 {
			if plan := p.rewrite(full, bottom, bottom, tables[i:i+n]); p.fits(plan) {
				return plan
			}
		}
	}
	return nil
}

// cuts returns keys between which the tables of a level have about half of Bound.Table bytes.
func (p *picker) cuts(level int) (keys [][]byte) {
	size := int64(0)
	for _, t := range p.Levels[level] {
		if size += t.Size; size >= p.bound.Table/2 {
			keys, size = append(keys, t.end), 0
		}
	}
	return keys
}

// Freed estimates how many bytes of tables PickFree frees once everything with a deadline up to horizon is evicted.
func (l *Levels) Freed(horizon, now int64, c Config) (freed int64) {
	p := newPicker(l, max(now, horizon), c)
	for level, t := range l.All() {
		data := t.props.KeyBytes + t.props.ValueBytes
		switch gone := t.props.ExpiredBytes(p.gone(t)); {
		case t.props.AllExpired(p.gone(t)):
			freed += t.Size
		case p.damaged[t] || !p.worth(t, gone) || t.Size+2*TableCost > p.bound.Room:
		case level == 0 || level == bottom || p.fits(p.push("", level, t)):
			freed += int64(float64(t.Size) * float64(gone) / float64(data))
		}
	}
	return freed
}
