package ebb

import (
	"bytes"
	"sync"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/scan"
)

// cursors is a pool of cursors that no iterator uses.
type cursors struct {
	live   *lsm.Set
	pool   sync.Pool // of *cursor
	hidden []byte    // the first key of a host: a walk that has no end goes no further; empty: there is no host
}

// open returns an iterator over a view, and takes over the caller's pin of the view. own, if not nil, walks the own writes
// of a transaction, which are newer than the whole view.
func (cs *cursors) open(v *lsm.View, seq uint64, now int64, o *IterOptions, own kv.Iterator) *Iterator {
	c := cs.pool.Get().(*cursor)
	c.live, c.pool = cs.live, &cs.pool
	if len(cs.hidden) == 0 {
		c.open(v, seq, now, o, own)
		return &Iterator{c: c}
	}
	var bounded IterOptions
	if o != nil {
		bounded = *o
	}
	if bounded.End == nil && !bytes.HasPrefix(bounded.Prefix, cs.hidden) {
		bounded.End = cs.hidden
	}
	c.open(v, seq, now, &bounded, own)
	return &Iterator{c: c}
}

// cursor does an Iterator's work. It is reused, with the memory it has, so that a short scan allocates almost nothing.
type cursor struct {
	live *lsm.Set
	pool *sync.Pool // takes the cursor back when it is closed
	view *lsm.View
	seq  uint64
	now  int64
	scan.Bounds

	sources  lsm.Sources
	merged   merge.Iterator
	own      kv.Iterator // the source with a transaction's own writes; nil if there is none
	hidden   kv.RangeSet // the ranges within bounds that a transaction has deleted: of their keys it sees only its own writes
	deletes  lsm.Deletes
	evicted  kv.Evictions      // those that c heeds
	covering *lsm.DeleteSource // has a range delete that covers the entry that merged stands on; nil if none does

	op    move   // the move that step makes
	key   []byte // the key of moveSeek and moveSeekBefore
	step  func() // run, made once
	found bool
	more  bool // the move is not done yet
	on    bool // merged stands on an entry

	dead  deadRun
	edge  []byte // where the move began: forward at this key, in reverse before it
	moves int    // how often merged was moved, in all

	scan.Ahead
	fresh bool   // merged stands on an entry behind ahead that was not looked at, and not on the last of ahead
	at    int    // the index in ahead of the entry that the cursor stands on
	ended bool   // no entry follows the last one of ahead
	first int    // how many entries to read at the first move
	from  []byte // scratch: the key that the cursor stands on, to go on from
}

const (
	// A cursor reads one entry at first, then four times as many each time, up to maxAhead, or fewer that are large.
	maxAhead = 128
	// maxCopies bounds how many blocks the sources keep for one reading, but for those of the last run: a walk over absent
	// entries may come over any number.
	maxCopies = 32
	// maxMoves bounds how long one stay in the epoch lasts: Close, and whoever frees a table, wait for its end.
	maxMoves = 1024
)

// move is a move of an iterator.
type move uint8

const (
	moveFirst move = iota
	moveLast
	moveSeek
	moveSeekBefore
	moveNext
	movePrev
)

func newCursor() any {
	c := new(cursor)
	c.step = c.run
	c.sources.Init()
	return c
}

// open readies c for a view, and takes over the caller's pin of the view.
func (c *cursor) open(v *lsm.View, seq uint64, now int64, o *IterOptions, own kv.Iterator) {
	c.view, c.seq, c.now, c.own = v, seq, now, own
	if o == nil {
		o = new(IterOptions)
	}
	c.Bounds.Set(o.Start, o.End, o.Prefix)
	c.KeysOnly = o.KeysOnly
	c.Begin(false)
	c.found, c.more, c.fresh, c.dead.open, c.Want, c.first = false, false, false, false, 1, 1
	c.merged.Reset(c.sources.Open(v, seq, c.Lower, c.Upper, own, c.KeysOnly))
	v.PayForScan(c.sources.Overlaid())
	c.deletes.Open(v, seq, c.Lower, c.Upper)
	c.evicted = v.AppendEvictions(c.evicted[:0], seq)
}

// close unpins the view, and leaves c to the next iterator.
func (c *cursor) close() {
	c.merged.Close()
	live, pool, v := c.live, c.pool, c.view
	c.live, c.pool, c.view, c.own, c.key, c.found = nil, nil, nil, nil, nil, false
	c.hidden = kv.RangeSet{}
	c.deletes.Close()
	c.Release()
	c.sources.Release()
	live.Unpin(v)
	pool.Put(c)
}

// near moves to the next or the previous entry if that entry is among those read ahead.
func (c *cursor) near() bool {
	if !c.found {
		return false
	}
	at := c.at + 1
	if (c.op == moveNext) == c.Reverse {
		at = c.at - 1
	}
	if at < 0 || at >= len(c.Entries) {
		return false
	}
	c.at = at
	return true
}

// run makes a move that the read-ahead cannot answer. It repositions the merge, reads the first live entry in the move's
// direction, and then more, up to want in all. After maxMoves without a live entry run stops with more set, and is to be
// called again.
func (c *cursor) run() {
	if c.more || c.begin() {
		c.fill()
	}
}

// begin moves merged to where the move op begins, live entry or not. It is false if the move can find nothing.
func (c *cursor) begin() bool {
	stood := c.found
	c.found = false
	switch c.op {
	case moveNext, movePrev:
		if !stood || c.ended && (c.op == movePrev) == c.Reverse {
			return false // the cursor stands nowhere, or on the last entry
		}
		c.from = append(c.from[:0], c.entry().Key...)
	default:
		c.Want = c.first
		c.from = append(c.from[:0], c.key...) // key may be in buf, and note needs it later
		c.key = c.from
	}
	if c.Empty {
		return false
	}
	forward := c.op == moveFirst || c.op == moveSeek || c.op == moveNext
	step := c.at == len(c.Entries)-1 && c.Reverse == !forward // merged stands where the cursor does
	c.Begin(!forward)
	c.at, c.ended = 0, false
	c.sources.Recycle()
	fresh := c.fresh
	c.fresh = false
	c.aim()
	if step && (c.op == moveNext || c.op == movePrev) {
		if !fresh {
			c.advance()
		}
		return true
	}
	c.openRun(nil)
	if !c.leap() {
		c.seek(c.edge)
	}
	return true
}

// aim sets the edge that the move begins at, within the bounds: empty for the first key, or in reverse for the last.
func (c *cursor) aim() {
	var edge []byte
	switch c.op {
	case moveFirst, moveLast:
	case moveNext:
		c.from = append(c.from, 0) // the key after
		edge = c.from
	default:
		edge = c.from
	}
	if !c.Reverse && kv.Compare(edge, c.Lower) < 0 {
		edge = c.Lower
	}
	if c.Reverse && len(c.Upper) > 0 && (c.op == moveLast || kv.Compare(edge, c.Upper) > 0) {
		edge = c.Upper
	}
	c.edge = append(c.edge[:0], edge...)
}

// seek moves merged to the first entry from an edge on, in reverse to the last entry before the edge.
func (c *cursor) seek(edge []byte) {
	m := &c.merged
	c.moves++
	switch {
	case c.Reverse && len(edge) == 0 && c.op == moveLast:
		c.on = m.Last()
	case c.Reverse:
		c.on = m.SeekLT(edge)
	case len(edge) == 0:
		c.on = m.First()
	default:
		c.on = m.SeekGE(edge)
	}
}

// fill moves merged on and reads live entries ahead, as many as are wanted.
func (c *cursor) fill() {
	c.more = false
	for end := c.moves + maxMoves; c.on; {
		if c.sources.Copies() >= maxCopies {
			if c.Held {
				c.fresh = true
				c.filled(false)
				return
			}
			c.sources.Recycle()
		}
		want := c.Want - len(c.Entries)
		if c.dead.open && c.dead.Dead > 0 { // others that are absent may follow
			want = max(want, maxAhead)
		}
		run, kept := c.merged.Run(want, c.Reverse)
		n, stop, covering := c.Take(run, c.Within(run, c.Reverse), kept, &scan.Absent{
			Deletes: &c.deletes, Evicted: c.evicted, Hidden: &c.hidden, Own: ownSeq, Seq: c.seq, Now: c.now})
		c.covering = covering
		if n > 0 && c.dead.open {
			c.endRun()
		}
		if stop == scan.StopAbsent || stop == scan.StopBound {
			c.merged.Pass(n, c.Reverse)
		} else {
			c.merged.Pass(n-1, c.Reverse)
		}
		switch {
		case stop == scan.StopBound:
			c.on = false
		case stop == scan.StopFull:
			c.filled(false)
			return
		case stop == scan.StopNone:
			c.advance()
		case c.moves >= end:
			c.more = true
			return
		default:
			c.pass(c.merged.Entry())
		}
	}
	c.endRun()
	c.filled(true)
}

// filled ends a move. ended says that no live entry follows those among those read ahead.
func (c *cursor) filled(ended bool) {
	c.ended = ended
	c.Want = min(4*c.Want, maxAhead)
	c.found = len(c.Entries) > 0
}

// entry returns the entry that the cursor stands on.
func (c *cursor) entry() *kv.Entry { return &c.Entries[c.at] }

// advance moves merged on by one entry. In a long stretch that a range delete covers, the sources whose entries there are
// all older than the delete skip to the end of the stretch.
func (c *cursor) advance() {
	c.moves++
	if d := c.covering; d != nil && d.Skips() {
		start, end := d.Stretch()
		if older := c.sources.Older(d.Seq(), start, end); older != nil {
			to := end
			if c.Reverse {
				to = start
			}
			c.on = c.merged.Skip(to, older)
			c.dead.Dead += gap.RangeDead
			return
		}
	}
	if c.Reverse {
		c.on = c.merged.Prev()
	} else {
		c.on = c.merged.Next()
	}
}
