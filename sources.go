package ebb

import (
	"math"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/memtable"
)

// sources are the iterators that a cursor merges.
type sources struct {
	list   []kv.Iterator
	mems   []*memtable.Iterator
	level0 []*table.Iterator
	levels [compaction.NumLevels]levelIterator

	overlaid int      // how many of level0 are in list
	newest   []uint64 // of each of list but the levels, which come last, the newest sequence in it
	tables   *version
	isOlder  []bool // scratch
}

// levelIterator walks the tables of one level, which do not overlap.
type levelIterator struct {
	merge.Concat[*compaction.Table]
	table table.Iterator
	open  func(*compaction.Table) kv.Iterator // makes table one over the given
}

func (s *sources) init() {
	for i := range s.levels {
		l := &s.levels[i]
		l.open = func(t *compaction.Table) kv.Iterator {
			l.table.Reset(t.Reader)
			return &l.table
		}
	}
}

// open returns iterators over own, if it is not nil, and the view, newest first. Tables of level 0 that lie outside the bounds
// are left out; of the other levels only what is walked is opened.
func (s *sources) open(v *view, seq uint64, lower, upper []byte, own kv.Iterator) []kv.Iterator {
	s.list, s.newest = s.list[:0], s.newest[:0]
	if own != nil {
		s.add(own, math.MaxUint64)
	}
	for i := range 1 + len(v.frozen) {
		if i == len(s.mems) {
			s.mems = append(s.mems, new(memtable.Iterator))
		}
		m := v.mem
		if i > 0 {
			m = v.frozen[i-1]
		}
		s.mems[i].Reset(m.Memtable, seq)
		s.add(s.mems[i], m.Stats().MaxSeq)
	}
	n := 0
	for _, t := range v.tables.levels[0] {
		if !t.Within(lower, upper) {
			continue
		}
		if n == len(s.level0) {
			s.level0 = append(s.level0, new(table.Iterator))
		}
		s.level0[n].Reset(t.Reader)
		s.add(s.level0[n], t.Reader.Properties().MaxSeq)
		n++
	}
	s.overlaid, s.tables = n, v.tables
	for level := 1; level < compaction.NumLevels; level++ {
		if tables := v.tables.levels[level]; len(tables) > 0 {
			s.levels[level].Reset(tables, s.levels[level].open)
			s.list = append(s.list, &s.levels[level])
		}
	}
	return s.list
}

// add adds an iterator in which no entry is newer than a sequence.
func (s *sources) add(it kv.Iterator, newest uint64) {
	s.list, s.newest = append(s.list, it), append(s.newest, newest)
}

// older tells of each iterator of list whether all that it has of start <= key < end is older than a sequence. It returns
// nil if that is so of none.
func (s *sources) older(seq uint64, start, end []byte) []bool {
	s.isOlder = s.isOlder[:0]
	for _, newest := range s.newest {
		s.isOlder = append(s.isOlder, newest < seq)
	}
	for _, tables := range s.tables.levels[1:] {
		if len(tables) > 0 {
			s.isOlder = append(s.isOlder, compaction.NewestIn(tables, start, end) < seq)
		}
	}
	if !slices.Contains(s.isOlder, true) {
		return nil
	}
	return s.isOlder
}

// release forgets the view.
func (s *sources) release() {
	clear(s.list)
	s.tables = nil
}
