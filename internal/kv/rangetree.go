package kv

import (
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"
)

// leafSize is how many deletes a leaf can hold. A search compares with half of them, and every leafSize/2 adds to a leaf it
// is split, which makes some 40 nodes of 64 bytes. 80,000 deletes that do not overlap take 390 bytes each.
const leafSize = 16

const (
	nodeSize = int64(unsafe.Sizeof(rangeNode{}))
	fullLeaf = int64(unsafe.Sizeof(rangeLeaf{}))
	rootSize = int64(unsafe.Sizeof(rangeRoot{})) + 32 // what is unused at the end of the list, and what points to it
)

// rangeNode is a node of a treap (Seidel and Aragon, Randomized Search Trees, 1996): ordered by start, and no node has a
// higher priority than the one above it. It stands for the keys from start up to the start of the next node, about which its
// leaf tells. The first node starts at the empty key. A node is never changed but for newest.
type rangeNode struct {
	start       []byte
	leaf        *rangeLeaf
	left, right *rangeNode
	newest      atomic.Uint64 // no delete in the leaves below is newer; in an old tree this may be more than it need be
	priority    uint32
	edition     uint32 // of the tree for which it was made
}

// rangeLeaf holds deletes that lie within the keys of its node: at first some that do not overlap, then newer ones as they
// come.
type rangeLeaf struct {
	n       atomic.Int32
	deletes [leafSize]RangeDelete
}

// plant adds nodes from start on behind a tree, with leaves for deletes that are apart.
func (r *RangeDeletes) plant(before *rangeNode, start []byte, deletes []RangeDelete, perLeaf int) *rangeNode {
	for len(deletes) > 0 {
		n := &rangeNode{start: start, leaf: new(rangeLeaf), priority: r.nextPriority(), edition: r.edition}
		for _, d := range deletes[:min(perLeaf, len(deletes))] {
			n.leaf.add(d)
		}
		n.newest.Store(n.leaf.highest())
		r.size.Add(nodeSize + fullLeaf)
		before = r.join(before, n)
		if deletes = deletes[min(perLeaf, len(deletes)):]; len(deletes) > 0 {
			start = deletes[0].Start
		}
	}
	return before
}

// nextPriority returns a number that looks like chance and is the same in every run: a counter, mixed as in MurmurHash3. No
// key has an influence on it, so that nobody can make the tree a list.
func (r *RangeDeletes) nextPriority() uint32 {
	r.nodes++
	h := r.nodes
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// before returns the nodes that start before a key.
func (r *RangeDeletes) before(n *rangeNode, key []byte) *rangeNode {
	switch {
	case n == nil:
		return nil
	case Compare(n.start, key) < 0:
		return r.with(n, n.left, r.before(n.right, key))
	}
	return r.before(n.left, key)
}

// from returns the nodes that start at a key or behind.
func (r *RangeDeletes) from(n *rangeNode, key []byte) *rangeNode {
	switch {
	case n == nil:
		return nil
	case Compare(n.start, key) >= 0:
		return r.with(n, r.from(n.left, key), n.right)
	}
	return r.from(n.right, key)
}

// join returns one tree of two, all of the first of which start before all of the second.
func (r *RangeDeletes) join(a, b *rangeNode) *rangeNode {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		return r.with(a, a.left, r.join(a.right, b))
	}
	return r.with(b, r.join(a, b.left), b.right)
}

// with returns a node with what is to be below it: a copy, unless it is new and nobody has seen it.
func (r *RangeDeletes) with(n, left, right *rangeNode) *rangeNode {
	if n.edition != r.edition {
		r.size.Add(nodeSize)
		n = &rangeNode{start: n.start, leaf: n.leaf, priority: n.priority, edition: r.edition}
	}
	n.left, n.right = left, right
	newest := n.leaf.highest()
	if left != nil {
		newest = max(newest, left.newest.Load())
	}
	if right != nil {
		newest = max(newest, right.newest.Load())
	}
	n.newest.Store(newest)
	return n
}

// find returns the node whose keys a key is among, and where they end; nil: nowhere.
func (n *rangeNode) find(key []byte) (at *rangeNode, end []byte) {
	for n != nil {
		if Compare(key, n.start) < 0 {
			n, end = n.left, n.start
		} else {
			at, n = n, n.right
		}
	}
	return at, end
}

// findBefore returns the node that the keys right before a key are among, and where its keys end; nil: nowhere.
func (n *rangeNode) findBefore(key []byte) (at *rangeNode, end []byte) {
	for n != nil {
		if Compare(key, n.start) <= 0 {
			n, end = n.left, n.start
		} else {
			at, n = n, n.right
		}
	}
	return at, end
}

// raise notes the sequence of a delete that is added to the leaf of the node that starts at a key.
func (n *rangeNode) raise(start []byte, seq uint64) {
	for n != nil {
		n.newest.Store(seq)
		switch c := Compare(start, n.start); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return
		}
	}
}

// touched reports whether a delete after a sequence reaches from a node that starts behind start into start <= key < end.
func (n *rangeNode) touched(start, end []byte, since uint64) bool {
	if n == nil || n.newest.Load() <= since {
		return false
	}
	if Compare(n.start, start) <= 0 {
		return n.right.touched(start, end, since)
	}
	if n.left.touched(start, end, since) {
		return true
	}
	return (end == nil || Compare(n.start, end) < 0) &&
		(n.leaf.touched(start, end, since) || n.right.touched(start, end, since))
}

// all appends the deletes of a tree as RangeDeletes.All returns them.
func (n *rangeNode) all(list []RangeDelete) []RangeDelete {
	if n == nil {
		return list
	}
	list = n.left.all(list)
	for _, d := range n.leaf.newest(nil) {
		if last := len(list) - 1; last >= 0 && list[last].Seq == d.Seq && Compare(list[last].End, d.Start) == 0 {
			list[last].End = d.End // it was cut where a leaf ends
		} else {
			list = append(list, d)
		}
	}
	return n.right.all(list)
}

func (l *rangeLeaf) room() bool { return l.n.Load() < leafSize }

// add adds a delete that is newer than the others, or apart from them.
func (l *rangeLeaf) add(d RangeDelete) {
	n := l.n.Load()
	l.deletes[n] = d
	l.n.Store(n + 1)
}

// highest returns the highest sequence.
func (l *rangeLeaf) highest() (seq uint64) {
	for i := range l.n.Load() {
		seq = max(seq, l.deletes[i].Seq)
	}
	return seq
}

// seq is RangeDeletes.Seq for a key of the leaf.
func (l *rangeLeaf) seq(key []byte, asOf uint64) uint64 {
	for i := l.n.Load() - 1; i >= 0; i-- { // the newest that covers it is the answer
		d := &l.deletes[i]
		if d.Seq <= asOf && Compare(d.Start, key) <= 0 && Compare(key, d.End) < 0 {
			return d.Seq
		}
	}
	return 0
}

// stretch is RangeDeletes.Stretch for a key of the leaf, which begins at start and ends at end.
func (l *rangeLeaf) stretch(key []byte, asOf uint64, start, end []byte) (from, to []byte, seq uint64) {
	for i := l.n.Load() - 1; i >= 0; i-- {
		d := &l.deletes[i]
		switch {
		case d.Seq > asOf:
		case Compare(key, d.Start) < 0:
			if end == nil || Compare(d.Start, end) < 0 {
				end = d.Start
			}
		case Compare(key, d.End) >= 0:
			if Compare(d.End, start) > 0 {
				start = d.End
			}
		default:
			if Compare(d.Start, start) > 0 {
				start = d.Start
			}
			if end == nil || Compare(d.End, end) < 0 {
				end = d.End
			}
			return start, end, d.Seq
		}
	}
	return start, end, 0
}

// touched is RangeDeletes.Touched for the deletes of the leaf.
func (l *rangeLeaf) touched(start, end []byte, since uint64) bool {
	for i := range l.n.Load() {
		d := &l.deletes[i]
		if d.Seq > since && Compare(start, d.End) < 0 && (end == nil || Compare(d.Start, end) < 0) {
			return true
		}
	}
	return false
}

// newest appends what the deletes together cover, apart and in the order of their keys.
func (l *rangeLeaf) newest(list []RangeDelete) []RangeDelete {
	for i := range l.n.Load() {
		list = over(list, l.deletes[i])
	}
	return list
}

// over lays a delete over older ones that are apart.
func over(list []RangeDelete, d RangeDelete) []RangeDelete {
	from := sort.Search(len(list), func(i int) bool { return Compare(list[i].End, d.Start) > 0 })
	to := from
	for to < len(list) && Compare(list[to].Start, d.End) < 0 {
		to++
	}
	put := make([]RangeDelete, 0, 3)
	if from < to && Compare(list[from].Start, d.Start) < 0 {
		put = append(put, RangeDelete{Start: list[from].Start, End: d.Start, Seq: list[from].Seq})
	}
	put = append(put, d)
	if from < to && Compare(d.End, list[to-1].End) < 0 {
		put = append(put, RangeDelete{Start: d.End, End: list[to-1].End, Seq: list[to-1].Seq})
	}
	return slices.Replace(list, from, to, put...)
}

// clip returns, in the same memory, what of some deletes lies from start on, or before end if that is not nil.
func clip(list []RangeDelete, start, end []byte) []RangeDelete {
	in := list[:0]
	for _, d := range list {
		if Compare(d.Start, start) < 0 {
			d.Start = start
		}
		if end != nil && Compare(d.End, end) > 0 {
			d.End = end
		}
		if Compare(d.Start, d.End) < 0 {
			in = append(in, d)
		}
	}
	return in
}
