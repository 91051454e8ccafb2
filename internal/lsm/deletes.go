package lsm

import (
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
)

// Deletes tells a walk over a view which entries range deletes cover. It copies no range delete: it asks the sources that
// have some, and remembers for each source the stretch of keys in which the answer stays the same. For one goroutine.
type Deletes struct {
	asOf   uint64
	list   []DeleteSource
	passed int // covered entries, one by one
}

// DeleteSource is a source with range deletes: a memtable, a table of level 0, or a whole level below.
type DeleteSource struct {
	walk   kv.RangeWalk        // of a level: over the deletes of table at
	tables []*compaction.Table // the tables of a level that have range deletes; nil for other sources
	at     *compaction.Table   // the table that was asked last; nil: none was
	newest uint64              // no range delete of the source is newer than this sequence
	seq    uint64              // the last answer

	passed  int  // entries of the stretch that were covered
	skipped bool // Skips was true for this stretch
}

// SkipAfter is how many covered entries are passed one by one before the rest is skipped. A seek takes about as long.
const SkipAfter = 16

// Open readies d for a walk between bounds; an empty bound is none.
func (d *Deletes) Open(v *View, asOf uint64, lower, upper []byte) {
	d.asOf, d.list, d.passed = asOf, d.list[:0], 0
	d.addSet(v.Mem.RangeDeletes())
	for _, m := range v.Frozen {
		d.addSet(m.RangeDeletes())
	}
	for level := range v.Version.deletes {
		l := &v.Version.deletes[level]
		switch {
		case len(l.tables) == 0:
		case level == 0:
			for _, t := range l.tables {
				if t.Within(lower, upper) {
					d.addSet(t.Deletes)
				}
			}
		default:
			d.list = append(d.list, DeleteSource{tables: l.tables, newest: l.newest})
		}
	}
}

func (d *Deletes) addSet(set *kv.RangeDeletes) {
	if set != nil {
		d.list = append(d.list, DeleteSource{walk: set.Walk(d.asOf), newest: set.Newest()})
	}
}

// Passed returns how many covered entries were passed one by one.
func (d *Deletes) Passed() int { return d.passed }

// Any reports whether there are range deletes at all.
func (d *Deletes) Any() bool { return len(d.list) > 0 }

// Close lets go of the view.
func (d *Deletes) Close() {
	clear(d.list)
	d.list = d.list[:0]
}

// Cover returns a source with a range delete that covers an entry, nil if there is none. The entry lies in the source's
// stretch.
func (d *Deletes) Cover(e *kv.Entry) *DeleteSource {
	for i := range d.list {
		s := &d.list[i]
		if s.newest <= e.Seq {
			continue
		}
		if s.ask(e.Key); s.seq > e.Seq {
			s.passed++
			d.passed++
			return s
		}
	}
	return nil
}

// ask finds the newest delete that covers a key.
func (s *DeleteSource) ask(key []byte) {
	if s.tables != nil && (s.at == nil || !s.at.Covers(key)) {
		i := compaction.Find(s.tables, key)
		if i == len(s.tables) || !s.tables[i].Covers(key) {
			s.seq = 0
			return
		}
		s.at, s.walk = s.tables[i], s.tables[i].Deletes.Walk(math.MaxUint64)
	}
	var moved bool
	if s.seq, moved = s.walk.Seq(key); moved {
		s.passed, s.skipped = 0, false
	}
}

// Seq returns the sequence of the newest delete that covers the stretch in which the last answer stays the same.
func (s *DeleteSource) Seq() uint64 { return s.seq }

// Stretch returns the bounds of the stretch in which the last answer stays the same. A walk over the stretch in either
// direction ends at one of them.
func (s *DeleteSource) Stretch() (start, end []byte) { return s.walk.Start, s.walk.End }

// Skips reports, once in each stretch, that enough entries were passed for the rest to be worth a seek.
func (s *DeleteSource) Skips() bool {
	if s.skipped || s.passed < SkipAfter {
		return false
	}
	s.skipped = true
	return true
}
