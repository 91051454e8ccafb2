package ebb

import (
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
)

const (
	// gapShare is the part of Memory that what is known of gaps may take: some 20,000 of them by default.
	gapShare = 64
	// A run of worthGap dead entries is remembered: to do so costs as much as some 20 steps, and a seek over them some 10.
	worthGap = 64
	// rangeDead is taken as the number of entries that a range delete covers, which nobody knows.
	rangeDead = 128
)

// newGaps returns an empty set of gaps, for views that the commit lock's holder changes.
func (db *DB) newGaps() *gap.Set { return db.newGapsAsOf(db.appliedSeq) }

// newGapsAsOf is newGaps for a view of its own.
func (db *DB) newGapsAsOf(applied func() uint64) *gap.Set {
	return gap.NewSet(db.opts.Memory/gapShare, db.opts.worthGap, applied)
}

// appliedSeq returns the sequence of the newest put that has been applied, or one after it. The memtable tells of a put
// before it is cut out of the gaps, a frozen one where it ends, and what was in one before that is shown before it leaves
// the view: see flush.
func (db *DB) appliedSeq() uint64 {
	v := db.view.Load()
	seq := max(db.visible.Load(), v.mem.Stats().MaxSeq)
	for _, m := range v.frozen {
		seq = max(seq, m.lastSeq)
	}
	return seq
}

// offerRange makes a gap of what a range delete covers, which m has taken, if m has many entries there: a scan passes what
// is in other sources with a seek (see cursor.advance), but cannot tell what of m is older than the delete.
func (c *commit) offerRange(m *mem, o *op.Op) {
	if c.gaps == nil || m.Len() < c.gaps.Worth() {
		return
	}
	it := &c.scout
	it.Reset(m.Memtable, o.Seq)
	n := 0
	for ok := it.SeekGE(o.Key); ok && n < c.gaps.Worth() && kv.Compare(it.Entry().Key, o.End) < 0; ok = it.Next() {
		n++
	}
	it.Close()
	if n == c.gaps.Worth() {
		c.gaps.Offer(&gap.Run{Start: o.Key, End: o.End, Moment: gap.Moment{Seq: o.Seq}, Dead: rangeDead})
	}
}
