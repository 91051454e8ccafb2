package memtable

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	maxList   = 1 << 20 // nodes: to sort them takes 0.1 s, or 0.4 if many keys tie, and who walks waits for it
	firstList = 64      // nodes that there is room for at first
	minLeft   = 256     // so few that come while others are sorted, or so small a part of those, are sorted last
	leftShare = 64
	fewItems  = 256 // below that comparing sorts faster: there are as many values of a byte
	maxTies   = 4   // rounds in which items are sorted by a head
)

// list holds the nodes of a memtable that nobody has walked yet, in the order in which they came. Many memtables are never walked
// before they are flushed, those that a log is replayed into among them. To sort their keys all at once then takes a quarter
// of the time of so many inserts into the tree, and it is the time of the flush, not of the writer. The first walk puts them in
// order: 0.1 us a key, and up to 0.4 where many tie in the 12 bytes after the prefix. From then on new nodes go to the tree, as
// do those of the memtables after it, for as long as each is walked; and so do those that come when the list is full.
//
// Measured, ns of CPU a key at 180 k keys of "user" and 20 digits: Set 850 to 1,500; into the list 210 to 500, and then 40 for
// the items and 60 for their sort. slices.SortFunc takes 170 to 250, and google/btree 450 for keys that come in order.
//
// The writer alone adds, and says how many there are once a node is in its place. Nodes that are counted stay where they are: a
// longer array begins with a copy of them, and is published before the count covers what was added to it.
type list struct {
	nodes   atomic.Pointer[[]uint32]
	count   atomic.Int64
	least   atomic.Uint32 // the nodes of the least key and of the greatest one
	most    atomic.Uint32
	walked  atomic.Bool // somebody has asked for the order
	closed  atomic.Bool // the writer adds no more, but one, if it had looked before; changes under tree.mu
	ordered atomic.Bool // the nodes are in order; changes under tree.mu
	sorting sync.Mutex  // held by the walk that puts them in order
	max     int64       // nodes
}

// takes reports whether the writer is to add its nodes here.
func (l *list) takes() bool { return !l.closed.Load() && l.count.Load() < l.max }

// add adds a node.
func (l *list) add(a *arena, node uint32) {
	n := l.count.Load()
	nodes := l.nodes.Load()
	if nodes == nil || int(n) == len(*nodes) {
		longer := make([]uint32, max(2*n, firstList))
		if nodes != nil {
			copy(longer, *nodes)
		}
		nodes = &longer
		l.nodes.Store(nodes)
	}
	(*nodes)[n] = node
	if n == 0 {
		l.least.Store(node)
		l.most.Store(node)
	} else if key := a.key(node); kv.Compare(key, a.key(l.most.Load())) > 0 {
		l.most.Store(node)
	} else if kv.Compare(key, a.key(l.least.Load())) < 0 {
		l.least.Store(node)
	}
	l.count.Store(n + 1)
}

// after returns those after the first n.
func (l *list) after(n int64) []uint32 {
	count := l.count.Load()
	if count == n {
		return nil
	}
	return (*l.nodes.Load())[n:count]
}

// putInOrder puts the nodes of the list in order. The writer goes on meanwhile, in the list until nearly all are sorted, then in
// the tree.
func (t *tree) putInOrder() {
	t.list.sorting.Lock()
	defer t.list.sorting.Unlock()
	if t.list.ordered.Load() {
		return
	}
	prefix, base := t.choosePrefix(false), []item(nil)
	for {
		nodes := t.list.after(int64(len(base)))
		if len(nodes) <= max(len(base)/leftShare, minLeft) {
			break
		}
		base = t.merge(base, t.sorted(nodes, prefix))
	}
	if last := t.choosePrefix(true); !bytes.Equal(last, prefix) { // there were too few to choose one for
		prefix, base = last, nil
	}
	base = t.merge(base, t.sorted(t.list.after(int64(len(base))), prefix))
	t.lock()
	defer t.mu.Unlock()
	t.mu.base, t.mu.taken = base, int64(len(base))
	t.list.ordered.Store(true)
}

// takeLocked puts the node in order that the writer has added while it had not seen yet that the list was closed.
//
// +checklocks:t.mu.Mutex
func (t *tree) takeLocked() {
	if !t.list.ordered.Load() {
		return
	}
	for _, node := range t.list.after(t.mu.taken) {
		t.mu.order.ReplaceOrInsert(makeItem(t.arena.key(node), t.mu.prefix, node))
		t.mu.taken++
	}
}

// choosePrefix chooses the prefix for the nodes of the list and for what comes after them, unless it was chosen or there are too
// few to choose one for, and returns it: the one that there is, unless another serves the nodes better. In the end it closes the
// list. No node is put into the tree before: the writer does that under mu, once the list is closed, or is full, for which it
// calls choosePrefix itself. So all items are made with one prefix, until the order is there and the writer looks at it again.
func (t *tree) choosePrefix(inTheEnd bool) []byte {
	t.lock()
	defer t.mu.Unlock()
	open := !t.list.closed.Load()
	if inTheEnd {
		t.list.closed.Store(true)
	}
	if open && !t.mu.chosen {
		if prefix := t.samplePrefix(t.list.after(0)); prefix != nil {
			t.mu.chosen = true
			if !serves(t.mu.prefix, prefix) {
				t.mu.prefix = prefix
			}
		}
	}
	return t.mu.prefix
}

// Span returns the least key and the greatest one, nil if there is none. It asks for no order. The keys are not to be written to.
func (m *Memtable) Span() (least, greatest []byte) {
	t := &m.tree
	inOrder := t.list.ordered.Load()
	least, greatest = t.span()
	if inOrder || t.list.count.Load() == 0 {
		return least, greatest
	}
	first, last := t.arena.key(t.list.least.Load()), t.arena.key(t.list.most.Load())
	if least == nil || kv.Compare(first, least) < 0 {
		least = first
	}
	if greatest == nil || kv.Compare(last, greatest) > 0 {
		greatest = last
	}
	return least, greatest
}

// span is Span of the nodes that are in order.
func (t *tree) span() (least, greatest []byte) {
	t.lock()
	defer t.mu.Unlock()
	t.drainLocked()
	first, ok := t.mu.order.Min()
	last, _ := t.mu.order.Max()
	if base := t.mu.base; len(base) > 0 {
		if !ok || t.less(base[0], first) {
			first = base[0]
		}
		if !ok || t.less(last, base[len(base)-1]) {
			last = base[len(base)-1]
		}
	} else if !ok {
		return nil, nil
	}
	return t.arena.key(first.node), t.arena.key(last.node)
}

// InOrder reports whether a walk finds the keys in order, and has nothing to sort.
func (m *Memtable) InOrder() bool { return m.tree.list.ordered.Load() }

// samplePrefix is commonPrefix for nodes in no order, of which it looks at firstLook. Fewer than that have none: the tree looks
// at them once they are so many.
func (t *tree) samplePrefix(all []uint32) []byte {
	if len(all) < firstLook {
		return nil
	}
	nodes := make([]uint32, firstLook)
	for i := range nodes {
		nodes[i] = all[i*len(all)/firstLook]
	}
	slices.SortFunc(nodes, func(a, b uint32) int { return kv.Compare(t.arena.key(a), t.arena.key(b)) })
	return sharedPrefix(t.arena.key(nodes[firstLook/8]), t.arena.key(nodes[firstLook-1-firstLook/8]))
}

// sorted returns the items of nodes in order.
func (t *tree) sorted(nodes []uint32, prefix []byte) []item {
	return t.sortedWith(nodes, prefix, maxTies)
}

func (t *tree) sortedWith(nodes []uint32, prefix []byte, rounds int) []item {
	items := make([]item, len(nodes))
	ordered := true
	for i, node := range nodes {
		items[i] = makeItem(t.arena.key(node), prefix, node)
		ordered = ordered && (i == 0 || t.less(items[i-1], items[i]))
	}
	if ordered {
		return items
	}
	items = sortByHead(items)
	for from := 0; from < len(items); {
		to := from + 1
		for to < len(items) && items[to].high == items[from].high && items[to].low == items[from].low {
			to++
		}
		if to > from+1 {
			t.sortTies(items[from:to], rounds-1)
		}
		from = to
	}
	return items
}

// sortTies sorts items with the same head: many by the bytes after what all of them share, as one head after another.
func (t *tree) sortTies(ties []item, rounds int) {
	if len(ties) < fewItems || rounds == 0 {
		slices.SortFunc(ties, func(a, b item) int { return kv.Compare(t.arena.key(a.node), t.arena.key(b.node)) })
		return
	}
	nodes := make([]uint32, len(ties))
	shared := t.arena.key(ties[0].node)
	for i, it := range ties {
		nodes[i] = it.node
		shared = shared[:commonLen(shared, t.arena.key(it.node))]
	}
	for i, it := range t.sortedWith(nodes, shared, rounds) {
		ties[i].node = it.node
	}
}

// sortByHead sorts items by their heads, and returns them in the memory of items or in other. It distributes them by each byte of
// the heads, the last first; bytes that all have in common cost next to nothing.
func sortByHead(items []item) []item {
	if len(items) < fewItems {
		slices.SortFunc(items, func(a, b item) int { return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low)) })
		return items
	}
	var counts [headBytes][256]uint32
	for _, it := range items {
		for i := range headBytes {
			counts[i][it.headByte(i)]++
		}
	}
	other := make([]item, len(items))
	for i := headBytes - 1; i >= 0; i-- {
		next := &counts[i]
		if int(next[items[0].headByte(i)]) == len(items) {
			continue
		}
		at := uint32(0)
		for b, n := range next {
			next[b], at = at, at+n
		}
		for _, it := range items {
			b := it.headByte(i)
			other[next[b]] = it
			next[b]++
		}
		items, other = other, items
	}
	return items
}

// headByte returns a byte of the head.
func (it item) headByte(i int) byte {
	if i < 8 {
		return byte(it.high >> (56 - 8*i))
	}
	return byte(it.low >> (88 - 8*i))
}
