package compaction

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

// Between level 0 and the last, each level holds a run: tables that do not overlap and were written together. What is loaded in
// random order is written few times so, as with RocksDB's universal compaction:
//
//   - Level 0, when it is full, becomes a run of the level above the topmost run, merged with none of them.
//   - What runs and the last level have of some keys is merged into the last level once the runs have level0Share times as much
//     of these keys: a byte is rewritten there 1.5 times in all. Where much of it overwrites, less is enough, so that at most
//     overwrittenShare of the last level is overwritten, and so it is if level 0 and the runs together have level0Share times as
//     much, and twice Config.Base more: at worst all of it overwrites. Each such merge is small, so level 0 does not wait for
//     long. Tables of runs are cut where those of the last level are, so that they overlap no neighbours.
//   - With more than runsMost runs, which every read asks, the topmost are merged into a lower one in the same way.
//
// In a bounded database, where what is overwritten must not take that much space, and while a table is damaged, levels are sized
// as Pick describes.
const (
	// runsMost is how many runs there are between level 0 and the last level for long.
	runsMost = 3
	// leastLast is how many times Config.Base the last level is where runs above it are worth having.
	leastLast = 2
	// fullRun is how many times Config.Base level 0 is at most, however few its tables, when it becomes a run.
	fullRun = 4
	// overwrittenShare is the part of the last level that runs may overwrite.
	overwrittenShare = settleShare
	// leastCut is the part of Config.Base that a table of a run has at least on average for it to be cut where the last level is.
	leastCut = 8
)

// inRuns reports whether the levels between the first and the last are runs.
func (p *picker) inRuns() bool { return p.bound == nil && len(p.damaged) == 0 }

// top returns the topmost level that holds a run, the last if there are none.
func (p *picker) top() int {
	top := 1
	for top < bottom && len(p.Levels[top]) == 0 {
		top++
	}
	return top
}

// sizeRuns sets the level that level 0 is compacted into.
func (p *picker) sizeRuns() {
	top, last := p.top(), p.bytes(bottom)
	p.first = top
	switch {
	case last <= leastLast*p.base:
	case top < bottom:
		p.first = max(top-1, 1)
	case p.bytes(0) < last:
		p.first = bottom - 1
	}
}

// Runs returns how many runs lie between level 0 and the last level.
func (l *Levels) Runs() (n int) {
	for level := 1; level < bottom; level++ {
		n += min(len(l[level]), 1)
	}
	return n
}

// overfullRuns is overfull where levels are runs.
func (p *picker) overfullRuns() *Plan {
	if p.level0Score() >= 1 {
		if p.bytes(0) < p.base && p.oneIsFew() {
			return p.within0("level 0 is full")
		}
		if plan := p.level0("level 0 is full"); plan != nil {
			return plan
		}
	}
	if plan := p.settleDown(); plan != nil {
		return plan
	}
	if plan, moved, below := p.bestSlice(); plan != nil && (float64(moved) >= p.lastShare()*float64(below) ||
		p.bytes(bottom) <= leastLast*p.base || p.above() > level0Share*p.bytes(bottom)+leastLast*p.base) {
		return plan
	}
	if p.Runs() > runsMost {
		return p.fewerRuns()
	}
	return nil
}

// above returns the bytes that lie above the last level.
func (p *picker) above() (n int64) {
	for level := range bottom {
		n += p.bytes(level)
	}
	return n
}

// lastShare returns how many times as large as what they overlap in the last level runs become.
func (p *picker) lastShare() float64 {
	return overwrittenShare / max(p.overwritten, overwrittenShare/level0Share)
}

// Overwritten returns which part of the entries that a Rewrite has brought into the last level had an older version there or
// among the inputs. ok is false where that says nothing.
func (p *Plan) Overwritten(r Result) (share float64, ok bool) {
	if p.Action != Rewrite || p.Level != bottom || len(p.into) == 0 {
		return 0, false
	}
	var all, moved uint64
	for _, t := range p.Tables() {
		all, moved = all+t.props.Entries, moved+t.props.Entries
	}
	for _, t := range p.into {
		moved -= t.props.Entries
	}
	if moved == 0 || r.Entries > all {
		return 0, false
	}
	return min(float64(all-r.Entries)/float64(moved), 1), true
}

// settleDown moves a run to the lowest level before which there is nothing.
func (p *picker) settleDown() *Plan {
	for level := bottom - 2; level > 0; level-- {
		if len(p.Levels[level]) == 0 || len(p.Levels[level+1]) > 0 {
			continue
		}
		to := level + 1
		for to < bottom-1 && len(p.Levels[to+1]) == 0 {
			to++
		}
		return &Plan{Reason: "runs move down", Action: Move, Inputs: [][]*Table{slices.Clone(p.Levels[level])}, Level: to}
	}
	return nil
}

// slice plans to bring a table down to another level, with what is between and overlaps it.
func (p *picker) slice(reason string, from int, t *Table, to int) (plan *Plan, moved, below int64) {
	plan = &Plan{Reason: reason, Level: to, Inputs: [][]*Table{{t}}, older: p.after(to), evicted: p.evicted}
	start, end := t.start, t.end
	moved = t.Size
	for level := from + 1; level <= to; level++ {
		tables := p.overlapping(level, start, end)
		if len(tables) == 0 {
			continue
		}
		plan.Inputs = append(plan.Inputs, slices.Clone(tables))
		if first := tables[0].start; kv.Compare(first, start) < 0 {
			start = first
		}
		if last := tables[len(tables)-1].end; kv.Compare(last, end) > 0 {
			end = last
		}
		for _, t := range tables {
			if level == to {
				below, plan.into = below+t.Size, append(plan.into, t)
			} else {
				moved += t.Size
			}
		}
	}
	if len(plan.Inputs) == 1 && !p.rewarding(plan.Inputs[0]) {
		plan.Action = Move
	}
	return plan, moved, below
}

// bestSlice returns the slice into the last level that moves the most bytes for each that it rewrites, nil if there are no runs.
func (p *picker) bestSlice() (best *Plan, moved, below int64) {
	for level := p.top(); level < bottom; level++ {
		for _, t := range p.Levels[level] {
			plan, m, b := p.slice("runs are large", level, t, bottom)
			if best == nil || better(m, b, moved, below) {
				best, moved, below = plan, m, b
			}
		}
	}
	return best, moved, below
}

// better reports whether moving m bytes over b is cheaper than moving n over c.
func better(m, b, n, c int64) bool { return float64(m)*float64(n+c) > float64(n)*float64(m+b) }

// fewerRuns plans to merge a part of the topmost run with the runs below it, into that into which it costs the least.
func (p *picker) fewerRuns() (best *Plan) {
	top := p.top()
	var moved, below int64
	for to := top + 1; to <= bottom; to++ {
		for _, t := range p.Levels[top] {
			plan, m, b := p.slice("runs are many", top, t, to)
			if best == nil || better(m, b, moved, below) {
				best, moved, below = plan, m, b
			}
		}
	}
	best.cut(p.Levels, p.base)
	return best
}

// cut has the tables of a run end where some of the last level do, a power of two apart.
func (p *Plan) cut(l *Levels, base int64) {
	if p.Level == 0 || p.Level == bottom || p.Action != Rewrite {
		return
	}
	var size int64
	for _, t := range p.Tables() {
		size += t.Size
	}
	start, end := hull(p.Tables())
	last := l.overlapping(bottom, start, end)
	first := Find(l[bottom], start)
	stride := 1
	for int64(len(last)/stride) > size/max(base/leastCut, 1) {
		stride *= 2
	}
	for i := range last {
		if (first+i+1)%stride == 0 {
			p.cuts = append(p.cuts, last[i].end)
		}
	}
}

// fewerSources plans what reads pay for: level 0 becomes fewer tables, or a run, or a part of the runs goes into the last level.
// It is nil if that spares reads too little.
func (p *picker) fewerSources(reason string) *Plan {
	if !p.inRuns() || p.Runs() == 0 && p.first == bottom || len(p.Levels[0]) >= level0Settled || p.bytes(0) >= p.base {
		return p.fewer(reason)
	}
	plan, _, _ := p.bestSlice()
	return plan
}
