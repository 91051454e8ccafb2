package lsm

import "weak"

// A transaction has to find every write since it began. Tables do not hold them all: a flush drops tombstones, and all
// versions of a key but the newest. So the transaction walks the chain of memtables from the one that was active when it
// began.

// Next returns the memtable that replaced m as the active one, nil if m is active, and whether the chain is whole. whole is
// false if the chain was cut at m: a transaction that began at m, or before, can no longer be checked, and conflicts.
func (m *Mem) Next() (next *Mem, whole bool) {
	next = m.next.Load()
	return next, !m.cut.Load() // loaded after next: cut is set before next is cleared
}

// recent holds weak pointers to the last replaced memtables, newest first, so that push can cut the chain at the oldest. It
// keeps none of them alive. The zero value is empty. It is for one goroutine at a time.
type recent [MaxFrozen + 1]weak.Pointer[Mem]

// push adds old as the newest, and links next after old. The oldest is cut off from the memtables after it, so that a
// transaction that still holds the oldest does not keep all later ones in memory.
func (r *recent) push(old, next *Mem) {
	old.next.Store(next)
	if oldest := r[len(r)-1].Value(); oldest != nil {
		oldest.cut.Store(true)
		oldest.next.Store(nil)
	}
	copy(r[1:], r[:])
	r[0] = weak.Make(old)
}

// cutAll makes every transaction conflict that has begun already: the tables of an Ingest hold writes that no memtable has.
// old is the active memtable, which has just been replaced.
func (r *recent) cutAll(old *Mem) {
	old.cut.Store(true)
	for _, p := range r {
		if m := p.Value(); m != nil {
			m.cut.Store(true)
		}
	}
	*r = recent{}
}
