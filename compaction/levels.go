package compaction

import (
	"iter"
	"math"
	"slices"
	"sort"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/table"
)

// NumLevels is the number of levels. New tables come into level 0; data moves to the last.
const NumLevels = 7

const bottom = NumLevels - 1

// Levels are the live tables. Level 0 is ordered from the newest to the oldest, and its tables may overlap; those of any
// other level are ordered by key and do not. For any key, a table of a lower level is newer than one of a higher.
type Levels [NumLevels][]*Table

// Manifest lists the tables as a manifest does.
func (l *Levels) Manifest() []manifest.Table {
	var list []manifest.Table
	for level, t := range l.All() {
		list = append(list, manifest.Table{Level: level, File: t.File, Size: t.Size, Entries: t.Reader.Properties().Entries})
	}
	return list
}

// Table is an open table with the figures that picking needs. It does not change.
type Table struct {
	File   uint64
	Size   int64 // of the file, in bytes
	Reader *table.Reader
	// Deletes are the table's range deletes; nil if it has none. Ask as of the end of time: tables hold the newest only.
	Deletes *kv.RangeDeletes

	props      *table.Properties
	deletes    []kv.RangeDelete // the same: none overlaps another, in the order of their keys
	start, end []byte           // all keys and all range deletes are in [start, end)
}

// NewTable returns the Table of an open reader.
func NewTable(r *table.Reader) *Table {
	p := r.Properties()
	t := &Table{File: r.ID().File, Size: p.FileSize, Reader: r, Deletes: kv.NewRangeDeletes(p.RangeDeletes), props: p}
	t.deletes = p.RangeDeletes
	if !kv.Apart(t.deletes) { // Build has written them apart
		t.deletes = t.Deletes.All()
	}
	if p.Entries > 0 {
		t.start, t.end = p.Smallest, append(slices.Clone(p.Largest), 0)
	}
	if n := len(t.deletes); n > 0 {
		t.extend(t.deletes[0].Start, t.deletes[n-1].End)
	}
	return t
}

func (t *Table) extend(start, end []byte) {
	if t.end == nil {
		t.start, t.end = start, end
		return
	}
	if kv.Compare(start, t.start) < 0 {
		t.start = start
	}
	if kv.Compare(end, t.end) > 0 {
		t.end = end
	}
}

// Bounds returns the stretch of keys, start <= key < end, about which the table says anything.
func (t *Table) Bounds() (start, end []byte) { return t.start, t.end }

// LastKey returns the last key of the table's entries, nil if it has none.
func (t *Table) LastKey() []byte { return t.props.Largest }

// Evicted returns up to which deadline evictions take entries of the table; 0 if they take none. They take all such entries,
// or none: a table that has entries on both sides of an eviction was built without what the eviction takes.
func (t *Table) Evicted(evictions kv.Evictions) (horizon int64) {
	return evictions.Horizon(t.props.MaxSeq, math.MaxUint64)
}

// Within reports whether the table may say anything about keys from lower up to upper; an empty one is no bound.
func (t *Table) Within(lower, upper []byte) bool {
	return (len(upper) == 0 || kv.Compare(t.start, upper) < 0) && kv.Compare(t.end, lower) > 0
}

// Covers reports whether the table may say anything about a key.
func (t *Table) Covers(key []byte) bool {
	return kv.Compare(t.start, key) <= 0 && kv.Compare(key, t.end) < 0
}

func (t *Table) overlaps(start, end []byte) bool {
	return kv.Compare(t.start, end) < 0 && kv.Compare(start, t.end) < 0
}

// Find returns the index of the one table of a level other than 0 that may cover a key: the first that ends behind the key.
func Find(tables []*Table, key []byte) int {
	return sort.Search(len(tables), func(i int) bool { return kv.Compare(tables[i].end, key) > 0 })
}

// All yields every table with its level: the levels in their order, the tables of each in theirs.
func (l *Levels) All() iter.Seq2[int, *Table] {
	return func(yield func(int, *Table) bool) {
		for level, tables := range l {
			for _, t := range tables {
				if !yield(level, t) {
					return
				}
			}
		}
	}
}

// overlapping returns the tables of a level that overlap a stretch of keys. Those of a level other than 0 are neighbours.
func (l *Levels) overlapping(level int, start, end []byte) []*Table {
	if level > 0 {
		tables := l[level]
		first := Find(tables, start)
		last := first
		for last < len(tables) && kv.Compare(tables[last].start, end) < 0 {
			last++
		}
		return tables[first:last]
	}
	var found []*Table
	for _, t := range l[0] {
		if t.overlaps(start, end) {
			found = append(found, t)
		}
	}
	return found
}

// Overlap reports whether any table overlaps a stretch of keys.
func (l *Levels) Overlap(start, end []byte) bool {
	for _, t := range l[0] {
		if t.overlaps(start, end) {
			return true
		}
	}
	for _, tables := range l[1:] {
		if i := Find(tables, start); i < len(tables) && tables[i].overlaps(start, end) {
			return true
		}
	}
	return false
}

// Evictable reports whether an eviction may take an entry of a table.
func (l *Levels) Evictable(e kv.Eviction) bool {
	for _, t := range l.All() {
		if p := t.props; p.DeadlineEntries > 0 && p.MinDeadline <= e.Horizon && p.MaxSeq < e.Seq {
			return true
		}
	}
	return false
}

// NewestIn returns the highest sequence in the tables, of a level other than 0, that may say something about start <= key <
// end, 0 if there are none.
func NewestIn(tables []*Table, start, end []byte) (seq uint64) {
	for i := Find(tables, start); i < len(tables) && kv.Compare(tables[i].start, end) < 0; i++ {
		seq = max(seq, tables[i].props.MaxSeq)
	}
	return seq
}

// bytes returns the size of a level.
func (l *Levels) bytes(level int) int64 {
	var n int64
	for _, t := range l[level] {
		n += t.Size
	}
	return n
}

// Replace returns levels without the inputs and with the outputs of a plan. The outputs must overlap no other table of their
// level; in level 0 they take the place of the inputs, which must be neighbours there.
func (l *Levels) Replace(inputs []*Table, level int, outputs []*Table) Levels {
	gone := make(map[*Table]bool, len(inputs))
	for _, t := range inputs {
		gone[t] = true
	}
	var next Levels
	for i, t := range l.All() {
		if !gone[t] {
			next[i] = append(next[i], t)
		} else if i == level && level == 0 {
			next[0] = append(next[0], outputs...)
			outputs = nil
		}
	}
	if level > 0 {
		next[level] = append(next[level], outputs...)
		slices.SortFunc(next[level], func(a, b *Table) int { return kv.Compare(a.start, b.start) })
	}
	return next
}

// AddNewest returns levels with tables in level 0 that are newer than all others.
func (l *Levels) AddNewest(tables []*Table) Levels {
	next := *l
	next[0] = append(slices.Clone(tables), l[0]...)
	return next
}

// AddBelow returns levels with tables that are newer than all others, each as deep as it can go: under no table that it
// overlaps, and beside none. The tables must not overlap each other, and nothing may be compacted meanwhile.
func (l *Levels) AddBelow(tables []*Table) Levels {
	next := *l
	for _, t := range tables {
		deepest := -1
		for deepest < bottom && len(l.overlapping(deepest+1, t.start, t.end)) == 0 {
			deepest++
		}
		if deepest <= 0 {
			next = next.AddNewest([]*Table{t})
		} else {
			next = next.Replace(nil, deepest, []*Table{t})
		}
	}
	return next
}
