package lsm

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// Mem is a memtable with facts for the log and the sweeper. One goroutine at a time writes: Apply and SetWriter.
type Mem struct {
	*memtable.Memtable
	Segment   uint32                    // the segment of the log in which its first entry may be
	Deadlines *ttl.Histogram            // of the puts; for whoever writes, and once m is frozen for all
	Writers   map[int64]manifest.Writer // the last batch of each writer that has one in it, by id; nil: there are none
	LastSeq   uint64                    // of the newest entry; set when m is frozen
	LogEnd    wal.Position              // behind the entries and the header of the segment after them; set when m is frozen

	// The chain: see recent.
	next atomic.Pointer[Mem] // the memtable that replaced this one. Strong: whoever holds a memtable keeps all later ones
	cut  atomic.Bool         // cut here to free memory: a transaction that began at m or before conflicts

	_        [64]byte // keeps putBytes, which changes with every put, off the cache line that reads use
	putBytes int64
}

// NewMem returns an empty memtable whose first entry will be in the given segment of the log. now is Unix ms.
func NewMem(hint memtable.Hint, segment uint32, now int64) *Mem {
	return &Mem{Memtable: memtable.New(hint), Segment: segment, Deadlines: ttl.NewHistogram(now)}
}

// PutBytes returns the size of the keys and values that were put, in bytes. Only the goroutine that writes may call it.
func (m *Mem) PutBytes() int64 { return m.putBytes }

// get finds the newest version of a key as of seq in the memtable. known says that no older source is to be asked.
func (m *Mem) get(key []byte, seq uint64, e *kv.Entry) (known, found bool) {
	deletes := m.RangeDeletes()
	if *e, known = m.Get(key, seq); known {
		return true, e.Kind == kv.Put && (deletes.Newest() <= e.Seq || deletes.Seq(key, seq) < e.Seq)
	}
	return deletes.Seq(key, seq) > 0, false
}

// Apply applies an operation of the log. It fails for an operation of unknown kind, and if the memtable has no room.
func (m *Mem) Apply(o *op.Op) error {
	switch o.Kind {
	case op.Put:
		return m.put(o)
	case op.Delete, op.Expired:
		return m.Set(o.Key, nil, o.Seq, 0, kv.Delete)
	case op.DeleteRange:
		m.DeleteRange(o.Key, o.End, o.Seq)
		return nil
	case op.Evict:
		m.Evict(o.Deadline, o.Seq)
		return nil
	}
	return op.Unknown(o.Kind)
}

// put sets a key and counts it and its deadline.
func (m *Mem) put(o *op.Op) error {
	size := int64(len(o.Key) + len(o.Value))
	m.putBytes += size
	if o.Deadline != 0 {
		m.Deadlines.Add(o.Deadline, size)
	}
	return m.Set(o.Key, o.Value, o.Seq, o.Deadline, kv.Put)
}

// SetWriter notes that a batch of a writer is in the memtable.
func (m *Mem) SetWriter(w manifest.Writer) {
	if m.Writers == nil {
		m.Writers = make(map[int64]manifest.Writer)
	}
	m.Writers[w.ID] = w
}

// WritersAfter returns the writers of a manifest, updated with the memtable's, without those that were last used before a
// time, Unix ms.
func (m *Mem) WritersAfter(list []manifest.Writer, since int64) []manifest.Writer {
	all := make(map[int64]manifest.Writer, len(list)+len(m.Writers))
	for _, w := range list {
		all[w.ID] = w
	}
	maps.Copy(all, m.Writers)
	maps.DeleteFunc(all, func(_ int64, w manifest.Writer) bool { return w.Used < since })
	return slices.SortedFunc(maps.Values(all), func(a, b manifest.Writer) int { return cmp.Compare(a.ID, b.ID) })
}

// Hides estimates how much of the tables the memtable hides.
func (m *Mem) Hides(levels *compaction.Levels) compaction.Hidden {
	start, end := m.Span()
	if end != nil {
		end = append(bytes.Clone(end), 0)
	}
	var deletes []kv.RangeDelete
	if m.Stats().RangeDeletes > 0 {
		deletes = m.RangeDeletes().All()
	}
	return levels.Hides(0, start, end, uint64(m.Len()), deletes)
}
