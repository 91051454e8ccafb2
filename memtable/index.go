package memtable

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	partBits   = 8 // parts grow alone: 1 M keys are 4 k in each, and growing one takes about 10 us
	parts      = 1 << partBits
	firstSlots = 8
)

// index finds a key's node by the key's hash. A slot is 32 bits of hash above the node's offset, 0 when empty. A hash's
// top bits choose the part, the next 32 are the slot's tag, and the tag's place in the range of tags is where the search
// for it begins (linear probing), so that growing copies the slots in the order they lie in.
//
// One goroutine adds, any number find, and nobody waits:
//   - A slot is written once, from 0 to its final value, after the node it names is complete. Loading it atomically is
//     therefore enough to read the node.
//   - Slots are never emptied or moved within an array, and an array never becomes full. So a search that meets an empty
//     slot has passed every slot that this key could have had when that slot was loaded: the key was not in this array.
//   - Growing fills a new array with all of the old one's slots before publishing it, and the old one never changes
//     again. A search in an old array answers as of the moment it was replaced: whoever adds a key that the search must
//     see has done so before the search began, and then the search loads an array that has it.
type index struct {
	seed  maphash.Seed
	parts [parts]atomic.Pointer[[]atomic.Uint64]
	count [parts]uint32 // used slots; apart from parts, whose cache lines readers share
	size  atomic.Int64  // bytes of all arrays
}

// hash returns a key's hash.
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
func home(tag uint32, n int) int {
	hi, _ := bits.Mul64(uint64(tag)<<32, uint64(n))
	return int(hi)
}
