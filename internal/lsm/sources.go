package lsm

import (
	"math"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/memtable"
)

// Sources are the iterators over a view that a cursor merges. They are reused, with the memory they have. For one goroutine.
type Sources struct {
	list   []kv.Iterator
	mems   []*memtable.Iterator
	level0 []*table.Iterator
	sorted table.SortedIterator
	levels [compaction.NumLevels]levelIterator
	copies table.Copies

	overlaid int                   // how many of level0 are in list
	newest   []uint64              // the newest sequence in each source of list, but for the levels, which come last
	below    [][]*compaction.Table // the levels, from 1 on, that are in list
	isOlder  []bool                // scratch
}

// levelIterator walks the tables of one level, which do not overlap.
type levelIterator struct {
	merge.Concat[*compaction.Table]
	table  table.Iterator
	copies *table.Copies
	open   func(*compaction.Table) kv.Iterator // resets table to walk the given one
}

// Init readies s, once.
func (s *Sources) Init() {
	for i := range s.levels {
		l := &s.levels[i]
		l.open = func(t *compaction.Table) kv.Iterator {
			l.table.ResetCopying(t.Reader, l.copies)
			return &l.table
		}
	}
}

// Open returns iterators over own, if own is not nil, and over the view, newest first. Tables of level 0 that lie outside
// the bounds are left out; a table of another level is opened when the walk comes to it. keysOnly says that values will not
// be used: then blocks with values are not copied.
func (s *Sources) Open(v *View, seq uint64, lower, upper []byte, own kv.Iterator, keysOnly bool) []kv.Iterator {
	s.list, s.newest = s.list[:0], s.newest[:0]
	copies := &s.copies
	if keysOnly {
		copies = nil
	}
	if own != nil {
		s.add(own, math.MaxUint64)
	}
	for i := range 1 + len(v.Frozen) {
		if i == len(s.mems) {
			s.mems = append(s.mems, new(memtable.Iterator))
		}
		m := v.Mem
		if i > 0 {
			m = v.Frozen[i-1]
		}
		if m.Len() == 0 {
			continue // what comes into it is newer than seq
		}
		s.mems[i].Reset(m.Memtable, seq)
		s.add(s.mems[i], m.Stats().MaxSeq)
	}
	o := v.Version.order.Load()
	n, single := 0, len(v.Version.Levels[0])-len(o.covers.Levels[0])
	for _, t := range v.Version.Levels[0][:single] {
		if !t.Within(lower, upper) {
			continue
		}
		if n == len(s.level0) {
			s.level0 = append(s.level0, new(table.Iterator))
		}
		s.level0[n].ResetCopying(t.Reader, copies)
		s.add(s.level0[n], t.Reader.Properties().MaxSeq)
		n++
	}
	if o.sorted != nil {
		s.sorted.Reset(o.sorted, copies)
		s.add(&s.sorted, o.newest)
		if !o.covers.deep {
			n++
		}
	}
	s.overlaid, s.below = n, v.Version.Levels[1:]
	if o.covers.deep {
		s.below = nil
	}
	for i, tables := range s.below {
		if level := 1 + i; len(tables) > 0 {
			l := &s.levels[level]
			l.copies = copies
			l.Reset(tables, l.open)
			s.list = append(s.list, l)
		}
	}
	return s.list
}

// Overlaid returns how many tables of level 0 are among the iterators, where a sorted view counts as one, and as none if it is of
// all below, too.
func (s *Sources) Overlaid() int { return s.overlaid }

// Recycle ends the life of the kept entries that runs of the iterators have given.
func (s *Sources) Recycle() { s.copies.Recycle() }

// Copies returns how many blocks of up to 4 KiB wait for Recycle.
func (s *Sources) Copies() int { return s.copies.Used() }

// add adds an iterator in which no entry is newer than a sequence.
func (s *Sources) add(it kv.Iterator, newest uint64) {
	s.list, s.newest = append(s.list, it), append(s.newest, newest)
}

// Older tells of each iterator of list whether all its entries with start <= key < end are older than a sequence. It returns
// nil if that is true of none.
func (s *Sources) Older(seq uint64, start, end []byte) []bool {
	s.isOlder = s.isOlder[:0]
	for _, newest := range s.newest {
		s.isOlder = append(s.isOlder, newest < seq)
	}
	for _, tables := range s.below {
		if len(tables) > 0 {
			s.isOlder = append(s.isOlder, compaction.NewestIn(tables, start, end) < seq)
		}
	}
	if !slices.Contains(s.isOlder, true) {
		return nil
	}
	return s.isOlder
}

// Release forgets the view.
func (s *Sources) Release() {
	clear(s.list)
	s.copies.Recycle()
	s.below = nil
}
