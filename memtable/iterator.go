package memtable

import "github.com/ebbdb/ebb/internal/kv"

const (
	// A refill takes the tree's lock and searches from the root, 0.2 us if the nodes are cached, then takes 10 ns a node.
	firstRefill = 4
	maxRefill   = 64
	// Looking at a node costs a cache miss; those of a group overlap. A short scan must not pay for what it never reads.
	minGroup = 8

	unseen = 1<<32 - 1 // in place of a version: there is none for seq. No version can lie there: it takes two units
)

// Iterator walks a memtable as of one sequence: of each key the newest version up to it, tombstones and expired ones
// included; keys without such a version do not show. It is a [kv.Iterator] that never fails.
//
// Writes with a higher sequence may go on meanwhile and do not show either. It holds no lock between calls. Entry's
// slices are not to be written to and stay valid for as long as anybody holds the memtable. When a positioning call has
// returned false, the iterator stands nowhere until First, Last or a Seek.
//
// The zero Iterator is a closed one; Reset readies it or a used one. An Iterator is for one goroutine.
type Iterator struct {
	m     *Memtable
	seq   uint64
	entry kv.Entry

	// Nodes read ahead, in the order of keys: all that were in the tree between the first and the last of them. A key that
	// came later has a higher sequence than seq, so that moves among them need no tree.
	nodes    [maxRefill]uint32
	versions [maxRefill]uint32 // the versions that seq sees of nodes[low:high]; the others were not looked at
	n        int               // nodes; 0: it stands nowhere
	low      int
	high     int
	at       int // the one it stands on
	refill   int // how many to ask for next
	touched  byte
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
		for it.at+1 < it.n {
			it.at++
			if it.at == it.high {
				it.high = min(it.high+it.group(), it.n)
				it.look(it.at, it.high)
			}
			if it.versions[it.at] != unseen {
				it.m.arena.entry(&it.entry, it.nodes[it.at], it.versions[it.at])
				return true
			}
		}
		it.readAfter(start{node: it.nodes[it.n-1]})
	}
	return false
}

// Prev moves to the entry before the current one.
func (it *Iterator) Prev() bool {
	for it.n > 0 {
		for it.at > 0 {
			it.at--
			if it.at < it.low {
				it.low = max(it.low-it.group(), 0)
				it.look(it.low, it.at+1)
			}
			if it.versions[it.at] != unseen {
				it.m.arena.entry(&it.entry, it.nodes[it.at], it.versions[it.at])
				return true
			}
		}
		it.readBefore(start{node: it.nodes[0]})
	}
	return false
}

// Entry returns the current entry. The Entry itself is the iterator's and changes with the next positioning call.
func (it *Iterator) Entry() *kv.Entry { return &it.entry }

// Err returns nil.
func (it *Iterator) Err() error { return nil }

// Close lets go of the memtable. Positioning a closed iterator returns false.
func (it *Iterator) Close() error {
	it.Reset(nil, 0)
	it.entry = kv.Entry{}
	return nil
}

// readAfter reads nodes from s on and stands before the first of them. Without any it stands nowhere.
func (it *Iterator) readAfter(s start) bool {
	if it.m != nil {
		it.n = it.m.tree.ascend(s, it.nodes[:it.refill])
	}
	it.at, it.low, it.high = -1, 0, 0
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// readBefore reads nodes down from s and stands behind the last of them. Without any it stands nowhere.
func (it *Iterator) readBefore(s start) bool {
	if it.m != nil {
		it.n = it.m.tree.descend(s, it.nodes[:it.refill])
	}
	it.at, it.low, it.high = it.n, it.n, it.n
	it.refill = min(4*it.refill, maxRefill)
	return it.n > 0
}

// group returns how many nodes to look at together: twice as many once a scan turns out to be long.
func (it *Iterator) group() int { return max(minGroup, it.n/4) }

// look finds the versions that seq sees of nodes[from:to]. First it touches them all, in a loop so tight that the cache
// misses overlap: Go has no prefetch, and without this a scan takes a third longer. touched keeps the loads alive.
func (it *Iterator) look(from, to int) {
	nodes := it.nodes[from:to]
	for _, node := range nodes {
		it.touched ^= it.m.arena.touch(node)
	}
	for i, node := range nodes {
		version, ok := it.m.arena.visible(node, it.seq)
		if !ok {
			version = unseen
		}
		it.versions[from+i] = version
	}
}
