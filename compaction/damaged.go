package compaction

import "slices"

// A damaged table cannot be rewritten: the entries in its bad blocks would be lost, and older entries that they hide would
// come back. So it stays as it is, readable in its good blocks, and the other tables are compacted around it:
//
//   - It is no input of a Rewrite. It may be dropped, and it may move, for which it need not be read.
//   - Tables above it that overlap it are newer and stay above it. Data that comes down from level 0 piles up in the level
//     before its own, which becomes the last level for these keys: there it is merged with newer data, as in any last level.
//   - A tombstone above it is kept: the damaged table overlaps it and is older, so it may hold what the tombstone hides.
//   - In level 0 it would hold up every newer table that overlaps it. So it moves to the deepest level under which it overlaps
//     nothing, as soon as the older tables that it overlaps have gone down.
//   - If it cannot, because too many damaged tables lie one above the other, the tables of level 0 that are held up are
//     merged with each other, and stay in level 0.

// stuck reports whether a table of a level between the first and the last cannot go down.
func (p *picker) stuck(level int, t *Table) bool {
	if len(p.damaged) == 0 {
		return false
	}
	overlapped := p.overlapping(level+1, t.start, t.end)
	return p.damaged[t] && len(overlapped) > 0 || p.anyDamaged(overlapped)
}

// canSink reports whether a table of a level between the first and the last can go down, and there is room for that.
func (p *picker) canSink(level int, t *Table) bool {
	return !p.stuck(level, t) && (p.bound == nil || p.fits(p.push("", level, t)))
}

func (p *picker) anyDamaged(tables []*Table) bool {
	return len(p.damaged) > 0 && slices.ContainsFunc(tables, func(t *Table) bool { return p.damaged[t] })
}

// free returns the tables of level 0 that can be compacted into another level: those that are not damaged and overlap no
// older table that stays.
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

// below returns the level that tables of level 0 are compacted into: the first or, if they overlap a damaged table there, an
// empty one above it. It is 0 if they cannot leave level 0.
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

// within0 merges neighbours that cannot leave level 0 into one table, if they are more than may rest there.
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
	return p.rewrite0(reason, end-most, most)
}

// output returns how the outputs are built. In level 0 the output is one table, of any size: each table there costs every
// look-up, and several would be merged again.
func (p *Plan) output(out Output) Output {
	out = out.At(p.Level)
	out.Cuts = p.cuts
	if p.Level == 0 {
		out.Whole = true
	}
	return out
}
