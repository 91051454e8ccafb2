package ebb

import (
	"math"
	"slices"
	"sync/atomic"
	"weak"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
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

// mem is a memtable with what the log and the sweeper need to know of it.
type mem struct {
	*memtable.Memtable
	segment   uint32                // the log segment in which its first entry may be
	deadlines *ttl.Histogram        // of what was put into it; guarded by DB.commit
	writers   map[int64]writerState // the last batch of each writer that has one in it; nil: there are none
	lastSeq   uint64                // of the newest entry; set when it is frozen
	logEnd    wal.Position          // behind its entries and the header of the segment after them; set when it is frozen

	// For transactions, which have to know what was written since they began: see readSet.check.
	next atomic.Pointer[mem] // the memtable after it; it is kept only by who keeps this one
	cut  atomic.Bool         // next was let go of: this one is old

	_        [64]byte // what follows changes with every put, what is before it is what reads read
	putBytes int64    // of the keys and values that were put into it; guarded by DB.commit
}

// empty reports whether nothing was written to m.
func (m *mem) empty() bool { return m.Len() == 0 && m.Stats().RangeDeletes == 0 }

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

// recent are the memtables that are older than the active one, the newest first, without keeping them: those that a
// transaction that began with them may still need.
type recent [maxFrozen + 1]weak.Pointer[mem]

// push makes old the newest, with next after it. The oldest is cut off from those after it, so that whoever still has it
// does not keep them all.
func (r *recent) push(old, next *mem) {
	old.next.Store(next)
	if oldest := r[len(r)-1].Value(); oldest != nil {
		oldest.cut.Store(true)
		oldest.next.Store(nil)
	}
	copy(r[1:], r[:])
	r[0] = weak.Make(old)
}

// cutAll makes every transaction that began before conflict: old is the active memtable, which is to be replaced.
func (r *recent) cutAll(old *mem) {
	old.cut.Store(true)
	for _, p := range r {
		if m := p.Value(); m != nil {
			m.cut.Store(true)
		}
	}
	*r = recent{}
}

// version is a set of tables. As long as somebody holds a reference, its tables stay open.
type version struct {
	levels  compaction.Levels
	deletes [compaction.NumLevels]tableDeletes
	lastSeq uint64 // the newest in the tables
	// deadlines tells that something in the tables has one.
	deadlines bool
	reads     *readCost
	refs      atomic.Int64
}

// tableDeletes are the tables of a level that have range deletes.
type tableDeletes struct {
	tables []*compaction.Table
	newest uint64 // sequence of the newest of the deletes
}

// newVersion returns a version with one reference.
func newVersion(levels compaction.Levels, reads *readCost) *version {
	v := &version{levels: levels, reads: reads}
	for level, tables := range levels {
		for _, t := range tables {
			p := t.Reader.Properties()
			v.lastSeq = max(v.lastSeq, p.MaxSeq)
			v.deadlines = v.deadlines || p.DeadlineEntries > 0
			if t.Deletes != nil {
				d := &v.deletes[level]
				d.tables, d.newest = append(d.tables, t), max(d.newest, t.Deletes.Newest())
			}
		}
	}
	v.refs.Store(1)
	return v
}

// has reports whether a table is one of the version's.
func (v *version) has(t *compaction.Table) bool {
	for _, tables := range v.levels {
		if slices.Contains(tables, t) {
			return true
		}
	}
	return false
}

// without returns the tables that are not in another version.
func (v *version) without(o *version) []*compaction.Table {
	in := make(map[*compaction.Table]bool)
	for _, tables := range o.levels {
		for _, t := range tables {
			in[t] = true
		}
	}
	var list []*compaction.Table
	for _, tables := range v.levels {
		for _, t := range tables {
			if !in[t] {
				list = append(list, t)
			}
		}
	}
	return list
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

// get finds what a memtable knows of a key. known says that no older source is to be asked.
func (m *mem) get(key []byte, seq uint64, e *kv.Entry) (known, found bool) {
	deletes := m.RangeDeletes()
	if *e, known = m.Get(key, seq); known {
		return true, e.Kind == kv.Put && (deletes.Newest() <= e.Seq || deletes.Seq(key, seq) < e.Seq)
	}
	return deletes.Seq(key, seq) > 0, false
}

// get is view.get for the tables, newest first.
func (v *version) get(dst, key []byte, want part, e *kv.Entry) ([]byte, bool, error) {
	for i, t := range v.levels[0] {
		if out, known, found, err := ask(t, dst, key, want, e); known || err != nil {
			v.reads.lookup(i, len(v.levels[0]))
			return out, found, err
		}
	}
	v.reads.lookup(len(v.levels[0]), len(v.levels[0]))
	for level := 1; level < compaction.NumLevels; level++ {
		i := compaction.Find(v.levels[level], key) // they do not overlap
		if i == len(v.levels[level]) {
			continue
		}
		if out, known, found, err := ask(v.levels[level][i], dst, key, want, e); known || err != nil {
			return out, found, err
		}
	}
	return dst, false, nil
}

// ask is get for one table. known says that no older one is to be asked.
func ask(t *compaction.Table, dst, key []byte, want part, e *kv.Entry) (out []byte, known, found bool, err error) {
	if !t.Covers(key) {
		return dst, false, false, nil
	}
	deleted := t.Deletes.Seq(key, math.MaxUint64)
	if want == withValue {
		dst, known, err = t.Reader.AppendGet(dst, key, e)
	} else {
		known, err = t.Reader.Stat(key, e)
	}
	found = known && e.Kind == kv.Put && e.Seq > deleted
	return dst, known || deleted > 0, found, err
}
