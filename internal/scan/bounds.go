package scan

import (
	"sort"

	"github.com/ebbdb/ebb/internal/kv"
)

// Bounds are the keys that a walk stays between. The zero Bounds are none.
type Bounds struct {
	Lower []byte // inclusive; empty: none
	Upper []byte // exclusive; empty: none
	Empty bool   // no key lies Within the bounds
}

// Set makes b the keys of start <= key < end with a prefix. A nil end is none. It copies them, and keeps b's memory.
func (b *Bounds) Set(start, end, prefix []byte) {
	b.Lower, b.Upper, b.Empty = b.Lower[:0], b.Upper[:0], false
	b.Lower = append(b.Lower, start...)
	if kv.Compare(prefix, b.Lower) > 0 {
		b.Lower = append(b.Lower[:0], prefix...)
	}
	b.Upper = AppendPrefixEnd(b.Upper, prefix)
	if end != nil && (len(b.Upper) == 0 || kv.Compare(end, b.Upper) < 0) {
		b.Upper = append(b.Upper[:0], end...)
		b.Empty = len(end) == 0
	}
	b.Empty = b.Empty || len(b.Upper) > 0 && kv.Compare(b.Lower, b.Upper) >= 0
}

// Beyond reports whether a key lies past the bound in a direction: forward the upper bound, otherwise the lower.
func (b *Bounds) Beyond(key []byte, forward bool) bool {
	if forward {
		return len(b.Upper) > 0 && kv.Compare(key, b.Upper) >= 0
	}
	return len(b.Lower) > 0 && kv.Compare(key, b.Lower) < 0
}

// Within returns how many entries of a run do not lie past the bound in the direction of travel.
func (b *Bounds) Within(run []kv.Entry, reverse bool) int {
	n := len(run)
	if reverse {
		if len(b.Lower) == 0 || !b.Beyond(run[0].Key, false) {
			return n
		}
		return n - sort.Search(n, func(i int) bool { return !b.Beyond(run[i].Key, false) })
	}
	if len(b.Upper) == 0 || !b.Beyond(run[n-1].Key, true) {
		return n
	}
	return sort.Search(n, func(i int) bool { return b.Beyond(run[i].Key, true) })
}

// AppendPrefixEnd appends the first key after all that begin with a prefix; nothing if there is none.
func AppendPrefixEnd(dst, prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			dst = append(dst, prefix[:i+1]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return dst
}
