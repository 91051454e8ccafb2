package lsm

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
)

// splitPoints is how many places are looked at for each part of a split: parts then differ by about a sixteenth.
const splitPoints = 16

// splitPoint is a key and about how many bytes of keys and values lie from there to the next point of the same source.
type splitPoint struct {
	key  []byte
	size float64
}

// Split returns less than n keys, ascending, between lower and upper that divide what a read of that range as of seq and now
// (Unix ms) shows into parts of about the same size. An empty bound is none. It reads no table, but what is in memory of each,
// and knows what Estimate knows.
func (v *View) Split(lower, upper []byte, seq uint64, now int64, n int) [][]byte {
	e := &estimator{view: v, lower: lower, upper: upper, seq: seq, now: now}
	stride := max(1, e.blocks()/(splitPoints*n))
	var points []splitPoint
	add := func(key []byte, size float64) {
		if _, covered := e.covered.Find(key); !covered {
			points = append(points, splitPoint{bytes.Clone(key), size})
		}
	}
	for _, m := range append([]*Mem{v.Mem}, v.Frozen...) {
		e.splitMem(m, add)
	}
	for _, tables := range v.Version.Levels {
		for _, t := range tables {
			if t.Within(lower, upper) {
				e.splitTable(t, stride, add)
			}
		}
	}
	return divide(points, lower, upper, n)
}

// blocks returns how many blocks of all tables may have keys of the range.
func (e *estimator) blocks() (n int) {
	for _, tables := range e.view.Version.Levels {
		for _, t := range tables {
			if t.Within(e.lower, e.upper) {
				n += t.Reader.Blocks(e.lower, e.upper)
			}
		}
	}
	return n
}

// splitMem adds a sample of a memtable.
func (e *estimator) splitMem(m *Mem, add func(key []byte, size float64)) {
	deletes := m.RangeDeletes()
	var sample []splitPoint
	scale := m.Sample(e.lower, e.upper, e.seq, func(o *kv.Entry, _ kv.Kind) {
		_, covered := e.covered.Find(o.Key)
		if o.Live(e.now) && !covered && deletes.Seq(o.Key, e.seq) <= o.Seq && !e.view.Evicted(o, e.seq) {
			sample = append(sample, splitPoint{bytes.Clone(o.Key), float64(len(o.Key) + len(o.Value))})
		}
	})
	for _, p := range sample {
		add(p.key, scale*p.size)
	}
	if deletes != nil {
		e.cover(deletes.All())
	}
}

// splitTable adds the places where blocks of a table begin.
func (e *estimator) splitTable(t *compaction.Table, stride int, add func(key []byte, size float64)) {
	p := t.Reader.Properties()
	_, expired := p.Expired(max(e.now, t.Evicted(e.view.Version.Evictions)))
	size := (1 - expired) * float64(p.PutBytes())
	if size > 0 {
		t.Reader.Starts(e.lower, e.upper, stride, func(key []byte, part float64) { add(key, part*size) })
	}
	e.cover(p.RangeDeletes)
}

// divide returns keys above lower, ascending, that divide what points stand for into at most n parts of about the same size.
func divide(points []splitPoint, lower, upper []byte, n int) (keys [][]byte) {
	slices.SortFunc(points, func(a, b splitPoint) int { return cmp.Or(kv.Compare(a.key, b.key), cmp.Compare(a.size, b.size)) })
	var all, sum float64
	for _, p := range points {
		all += p.size
	}
	last, parts := lower, 1 // how many parts, at least, what lies before the point comes to
	for _, p := range points {
		within := kv.Compare(p.key, last) > 0 && (len(upper) == 0 || kv.Compare(p.key, upper) < 0)
		if within && parts < n && sum*float64(n) >= all*float64(parts) {
			keys = append(keys, p.key)
			last, parts = p.key, int(sum*float64(n)/all)+1
		}
		sum += p.size
	}
	return keys
}
