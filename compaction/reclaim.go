package compaction

import (
	"slices"
	"sort"

	"github.com/ebbdb/ebb/internal/kv"
)

// drop finds all tables that can go unread.
func (p *picker) drop() *Plan {
	var dropped []*Table
	var stay Levels
	keep := func(level int, t *Table) {
		older := t.props.AllExpired(p.gone(t))
		for below := range stay {
			if !older {
				break
			}
			for _, o := range stay[below] {
				if o.overlaps(t.start, t.end) {
					older = false
					break
				}
			}
		}
		if older {
			dropped = append(dropped, t)
		} else {
			stay[level] = append(stay[level], t)
		}
	}
	for level := bottom; level >= 0; level-- {
		for _, t := range slices.Backward(p.Levels[level]) { // within level 0 the oldest is last
			if level > 0 && !t.props.AllExpired(p.gone(t)) {
				stay[level] = append(stay[level], t)
				continue
			}
			keep(level, t)
		}
	}
	if len(dropped) == 0 {
		return nil
	}
	return &Plan{Reason: "expired", Action: Drop, Inputs: [][]*Table{dropped}}
}

// dropCovered finds all tables that newer range deletes cover completely. They can go unread: the older entries that they
// hide are covered, too.
func (p *picker) dropCovered() *Plan {
	covering := p.covering()
	if len(covering) == 0 {
		return nil
	}
	var dropped []*Table
	for _, t := range p.All() {
		if allCovered(t, covering) {
			dropped = append(dropped, t)
		}
	}
	if len(dropped) == 0 {
		return nil
	}
	return &Plan{Reason: "deleted", Action: Drop, Inputs: [][]*Table{dropped}, Deleted: true}
}

// covering returns the range deletes of each table that has any: none overlaps another, in the order of their keys.
func (p *picker) covering() (list [][]kv.RangeDelete) {
	for _, t := range p.All() {
		if len(t.deletes) > 0 {
			list = append(list, t.deletes)
		}
	}
	return list
}

// allCovered reports whether newer range deletes cover all of a table. Its own are not newer than all of it.
func allCovered(t *Table, covering [][]kv.RangeDelete) bool {
	for key := t.start; kv.Compare(key, t.end) < 0; {
		reached := key
		for _, deletes := range covering {
			after := sort.Search(len(deletes), func(i int) bool { return kv.Compare(deletes[i].Start, key) > 0 })
			if after > 0 && deletes[after-1].Seq > t.props.MaxSeq && kv.Compare(deletes[after-1].End, reached) > 0 {
				reached = deletes[after-1].End
			}
		}
		if kv.Compare(reached, key) == 0 {
			return false
		}
		key = reached
	}
	return true
}

// reclaim finds a table that is mostly of no use, or hides much.
func (p *picker) reclaim() *Plan {
	free := p.free()
	if len(free) > 0 && p.hidesMuch(0, free) {
		if plan := p.level0("reclaim"); plan != nil && plan.Level > 0 {
			return plan
		}
	}
	for level := range NumLevels {
		for _, t := range p.Levels[level] {
			if p.damaged[t] || level == 0 && !slices.Contains(free, t) {
				continue
			}
			expired := t.props.ExpiredBytes(p.gone(t))
			to := min(level+1, bottom)
			switch stuck := level > 0 && level < bottom && !p.canSink(level, t); {
			case p.worth(t, expired):
				if stuck {
					to = level
				}
				if level == 0 && p.bound != nil {
					if plan := p.rewrite0("reclaim", slices.Index(p.Levels[0], t), 1); p.fits(plan) {
						return plan
					}
				}
			case stuck:
				continue
			case level < bottom && 2*t.props.Tombstones > t.props.Entries && p.frees(level, t):
			case level < bottom && t.props.Entries == 0: // range deletes alone
			case level > 0 && p.hidesMuch(level, []*Table{t}):
			default:
				continue
			}
			if level > 0 {
				if plan := p.rewrite("reclaim", level, to, []*Table{t}); p.fits(plan) {
					return plan
				}
				continue
			}
			if plan := p.level0("reclaim"); plan != nil && plan.Level > 0 {
				return plan
			}
		}
	}
	return nil
}

// frees reports whether the tombstones of a table, if each hides an entry of average size, free a quarter of the bytes that
// have to be rewritten to be rid of the tombstones. A few of them, spread over all keys, are not worth rewriting everything.
func (p *picker) frees(level int, t *Table) bool {
	var below int64
	var entries uint64
	for l := level + 1; l < NumLevels; l++ {
		for _, o := range p.overlapping(l, t.start, t.end) {
			below += o.Size
			entries += o.props.Entries
		}
	}
	freed := float64(below) * float64(t.props.Tombstones) / float64(max(entries, 1))
	return below == 0 || 4*freed >= float64(t.Size+below)
}

// hidesMuch reports whether tables of a level hide so much that half of the bytes that a rewrite reads would go.
func (p *picker) hidesMuch(level int, tables []*Table) bool {
	var size, below int64
	var hidden Hidden
	for _, t := range tables {
		h := p.hides(level, t)
		size, hidden.Size = size+t.Size, hidden.Size+h.Size
	}
	if hidden.Size <= level0Share*size {
		return false
	}
	start, end := hull(tables)
	for l := level + 1; l < NumLevels; l++ {
		for _, o := range p.overlapping(l, start, end) {
			below += o.Size
		}
	}
	return 2*min(hidden.Size, below) >= size+below
}
