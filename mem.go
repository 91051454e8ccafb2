package ebb

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"weak"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// mem is a memtable with what the log and the sweeper need to know of it.
type mem struct {
	*memtable.Memtable
	segment   uint32                    // the log segment in which its first entry may be
	deadlines *ttl.Histogram            // of what was put into it; guarded by DB.commit
	writers   map[int64]manifest.Writer // the last batch of each writer that has one in the memtable; nil: there are none
	lastSeq   uint64                    // of the newest entry; set when it is frozen
	logEnd    wal.Position              // behind its entries and the header of the segment after them; set when it is frozen

	// For transactions, which have to know what was written since they began: see readSet.check.
	next atomic.Pointer[mem] // the memtable after it; it is kept only by who keeps this one
	cut  atomic.Bool         // next was let go of: this one is old

	_        [64]byte // what follows changes with every put, what is before it is what reads read
	putBytes int64    // of the keys and values that were put into it; guarded by DB.commit
}

// newMem returns an empty memtable whose first entry will be in the given segment of the log.
func newMem(hint memtable.Hint, segment uint32, now int64) *mem {
	return &mem{
		Memtable:  memtable.New(hint),
		segment:   segment,
		deadlines: ttl.NewHistogram(now),
	}
}

// empty reports whether nothing was written to m.
func (m *mem) empty() bool { return m.Len() == 0 && m.Stats().RangeDeletes == 0 }

// get finds what a memtable knows of a key. known says that no older source is to be asked.
func (m *mem) get(key []byte, seq uint64, e *kv.Entry) (known, found bool) {
	deletes := m.RangeDeletes()
	if *e, known = m.Get(key, seq); known {
		return true, e.Kind == kv.Put && (deletes.Newest() <= e.Seq || deletes.Seq(key, seq) < e.Seq)
	}
	return deletes.Seq(key, seq) > 0, false
}

// apply takes an operation of the log. It fails for one that the memtable does not know or has no room for.
func (m *mem) apply(o *op.Op) error {
	switch o.Kind {
	case op.Put:
		return m.put(o.Key, o.Value, o.Seq, o.Deadline)
	case op.Delete, op.Expired:
		return m.Set(o.Key, nil, o.Seq, 0, kv.Delete)
	case op.DeleteRange:
		m.DeleteRange(o.Key, o.End, o.Seq)
		return nil
	}
	return op.Unknown(o.Kind)
}

// put sets a key and counts it and its deadline.
func (m *mem) put(key, value []byte, seq uint64, deadline int64) error {
	size := int64(len(key) + len(value))
	m.putBytes += size
	if deadline != 0 {
		m.deadlines.Add(deadline, size)
	}
	return m.Set(key, value, seq, deadline, kv.Put)
}

// setWriter notes that a batch of a writer is in the memtable.
func (m *mem) setWriter(w manifest.Writer) {
	if m.writers == nil {
		m.writers = make(map[int64]manifest.Writer)
	}
	m.writers[w.ID] = w
}

// writersAfter returns the writers of a manifest with what the memtable adds, without those that were last used before a time,
// Unix ms.
func (m *mem) writersAfter(list []manifest.Writer, since int64) []manifest.Writer {
	all := make(map[int64]manifest.Writer, len(list)+len(m.writers))
	for _, w := range list {
		all[w.ID] = w
	}
	maps.Copy(all, m.writers)
	maps.DeleteFunc(all, func(_ int64, w manifest.Writer) bool { return w.Used < since })
	return slices.SortedFunc(maps.Values(all), func(a, b manifest.Writer) int { return cmp.Compare(a.ID, b.ID) })
}

// hides estimates what a memtable hides of tables.
func (m *mem) hides(levels *compaction.Levels) compaction.Hidden {
	var start, end []byte
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	if it.First() {
		start = append(start, it.Entry().Key...)
	}
	if it.Last() {
		end = append(append(end, it.Entry().Key...), 0)
	}
	var deletes []kv.RangeDelete
	if m.Stats().RangeDeletes > 0 {
		deletes = m.RangeDeletes().All()
	}
	return levels.Hides(0, start, end, uint64(m.Len()), deletes)
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
