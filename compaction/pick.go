package compaction

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

// Config sizes the levels.
type Config struct {
	// Base is the least size in bytes that a level other than the last is worth: about what a few memtables hold.
	Base int64
	// Settle asks for what only saves space, for when there is nothing else to do.
	Settle bool
	// Paid says that reads have paid for a compaction of level 0.
	Paid bool
	// Damaged are tables that cannot be read whole. They are not rewritten: see damaged.go.
	Damaged map[*Table]bool
}

const (
	// multiplier is how much larger each level is than the one before it.
	multiplier = 10
	// level0Most is the number of tables in level 0 at which they are compacted whoever reads, and level0Settled the one that
	// stays when there is nothing else to do.
	level0Most    = 32
	level0Settled = 4
	// level0Share is how many times as large as what it overlaps level 0 may become, beside Config.Base: at worst this much of
	// the space is overwritten data. It is what RocksDB's universal compaction has by default.
	level0Share = 2
	// settleShare is the part of the last level's size that may lie above it. What lies above is what overwrites, so it
	// bounds the space that overwritten data takes.
	settleShare = 0.25
)

// Pick returns what to do next, or nil if nothing is worth it. In this order:
//
//   - tables in which everything has expired are dropped unread, oldest first, so that none is dropped that hides something;
//   - tables of which newer range deletes cover all are dropped unread;
//   - damaged tables leave level 0;
//   - level 0 is compacted when it is large against what it overlaps, or has too many tables, a level when it is larger than
//     its target, whichever is more over;
//   - tables of which half has expired are rewritten, and those of mostly tombstones pushed down to where they go, as are
//     those that hide much more than they hold;
//   - level 0 is compacted if reads have paid for it, as Config.Paid says;
//   - level 0 is compacted if it is more than a few tables, and what lies above the last level is pushed down if it, or what
//     it hides, is much against that, if Config.Settle says so.
//
// Targets follow from the size of the last level, each a tenth of the next, as with RocksDB's dynamic level bytes ("Dynamic
// Leveled Compaction", RocksDB wiki): so the last level holds nine tenths of the data, and level 0 is compacted directly
// into the first level that is worth having.
//
// Carrying a plan out always brings tables down, or makes them fewer or smaller, so picking comes to an end.
func Pick(l *Levels, now int64, c Config) *Plan {
	p := newPicker(l, now, c)
	for _, choose := range []func() *Plan{p.drop, p.dropCovered, p.sink, p.overfull, p.reclaim} {
		if plan := choose(); plan != nil {
			return plan
		}
	}
	if c.Paid {
		if plan := p.level0("reads have paid"); plan != nil {
			return plan
		}
	}
	if c.Settle {
		return p.settle()
	}
	return nil
}

// Level0Cost returns how many bytes a compaction of level 0 would read now.
func Level0Cost(l *Levels, c Config) int64 {
	p := newPicker(l, 0, c)
	above, below := p.level0Bytes()
	return above + below
}

// PickAll is Pick for someone who wants everything in the last level, and nothing in it that is of no use. Where tables are
// damaged, that cannot be had, and it is Pick with all that saves space.
func PickAll(l *Levels, now int64, c Config) *Plan {
	if len(c.Damaged) > 0 {
		c.Settle = true
		return Pick(l, now, c)
	}
	p := newPicker(l, now, c)
	for _, choose := range []func() *Plan{p.drop, p.dropCovered} {
		if plan := choose(); plan != nil {
			return plan
		}
	}
	above := 0
	for level := range bottom {
		above += len(l[level])
	}
	if above > 0 {
		return p.everything()
	}
	for _, t := range l[bottom] {
		if t.props.ExpiredBytes(now) > 0 || t.props.Tombstones > 0 || len(t.props.RangeDeletes) > 0 {
			return p.rewrite("compact all", bottom, bottom, []*Table{t})
		}
	}
	return nil
}

// picker looks at the levels at one time.
type picker struct {
	*Levels
	now     int64
	base    int64
	damaged map[*Table]bool
	first   int              // the level that level 0 is compacted into
	target  [NumLevels]int64 // sizes in bytes; 0 for the levels that should be empty
}

func newPicker(l *Levels, now int64, c Config) *picker {
	p := &picker{Levels: l, now: now, base: max(c.Base, 1), damaged: c.Damaged}
	p.size()
	return p
}

// size sets the targets.
func (p *picker) size() {
	p.first = bottom
	p.target[bottom] = p.bytes(bottom)
	for level := bottom - 1; level > 0; level-- {
		p.target[level] = p.target[level+1] / multiplier
		if p.target[level] < p.base {
			p.target[level] = 0
			break
		}
		p.first = level
	}
	for level := 1; level < p.first; level++ {
		if len(p.Levels[level]) > 0 {
			p.first = level // level 0 is newer than it, and must stay above it
		}
	}
}

// drop finds all tables that can go unread.
func (p *picker) drop() *Plan {
	var dropped []*Table
	var stay Levels
	keep := func(level int, t *Table) {
		older := t.props.AllExpired(p.now)
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
			if level > 0 && !t.props.AllExpired(p.now) {
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

// overfull finds the level that is most over its target.
func (p *picker) overfull() *Plan {
	var worst *Plan
	score := 1.0
	if s := p.level0Score(); s >= score {
		if worst = p.level0("level 0 is full"); worst != nil {
			score = s
		}
	}
	for level := 1; level < bottom; level++ {
		if len(p.Levels[level]) == 0 {
			continue
		}
		s := 2.0 // a level that should be empty: the targets have moved down
		if p.target[level] > 0 {
			s = float64(p.bytes(level)) / float64(p.target[level])
		}
		if s > score {
			if t := p.cheapest(level); t != nil {
				worst, score = p.push("level is full", level, t), s
			}
		}
	}
	return worst
}

// level0Score tells by how much level 0 is over what it may be.
func (p *picker) level0Score() float64 {
	count := float64(len(p.Levels[0])) / level0Most
	if plan := p.level0(""); plan == nil || plan.Level == 0 {
		return count // it stays in level 0, whatever its size
	}
	above, below := p.level0Bytes()
	return max(count, float64(above)/float64(p.base+level0Share*below))
}

// cheapest returns the table of a level that moves the most, reclaimable bytes counted double, for what has to be rewritten.
// It is nil if none can go down.
func (p *picker) cheapest(level int) *Table {
	var best *Table
	var bestScore float64
	for _, t := range p.Levels[level] {
		if p.stuck(level, t) {
			continue
		}
		var below int64
		for _, o := range p.overlapping(level+1, t.start, t.end) {
			below += o.Size
		}
		gain := float64(t.Size) + float64(t.props.ExpiredBytes(p.now))
		if score := gain / float64(t.Size+below); best == nil || score > bestScore {
			best, bestScore = t, score
		}
	}
	return best
}

// reclaim finds a table that is mostly of no use.
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
			expired := t.props.ExpiredBytes(p.now)
			to := min(level+1, bottom)
			switch stuck := level > 0 && level < bottom && p.stuck(level, t); {
			case expired > 0 && 2*expired >= t.props.KeyBytes+t.props.ValueBytes:
				if stuck {
					to = level
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
				return p.rewrite("reclaim", level, to, []*Table{t})
			}
			if plan := p.level0("reclaim"); plan != nil && plan.Level > 0 {
				return plan
			}
		}
	}
	return nil
}

// frees reports whether the tombstones of a table, if each hides an entry of average size, free a quarter of what has to be
// rewritten to be rid of them. A few that are spread over all keys are not worth rewriting everything.
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

// hidesMuch reports whether tables of a level hide so much more than they hold that half of what a rewrite reads goes.
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

// settle pushes what overwrites down if it is much.
func (p *picker) settle() *Plan {
	if len(p.Levels[0]) >= level0Settled {
		if plan := p.level0("settle"); plan != nil {
			return plan
		}
	}
	var above int64 // or what it hides
	for level := range bottom {
		above += max(p.bytes(level), p.hiddenBy(level).Size)
	}
	if float64(above) <= settleShare*float64(p.bytes(bottom)) {
		return nil
	}
	for level := bottom - 1; level > 0; level-- {
		if t := p.cheapest(level); t != nil {
			return p.push("settle", level, t)
		}
	}
	return p.level0("settle")
}

// level0Bytes returns the sizes of level 0 and of what its compaction would rewrite in the first level.
func (p *picker) level0Bytes() (above, below int64) {
	plan := p.level0("")
	if plan == nil {
		return p.bytes(0), 0
	}
	for _, t := range plan.Tables() {
		if slices.Contains(p.Levels[0], t) {
			above += t.Size
		} else {
			below += t.Size
		}
	}
	return above, below
}

// level0 compacts all of level 0 into the first level, or what of it can go there. It is nil if there is nothing to be done.
func (p *picker) level0(reason string) *Plan {
	tables := p.free()
	if to := p.below(tables); to > 0 {
		return p.rewrite(reason, 0, to, tables)
	}
	return p.within0(reason)
}

// push brings a table one level down.
func (p *picker) push(reason string, level int, t *Table) *Plan {
	return p.rewrite(reason, level, level+1, []*Table{t})
}

// rewrite plans to bring tables of a level to another, together with what they overlap there. Where that is nothing, and
// nothing is to be gained by rewriting, they move.
func (p *picker) rewrite(reason string, from, to int, tables []*Table) *Plan {
	plan := &Plan{Reason: reason, Level: to, older: p.after(to)}
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
		plan.Inputs = append(plan.Inputs, slices.Clone(overlapped))
	} else if from != to && disjoint(tables) && (!p.rewarding(tables) || p.damaged[tables[0]]) {
		plan.Action = Move
	}
	return plan
}

// everything plans to rewrite all tables into the last level.
func (p *picker) everything() *Plan {
	plan := &Plan{Reason: "compact all", Level: bottom, All: true}
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
		return t.props.ExpiredBytes(p.now) > 0 || t.props.Tombstones > 0 || len(t.props.RangeDeletes) > 0
	})
}

// hull returns the least stretch of keys that has all of some tables in it.
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
