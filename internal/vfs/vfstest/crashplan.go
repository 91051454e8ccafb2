package vfstest

import (
	"fmt"
	"iter"
	"math/rand/v2"
)

// sectorSize is the unit that a disk writes whole.
const sectorSize = 512

// fate says what a power cut did to an operation, or to one sector of a write.
type fate uint8

const (
	lost    fate = iota
	kept         //
	grown        // the bytes are lost, but the file has become as long as they would have made it
	zeroed       // zeros instead of the bytes
	garbage      // anything instead of the bytes
)

// outcome is the fate of an operation: of the whole, or of each sector of a write if sectors is not nil.
type outcome struct {
	whole   fate
	sectors []fate
}

// sectorsOf returns how many sectors a write touches.
func sectorsOf(o *op) int {
	end := o.off + int64(len(o.data))
	return int((end+sectorSize-1)/sectorSize - o.off/sectorSize)
}

// maxTears bounds the points at which one write is torn, and the sectors of it that are spoilt: a write of a megabyte has
// two thousand, and its first, its last and some between show the same mistakes.
const maxTears = 16

// plans yields the outcomes, one for each pending operation, of every state to build, with the state's name. The slice of
// outcomes is good until the next.
func (c *Crasher) plans(pending []int) iter.Seq2[string, []outcome] {
	return func(yield func(string, []outcome) bool) {
		p := planner{c: c, pending: pending, outs: make([]outcome, len(pending)), yield: yield}
		_ = p.whole() && p.single() && p.torn(c.rng(-1)) && p.random(c.random, c.rng)
	}
}

// rng returns the source of random plan i at this point of the recording, -1 for the tears.
func (c *Crasher) rng(i int) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, uint64(c.at.k)<<32|uint64(uint32(i))))
}

// planner makes plans. Its methods report false if no more are wanted.
type planner struct {
	c       *Crasher
	pending []int // indexes into its operations
	outs    []outcome
	yield   func(string, []outcome) bool
}

func (p *planner) op(i int) *op { return &p.c.rec.ops[p.pending[i]] }

func (p *planner) opString(i int) string { return p.c.opString(p.pending[i]) }

// set gives every pending operation the fate that choose wants for it.
func (p *planner) set(choose func(o *op) fate) {
	for i := range p.outs {
		p.outs[i] = outcome{whole: choose(p.op(i))}
	}
}

func all(*op) fate  { return kept }
func none(*op) fate { return lost }

func onlyNames(o *op) fate {
	if o.isName() {
		return kept
	}
	return lost
}

func onlyData(o *op) fate {
	if o.isData() {
		return kept
	}
	return lost
}

func onlyGrown(o *op) fate {
	if o.kind == OpWrite {
		return grown
	}
	return kept
}

// whole treats all operations of a sort alike.
func (p *planner) whole() bool {
	for _, sort := range []struct {
		name   string
		choose func(*op) fate
	}{{"all", all}, {"synced", none}, {"names", onlyNames}, {"data", onlyData}, {"grown", onlyGrown}} {
		p.set(sort.choose)
		if !p.yield(sort.name, p.outs) {
			return false
		}
		if len(p.pending) == 0 { // the others are no different
			return true
		}
	}
	return true
}

// single makes one operation the border: it is treated differently from all others, or from those after it.
func (p *planner) single() bool {
	p.set(none)
	for i := range p.outs {
		p.outs[i].whole = kept
		if !p.yield("through "+p.opString(i), p.outs) {
			return false
		}
	}
	for _, sort := range []struct {
		name   string
		others func(*op) fate
		one    fate
	}{{"without ", all, lost}, {"only ", none, kept}, {"names and ", onlyNames, kept}} {
		p.set(sort.others)
		for i := range p.outs {
			before := p.outs[i]
			if before.whole == sort.one {
				continue
			}
			p.outs[i].whole = sort.one
			if !p.yield(sort.name+p.opString(i), p.outs) {
				return false
			}
			p.outs[i] = before
		}
	}
	return true
}

// torn tears the last write, with everything else persisted.
func (p *planner) torn(rng *rand.Rand) bool {
	last := len(p.pending) - 1
	for last >= 0 && p.op(last).kind != OpWrite {
		last--
	}
	if last < 0 {
		return true
	}
	p.set(all)
	sectors := make([]fate, sectorsOf(p.op(last)))
	p.outs[last].sectors = sectors
	tear := func(i int, before, at, after fate, how string) bool {
		for j := range sectors {
			switch {
			case j < i:
				sectors[j] = before
			case j == i:
				sectors[j] = at
			default:
				sectors[j] = after
			}
		}
		name := fmt.Sprintf("torn %s, sector %d of %d %s", p.opString(last), i, len(sectors), how)
		return p.yield(name, p.outs)
	}
	for _, i := range sample(len(sectors), rng) {
		if !tear(i, kept, lost, lost, "and all after lost") ||
			!tear(i, kept, grown, grown, "and all after lost but for the length") ||
			!tear(i, lost, kept, kept, "and all after kept, all before lost") ||
			!tear(i, kept, zeroed, kept, "zeroed") ||
			!tear(i, kept, garbage, kept, "garbage") {
			return false
		}
	}
	return true
}

// sample returns the numbers below n, or maxTears of them, the first and the last included, if there are more.
func sample(n int, rng *rand.Rand) []int {
	if n <= maxTears {
		numbers := make([]int, n)
		for i := range numbers {
			numbers[i] = i
		}
		return numbers
	}
	numbers := []int{0, n - 1}
	for _, i := range rng.Perm(n - 2)[:maxTears-2] {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// random lets chance decide about each operation, and about each sector of every third write.
func (p *planner) random(count int, rng func(int) *rand.Rand) bool {
	if len(p.pending) == 0 {
		return true
	}
	for i := range count {
		rng := rng(i)
		odds := 1 + rng.IntN(7) // of 8
		chance := func(yes, no fate) fate {
			if rng.IntN(8) < odds {
				return yes
			}
			return no
		}
		p.set(func(o *op) fate { return chance(kept, lost) })
		for j := range p.outs {
			if o := p.op(j); o.kind == OpWrite && rng.IntN(3) == 0 {
				sectors := make([]fate, sectorsOf(o))
				missing := []fate{lost, grown}[rng.IntN(2)]
				for s := range sectors {
					sectors[s] = chance(kept, missing)
				}
				p.outs[j].sectors = sectors
			}
		}
		if !p.yield(fmt.Sprintf("random %d", i), p.outs) {
			return false
		}
	}
	return true
}
