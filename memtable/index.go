package memtable

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

const (
	partBits   = 8 // each part grows alone: with 1 M keys it has 4 k, and the insert that makes it grow takes 10 us
	parts      = 1 << partBits
	firstSlots = 8
)

// index finds a key's node by the key's hash. The hash's top bits choose a part; the next 32 are the tag. A slot holds a
// tag above a node's offset, or 0. The search for a tag begins at its home, which lies in the array of slots as the tag
// lies in the range of tags, and goes on to the next slot (linear probing). So growing copies slots in the order they
// lie in, and needs no hashes.
//
// One goroutine adds, any number find, and nobody waits:
//   - A slot is stored once, atomically, after the node it names is complete. So a reader that loads the slot can read the node.
//   - Within an array slots are never emptied or moved, and some are always empty. So a search ends, and one that meets
//     an empty slot has passed every slot that could have held the key before: the key was not in this array.
//   - Growing fills a new array with the old one's slots, then publishes it; the old one never changes again. A key that
//     a search must find was added before the search began. If that was before the array it loads was replaced, or into
//     that array, it is in there; it cannot have been added to a later one, which the search would have loaded.
type index struct {
	seed  maphash.Seed
	parts [parts]atomic.Pointer[[]atomic.Uint64]
	_     apart
	count [parts]uint32 // used slots
	size  atomic.Int64  // bytes of all arrays
	_     apart
}

// hash returns a key's hash: 4 ns for 24 bytes, with a seed that nobody outside can aim collisions at.
func (x *index) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

// find returns the node of a key with this hash, 0 if there is none.
func (x *index) find(a *arena, key []byte, hash uint64) uint32 {
	p := x.parts[hash>>(64-partBits)].Load()
	if p == nil {
		return 0
	}
	slots := *p
	tag := tagOf(hash)
	for i := home(tag, len(slots)); ; {
		slot := slots[i].Load()
		if slot == 0 {
			return 0
		}
		if node := uint32(slot); uint32(slot>>32) == tag && bytes.Equal(a.key(node), key) {
			return node
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// add enters a node whose key has this hash and is not in the index.
func (x *index) add(node uint32, hash uint64) {
	part := hash >> (64 - partBits)
	p := x.parts[part].Load()
	if p == nil || int(x.count[part]) >= len(*p)/4*3 {
		p = x.grow(part, p)
	}
	put(*p, uint64(tagOf(hash))<<32|uint64(node))
	x.count[part]++
}

// grow replaces a part's array by one that is half as large again: between 10.7 and 16 bytes a key.
func (x *index) grow(part uint64, old *[]atomic.Uint64) *[]atomic.Uint64 {
	n := firstSlots
	if old != nil {
		n = len(*old) + len(*old)/8*4
	}
	slots := make([]atomic.Uint64, n)
	x.size.Add(int64(8 * n))
	if old != nil {
		x.size.Add(int64(-8 * len(*old)))
		for i := range *old {
			if slot := (*old)[i].Load(); slot != 0 {
				put(slots, slot)
			}
		}
	}
	x.parts[part].Store(&slots)
	return &slots
}

// put writes a slot to the first empty place from its home on.
func put(slots []atomic.Uint64, slot uint64) {
	i := home(uint32(slot>>32), len(slots))
	for slots[i].Load() != 0 {
		if i++; i == len(slots) {
			i = 0
		}
	}
	slots[i].Store(slot)
}

func tagOf(hash uint64) uint32 { return uint32(hash >> (32 - partBits)) }

// home maps a tag to [0, n), keeping the order of tags.
func home(tag uint32, n int) int { return int(uint64(tag) * uint64(n) >> 32) }
