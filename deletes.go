package ebb

import (
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
)

// deletes tells a walk over a view which of its entries range deletes cover. It copies none of them: it asks the sources that
// have some, and remembers of each the stretch of keys in which the answer stays the same.
type deletes struct {
	asOf   uint64
	list   []deleteSource
	passed int // covered entries, one by one
}

// deleteSource is a memtable, a table of level 0 or another level that has range deletes.
type deleteSource struct {
	set    *kv.RangeDeletes
	tables []*compaction.Table // of a level that have some; then set is nil
	newest uint64              // no delete is newer

	// The answer: seq is the newest delete, 0 if there is none, of the keys from start up to end; a nil end is none.
	known      bool
	start, end []byte
	seq        uint64

	passed  int  // entries of the stretch that were covered
	skipped bool // the sources were told to pass the rest
}

// skipAfter is how many covered entries are passed one by one. To seek takes about as long.
const skipAfter = 16

// open readies d for a walk between bounds; an empty one is none.
func (d *deletes) open(v *view, asOf uint64, lower, upper []byte) {
	d.asOf, d.list, d.passed = asOf, d.list[:0], 0
	d.addSet(v.mem.RangeDeletes())
	for _, m := range v.frozen {
		d.addSet(m.RangeDeletes())
	}
	for level := range v.tables.deletes {
		l := &v.tables.deletes[level]
		switch {
		case len(l.tables) == 0:
		case level == 0:
			for _, t := range l.tables {
				if t.Within(lower, upper) {
					d.addSet(t.Deletes)
				}
			}
		default:
			d.list = append(d.list, deleteSource{tables: l.tables, newest: l.newest})
		}
	}
}

func (d *deletes) addSet(set *kv.RangeDeletes) {
	if set != nil {
		d.list = append(d.list, deleteSource{set: set, newest: set.Newest()})
	}
}

// close lets go of the view.
func (d *deletes) close() {
	clear(d.list)
	d.list = d.list[:0]
}

// cover returns a source with a delete that covers an entry, which lies in its stretch; nil if there is none.
func (d *deletes) cover(e *kv.Entry) *deleteSource {
	for i := range d.list {
		s := &d.list[i]
		if s.newest <= e.Seq {
			continue
		}
		if !s.known || kv.Compare(e.Key, s.start) < 0 || s.end != nil && kv.Compare(e.Key, s.end) >= 0 {
			s.look(e.Key, d.asOf)
		}
		if s.seq > e.Seq {
			s.passed++
			d.passed++
			return s
		}
	}
	return nil
}

// look asks for the answer for a key.
func (s *deleteSource) look(key []byte, asOf uint64) {
	s.known, s.passed, s.skipped = true, 0, false
	if s.set != nil {
		s.start, s.end, s.seq = s.set.Stretch(key, asOf)
		return
	}
	i := compaction.Find(s.tables, key)
	if i < len(s.tables) && s.tables[i].Covers(key) {
		t := s.tables[i]
		s.start, s.end, s.seq = t.Deletes.Stretch(key, math.MaxUint64)
		start, end := t.Bounds()
		if kv.Compare(s.start, start) < 0 {
			s.start = start
		}
		if s.end == nil || kv.Compare(s.end, end) > 0 {
			s.end = end
		}
		return
	}
	s.start, s.end, s.seq = nil, nil, 0
	if i > 0 {
		_, s.start = s.tables[i-1].Bounds()
	}
	if i < len(s.tables) {
		s.end, _ = s.tables[i].Bounds()
	}
}

// skips reports, once a stretch, whether enough of it was passed that the rest is worth a seek.
func (s *deleteSource) skips() bool {
	if s.skipped || s.passed < skipAfter {
		return false
	}
	s.skipped = true
	return true
}
