package compaction

import "github.com/ebbdb/ebb/internal/kv"

// An entry is hidden, and of no use, if a newer source has an entry of its key or a newer range delete covers it. How much is
// hidden is estimated without reading, from the bounds, the number of entries and the block indexes of tables:
//
//   - an entry is taken to hide one entry of average size in the tables below it that cover its key. For a key that is new to
//     the database that is too much, until the entry is compacted;
//   - a range delete hides the entries between its bounds, to about a block.

// Hidden estimates how much is hidden.
type Hidden struct {
	Size int64 // of files
	Data int64 // of keys and values in them
}

func (h *Hidden) add(t *Table, share float64) {
	h.Size += int64(share * float64(t.Size))
	h.Data += int64(share * float64(t.props.KeyBytes+t.props.ValueBytes))
}

// share returns which part of a table lies in a stretch of keys.
func (t *Table) share(start, end []byte) float64 {
	switch {
	case kv.Compare(start, t.start) <= 0 && kv.Compare(t.end, end) <= 0:
		return 1
	case !t.overlaps(start, end):
		return 0
	case t.Reader == nil:
		return 0.5 // a table of a test
	}
	return t.Reader.Share(start, end)
}

// Hides estimates how much of the levels from one on is hidden by so many entries with keys in [start, end) and by range
// deletes, of which none overlaps another. Both are newer than these levels.
func (l *Levels) Hides(from int, start, end []byte, entries uint64, deletes []kv.RangeDelete) Hidden {
	var below, hidden, covered Hidden
	var count float64
	for level := from; level < NumLevels; level++ {
		if entries > 0 {
			for _, t := range l.overlapping(level, start, end) {
				share := t.share(start, end)
				below.add(t, share)
				count += share * float64(t.props.Entries)
			}
		}
		for _, d := range deletes {
			for _, t := range l.overlapping(level, d.Start, d.End) {
				covered.add(t, t.share(d.Start, d.End))
			}
		}
	}
	if entries > 0 {
		part := min(1, float64(entries)/max(count, 1))
		hidden = Hidden{int64(part * float64(below.Size)), int64(part * float64(below.Data))}
	}
	return Hidden{hidden.Size + covered.Size, hidden.Data + covered.Data}
}

// hides estimates how much a table of a level hides of the levels below.
func (l *Levels) hides(level int, t *Table) Hidden {
	return l.Hides(level+1, t.start, t.end, t.props.Entries, t.deletes)
}

// Hidden estimates how much tables hide of the levels below theirs. What tables of level 0 hide of each other is left out.
func (l *Levels) Hidden() (sum Hidden) {
	for level := range bottom {
		h := l.hiddenBy(level)
		sum.Size, sum.Data = sum.Size+h.Size, sum.Data+h.Data
	}
	return sum
}

// hiddenBy estimates how much the tables of a level hide: together no more than there is below.
func (l *Levels) hiddenBy(level int) (sum Hidden) {
	for _, t := range l[level] {
		h := l.hides(level, t)
		sum.Size, sum.Data = sum.Size+h.Size, sum.Data+h.Data
	}
	if level == 0 {
		var all Hidden
		for level, t := range l.All() {
			if level > 0 {
				all.add(t, 1)
			}
		}
		sum.Size, sum.Data = min(sum.Size, all.Size), min(sum.Data, all.Data)
	}
	return sum
}

// Total returns the size of all tables.
func (l *Levels) Total() (n int64) {
	for _, t := range l.All() {
		n += t.Size
	}
	return n
}
