package kv

import (
	"cmp"
	"slices"
	"sort"
	"sync/atomic"
)

// RangeDelete says that every entry with Start <= key < End and a sequence below Seq is gone.
type RangeDelete struct {
	Start, End []byte
	Seq        uint64
}

// RangeDeletes answers which range delete covers a key, as of any sequence. One goroutine adds, any number ask meanwhile,
// without a lock, as of a sequence that was added completely. The zero RangeDeletes, and nil, cover nothing.
//
// The keys are cut into leaves, each with the few deletes that reach into it, in a B-tree: see rangeNode. A delete is added to
// the leaves at its two ends, and those between go: all that they say is older. So what an add costs does not depend on how
// many there were, other than by the depth of the tree, and a log whose beginning is cut off again and again stays one leaf.
//
// Readers of an older state are not disturbed: a leaf only ever gets more deletes, newer ones, and a change of the tree makes a
// new root, which shares its unchanged nodes with the old one. A reader as of a sequence begins at the root of that sequence.
type RangeDeletes struct {
	roots  atomic.Pointer[[]rangeRoot] // the oldest first; append-only: a longer one may share the array of a shorter one
	newest atomic.Uint64               // sequence of the newest delete
	added  atomic.Int64
	size   atomic.Int64 // bytes
}

// rangeRoot is the tree from a sequence on.
type rangeRoot struct {
	seq  uint64
	tree *rangeNode
}

// NewRangeDeletes returns the answer for a set of deletes. It keeps the slices' memory; those with an empty range are
// dropped. It is nil if none is left.
func NewRangeDeletes(deletes []RangeDelete) *RangeDeletes {
	if len(deletes) == 0 {
		return nil
	}
	r := new(RangeDeletes)
	if Apart(deletes) {
		r.begin(deletes)
		return r
	}
	deletes = slices.Clone(deletes)
	slices.SortStableFunc(deletes, func(a, b RangeDelete) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, d := range deletes {
		r.add(d)
	}
	if r.newestTree() == nil {
		return nil
	}
	return r
}

// Apart reports whether deletes are in the order of their keys, none is empty, and none overlaps another.
func Apart(deletes []RangeDelete) bool {
	for i, d := range deletes {
		if Compare(d.Start, d.End) >= 0 || i > 0 && Compare(deletes[i-1].End, d.Start) > 0 {
			return false
		}
	}
	return true
}

// begin makes it the answer for deletes that are apart.
func (r *RangeDeletes) begin(deletes []RangeDelete) {
	for _, d := range deletes {
		r.newest.Store(max(r.newest.Load(), d.Seq))
	}
	r.added.Store(int64(len(deletes)))
	r.publish(0, r.tree(r.leaves(nil, nil, deletes, leafSize)))
}

// Add adds a delete, whose bounds it copies. seq must not be below that of an earlier one; among equals the later wins.
func (r *RangeDeletes) Add(start, end []byte, seq uint64) {
	bounds := make([]byte, len(start)+len(end))
	n := copy(bounds, start)
	copy(bounds[n:], end)
	r.size.Add(int64(len(bounds)))
	r.add(RangeDelete{Start: bounds[:n:n], End: bounds[n:], Seq: seq})
}

func (r *RangeDeletes) add(d RangeDelete) {
	if Compare(d.Start, d.End) >= 0 {
		return
	}
	defer func() {
		r.newest.Store(d.Seq)
		r.added.Add(1)
	}()
	tree := r.newestTree()
	if tree == nil {
		r.publish(d.Seq, r.tree(r.leaves(nil, nil, []RangeDelete{d}, leafSize)))
		return
	}
	first, last := tree.find(d.Start), tree.findBefore(d.End)
	switch {
	case first == last && first.leaf.room():
		tree.raise(d.Start, d.Seq)
		first.add(d)
	case first != last && Compare(first.end, last.start) == 0 && first.leaf.room() && last.leaf.room():
		tree.raise(d.Start, d.Seq)
		tree.raise(last.start, d.Seq)
		first.add(RangeDelete{Start: d.Start, End: first.end, Seq: d.Seq})
		last.add(RangeDelete{Start: last.start, End: d.End, Seq: d.Seq})
	default:
		deletes := append(clip(first.leaf.apart(), nil, d.Start), d)
		deletes = append(deletes, clip(last.leaf.apart(), d.End, nil)...)
		leaves := r.leaves(first.start, last.end, deletes, leafSize/2)
		r.publish(d.Seq, r.tree(r.replace(tree, first.start, last.end, leaves)))
	}
}

// publish makes a tree the one that holds from a sequence on.
func (r *RangeDeletes) publish(seq uint64, tree *rangeNode) {
	var roots []rangeRoot
	if p := r.roots.Load(); p != nil {
		roots = *p
	}
	roots = append(roots, rangeRoot{seq, tree})
	r.size.Add(rootBytes)
	r.roots.Store(&roots)
}

// newestTree returns the tree of now, nil if there is none.
func (r *RangeDeletes) newestTree() *rangeNode {
	if r == nil {
		return nil
	}
	p := r.roots.Load()
	if p == nil {
		return nil
	}
	return (*p)[len(*p)-1].tree
}

// treeAsOf returns the tree as of a sequence, nil if there was none.
func (r *RangeDeletes) treeAsOf(seq uint64) *rangeNode {
	if r == nil {
		return nil
	}
	p := r.roots.Load()
	if p == nil {
		return nil
	}
	roots := *p
	if last := &roots[len(roots)-1]; last.seq <= seq {
		return last.tree
	}
	n := sort.Search(len(roots), func(i int) bool { return roots[i].seq > seq })
	if n == 0 {
		return nil
	}
	return roots[n-1].tree
}

// Seq returns the highest sequence <= asOf of the deletes that cover key, 0 if none does.
func (r *RangeDeletes) Seq(key []byte, asOf uint64) uint64 {
	tree := r.treeAsOf(asOf)
	if tree == nil {
		return 0
	}
	return tree.find(key).seq(key, asOf)
}

// Walk returns a walk that asks as of a sequence.
func (r *RangeDeletes) Walk(asOf uint64) RangeWalk {
	return RangeWalk{tree: r.treeAsOf(asOf), asOf: asOf}
}

// RangeWalk asks range deletes about one key after the other. It remembers the stretch of keys in which the last answer
// holds, and the leaf that it is from, so that a key near the one before costs little. The zero RangeWalk covers nothing. It
// is for one goroutine.
type RangeWalk struct {
	tree *rangeNode // nil: there are no deletes
	asOf uint64
	leaf *rangeNode // the last that was asked; nil: none was

	// Start and End bound the keys, Start <= key < End, with the same answer as the last; a nil End is none. They are not to be
	// changed.
	Start, End []byte
	seq        uint64
}

// Seq is RangeDeletes.Seq as of the walk's sequence. moved tells that the key lies in another stretch than the one before.
func (w *RangeWalk) Seq(key []byte) (seq uint64, moved bool) {
	switch {
	case w.tree == nil:
		return 0, false
	case w.leaf != nil && Compare(w.Start, key) <= 0 && (w.End == nil || Compare(key, w.End) < 0):
		return w.seq, false
	case w.leaf == nil || !w.leaf.contains(key):
		w.leaf = w.tree.find(key)
	}
	w.Start, w.End, w.seq = w.leaf.stretch(key, w.asOf)
	return w.seq, true
}

// Touched reports whether a delete after a sequence reaches into start <= key < end. A nil end is none.
func (r *RangeDeletes) Touched(start, end []byte, since uint64) bool {
	tree := r.newestTree()
	if tree == nil || r.newest.Load() <= since {
		return false
	}
	return tree.touched(start, end, since)
}

// Newest returns the sequence of the newest delete, 0 if there is none.
func (r *RangeDeletes) Newest() uint64 {
	if r == nil {
		return 0
	}
	return r.newest.Load()
}

// Len returns the number of deletes that were added.
func (r *RangeDeletes) Len() int {
	if r == nil {
		return 0
	}
	return int(r.added.Load())
}

// Size returns the bytes of memory in use.
func (r *RangeDeletes) Size() int64 { return r.size.Load() }

// All returns deletes that cover the same as all that were added: none overlaps another, they are in the order of their keys,
// and each has the sequence of the newest delete there.
func (r *RangeDeletes) All() []RangeDelete {
	tree := r.newestTree()
	if tree == nil {
		return nil
	}
	return tree.all(nil)
}
