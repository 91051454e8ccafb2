package gap

import (
	"math"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

// Moment is the sequence and the time that a reader reads as of.
type Moment struct {
	Seq uint64 // below math.MaxUint64
	Now int64  // Unix ms
}

// RangeDead is taken as the number of entries that a range delete covers, which nobody knows: see Run.Dead.
const RangeDead = 128

// gap is one gap, or a candidate. Its bounds never change.
type gap struct {
	start, end []byte
	now        int64         // for readers from this time on,
	seq        atomic.Uint64 // and from this sequence on; never: it is a candidate
	asOf       atomic.Uint64 // of a candidate: after this nothing was put into it; never: it is not known yet
	dead       int           // about how many entries are in it
	used       atomic.Bool   // since evictLocked last came by
}

const never = math.MaxUint64

// overhead is about how many bytes a gap takes beside its bounds.
const overhead = 160

func newGap(start, end []byte, seq, asOf uint64, now int64, dead int) *gap {
	g := &gap{start: start, end: end, now: now, dead: max(dead, 1)}
	g.seq.Store(seq)
	g.asOf.Store(asOf)
	return g
}

func (g *gap) size() int64     { return int64(len(g.start)) + int64(len(g.end)) + overhead }
func (g *gap) candidate() bool { return g.seq.Load() == never }

// serves reports whether a reader as of m may use the gap.
func (g *gap) serves(m Moment) bool { return g.seq.Load() <= m.Seq && g.now <= m.Now }

// provenBy reports whether g is a candidate that a reader as of seq makes a gap by finding nothing in it.
func (g *gap) provenBy(seq uint64) bool { return g.candidate() && g.asOf.Load() <= seq }

// use notes that a reader has used the gap.
func (g *gap) use() {
	if !g.used.Load() {
		g.used.Store(true)
	}
}

// part returns the part of g from start up to end, with so many of its entries.
func (g *gap) part(start, end []byte, dead int) *gap {
	return newGap(start, end, g.seq.Load(), g.asOf.Load(), g.now, dead)
}

// item is an element of a tree of gaps, in the order of their starts.
type item struct {
	start []byte
	gap   *gap
}

type tree = btree.BTreeG[item]

func newTree() *tree {
	return btree.NewG(16, func(a, b item) bool { return kv.Compare(a.start, b.start) < 0 })
}

// upTo returns the last gap that starts at key or before it, nil if there is none.
func upTo(t *tree, key []byte) (last *gap) {
	t.DescendLessOrEqual(item{start: key}, func(i item) bool {
		last = i.gap
		return false
	})
	return last
}

// before returns the last gap that starts before key, nil if there is none.
func before(t *tree, key []byte) (last *gap) {
	t.DescendLessOrEqual(item{start: key}, func(i item) bool {
		if kv.Compare(i.start, key) == 0 {
			return true
		}
		last = i.gap
		return false
	})
	return last
}

// find returns the gap that a key is in, nil if it is in none.
func find(t *tree, key []byte) *gap {
	g := upTo(t, key)
	if g == nil || kv.Compare(key, g.end) >= 0 {
		return nil
	}
	return g
}

// overlapping calls visit with the gaps that have keys from start up to end, in order, until it returns false.
func overlapping(t *tree, start, end []byte, visit func(*gap) bool) {
	if g := before(t, start); g != nil && kv.Compare(start, g.end) < 0 && !visit(g) {
		return
	}
	t.AscendGreaterOrEqual(item{start: start}, func(i item) bool {
		return kv.Compare(i.start, end) < 0 && visit(i.gap)
	})
}
