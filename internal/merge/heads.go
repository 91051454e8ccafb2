package merge

import (
	"bytes"
	"encoding/binary"
	"math"
)

// heads maps a key to the eight bytes after a prefix, so that most comparisons are of two integers. A key without the
// prefix maps to the least or the greatest integer. So a smaller head means a smaller key whatever the prefix is, and
// equal heads mean that the keys have to be compared.
//
// The prefix is that of the keys that are being compared at the time. When the iteration leaves the stretch of keys with that
// prefix, all heads become equal; equal heads are counted, and soon the prefix is chosen anew.
type heads struct {
	prefix []byte
	ties   int // equal heads of different keys since the prefix was chosen
}

const (
	headSize = 8
	// headSlack is how much of the keys' common prefix is left to the heads: the keys to come have less in common. Six
	// bytes remain, and tell apart keys that have nothing more in common.
	headSlack = 2
	// maxTies is how many comparisons in vain it takes to choose the prefix anew, which costs about as much as that many.
	maxTies = 32
)

// worn reports whether the prefix should be chosen anew.
func (h *heads) worn() bool { return h.ties >= maxTies }

// choose sets the prefix for keys that begin with common, the shortest of which has the given length.
func (h *heads) choose(common []byte, shortest int) {
	n := max(0, min(len(common)-headSlack, shortest-headSize))
	h.prefix = append(h.prefix[:0], common[:n]...)
	h.ties = 0
}

// of returns the head of a key, or its complement for a merge in reverse.
func (h *heads) of(key []byte, reverse bool) uint64 {
	n := len(h.prefix)
	var head uint64
	if len(key) >= n+headSize && string(key[:n]) == string(h.prefix) {
		head = binary.BigEndian.Uint64(key[n:])
	} else {
		head = h.odd(key)
	}
	if reverse {
		return ^head
	}
	return head
}

// odd returns the head of a key that is short or does not have the prefix.
func (h *heads) odd(key []byte) uint64 {
	if rest, ok := bytes.CutPrefix(key, h.prefix); ok {
		var b [headSize]byte
		copy(b[:], rest)
		return binary.BigEndian.Uint64(b[:])
	}
	if bytes.Compare(key, h.prefix) < 0 {
		return 0
	}
	return math.MaxUint64
}

// commonPrefix returns how many bytes a and b have in common at the front.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
