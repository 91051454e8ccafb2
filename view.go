package ebb

import (
	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// view is what a read reads from: the memtable, those that wait to become tables, and the tables. It is replaced as a
// whole and never changes, but for what is appended to the active memtable.
//
// Sources are ordered: for any key, what a newer source knows of it is newer than what an older one knows, and the first
// that knows anything decides. Nothing falls through a tombstone, an expired entry or a range delete.
type view struct {
	mem    *mem
	frozen []*mem // newest first
	tables *version
	gaps   *gap.Set
	log    *wal.Replayed // what the log has had, in a read-only database; nil in any other
}

// full reports whether as many memtables wait for their flush as may, which are full: two, or fewer that were filled by large
// values or batches and take as much.
func (v *view) full(memtableSize int64) bool {
	size := int64(0)
	for _, m := range v.frozen {
		size += m.Size()
	}
	return len(v.frozen) >= maxFrozen || size >= maxFrozen*memtableSize
}

// firstAfter returns the oldest memtable that may have operations after a sequence: a frozen one, if not all of it was
// synced, and so seen, when the view was loaded.
func (v *view) firstAfter(seq uint64) *mem {
	for i := len(v.frozen) - 1; i >= 0; i-- {
		if m := v.frozen[i]; m.lastSeq > seq {
			return m
		}
	}
	return v.mem
}

// part says how much of an entry a look-up is to find.
type part uint8

const (
	withValue    part = iota
	withoutValue      // what Key, Seq, Deadline and Kind tell
)

// get finds the newest that the view knows of a key as of seq, describes it in e and appends its value to dst. It is false
// if the view knows nothing, or that the key was deleted. Expiry is for the caller.
func (v *view) get(dst, key []byte, seq uint64, want part, e *kv.Entry) ([]byte, bool, error) {
	known, found := v.getMem(key, seq, e)
	if !known {
		return v.tables.get(dst, key, want, e)
	}
	if found && want == withValue {
		dst = append(dst, e.Value...)
	}
	return dst, found, nil
}

// getMem is get for the memtables. known says that no table is to be asked. The entry's slices are the memtable's.
func (v *view) getMem(key []byte, seq uint64, e *kv.Entry) (known, found bool) {
	known, found = v.mem.get(key, seq, e)
	for i := 0; !known && i < len(v.frozen); i++ {
		known, found = v.frozen[i].get(key, seq, e)
	}
	return known, found
}

// hasDeadlines reports whether anything has a deadline. The caller holds the commit lock.
func (v *view) hasDeadlines() bool {
	has := v.tables.deadlines || v.mem.deadlines.Entries() > 0
	for _, m := range v.frozen {
		has = has || m.deadlines.Entries() > 0
	}
	return has
}

// liveBytes estimates the keys and values in tables that have not expired and that nothing newer hides: see
// compaction.Hidden for how good an estimate it is.
func (v *view) liveBytes(now int64) int64 {
	var live int64
	var older compaction.Levels
	for level := len(v.tables.levels) - 1; level >= 0; level-- {
		tables := v.tables.levels[level]
		for i := len(tables) - 1; i >= 0; i-- { // of level 0 the oldest is last
			t := tables[i]
			p := t.Reader.Properties()
			tombstones := float64(p.KeyBytes) * float64(p.Tombstones) / float64(max(p.Entries, 1))
			start, end := t.Bounds()
			live += int64(p.KeyBytes+p.ValueBytes-p.ExpiredBytes(now)) - int64(tombstones)
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
	for _, m := range append(v.frozen[:len(v.frozen):len(v.frozen)], v.mem) {
		live -= m.hides(&v.tables.levels).Data
	}
	return max(live, 0)
}
