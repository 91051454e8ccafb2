package lsm

import (
	"slices"
	"weak"
)

// oldMemtables are memtables that are no longer live: they have become tables, or a Refresh has read the log anew. The
// pointers are weak and keep no memtable in memory. An iterator, a snapshot or a transaction may keep one, or the garbage
// collector has not freed it yet.
type oldMemtables []weak.Pointer[Mem]

// add adds the memtables of a view that the view which replaces it does not have.
func (o *oldMemtables) add(before, after *View) {
	for _, m := range append(before.Frozen[:len(before.Frozen):len(before.Frozen)], before.Mem) {
		if m != after.Mem && !slices.Contains(after.Frozen, m) {
			o.prune()
			*o = append(*o, weak.Make(m))
		}
	}
}

func (o *oldMemtables) prune() {
	*o = slices.DeleteFunc(*o, func(p weak.Pointer[Mem]) bool { return p.Value() == nil })
}

// stats returns how many old memtables are in memory, and the bytes that they take.
func (o *oldMemtables) stats() (n int, bytes int64) {
	o.prune()
	for _, p := range *o {
		if m := p.Value(); m != nil {
			n++
			bytes += m.Size()
		}
	}
	return n, bytes
}
