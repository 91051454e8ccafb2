package memtable

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	// A refill takes the tree's lock and searches from the root, 0.2 us if the nodes are cached, then takes 10 ns a node.
	firstRefill = 4
	maxRefill   = 64
	// Looking at a node costs a cache miss; those of a group overlap. A short scan must not pay for what it never reads.
	minGroup = 8
)

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

	// The entries that seq sees of nodes[low:high]. All nodes before low, or all from high on, are still to be looked at: so the
	// entries grow at one end only, and begin at the other end of the array.
	entries  [maxRefill]kv.Entry
	from, to int // entries[from:to]
	at       int // the one that it stands on
	before   int // entries[:before] and entries[behind:] were used since Close
	behind   int

	refill  int // how many nodes to ask for next
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
func (it *Iterator) Reset(m *Memtable, seq uint64) { it.m, it.seq, it.n = m, seq, 0 }

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
	it.refill = firstRefill
	return it.readAfter(start{key: key}) && it.Next()
}

// SeekLT moves to the last entry with a key < key. The key is not kept.
func (it *Iterator) SeekLT(key []byte) bool {
	it.refill = firstRefill
	return it.readBefore(start{key: key}) && it.Prev()
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
	clear(it.entries[:it.before]) // an entry would keep all of the memtable's memory
	clear(it.entries[it.behind:])
	it.before, it.behind = 0, maxRefill
	it.Reset(nil, 0)
	return nil
}

// readAfter reads nodes from s on and stands before the first of them. Without any it stands nowhere.
func (it *Iterator) readAfter(s start) bool {
	if it.m != nil {
		it.n = it.m.tree.ascend(s, it.nodes[:it.refill])
	}
	it.at, it.from, it.to = -1, 0, 0
	it.low, it.high = 0, 0
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// readBefore reads nodes down from s and stands behind the last of them. Without any it stands nowhere.
func (it *Iterator) readBefore(s start) bool {
	if it.m != nil {
		it.n = it.m.tree.descend(s, it.nodes[:it.refill])
	}
	it.at, it.from, it.to = maxRefill, maxRefill, maxRefill
	it.low, it.high = it.n, it.n
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// group returns how many nodes to look at together: twice as many once a scan turns out to be long.
func (it *Iterator) group() int { return max(minGroup, it.n/4) }

// lookAfter finds the entries that seq sees of the next group of nodes.
func (it *Iterator) lookAfter() {
	nodes := it.nodes[it.high:min(it.high+it.group(), it.n)]
	it.high += len(nodes)
	it.touch(nodes)
	for _, node := range nodes {
		if version, ok := it.m.arena.visible(node, it.seq); ok {
			it.m.arena.entry(&it.entries[it.to], node, version)
			it.to++
		}
	}
	it.before = max(it.before, it.to)
}

// lookBefore is lookAfter for the group before.
func (it *Iterator) lookBefore() {
	nodes := it.nodes[max(it.low-it.group(), 0):it.low]
	it.low -= len(nodes)
	it.touch(nodes)
	for _, node := range slices.Backward(nodes) {
		if version, ok := it.m.arena.visible(node, it.seq); ok {
			it.from--
			it.m.arena.entry(&it.entries[it.from], node, version)
		}
	}
	it.behind = min(it.behind, it.from)
}

// touch looks at nodes in a loop so tight that the cache misses overlap: Go has no prefetch, and without this a scan takes a
// third longer. touched keeps the loads alive.
func (it *Iterator) touch(nodes []uint32) {
	for _, node := range nodes {
		it.touched ^= it.m.arena.touch(node)
	}
}
