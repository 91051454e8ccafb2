package kv

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"
)

const (
	// leafSize is how many deletes a leaf can hold. A search looks at half of them, and every leafSize/2 adds to a leaf it is
	// split.
	leafSize = 16
	// fanout is how many nodes there can be below one.
	fanout = 32
)

const (
	nodeBytes = int64(unsafe.Sizeof(rangeNode{}))
	leafBytes = int64(unsafe.Sizeof(rangeLeaf{}))
	kidBytes  = int64(unsafe.Sizeof(rangeKid{}))
	rootBytes = int64(unsafe.Sizeof(rangeRoot{})) + 32 // the unused end of the list of roots, and the pointer to it
)

// rangeNode is a node of a B-tree: it stands for the keys from start up to end, which the nodes below it divide, or about
// which its leaf tells. The root stands for all. A node is never changed but for newest.
//
// All keys of a node begin with the same prefix. The eight bytes after it, as a number, tell most of them apart, so that a
// search seldom has to look at a key.
type rangeNode struct {
	prefix     int // bytes
	kids       []rangeKid
	leaf       *rangeLeaf    // if there are no kids
	newest     atomic.Uint64 // no delete below is newer; in an old tree this may be more than it need be
	start, end []byte        // a nil end is none
}

// rangeKid is a node below another, with the head of its start.
type rangeKid struct {
	head uint64
	node *rangeNode
}

// rangeLeaf holds deletes that lie within the keys of its node: at first some that do not overlap, then newer ones as they
// come.
type rangeLeaf struct {
	n       atomic.Int32
	heads   [leafSize]rangeHeads
	deletes [leafSize]RangeDelete
}

// rangeHeads are the heads of a delete's bounds, and its sequence, side by side: a search looks at nothing else.
type rangeHeads struct{ start, end, seq uint64 }

// head returns the eight bytes of a key that follow a prefix, as a number: a smaller one means a smaller key.
func head(key []byte, prefix int) uint64 {
	rest := key[prefix:]
	if len(rest) >= 8 {
		return binary.BigEndian.Uint64(rest)
	}
	var b [8]byte
	copy(b[:], rest)
	return binary.BigEndian.Uint64(b[:])
}

// sharedPrefix returns how many bytes all keys from start to end have in common at the front.
func sharedPrefix(start, end []byte) int {
	n := 0
	for n < min(len(start), len(end)) && start[n] == end[n] {
		n++
	}
	return n
}

// leaves returns nodes for the keys from start up to end, with deletes that are apart in their leaves.
func (r *RangeDeletes) leaves(start, end []byte, deletes []RangeDelete, perLeaf int) []*rangeNode {
	var list []*rangeNode
	for len(deletes) > 0 {
		part := deletes[:min(perLeaf, len(deletes))]
		deletes = deletes[len(part):]
		n := &rangeNode{start: start, end: end, leaf: new(rangeLeaf)}
		if len(deletes) > 0 {
			start = deletes[0].Start
			n.end = start
		}
		n.prefix = sharedPrefix(n.start, n.end)
		for _, d := range part {
			n.add(d)
			n.newest.Store(max(n.newest.Load(), d.Seq))
		}
		r.size.Add(nodeBytes + leafBytes)
		list = append(list, n)
	}
	return list
}

// above returns nodes, as many as it takes, that have the given ones below them.
func (r *RangeDeletes) above(kids []*rangeNode) []*rangeNode {
	var list []*rangeNode
	for nodes := (len(kids) + fanout - 1) / fanout; nodes > 0; nodes-- {
		part := kids[:len(kids)/nodes]
		kids = kids[len(part):]
		n := &rangeNode{kids: make([]rangeKid, len(part)), start: part[0].start, end: part[len(part)-1].end}
		n.prefix = sharedPrefix(n.start, n.end)
		for i, kid := range part {
			n.kids[i] = rangeKid{head(kid.start, n.prefix), kid}
			n.newest.Store(max(n.newest.Load(), kid.newest.Load()))
		}
		r.size.Add(nodeBytes + kidBytes*int64(len(part)))
		list = append(list, n)
	}
	return list
}

// tree returns the tree of nodes of one height.
func (r *RangeDeletes) tree(nodes []*rangeNode) *rangeNode {
	for len(nodes) > 1 {
		nodes = r.above(nodes)
	}
	n := nodes[0]
	for len(n.kids) == 1 {
		n = n.kids[0].node
	}
	return n
}

// replace returns the nodes, of the same height, that take the place of a node when leaves take the place of its leaves for the
// keys from start up to end. There may be none if leaves has none.
func (r *RangeDeletes) replace(n *rangeNode, start, end []byte, leaves []*rangeNode) []*rangeNode {
	if n.leaf != nil {
		return leaves
	}
	kids := make([]*rangeNode, 0, len(n.kids)+len(leaves))
	for _, k := range n.kids {
		kid := k.node
		switch {
		case kid.end != nil && Compare(kid.end, start) <= 0 || end != nil && Compare(kid.start, end) >= 0:
			kids = append(kids, kid)
		case leaves == nil && (end == nil || kid.end != nil && Compare(kid.end, end) <= 0): // it goes as a whole
		default:
			kids = append(kids, r.replace(kid, start, end, leaves)...)
			leaves = nil
		}
	}
	return r.above(kids)
}

// kid returns the place of the last of the nodes below that starts at or before a key. It takes no branch that depends on the
// key until it knows the place by the heads: a processor would guess wrong every other time.
func (n *rangeNode) kid(key []byte) int {
	h, i := head(key, n.prefix), 0
	for left := len(n.kids); left > 1; {
		half := left / 2
		if n.kids[i+half].head <= h {
			i += half
		}
		left -= half
	}
	for i > 0 && n.kids[i].head == h && Compare(n.kids[i].node.start, key) > 0 {
		i--
	}
	return i
}

// contains reports whether a key is one that the node stands for.
func (n *rangeNode) contains(key []byte) bool {
	return Compare(n.start, key) <= 0 && (n.end == nil || Compare(key, n.end) < 0)
}

// find returns the node with the leaf that tells about a key.
func (n *rangeNode) find(key []byte) *rangeNode {
	for n.leaf == nil {
		n = n.kids[n.kid(key)].node
	}
	return n
}

// findBefore returns the node with the leaf that tells about the keys right before one that is not the first.
func (n *rangeNode) findBefore(key []byte) *rangeNode {
	for n.leaf == nil {
		i := n.kid(key)
		if i > 0 && Compare(n.kids[i].node.start, key) == 0 {
			i--
		}
		n = n.kids[i].node
	}
	return n
}

// raise notes the sequence of a delete that is added to the leaf that tells about a key.
func (n *rangeNode) raise(key []byte, seq uint64) {
	for n.newest.Store(seq); n.leaf == nil; n.newest.Store(seq) {
		n = n.kids[n.kid(key)].node
	}
}

// touched reports whether a delete after a sequence reaches into start <= key < end.
func (n *rangeNode) touched(start, end []byte, since uint64) bool {
	if n.newest.Load() <= since || n.end != nil && Compare(n.end, start) <= 0 || end != nil && Compare(n.start, end) >= 0 {
		return false
	}
	if n.leaf != nil {
		return n.leaf.touched(start, end, since)
	}
	for _, kid := range n.kids {
		if kid.node.touched(start, end, since) {
			return true
		}
	}
	return false
}

// all appends the deletes of a tree as RangeDeletes.All returns them.
func (n *rangeNode) all(list []RangeDelete) []RangeDelete {
	for _, kid := range n.kids {
		list = kid.node.all(list)
	}
	if n.leaf == nil {
		return list
	}
	for _, d := range n.leaf.apart() {
		if last := len(list) - 1; last >= 0 && list[last].Seq == d.Seq && Compare(list[last].End, d.Start) == 0 {
			list[last].End = d.End // it was cut where a leaf ends
		} else {
			list = append(list, d)
		}
	}
	return list
}

// add adds a delete to the leaf, which has room. It is newer than the others, or apart from them.
func (n *rangeNode) add(d RangeDelete) {
	l := n.leaf
	i := l.n.Load()
	l.heads[i] = rangeHeads{head(d.Start, n.prefix), head(d.End, n.prefix), d.Seq}
	l.deletes[i] = d
	l.n.Store(i + 1)
}

// seq is RangeDeletes.Seq for a key that the leaf tells about.
func (n *rangeNode) seq(key []byte, asOf uint64) uint64 {
	l, h := n.leaf, head(key, n.prefix)
	for i := l.n.Load() - 1; i >= 0; i-- { // the newest that covers it is the answer
		heads := &l.heads[i]
		if h-heads.start > heads.end-heads.start || heads.seq > asOf { // it is before the start or behind the end
			continue
		}
		if l.compare(int(i), key, h) == 0 {
			return heads.seq
		}
	}
	return 0
}

// compare returns -1 if a key, with its head, is before the i-th delete, 0 if that covers it, and 1 if it is behind.
func (l *rangeLeaf) compare(i int, key []byte, head uint64) int {
	heads, d := &l.heads[i], &l.deletes[i]
	switch {
	case head < heads.start || head == heads.start && Compare(key, d.Start) < 0:
		return -1
	case head > heads.end || head == heads.end && Compare(key, d.End) >= 0:
		return 1
	}
	return 0
}

// stretch returns the answer for a key that the leaf tells about, and the stretch of keys around it with the same answer.
func (n *rangeNode) stretch(key []byte, asOf uint64) (start, end []byte, seq uint64) {
	l, h := n.leaf, head(key, n.prefix)
	from, to := bound{0, n.start}, bound{math.MaxUint64, n.end} // the heads are no closer than the keys
	for i := int(l.n.Load()) - 1; i >= 0; i-- {
		heads, d := &l.heads[i], &l.deletes[i]
		if heads.seq > asOf {
			continue
		}
		switch l.compare(i, key, h) {
		case -1:
			to.lower(heads.start, &d.Start)
		case 1:
			from.raise(heads.end, &d.End)
		case 0:
			from.raise(heads.start, &d.Start)
			to.lower(heads.end, &d.End)
			return from.key, to.key, heads.seq
		}
	}
	return from.key, to.key, 0
}

// bound is a key with its head. It looks at other keys only where the heads are the same.
type bound struct {
	head uint64
	key  []byte // nil: the end of all keys
}

// lower makes it another key if that is lower.
func (b *bound) lower(head uint64, key *[]byte) {
	if head < b.head || head == b.head && (b.key == nil || Compare(*key, b.key) < 0) {
		*b = bound{head, *key}
	}
}

// raise makes it another key if that is higher.
func (b *bound) raise(head uint64, key *[]byte) {
	if head > b.head || head == b.head && Compare(*key, b.key) > 0 {
		*b = bound{head, *key}
	}
}

func (l *rangeLeaf) room() bool { return l.n.Load() < leafSize }

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

// apart returns deletes that cover the same and do not overlap, in the order of their keys.
func (l *rangeLeaf) apart() (list []RangeDelete) {
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

// clip cuts deletes to those parts of them that lie from start on, or before end if that is not nil, in the same memory.
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
