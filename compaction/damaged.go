package compaction

import "slices"

// A damaged table cannot be rewritten: what its bad blocks hold would be lost, and what they hide would come back. So it
// stays as it is, readable where it can be read, and the others are compacted around it:
//
//   - It is no input of a Rewrite. It may be dropped, and it may move, for which it need not be read.
//   - What is above it, and overlaps it, is newer and stays above it: what came down from level 0 piles up in the level
//     before its own, which becomes the last one for these keys. There it is merged with what overwrites it, as anywhere.
//   - A tombstone above it is kept, as it is older than what is compacted, and overlaps.
//   - In level 0 it would hold up all that is newer and overlaps it. So it leaves level 0 for the deepest level that it can
//     have, under nothing that it overlaps, as soon as what is older than it has gone down.
//   - Where even that is not to be had, as too many damaged tables lie one above the other, the tables of level 0 that are
//     held up are merged with each other, and stay there.

// stuck reports whether a table of a level between the first and the last cannot go down.
func (p *picker) stuck(level int, t *Table) bool {
	if len(p.damaged) == 0 {
		return false
	}
	overlapped := p.overlapping(level+1, t.start, t.end)
	return p.damaged[t] && len(overlapped) > 0 || p.anyDamaged(overlapped)
}

func (p *picker) anyDamaged(tables []*Table) bool {
	return len(p.damaged) > 0 && slices.ContainsFunc(tables, func(t *Table) bool { return p.damaged[t] })
}

// free returns the tables of level 0 that can be compacted into another level: not those that are damaged, and not those
// that would pass under one that stays and that they overlap.
func (p *picker) free() []*Table {
	if !p.anyDamaged(p.Levels[0]) {
		return p.Levels[0]
	}
	var free, stay []*Table
	for _, t := range slices.Backward(p.Levels[0]) {
		if p.damaged[t] || slices.ContainsFunc(stay, func(o *Table) bool { return o.overlaps(t.start, t.end) }) {
			stay = append(stay, t)
		} else {
			free = append(free, t)
		}
	}
	slices.Reverse(free)
	return free
}

// below returns the level that tables of level 0 are compacted into: the first, or one above it, of which there is nothing,
// if what they overlap there is damaged. It is 0 if they cannot leave level 0.
func (p *picker) below(tables []*Table) int {
	if len(tables) == 0 {
		return 0
	}
	start, end := hull(tables)
	level := p.first
	for level > 0 && p.anyDamaged(p.overlapping(level, start, end)) {
		level--
	}
	return level
}

// sink moves a damaged table out of level 0.
func (p *picker) sink() *Plan {
	if !p.anyDamaged(p.Levels[0]) {
		return nil
	}
	for i, t := range slices.Backward(p.Levels[0]) {
		if !p.damaged[t] || slices.ContainsFunc(p.Levels[0][i+1:], func(o *Table) bool { return o.overlaps(t.start, t.end) }) {
			continue
		}
		deepest := 0
		for deepest < bottom && len(p.overlapping(deepest+1, t.start, t.end)) == 0 {
			deepest++
		}
		if deepest > 0 {
			return &Plan{Reason: "damaged", Action: Move, Inputs: [][]*Table{{t}}, Level: deepest}
		}
	}
	return nil
}

// within0 merges neighbours in level 0 that cannot leave it into one table, if there are some more than may rest there.
func (p *picker) within0(reason string) *Plan {
	most, end := 0, 0
	for i, run := 0, 0; i < len(p.Levels[0]); i++ {
		if run++; p.damaged[p.Levels[0][i]] {
			run = 0
		}
		if run > most {
			most, end = run, i+1
		}
	}
	if most < level0Settled {
		return nil
	}
	plan := &Plan{Reason: reason, older: p.after(0)}
	plan.older[0] = p.Levels[0][end:]
	for _, t := range p.Levels[0][end-most : end] {
		plan.Inputs = append(plan.Inputs, []*Table{t})
	}
	return plan
}

// output returns how the outputs are built: in level 0, where every look-up asks all of them, and would be no fewer after the
// next merge, it is one, whatever that takes.
func (p *Plan) output(out Output) Output {
	out = out.At(p.Level)
	if p.Level == 0 {
		out.Whole = true
	}
	return out
}
