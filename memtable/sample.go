package memtable

import "github.com/ebbdb/ebb/internal/kv"

const (
	// sampleExactly is how many keys of a range Sample looks at one by one: 0.3 ms.
	sampleExactly = 4096
	// sampleSize is about how many keys Sample looks at where a range has more: some 2 ms. Of a million keys 0.4 % are in the
	// smallest such range, so that 67 of its keys are looked at, which is right to 12 % on average.
	sampleSize = 16 << 10
)

// Sample calls fn with the newest version as of seq of the keys with lower <= key < upper, tombstones and expired ones
// included; an empty bound is none. first is the kind of the key's first version. If there are many such keys fn gets a random
// part of them, in no order, and scale is by how much that is to be multiplied. The entries are for the call, their slices as
// those of Get.
func (m *Memtable) Sample(lower, upper []byte, seq uint64, fn func(e *kv.Entry, first kv.Kind)) (scale float64) {
	within := func(key []byte) bool { return len(upper) == 0 || kv.Compare(key, upper) < 0 }
	e := new(kv.Entry)
	look := func(node uint32) {
		version, ok := m.arena.visible(node, seq)
		if !ok {
			return
		}
		m.arena.entry(e, node, 0)
		first := e.Kind
		if version != 0 {
			m.arena.entry(e, node, version)
		}
		fn(e, first)
	}
	nodes := make([]uint32, 0, 2*maxRefill)
	for at := (start{edge: len(lower) == 0, key: lower}); len(nodes) < sampleExactly; {
		var more [maxRefill]uint32
		n := m.tree.ascend(at, more[:])
		for n > 0 && !within(m.arena.key(more[n-1])) {
			n--
		}
		nodes = append(nodes, more[:n]...)
		if n < len(more) {
			for _, node := range nodes {
				look(node)
			}
			return 1
		}
		at = start{node: more[n-1]}
	}
	seen := m.index.sample(sampleSize, func(node uint32) {
		if key := m.arena.key(node); kv.Compare(lower, key) <= 0 && within(key) {
			look(node)
		}
	})
	return max(1, float64(m.Len())/float64(seen))
}

// sample calls fn with about so many nodes, or all, and returns how many: those of some parts, which are random ones, as hashes
// are.
func (x *index) sample(want int, fn func(node uint32)) (seen int) {
	for i := 0; i < parts && seen < want; i++ {
		p := x.parts[i].Load()
		if p == nil {
			continue
		}
		for j := range *p {
			if slot := (*p)[j].Load(); slot != 0 {
				fn(uint32(slot))
				seen++
			}
		}
	}
	return seen
}
