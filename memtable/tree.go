package memtable

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	degree     = 64       // 48 to 96 insert equally fast at 1 M keys; 16 and 256 take 15 to 40 % longer
	indexBytes = 13       // a key, about
	treeBytes  = 24       // a key: 16 in nodes that are two thirds full, or in an array that is sorted into another
	maxQueue   = 64       // nodes that wait to be put in order: 30 us of work that a seek may have to do first
	firstLook  = 1 << 10  // keys at which the prefix is chosen; a rebuild takes 0.1 ms
	lastLook   = 16 << 10 // keys at which it is corrected if it must be; a rebuild takes 2 ms
	spins      = 300      // attempts to lock, about a microsecond, before other goroutines get the processor
	yields     = 30       // times that they get it before the goroutine sleeps
)

// tree keeps the nodes in the order of their keys.
//
// A scan holds the lock for a microsecond, but a goroutine that sleeps until the lock is free loses fifty. Seven goroutines
// that scan without a pause leave a writer 30 k inserts a second, with a p99.9 of 4 to 8 ms, if both lock a sync.Mutex; 500 k
// and 0.3 ms as it is done here (two cores; 140 k scans of 50 against 97 k). The writer queues a node, and puts the queued
// nodes in order itself only if no reader has or wants the lock. A reader that has got the lock first puts them in order:
//   - A key that a reader at some sequence must see was queued before that sequence was given to the reader, so the
//     reader's load of tail covers it.
//   - Only the writer changes tail, and it fills a place before tail covers it. Nodes are taken from the queue under mu
//     alone, and a place is filled again only after head has passed it.
//   - order changes under mu alone, and only while there are queued nodes. Only the writer queues nodes, so from when it has
//     drained the queue until its next insert order does not change, and the writer may walk it without mu.
type tree struct {
	arena *arena

	list list // nodes that came before anybody asked for their order: see list.go

	batch    bool     // a batch is loaded, and readers go on: see batch.go. For the writer, as are loaded and nextLook
	loaded   []uint32 // the nodes that were added in the batch
	nextLook int64    // keys at which the prefix is chosen or corrected

	queue   [maxQueue]uint32
	tail    atomic.Int64 // nodes ever queued, or put in order with a batch: with those of list, all that there are
	waiting atomic.Int32 // readers that want mu
	// +checkatomic
	// +checklocks:mu.Mutex
	head atomic.Int64 // nodes ever taken from the queue

	mu struct { // held for one walk or for draining the queue
		sync.Mutex
		// +checklocks:Mutex
		order *btree.BTreeG[item] // all but those of base
		// +checklocks:Mutex
		base []item // what was put in order at once: see list.go and batch.go. Never changed in place
		// +checklocks:Mutex
		taken int64 // nodes of list that are in order
		// +checklocks:Mutex
		prefix []byte
		// +checklocks:Mutex
		chosen bool // prefix is for the nodes of list
		// +checklocks:Mutex
		probe []byte // the key of node 0
	}
}

func (t *tree) init(a *arena, hint Hint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arena, t.mu.prefix = a, []byte(hint.prefix)
	t.mu.order = btree.NewG(degree, t.less)
	t.list.closed.Store(hint.walked)
	t.list.ordered.Store(hint.walked)
	t.nextLook, t.list.max = firstLook, maxList
}

// len returns the number of nodes.
func (t *tree) len() int64 { return t.list.count.Load() + t.tail.Load() }

func (t *tree) less(a, b item) bool {
	if a.high != b.high {
		return a.high < b.high
	}
	if a.low != b.low {
		return a.low < b.low
	}
	return a.node != b.node && kv.Compare(t.key(a.node), t.key(b.node)) < 0
}

// compare is less for a sort.
func (t *tree) compare(a, b item) int {
	switch {
	case t.less(a, b):
		return -1
	case a.node == b.node:
		return 0
	}
	return 1
}

// key returns the key of a node that is compared.
//
// +checklocksignore: probe is node 0, which only a walk compares, under mu; a rebuild holds no lock and compares other nodes.
func (t *tree) key(node uint32) []byte {
	if node == 0 {
		return t.mu.probe
	}
	return t.arena.key(node)
}

// insert adds a node whose key is not in the tree.
func (t *tree) insert(node uint32) {
	switch {
	case t.batch:
		t.loaded = append(t.loaded, node)
		return
	case t.list.takes():
		if t.list.add(t.arena, node); !t.list.takes() {
			t.choosePrefix(false)
		}
		return
	}
	tail := t.tail.Load()
	if tail-t.head.Load() == maxQueue {
		t.lock()
		t.drainLocked()
		t.mu.Unlock()
	}
	t.queue[tail%maxQueue] = node
	t.tail.Store(tail + 1)
	if t.waiting.Load() == 0 {
		t.tryDrain()
	}
	if n := t.len(); n >= t.nextLook && t.list.ordered.Load() {
		t.look(n)
	}
}

// tryDrain is drainLocked, if nobody has the lock.
//
// +checklocksignore: checklocks does not know TryLock.
func (t *tree) tryDrain() {
	if t.mu.TryLock() {
		t.drainLocked()
		t.mu.Unlock()
	}
}

// drainLocked puts the queued nodes in order, and the last ones of the list.
//
// +checklocks:t.mu.Mutex
func (t *tree) drainLocked() {
	if t.list.count.Load() > t.mu.taken {
		t.takeLocked()
	}
	head, tail := t.head.Load(), t.tail.Load()
	for i := head; i != tail; i++ {
		node := t.queue[i%maxQueue]
		t.mu.order.ReplaceOrInsert(makeItem(t.arena.key(node), t.mu.prefix, node))
	}
	t.head.Store(tail)
}

// lock locks mu, if need be by trying again and again; see tree for why.
//
// +checklocksacquire:t.mu.Mutex
// +checklocksignore: checklocks does not know TryLock.
func (t *tree) lock() {
	for range yields {
		for range spins {
			if t.mu.TryLock() {
				return
			}
		}
		runtime.Gosched()
	}
	t.mu.Lock()
}

// lockForRead locks mu and leaves nothing in the queue.
//
// +checklocksacquire:t.mu.Mutex
func (t *tree) lockForRead() {
	if !t.list.walked.Load() {
		t.list.walked.Store(true)
	}
	if !t.list.ordered.Load() {
		t.putInOrder()
	}
	t.waiting.Add(1)
	t.lock()
	t.waiting.Add(-1)
	t.drainLocked()
}

// look has the prefix reconsidered when there are firstLook keys, and lastLook, or a few more. Of many more a walk has chosen it.
func (t *tree) look(n int64) {
	t.nextLook = lastLook
	if n >= lastLook {
		t.nextLook = math.MaxInt64
	}
	if n < lastLook+minLeft {
		t.reconsider(n)
	}
}

// reconsider looks at the n keys there are and rebuilds the order if another prefix serves them better. Only the writer
// may call it. Readers go on in the old order meanwhile.
func (t *tree) reconsider(n int64) {
	t.lock()
	t.drainLocked()
	old, loaded, used := t.mu.order, t.mu.base, t.mu.prefix
	t.mu.Unlock()
	prefix := t.commonPrefix(old, loaded, n)
	if !serves(used, prefix) {
		t.rebuild(prefix)
	}
}

// serves reports whether a prefix serves keys about as well as the one that they share.
func serves(prefix, shared []byte) bool {
	return bytes.HasPrefix(shared, prefix) && len(shared) <= len(prefix)+reserve
}

// rebuild orders by another prefix what is there. Only the writer may call it.
func (t *tree) rebuild(prefix []byte) {
	t.lock()
	t.drainLocked()
	old, loaded := t.mu.order, t.mu.base
	t.mu.Unlock()
	order := btree.NewG(degree, t.less)
	old.Ascend(func(it item) bool {
		order.ReplaceOrInsert(makeItem(t.arena.key(it.node), prefix, it.node))
		return true
	})
	base := make([]item, len(loaded))
	for i, it := range loaded {
		base[i] = makeItem(t.arena.key(it.node), prefix, it.node)
	}
	t.lock()
	t.mu.order, t.mu.base, t.mu.prefix = order, base, prefix
	t.mu.Unlock()
}

// commonPrefix returns the prefix that the middle three quarters of the n keys in order share. Strays at the ends do not count:
// they would spoil the prefix for all others.
func (t *tree) commonPrefix(order *btree.BTreeG[item], base []item, n int64) []byte {
	items := make([]item, 0, n)
	order.Ascend(func(it item) bool {
		items = append(items, it)
		return true
	})
	if len(base) > 0 {
		items = append(items, base...)
		slices.SortFunc(items, t.compare)
	}
	return sharedPrefix(t.arena.key(items[n/8].node), t.arena.key(items[n-1-n/8].node))
}

// hint returns the prefix in use, and whether there was a walk.
func (t *tree) hint() Hint {
	t.lock()
	defer t.mu.Unlock()
	return Hint{prefix: string(t.mu.prefix), walked: t.list.walked.Load()}
}

// start is where a walk begins: at the edge of the tree, at a key, or at the neighbour of a node.
type start struct {
	edge bool
	key  []byte
	node uint32
}

// ascend fills nodes in the order of their keys: with the first ones, with the first ones >= s.key, or with those after
// s.node. It returns how many there were.
func (t *tree) ascend(s start, nodes []uint32) int {
	n := 0
	collect := func(it item) bool {
		if it.node != s.node {
			nodes[n] = it.node
			n++
		}
		return n < len(nodes)
	}
	t.lockForRead()
	defer t.mu.Unlock()
	base, more := t.mu.base, true // of base, those that are to come
	merge := func(it item) bool {
		for more && len(base) > 0 && t.less(base[0], it) {
			more = collect(base[0])
			base = base[1:]
		}
		more = more && collect(it)
		return more
	}
	if s.edge {
		t.mu.order.Ascend(merge)
	} else {
		pivot := t.pivotLocked(s)
		base = base[t.rank(base, pivot):]
		t.mu.order.AscendGreaterOrEqual(pivot, merge)
		t.mu.probe = nil
	}
	for ; more && len(base) > 0; base = base[1:] {
		more = collect(base[0])
	}
	return n
}

// descend fills nodes in the order of their keys: with the last ones, with the last ones < s.key, or with those before
// s.node. It returns how many there were.
func (t *tree) descend(s start, nodes []uint32) int {
	n := 0
	collect := func(it item) bool {
		if it.node != s.node {
			nodes[n] = it.node
			n++
		}
		return n < len(nodes)
	}
	t.lockForRead()
	defer t.mu.Unlock()
	base, more := t.mu.base, true // of base, those that are to come
	merge := func(it item) bool {
		for more && len(base) > 0 && t.less(it, base[len(base)-1]) {
			more = collect(base[len(base)-1])
			base = base[:len(base)-1]
		}
		more = more && collect(it)
		return more
	}
	if s.edge {
		t.mu.order.Descend(merge)
	} else {
		pivot := t.pivotLocked(s)
		base = base[:t.rank(base, pivot)]
		t.mu.order.DescendLessOrEqual(pivot, func(it item) bool {
			atKey := n == 0 && !t.less(it, pivot)
			return atKey || merge(it)
		})
		t.mu.probe = nil
	}
	for ; more && len(base) > 0; base = base[:len(base)-1] {
		more = collect(base[len(base)-1])
	}
	slices.Reverse(nodes[:n])
	return n
}

// rank returns how many items of base come before one.
func (t *tree) rank(base []item, it item) int {
	return sort.Search(len(base), func(i int) bool { return !t.less(base[i], it) })
}

// pivotLocked returns the item that a walk from s begins at.
//
// +checklocks:t.mu.Mutex
func (t *tree) pivotLocked(s start) item {
	if s.node != 0 {
		return makeItem(t.arena.key(s.node), t.mu.prefix, s.node)
	}
	t.mu.probe = s.key
	return makeItem(s.key, t.mu.prefix, 0)
}
