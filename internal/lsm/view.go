package lsm

import (
	"cmp"
	"math"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/wal"
)

// View holds the sources of a read: the active memtable, the frozen ones, which wait to become tables, and the tables. A
// View is replaced as a whole and never changes, but for writes to the active memtable. Nobody writes to its fields.
//
// Sources are ordered: for any key, the versions in a newer source are newer than those in an older one, and the first
// source that has one decides. Nothing falls through a tombstone, an expired entry or a range delete.
type View struct {
	Mem     *Mem
	Frozen  []*Mem // newest first
	Version *Version
	Gaps    *gap.Set
	Log     *wal.Replayed // the replayed log of a read-only database; nil in any other
}

// MaxFrozen is how many memtables may wait for their flush.
const MaxFrozen = 2

// Full reports whether no more memtables may wait for their flush, given the size of a full one: MaxFrozen wait, or fewer
// that large values or batches have filled and that take as much memory.
func (v *View) Full(memtableSize int64) bool {
	size := int64(0)
	for _, m := range v.Frozen {
		size += m.Size()
	}
	return len(v.Frozen) >= MaxFrozen || size >= MaxFrozen*memtableSize
}

// Oldest returns the oldest memtable.
func (v *View) Oldest() *Mem {
	if n := len(v.Frozen); n > 0 {
		return v.Frozen[n-1]
	}
	return v.Mem
}

// After returns the memtable that became active when m was frozen.
func (v *View) After(m *Mem) *Mem {
	after := v.Mem
	for _, f := range v.Frozen {
		if f == m {
			break
		}
		after = f
	}
	return after
}

// FirstAfter returns the oldest memtable that may have operations after a sequence. It is a frozen one if not all of that
// memtable was synced, and so visible, when the view was loaded.
func (v *View) FirstAfter(seq uint64) *Mem {
	for i := len(v.Frozen) - 1; i >= 0; i-- {
		if m := v.Frozen[i]; m.LastSeq > seq {
			return m
		}
	}
	return v.Mem
}

// Wanted says how much of an entry a look-up is to find.
type Wanted uint8

const (
	WithValue    Wanted = iota
	WithoutValue        // Seq, Deadline, Kind and the size of the value only
)

// Get finds the newest version of a key as of seq in the view, describes it in e and appends its value to dst. It is false
// if the view has no version of the key, or the key was deleted. The caller checks the deadline, and asks Evicted.
func (v *View) Get(dst, key []byte, seq uint64, want Wanted, e *kv.Entry) ([]byte, bool, error) {
	known, found := v.GetMem(key, seq, e)
	if !known {
		return v.Version.Get(dst, key, want, e)
	}
	if found && want == WithValue {
		dst = append(dst, e.Value...)
	}
	return dst, found, nil
}

// GetMem is Get for the memtables. known says that no table is to be asked. The entry's slices are the memtable's.
func (v *View) GetMem(key []byte, seq uint64, e *kv.Entry) (known, found bool) {
	known, found = v.Mem.get(key, seq, e)
	for i := 0; !known && i < len(v.Frozen); i++ {
		known, found = v.Frozen[i].get(key, seq, e)
	}
	return known, found
}

// Evicted reports whether an entry that a read as of seq has found was evicted. For an entry without a deadline that costs
// nothing.
func (v *View) Evicted(e *kv.Entry, seq uint64) bool {
	if e.Deadline == 0 {
		return false
	}
	evicted := v.Version.Evictions.Cover(e, math.MaxUint64) || v.Mem.Evictions().Cover(e, seq)
	for i := 0; !evicted && i < len(v.Frozen); i++ {
		evicted = v.Frozen[i].Evictions().Cover(e, seq)
	}
	return evicted
}

// AppendEvictions appends the evictions that a read as of seq heeds to dst, by ascending sequence.
func (v *View) AppendEvictions(dst kv.Evictions, seq uint64) kv.Evictions {
	list := dst
	for _, m := range v.Frozen {
		list = m.Evictions().AppendUpTo(list, seq)
	}
	list = append(v.Mem.Evictions().AppendUpTo(list, seq), v.Version.Evictions...)
	slices.SortFunc(list[len(dst):], func(a, b kv.Eviction) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// LastKey returns the last key with an entry in the view, deleted or not; nil if there is none. Nobody may write meanwhile.
func (v *View) LastKey() (last []byte) {
	later := func(key []byte) {
		if kv.Compare(key, last) > 0 {
			last = key
		}
	}
	for _, m := range append([]*Mem{v.Mem}, v.Frozen...) {
		_, greatest := m.Span()
		later(greatest)
	}
	for level, tables := range v.Version.Levels {
		for _, t := range slices.Backward(tables) {
			later(t.LastKey())
			if level > 0 && len(t.LastKey()) > 0 {
				break // the tables before have smaller keys; one of range deletes alone has none
			}
		}
	}
	return last
}

// Scan returns an iterator over all entries of a view as of seq, tombstones and expired entries included. It is for reading
// the view once: it leaves the cache alone.
func (v *View) Scan(seq uint64) *merge.Iterator {
	list := []kv.Iterator{v.Mem.NewIterator(seq)}
	for _, m := range v.Frozen {
		list = append(list, m.NewIterator(seq))
	}
	merged := new(merge.Iterator)
	merged.Reset(append(list, v.Version.Levels.Scan()...))
	return merged
}

// Pin keeps the tables of the view open until Set.Unpin. The caller has pinned the view itself: see Set.Pin.
func (v *View) Pin() { v.Version.pin() }

// PayForScan counts a scan that has to merge that many tables of level 0, as Sources.Overlaid counts them.
func (v *View) PayForScan(tables int) { v.Version.rent.scan(v, tables) }

// HasDeadlines reports whether an entry of the view has a deadline. Nobody may write meanwhile.
func (v *View) HasDeadlines() bool {
	has := v.Version.deadlines || v.Mem.Deadlines.Entries() > 0
	for _, m := range v.Frozen {
		has = has || m.Deadlines.Entries() > 0
	}
	return has
}

// LiveBytes estimates the bytes of the keys and values in tables that have not expired at a time, Unix ms, nor were evicted, and
// that nothing newer hides: see compaction.Hidden for how good the estimate is.
func (v *View) LiveBytes(now int64) int64 {
	var live int64
	var older compaction.Levels
	for level := len(v.Version.Levels) - 1; level >= 0; level-- {
		tables := v.Version.Levels[level]
		for i := len(tables) - 1; i >= 0; i-- { // of level 0 the oldest is last
			t := tables[i]
			p := t.Reader.Properties()
			tombstones := float64(p.KeyBytes) * float64(p.Tombstones) / float64(max(p.Entries, 1))
			start, end := t.Bounds()
			gone := p.ExpiredBytes(max(now, t.Evicted(v.Version.Evictions)))
			live += int64(p.KeyBytes+p.ValueBytes-gone) - int64(tombstones)
			live -= older.Hides(0, start, end, p.Entries, p.RangeDeletes).Data
			live = max(live, 0)
			if level == 0 {
				older[0] = append(older[0], t)
			}
		}
		if level > 0 {
			older[level] = tables
		}
	}
	for _, m := range append(v.Frozen[:len(v.Frozen):len(v.Frozen)], v.Mem) {
		live -= m.Hides(&v.Version.Levels).Data
	}
	return max(live, 0)
}
