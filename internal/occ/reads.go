package occ

import (
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/memtable"
)

// Reads holds the keys that a transaction got and the ranges that it scanned. The zero value is empty. A Reads is for one
// goroutine.
type Reads struct {
	keys     []byte // one after the other
	lengths  []int  // of the keys
	scans    []*Scan
	deadline int64  // the first deadline of the entries that were got; 0: none had one
	changed  []byte // the key, in keys, that Check has found changed; nil: none
}

// Reset empties r and keeps its memory.
func (r *Reads) Reset() {
	clear(r.scans)
	r.keys, r.lengths, r.scans, r.deadline, r.changed = r.keys[:0], r.lengths[:0], r.scans[:0], 0, nil
}

// AddKey adds a key that was got, whether the key was present or not. It copies the key.
func (r *Reads) AddKey(key []byte) {
	r.keys = append(r.keys, key...)
	r.lengths = append(r.lengths, len(key))
}

// AddDeadline adds the deadline of an entry that was got, in Unix ms; 0 is none.
func (r *Reads) AddDeadline(deadline int64) { r.deadline = earlier(r.deadline, deadline) }

// AddScan returns a scan for an iterator to keep.
func (r *Reads) AddScan() *Scan {
	s := new(Scan)
	r.scans = append(r.scans, s)
	return s
}

// Keys yields the keys that were got, in order, as often as they were. They are r's, and valid until Reset.
func (r *Reads) Keys(yield func(key []byte) bool) {
	rest := r.keys
	for _, n := range r.lengths {
		if !yield(rest[:n:n]) {
			return
		}
		rest = rest[n:]
	}
}

// Stretches yields the ranges that were scanned: from start, inclusive, to end, exclusive; a nil end is none. They are r's,
// and valid until Reset.
func (r *Reads) Stretches(yield func(start, end []byte) bool) {
	r.anyStretch(func(t *stretch) bool {
		if t.endless {
			return !yield(t.start, nil)
		}
		return !yield(t.start, t.end)
	})
}

// Scans returns how many scans were added.
func (r *Reads) Scans() int { return len(r.scans) }

// earlier returns the earlier of two deadlines, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// FirstDeadline returns the first deadline, Unix ms, of the entries that were read; 0 if none has one.
func (r *Reads) FirstDeadline() int64 {
	deadline := r.deadline
	for _, s := range r.scans {
		deadline = earlier(deadline, s.deadline)
	}
	return deadline
}

// Check reports whether everything read is unchanged since sequence since, and the last sequence that it has checked.
//
// m is the memtable that was active at since, or an older one. Check walks m and all memtables after it: they hold every
// later write. (Tables do not: flushes drop tombstones.) Check is false, too, if the chain of memtables was cut: then it
// cannot tell. last, if not nil, is asked instead of the ranges being walked if it holds all operations since; the caller
// then keeps writes waiting.
func (r *Reads) Check(m *lsm.Mem, since uint64, last *LastWrites) (checked uint64, ok bool) {
	checked = since
	for next := m; next != nil; {
		m = next
		var whole bool
		if next, whole = m.Next(); !whole {
			return 0, false
		}
		upTo := m.Stats().MaxSeq
		if upTo <= since {
			continue
		}
		if r.changedKey(m, since) || r.changedScan(m, since, upTo, last) || r.evicted(m, since) {
			return 0, false
		}
		checked = upTo
	}
	return checked, true
}

// Changed returns the key for which Check was false, valid until Reset; nil if that was for a range, a deadline or an eviction.
func (r *Reads) Changed() []byte { return r.changed }

// changedKey reports whether a key that was got has been written to in a memtable.
func (r *Reads) changedKey(m *lsm.Mem, since uint64) bool {
	deletes := m.RangeDeletes()
	rest := r.keys
	for _, n := range r.lengths {
		key := rest[:n]
		rest = rest[n:]
		e, ok := m.Get(key, math.MaxUint64)
		if ok && e.Seq > since || deletes.Newest() > since && deletes.Seq(key, math.MaxUint64) > since {
			r.changed = key
			return true
		}
	}
	return false
}

// changedScan reports whether a memtable has an operation on a scanned range after sequence since, up to upTo.
func (r *Reads) changedScan(m *lsm.Mem, since, upTo uint64, last *LastWrites) bool {
	if len(r.scans) == 0 {
		return false
	}
	if last != nil && last.has(since, upTo) {
		return r.anyStretch(func(t *stretch) bool { return last.touch(t, since, upTo) })
	}
	var it memtable.Iterator
	it.Reset(m.Memtable, upTo) // while others write, the memtable is complete up to upTo only
	defer it.Close()
	deletes := m.RangeDeletes()
	return r.anyStretch(func(t *stretch) bool { return t.changed(&it, since) || t.deleted(deletes, since) })
}

// evicted reports whether an entry that was read has been evicted since: one up to the horizon has a deadline.
func (r *Reads) evicted(m *lsm.Mem, since uint64) bool {
	evictions := m.Evictions()
	if len(evictions) == 0 {
		return false
	}
	deadline := r.FirstDeadline()
	return deadline != 0 && deadline <= evictions.Horizon(since, math.MaxUint64)
}

// anyStretch reports whether holds is true of any stretch that was scanned.
func (r *Reads) anyStretch(holds func(*stretch) bool) bool {
	for _, s := range r.scans {
		for i := range s.stretches {
			if t := &s.stretches[i]; !t.empty() && holds(t) {
				return true
			}
		}
	}
	return false
}

// changed reports whether an entry of a memtable in the stretch is newer than a sequence.
func (t *stretch) changed(it *memtable.Iterator, since uint64) bool {
	var ok bool
	if len(t.start) == 0 {
		ok = it.First()
	} else {
		ok = it.SeekGE(t.start)
	}
	for ; ok; ok = it.Next() {
		e := it.Entry()
		if !t.endless && kv.Compare(e.Key, t.end) >= 0 {
			return false
		}
		if e.Seq > since {
			return true
		}
	}
	return false
}

// deleted reports whether a range delete after a sequence reaches into the stretch.
func (t *stretch) deleted(deletes *kv.RangeDeletes, since uint64) bool {
	if t.endless {
		return deletes.Touched(t.start, nil, since)
	}
	return len(t.end) > 0 && deletes.Touched(t.start, t.end, since)
}
