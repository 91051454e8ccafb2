package compaction

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// Config sizes the levels.
type Config struct {
	// Base is the least size in bytes that a level other than the last is worth having: that of a few memtables.
	Base int64
	// Settle asks for compactions that only save space, for when there is nothing else to do.
	Settle bool
	// Paid says that reads have cost as much as the compaction for reads would: see CostForReads.
	Paid bool
	// Memory bounds what the keys of a table may take while it is built, in bytes, where level 0 is merged into one; 0: any.
	Memory int64
	// Overwritten is which part of the entries that come into the last level overwrite one there, as far as is known.
	Overwritten float64
	// AlwaysOne says that level 0 is merged into one table where its tables are to be fewer, whatever it overlaps. For tests.
	AlwaysOne bool
	// Evictions are those that are durable. The levels are no newer than they are.
	Evictions kv.Evictions
	// Damaged are tables that cannot be read whole. They are not rewritten.
	Damaged map[*Table]bool
	// Bound is that of a bounded database; nil: there is all the room that a plan may need.
	Bound *Bound
}

const (
	// multiplier is how much larger each level is than the one before it.
	multiplier = 10
	// level0Most is the number of tables at which level 0 is compacted even if nobody reads, and level0Settled the number at
	// which it is when there is nothing else to do.
	level0Most    = 32
	level0Settled = 4
	// level0Share is how many times as large as the tables it overlaps level 0 may become, beside Config.Base. At worst so many
	// times the live data is overwritten data, as with the default of RocksDB's universal compaction.
	level0Share = 2
	// within0Share is how many times as large as level 0 what it overlaps is where making its tables fewer leaves that alone.
	within0Share = 2
	// settleShare is the part of the last level's size that may lie above it. Levels above hold the overwriting entries, so
	// this bounds the overwritten ones.
	settleShare = 0.25
)

// Pick returns what to do next, or nil if nothing is worth it. In this order:
//
//   - tables in which everything has expired or was evicted are dropped unread, oldest first, so that none is dropped that
//     hides something;
//   - tables of which newer range deletes cover all are dropped unread;
//   - damaged tables leave level 0;
//   - level 0 is compacted when it is large against what it overlaps or has too many tables, or merged into one table if it is
//     little; a level when it is larger than its target, whichever is more over; a part of the runs when they are large or many;
//   - tables of which half has expired or was evicted are rewritten; tables of mostly tombstones, and tables that hide much
//     more than they hold, are pushed down towards the level in which tombstones go;
//   - level 0 is compacted if reads have paid for it, as Config.Paid says, or merged into one table if that is much less work, or
//     a part of the runs goes into the last level;
//   - if Config.Settle says so, the same is done if level 0 has more than a few tables, and the levels above the last are
//     pushed down if their size, or the size of what they hide, is large against that of the last.
//
// The levels between the first and the last are runs: see inRuns. In a bounded database and beside damage they have targets.
// These follow from the size of the last level, each a tenth of the next, as with RocksDB's dynamic level bytes ("Dynamic
// Leveled Compaction", RocksDB wiki): so the last level holds nine tenths of the data, and level 0 is compacted directly into
// the first level that is worth having.
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
		if plan := p.forReads(); plan != nil {
			return plan
		}
	}
	if c.Settle {
		return p.settle()
	}
	return nil
}

// ReadCost is what reads have to pay for fewer sources.
type ReadCost struct {
	Bytes int64 // that are read; 0: there is nothing to pay for
	All   bool  // it brings all that it reads, and all above, into one run
	Flush bool  // the active memtable is to be flushed first
}

// CostForReads returns what the compaction that Config.Paid asks for would cost now. memory is the size of the active memtable,
// 0 if it is not to be flushed.
func CostForReads(l *Levels, c Config, memory int64) ReadCost {
	p := newPicker(l, 0, c)
	if memory > 0 && (!p.inRuns() || p.Runs() == 0 && p.first == bottom || len(l[0]) >= level0Settled-1) {
		cost := p.readCost()
		if len(l[0]) == 0 { // the table that it becomes spares reads nothing until it is merged with what lies below
			cost = ReadCost{Bytes: p.bytes(p.first), All: true}
		}
		return ReadCost{Bytes: cost.Bytes + memory, All: cost.All, Flush: true}
	}
	return p.readCost()
}

func (p *picker) readCost() ReadCost {
	plan := p.fewerSources("")
	if plan == nil {
		return ReadCost{}
	}
	cost := ReadCost{All: plan.Level > 0}
	for _, t := range plan.Tables() {
		cost.Bytes += t.Size
	}
	if p.inRuns() {
		tables := 0
		for level := range bottom {
			tables += len(p.Levels[level])
		}
		for _, t := range plan.Tables() {
			if !slices.Contains(p.Levels[bottom], t) {
				tables--
			}
		}
		cost.All = plan.Level == bottom && tables == 0
	}
	return cost
}

// PickAll is Pick for a compaction of everything: all data goes to the last level, and nothing stays that is of no use. With
// damaged tables that is impossible, and PickAll is Pick with Config.Settle.
func PickAll(l *Levels, now int64, c Config) *Plan {
	p := newPicker(l, now, c)
	if len(c.Damaged) > 0 || !p.fits(p.everything()) {
		c.Settle = true
		return Pick(l, now, c)
	}
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
		if p.rewarding([]*Table{t}) && p.fits(p.rewrite("", bottom, bottom, []*Table{t})) {
			return p.rewrite("compact all", bottom, bottom, []*Table{t})
		}
	}
	return nil
}

// PickRange is Pick for a compaction of the keys from start up to end, an empty end being no bound: what tables hold of them
// goes to the last level, and no table that holds some of them keeps anything that is of no use. Damaged tables stay, and what
// lies above them.
func PickRange(l *Levels, now int64, c Config, start, end []byte) *Plan {
	const reason = "compact a range"
	p := newPicker(l, now, c)
	for _, choose := range []func() *Plan{p.drop, p.dropCovered, p.sink} {
		if plan := choose(); plan != nil {
			return plan
		}
	}
	within := func(t *Table) bool { return t.Within(start, end) }
	if slices.ContainsFunc(l[0], within) {
		if plan := p.level0(reason); plan != nil {
			return plan
		}
	}
	for level := 1; level < bottom; level++ {
		for _, t := range l[level] {
			if within(t) && p.canSink(level, t) {
				return p.push(reason, level, t)
			}
		}
	}
	for _, t := range l[bottom] {
		if within(t) && !p.damaged[t] && p.rewarding([]*Table{t}) && p.fits(p.rewrite("", bottom, bottom, []*Table{t})) {
			return p.rewrite(reason, bottom, bottom, []*Table{t})
		}
	}
	return nil
}

// picker is one look at the levels.
type picker struct {
	*Levels
	now     int64
	evicted kv.Evictions
	base    int64
	damaged map[*Table]bool
	memory  int64

	bound       *Bound
	alwaysOne   bool
	overwritten float64
	first       int              // the level that level 0 is compacted into
	target      [NumLevels]int64 // sizes in bytes; 0 for the levels that should be empty
}

func newPicker(l *Levels, now int64, c Config) *picker {
	p := &picker{Levels: l, now: now, evicted: c.Evictions, base: max(c.Base, 1), damaged: c.Damaged,
		memory: c.Memory, bound: c.Bound, alwaysOne: c.AlwaysOne, overwritten: c.Overwritten}
	if p.inRuns() {
		p.sizeRuns()
	} else {
		p.size()
	}
	return p
}

// gone returns the time by which entries of a table that expire are gone: now, or the deadline up to which they were evicted.
func (p *picker) gone(t *Table) int64 { return max(p.now, t.Evicted(p.evicted)) }

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
			p.first = level // it is older than level 0, which must stay above it
		}
	}
}

// overfull finds the level that is most over its target.
func (p *picker) overfull() *Plan {
	if p.inRuns() {
		return p.overfullRuns()
	}
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

// level0Score returns the size of level 0, or its number of tables, as a part of the limit: from 1 on it is full.
func (p *picker) level0Score() float64 {
	count := float64(len(p.Levels[0])) / level0Most
	if plan := p.level0(""); plan == nil || plan.Level == 0 {
		return count // no table can leave level 0: its size does not matter
	}
	above, below := p.level0Bytes()
	limit := p.base + level0Share*below
	if below == 0 && p.inRuns() && p.first < bottom {
		limit = fullRun * p.base // level 0 becomes a run
	}
	return max(count, float64(above)/float64(limit))
}

// cheapest returns the table of a level that moves the most bytes, expired ones counted double, for each byte that has to be
// rewritten. It is nil if no table can go down.
func (p *picker) cheapest(level int) *Table {
	var best *Table
	var bestScore float64
	for _, t := range p.Levels[level] {
		if !p.canSink(level, t) {
			continue
		}
		var below int64
		for _, o := range p.overlapping(level+1, t.start, t.end) {
			below += o.Size
		}
		gain := float64(t.Size) + float64(t.props.ExpiredBytes(p.gone(t)))
		if score := gain / float64(t.Size+below); best == nil || score > bestScore {
			best, bestScore = t, score
		}
	}
	return best
}

// settle compacts level 0 if it has more than a few tables, and pushes tables down while too much lies above the last level.
func (p *picker) settle() *Plan {
	if len(p.Levels[0]) >= level0Settled {
		if plan := p.fewer("settle"); plan != nil {
			return plan
		}
	}
	var above int64 // bytes, or those that they hide if that is more
	for level := range bottom {
		above += max(p.bytes(level), p.hiddenBy(level).Size)
	}
	if float64(above) <= settleShare*float64(p.bytes(bottom)) {
		return nil
	}
	if p.inRuns() {
		if plan, _, _ := p.bestSlice(); plan != nil {
			plan.Reason = "settle"
			return plan
		}
		return p.level0("settle")
	}
	for level := bottom - 1; level > 0; level-- {
		if t := p.cheapest(level); t != nil {
			return p.push("settle", level, t)
		}
	}
	return p.level0("settle")
}

// forReads plans the compaction that reads have paid for.
func (p *picker) forReads() *Plan {
	plan := p.fewerSources("reads have paid")
	if plan != nil {
		plan.ForReads = true
	}
	return plan
}

// fewer plans to make the tables of level 0 fewer: none, or one.
func (p *picker) fewer(reason string) *Plan {
	if p.oneIsFew() {
		return p.within0(reason)
	}
	return p.level0(reason)
}

// oneIsFew reports whether to merge level 0 into one table, which stays there: that spares reads all tables but one for a third
// of the bytes at most. The next such merge reads that table again, which is for few times: then it is no third any more.
func (p *picker) oneIsFew() bool {
	if len(p.Levels[0]) < level0Settled || len(p.damaged) > 0 {
		return false
	}
	var entries int64
	for _, t := range p.Levels[0] {
		entries += int64(t.props.Entries)
	}
	above, below := p.level0Bytes()
	if p.inRuns() {
		below = p.Total() - p.bytes(0)
	}
	return (p.alwaysOne || below >= within0Share*above) &&
		(p.bound == nil || above <= min(p.bound.Table, p.bound.Room-TableCost)) &&
		(p.memory == 0 || table.EntryMemory*entries <= p.memory)
}

// level0Bytes returns the sizes of level 0 and of the tables that its compaction would rewrite in the first level.
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
