package memtable

import (
	"bytes"
	"encoding/binary"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	headBytes = 12 // of a key in an item: what fits into 16 bytes beside the node
	reserve   = 2  // head bytes before the first one that differs, so that a counter may carry into them
)

// item is a key in the tree: its head, and its node. Node 0 stands for the key that a seek looks for.
//
// Comparing two keys costs a cache miss each, comparing heads costs none. A head is what follows the prefix that most
// keys share, big-endian and padded with zeros. Keys without the prefix have the least or the greatest head, as they
// sort before or after those with it. So heads never contradict the order of the keys, whatever the prefix; where they
// tie, the keys decide.
//
// Measured, ns an insert at 500 k keys, with or without a hint: "user" and 19 random digits 610, the same counted up 340,
// 16 random bytes 610, "user" or "session" and 20 random digits 930 (a prefix cannot serve both, so that 4 digits are in
// the head), "tenant/", one of 1,000 numbers, "/session/" and 16 random hexadecimal digits 2,000 (none are).
type item struct {
	high uint64
	low  uint32
	node uint32
}

// makeItem returns the item of a key and its node in a tree with this prefix.
func makeItem(key, prefix []byte, node uint32) item {
	if !bytes.HasPrefix(key, prefix) {
		if kv.Compare(key, prefix) < 0 {
			return item{node: node}
		}
		return item{high: 1<<64 - 1, low: 1<<32 - 1, node: node}
	}
	rest := key[len(prefix):]
	if len(rest) < headBytes {
		var padded [headBytes]byte
		copy(padded[:], rest)
		rest = padded[:]
	}
	return item{high: binary.BigEndian.Uint64(rest), low: binary.BigEndian.Uint32(rest[8:]), node: node}
}

// sharedPrefix returns the common prefix of two keys, without its last reserve bytes.
func sharedPrefix(a, b []byte) []byte { return a[:max(0, commonLen(a, b)-reserve)] }

// commonLen returns the length of the common prefix of two keys.
func commonLen(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
