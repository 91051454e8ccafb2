package lsm

import "weak"

// A transaction has to know what was written since it began. Tables do not tell: a flush drops tombstones, and all versions of a
// key but the newest. So the transaction walks the chain of memtables from the one that was active when it began.

// Next returns the memtable that took m's place as the active one, and whether the chain is whole. It is nil and true for the
// active memtable, and false where the chain was cut: then a transaction that began with m, or before, cannot be checked.
func (m *Mem) Next() (next *Mem, whole bool) {
	next = m.next.Load()
	return next, !m.cut.Load() // asked after next, which is nil since
}

// recent are weak pointers to the memtables that were replaced last, the newest first: those that a transaction may still need.
// It keeps none of them alive. The zero value is empty; it is for one goroutine at a time.
type recent [MaxFrozen + 1]weak.Pointer[Mem]

// push makes old the newest, with next after it. The oldest is cut off from those after it, so that whoever still holds the
// oldest does not keep them all.
func (r *recent) push(old, next *Mem) {
	old.next.Store(next)
	if oldest := r[len(r)-1].Value(); oldest != nil {
		oldest.cut.Store(true)
		oldest.next.Store(nil)
	}
	copy(r[1:], r[:])
	r[0] = weak.Make(old)
}

// cutAll makes every transaction that began before conflict: for tables that hold what no memtable knows of. old is the active
// memtable, which is to be replaced.
func (r *recent) cutAll(old *Mem) {
	old.cut.Store(true)
	for _, p := range r {
		if m := p.Value(); m != nil {
			m.cut.Store(true)
		}
	}
	*r = recent{}
}
