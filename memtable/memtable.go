package memtable

import (
	"hash/maphash"
	"math"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
)

// Memtable is a sorted map from keys to their versions. The package comment says which goroutine may call which method.
type Memtable struct {
	arena  arena
	index  index
	tree   tree
	ranges kv.RangeDeletes
	evicts atomic.Pointer[kv.Evictions]
	stats  stats
}

// Hint is what one memtable learned about its keys and its readers, for the next. The zero Hint knows nothing.
type Hint struct {
	prefix string // that keys share
	walked bool   // somebody has asked for their order
}

// New returns an empty memtable, which holds 4 KiB. A hint from a memtable with other keys costs time only.
func New(hint Hint) *Memtable {
	m := new(Memtable)
	m.index.seed = maphash.MakeSeed()
	m.tree.init(&m.arena, hint)
	m.stats.minSeq.Store(math.MaxUint64)
	m.stats.minDeadline.Store(math.MaxInt64)
	return m
}

// Hint returns the hint for the memtable after this one.
func (m *Memtable) Hint() Hint { return m.tree.hint() }

// Set adds a version of a key: of kind Put with the value, or of kind Delete, for which value is ignored. deadline is in
// Unix milliseconds, 0 for none. seq must not be below that of an earlier version of the key; among equals the later
// call wins. Key and value are copied.
//
// It fails with ErrSize if the key or the value is outside the limits, and with ErrFull when the 32 GiB that it can
// address are used, of which an entry over 128 KiB takes whole MiB; then nothing has changed. Only the writer may call it.
func (m *Memtable) Set(key, value []byte, seq uint64, deadline int64, kind kv.Kind) error {
	if len(key) == 0 || len(key) > MaxKeySize || len(value) > MaxValueSize {
		return ErrSize
	}
	if kind == kv.Delete {
		value = nil
	}
	c := content{value: value, seq: seq, deadline: deadline, kind: kind}
	hash := m.index.hash(key)
	if node := m.index.find(&m.arena, key, hash); node != 0 {
		if err := m.arena.addVersion(node, &c); err != nil {
			return err
		}
	} else {
		node, err := m.arena.addNode(key, &c)
		if err != nil {
			return err
		}
		m.tree.insert(node)
		m.index.add(node, hash)
	}
	m.stats.add(seq, deadline)
	return nil
}

// Get returns the newest version of a key with a sequence <= seq, tombstones and expired ones included; false if there
// is none. Range deletes and evictions do not show in it. The entry's slices are not to be written to; they stay valid for as
// long as anybody holds the memtable. It takes no lock and allocates nothing.
func (m *Memtable) Get(key []byte, seq uint64) (e kv.Entry, ok bool) {
	node := m.index.find(&m.arena, key, m.index.hash(key))
	if node == 0 {
		return e, false
	}
	version, ok := m.arena.visible(node, seq)
	if ok {
		m.arena.entry(&e, node, version)
	}
	return e, ok
}

// DeleteRange records that every entry with start <= key < end and a sequence below seq is gone. It removes nothing:
// readers ask RangeDeletes. The bounds are copied. Only the writer may call it.
func (m *Memtable) DeleteRange(start, end []byte, seq uint64) {
	m.ranges.Add(start, end, seq)
	m.stats.add(seq, 0)
}

// RangeDeletes returns the range deletes, those included that are recorded later; nil if there are none yet.
func (m *Memtable) RangeDeletes() *kv.RangeDeletes {
	if m.ranges.Newest() == 0 {
		return nil
	}
	return &m.ranges
}

// Evict records that every entry with a sequence below seq and a deadline up to horizon, Unix ms, is gone. It removes
// nothing: readers ask Evictions. seq must not be below that of an earlier operation. Only the writer may call it.
func (m *Memtable) Evict(horizon int64, seq uint64) {
	// Readers have a shorter slice of the same array, whose elements do not change: so most evictions copy nothing.
	all := append(m.Evictions(), kv.Eviction{Seq: seq, Horizon: horizon})
	m.evicts.Store(&all)
	m.stats.add(seq, 0)
}

// Evictions returns the evictions that are recorded by now, all of them. Nothing may be appended to the list.
func (m *Memtable) Evictions() kv.Evictions {
	if p := m.evicts.Load(); p != nil {
		return *p
	}
	return nil
}

// Empty reports whether nothing was recorded: no entry, no range delete, no eviction.
func (m *Memtable) Empty() bool {
	return m.Len() == 0 && m.ranges.Len() == 0 && m.evicts.Load() == nil
}

// Len returns the number of keys.
func (m *Memtable) Len() int { return int(m.tree.len()) }

// Size returns the bytes of memory in use, to within a few percent.
func (m *Memtable) Size() int64 {
	return m.arena.used.Load()*memories + m.index.size.Load() + m.ranges.Size() + int64(m.Len())*treeBytes
}

// Footprint returns about how many bytes of memory a number of entries with deadlines takes, whose keys and values have so
// many bytes in all.
func Footprint(entries, bytes int64) int64 {
	return memories*(bytes+entries*(keyAt+deadlineSize)) + entries*(indexBytes+treeBytes)
}

// Stats describes the versions that were put into a memtable, overwritten ones included.
type Stats struct {
	MinSeq, MaxSeq uint64 // of all versions, range deletes and evictions; 0 if there are none
	Deadlines      int64  // versions with a deadline
	MinDeadline    int64  // the least of them; 0 if there are none
	RangeDeletes   int
}

// Stats returns the current figures, each right by itself: while the writer works, one may be ahead of another.
func (m *Memtable) Stats() Stats {
	s := Stats{MaxSeq: m.stats.maxSeq.Load(), Deadlines: m.stats.deadlines.Load(), RangeDeletes: m.ranges.Len()}
	if v := m.stats.minSeq.Load(); v != math.MaxUint64 {
		s.MinSeq = v
	}
	if v := m.stats.minDeadline.Load(); v != math.MaxInt64 {
		s.MinDeadline = v
	}
	return s
}

// stats is written by the writer and read by anybody.
type stats struct {
	minSeq, maxSeq atomic.Uint64
	deadlines      atomic.Int64
	minDeadline    atomic.Int64
}

func (s *stats) add(seq uint64, deadline int64) {
	if seq < s.minSeq.Load() {
		s.minSeq.Store(seq)
	}
	if seq > s.maxSeq.Load() {
		s.maxSeq.Store(seq)
	}
	if deadline == 0 {
		return
	}
	s.deadlines.Add(1)
	if deadline < s.minDeadline.Load() {
		s.minDeadline.Store(deadline)
	}
}
