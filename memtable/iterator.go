package memtable

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/prefetch"
)

const (
	// A refill takes the tree's lock and searches from the root, 0.2 us if the nodes are cached, then takes 10 ns a node.
	firstRefill = 4
	maxRefill   = 64
	// Looking at a node costs a cache miss; those of a group overlap. A short scan must not pay for what it never reads. Where the
	// processor can be asked for nodes, it is asked for those of the group to come while this one is looked at: so the first group
	// is one node, and each has twice as many as the one before. A merge may take long to come to the second.
	minGroup = 8
	// As much is asked for as the node before has, up to maxFetch bytes, and fetchSize of the first.
	fetchSize = 128
	maxFetch  = 256
)

// firstGroup is how many nodes are looked at first.
func firstGroup() int {
	if prefetch.On {
		return 1
	}
	return minGroup
}

// Iterator walks a memtable as of one sequence: of each key the newest version up to it, tombstones and expired ones
// included; keys without such a version do not show. It is a [kv.Runner] that never fails.
//
// Writes with a higher sequence may go on meanwhile and do not show either. It holds no lock between calls. Entry's
// slices are not to be written to and stay valid for as long as anybody holds the memtable. When a positioning call has
// returned false, the iterator stands nowhere until First, Last or a Seek.
//
// The zero Iterator is a closed one; Reset readies it or a used one. An Iterator is for one goroutine.
type Iterator struct {
	m   *Memtable
	seq uint64

	// Nodes read ahead, in the order of keys: all that were in the tree between the first and the last of them. A key that
	// came later has a higher sequence than seq, so that moves among them need no tree.
	nodes [maxRefill]uint32
	n     int // nodes; 0: it stands nowhere
	low   int // nodes[low:high] were looked at
	high  int
	asked int // the processor was asked for nodes[asked:low] or nodes[high:asked]
	group int // how many to look at next
	size  int // about how many bytes a node has

	// The entries that seq sees of nodes[low:high]. All nodes before low, or all from high on, are still to be looked at: so the
	// entries grow at one end only, and begin at the other end of the array.
	entries  [maxRefill]kv.Entry
	from, to int // entries[from:to]
	at       int // the one that it stands on
	used     int // entries[:used] and entries[behind:] were used since Close
	behind   int

	aimed   []byte // the key of the seek to come, between Aim and Fetch
	before  bool   // that is SeekLT
	sought  bool   // Fetch has found the nodes of the seek to come
	refill  int    // how many nodes to ask for next
	touched byte
	nothing kv.Entry // Entry's result where there is none
}

// NewIterator returns an iterator over the versions that seq sees, in one allocation. Keeping it and using Reset takes none.
func (m *Memtable) NewIterator(seq uint64) *Iterator {
	it := new(Iterator)
	it.Reset(m, seq)
	return it
}

// Reset makes the iterator one over the versions that seq sees in m, standing nowhere.
func (it *Iterator) Reset(m *Memtable, seq uint64) {
	it.m, it.seq, it.n, it.sought, it.size = m, seq, 0, false, fetchSize
}

// First moves to the first entry.
func (it *Iterator) First() bool {
	it.refill = firstRefill
	return it.readAfter(start{edge: true}) && it.Next()
}

// Last moves to the last entry.
func (it *Iterator) Last() bool {
	it.refill = firstRefill
	return it.readBefore(start{edge: true}) && it.Prev()
}

// SeekGE moves to the first entry with a key >= key. The key is not kept.
func (it *Iterator) SeekGE(key []byte) bool {
	return it.seek(key, false) && it.Next()
}

// SeekLT moves to the last entry with a key < key. The key is not kept.
func (it *Iterator) SeekLT(key []byte) bool {
	return it.seek(key, true) && it.Prev()
}

// Aim notes where to seek: see kv.Aimer.
func (it *Iterator) Aim(key []byte, before bool) {
	it.n, it.sought, it.aimed, it.before = 0, false, key, before
}

// Fetch finds the nodes that the seek begins with, and asks the processor for what is in them.
func (it *Iterator) Fetch() {
	it.seek(it.aimed, it.before)
	it.aimed, it.sought = nil, true
	switch {
	case !prefetch.On:
	case it.before:
		it.askBefore(0)
	default:
		it.askAfter(it.n)
	}
}

// seek reads the nodes that a seek begins with, unless Fetch has. Without any it stands nowhere.
func (it *Iterator) seek(key []byte, before bool) bool {
	switch {
	case it.sought:
		it.sought = false
		return it.n > 0
	case before:
		it.refill = firstRefill
		return it.readBefore(start{key: key})
	}
	it.refill = firstRefill
	return it.readAfter(start{key: key})
}

// Next moves to the entry after the current one.
func (it *Iterator) Next() bool {
	for it.n > 0 {
		if it.at+1 < it.to {
			it.at++
			return true
		}
		if it.high < it.n {
			it.lookAfter()
		} else {
			it.readAfter(start{node: it.nodes[it.n-1]})
		}
	}
	return false
}

// Prev moves to the entry before the current one.
func (it *Iterator) Prev() bool {
	for it.n > 0 {
		if it.at > it.from {
			it.at--
			return true
		}
		if it.low > 0 {
			it.lookBefore()
		} else {
			it.readBefore(start{node: it.nodes[0]})
		}
	}
	return false
}

// Run returns the entries at hand: see kv.Runner. Their slices stay valid for as long as anybody holds the memtable, but they
// are the memtable's, and so none of them is kept.
func (it *Iterator) Run(want int, reverse bool) (run []kv.Entry, kept bool) {
	if it.n == 0 {
		return nil, false
	}
	if reverse {
		for it.at+1-it.from < want && it.low > 0 {
			it.lookBefore()
		}
		return it.entries[max(it.from, it.at+1-want) : it.at+1], false
	}
	for it.to-it.at < want && it.high < it.n {
		it.lookAfter()
	}
	return it.entries[it.at:min(it.to, it.at+want)], false
}

// Pass moves by n entries within the last run.
func (it *Iterator) Pass(n int, reverse bool) {
	if reverse {
		n = -n
	}
	it.at += n
}

// Entry returns the current entry. The Entry itself is the iterator's and changes with the next positioning call.
func (it *Iterator) Entry() *kv.Entry {
	if it.n == 0 {
		return &it.nothing
	}
	return &it.entries[it.at]
}

// Err returns nil.
func (it *Iterator) Err() error { return nil }

// Close lets go of the memtable. Positioning a closed iterator returns false.
func (it *Iterator) Close() error {
	clear(it.entries[:it.used]) // an entry would keep all of the memtable's memory
	clear(it.entries[it.behind:])
	it.used, it.behind, it.aimed = 0, maxRefill, nil
	it.Reset(nil, 0)
	return nil
}

// readAfter reads nodes from s on and stands before the first of them. Without any it stands nowhere.
func (it *Iterator) readAfter(s start) bool {
	it.sought = false
	if it.m != nil {
		it.n = it.m.tree.ascend(s, it.nodes[:it.refill])
	}
	it.at, it.from, it.to = -1, 0, 0
	it.low, it.high, it.asked, it.group = 0, 0, 0, firstGroup()
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// readBefore reads nodes down from s and stands behind the last of them. Without any it stands nowhere.
func (it *Iterator) readBefore(s start) bool {
	it.sought = false
	if it.m != nil {
		it.n = it.m.tree.descend(s, it.nodes[:it.refill])
	}
	it.at, it.from, it.to = maxRefill, maxRefill, maxRefill
	it.low, it.high, it.asked, it.group = it.n, it.n, it.n, firstGroup()
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// lookAfter finds the entries that seq sees of the next group of nodes.
func (it *Iterator) lookAfter() {
	nodes := it.nodes[it.high:min(it.high+it.group, it.n)]
	it.high += len(nodes)
	if it.group = min(2*it.group, max(minGroup, it.n/4)); prefetch.On {
		it.askAfter(min(it.high+it.group, it.n))
	} else {
		it.touch(nodes)
	}
	for _, node := range nodes {
		if version, ok := it.m.arena.visible(node, it.seq); ok {
			it.m.arena.entry(&it.entries[it.to], node, version)
			it.to++
		}
	}
	if it.to > it.from {
		it.learn(&it.entries[it.to-1])
	}
	it.used = max(it.used, it.to)
}

// lookBefore is lookAfter for the group before.
func (it *Iterator) lookBefore() {
	nodes := it.nodes[max(it.low-it.group, 0):it.low]
	it.low -= len(nodes)
	if it.group = min(2*it.group, max(minGroup, it.n/4)); prefetch.On {
		it.askBefore(max(it.low-it.group, 0))
	} else {
		it.touch(nodes)
	}
	for _, node := range slices.Backward(nodes) {
		if version, ok := it.m.arena.visible(node, it.seq); ok {
			it.from--
			it.m.arena.entry(&it.entries[it.from], node, version)
		}
	}
	if it.to > it.from {
		it.learn(&it.entries[it.from])
	}
	it.behind = min(it.behind, it.from)
}

// learn notes how large an entry is.
func (it *Iterator) learn(e *kv.Entry) { it.size = min(keyAt+len(e.Key)+len(e.Value), maxFetch) }

// askAfter asks the processor for the nodes up to one.
func (it *Iterator) askAfter(to int) {
	for ; it.asked < to; it.asked++ {
		it.m.arena.fetch(it.nodes[it.asked], it.size)
	}
}

// askBefore asks the processor for the nodes down to one.
func (it *Iterator) askBefore(to int) {
	for ; it.asked > to; it.asked-- {
		it.m.arena.fetch(it.nodes[it.asked-1], it.size)
	}
}

// touch looks at nodes in a loop so tight that the cache misses overlap, where nothing can be asked for: without this a scan
// takes a third longer. touched keeps the loads alive.
func (it *Iterator) touch(nodes []uint32) {
	for _, node := range nodes {
		it.touched ^= it.m.arena.touch(node)
	}
}
