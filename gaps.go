package ebb

import (
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
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

// offerRange makes a gap of what a range delete covers, which m has taken, if m has many entries there: a scan passes what
// is in other sources with a seek (see cursor.advance), but cannot tell what of m is older than the delete.
func (c *commit) offerRange(m *lsm.Mem, o *op.Op) {
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
