package lsm

import (
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// estimator estimates how much a read of a range would show. It walks over the sources from the newest to the oldest, and
// remembers what range deletes have taken of those that follow.
type estimator struct {
	view         *View
	lower, upper []byte // empty: no bound
	seq          uint64
	now          int64

	covered kv.RangeSet // by the range deletes of newer sources
	puts    float64     // neither expired, nor evicted, nor covered
	size    float64     // of their keys and values
	deletes float64     // tombstones that may hide a put of an older source
}

// Estimate returns about how many entries with lower <= key < upper a read as of seq and now (Unix ms) shows, and the bytes of
// their keys and values. An empty bound is none. It reads no table, but what is in memory of each:
//
//   - of a table it takes the part of its blocks between the bounds (table.Reader.Part), without what has expired or was
//     evicted by the histogram of all its deadlines;
//   - range deletes take such a part of all older tables;
//   - a tombstone is taken to hide one entry, and a put none: a key that was overwritten counts once for each version that is
//     left, until a compaction meets them.
func (v *View) Estimate(lower, upper []byte, seq uint64, now int64) (entries, size int64) {
	e := &estimator{view: v, lower: lower, upper: upper, seq: seq, now: now}
	e.mem(v.Mem)
	for _, m := range v.Frozen {
		e.mem(m)
	}
	for _, tables := range v.Version.Levels {
		for _, t := range tables {
			if t.Within(lower, upper) {
				e.table(t)
			}
		}
	}
	left := max(0, e.puts-e.deletes)
	if e.puts == 0 {
		return 0, 0
	}
	return int64(math.Round(left)), int64(math.Round(e.size * left / e.puts))
}

// mem counts what a memtable has.
func (e *estimator) mem(m *Mem) {
	deletes := m.RangeDeletes()
	var puts, size, gone float64
	scale := m.Sample(e.lower, e.upper, e.seq, func(o *kv.Entry, first kv.Kind) {
		_, covered := e.covered.Find(o.Key)
		switch {
		case covered || deletes.Seq(o.Key, e.seq) > o.Seq || kv.Expired(o.Deadline, e.now) || e.view.Evicted(o, e.seq):
		case o.Kind == kv.Put:
			puts++
			size += float64(len(o.Key) + len(o.Value))
		case first == kv.Delete: // otherwise what it deletes was put here, as far as can be told
			gone++
		}
	})
	e.puts += scale * puts
	e.size += scale * size
	e.deletes += scale * gone
	if deletes != nil {
		e.cover(deletes.All())
	}
}

// table counts what a table has.
func (e *estimator) table(t *compaction.Table) {
	if part := e.part(t.Reader); part > 0 {
		p := t.Reader.Properties()
		entries, size := p.Expired(max(e.now, t.Evicted(e.view.Version.Evictions)))
		e.puts += part * (1 - entries) * float64(p.Entries-p.Tombstones)
		e.size += part * (1 - size) * float64(p.PutBytes())
		e.deletes += part * float64(p.Tombstones)
	}
	e.cover(t.Reader.Properties().RangeDeletes)
}

// maxCovered bounds how many range deletes an estimate heeds, those of the newest sources: some 10 ms.
const maxCovered = 4096

// cover notes the range deletes of a source.
func (e *estimator) cover(deletes []kv.RangeDelete) {
	for _, d := range deletes {
		outside := kv.Compare(d.End, e.lower) <= 0 || len(e.upper) > 0 && kv.Compare(d.Start, e.upper) >= 0
		if !outside && d.Seq <= e.seq && len(e.covered.All()) < maxCovered {
			e.covered.Add(d.Start, d.End)
		}
	}
}

// part returns which part of a table is in the range and not covered.
func (e *estimator) part(r *table.Reader) float64 {
	part := r.Part(e.lower, e.upper)
	p := r.Properties()
	for _, c := range e.covered.Overlapping(p.Smallest, p.Largest) {
		start, end := c.Start, c.End
		if kv.Compare(start, e.lower) < 0 {
			start = e.lower
		}
		if len(e.upper) > 0 && (end == nil || kv.Compare(end, e.upper) > 0) {
			end = e.upper
		}
		if end == nil || kv.Compare(start, end) < 0 {
			part -= r.Part(start, end)
		}
	}
	return max(0, part)
}
