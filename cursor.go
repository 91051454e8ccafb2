package ebb

import (
	"sync"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/merge"
)

// cursors are those that no iterator uses.
type cursors struct {
	live *lsm.Set
	pool sync.Pool // of *cursor
}

// open returns an iterator over a view, whose pin it takes over from the caller. own, if not nil, is newer than all of the view.
func (cs *cursors) open(v *lsm.View, seq uint64, now int64, o *IterOptions, own kv.Iterator) *Iterator {
	c := cs.pool.Get().(*cursor)
	c.live, c.pool = cs.live, &cs.pool
	c.open(v, seq, now, o, own)
	return &Iterator{c: c}
}

// cursor does an Iterator's work. It is reused, with the memory it has, so that a short scan allocates almost nothing.
type cursor struct {
	live     *lsm.Set
	pool     *sync.Pool // where it goes when it is closed
	view     *lsm.View
	seq      uint64
	now      int64
	lower    []byte // inclusive; empty: none
	upper    []byte // exclusive; empty: none
	empty    bool   // the bounds leave nothing
	keysOnly bool

	sources  lsm.Sources
	merged   merge.Iterator
	own      kv.Iterator // the one of sources that others do not see; nil if there is none
	deletes  lsm.Deletes
	covering *lsm.DeleteSource // what covers the entry that merged stands on; nil if nothing does

	op    move   // what step does,
	key   []byte // and to which key
	step  func() // run, made once
	found bool
	more  bool // the move is not done yet
	on    bool // merged stands on an entry

	dead  deadRun
	edge  []byte // where the move began: forward with this key, in reverse before it
	moves int    // of merged, in all

	// Entries are read some at a time: what it costs to be sure of the tables is paid once for all of them.
	ahead   []Entry // in the direction of travel; their slices are in buf
	buf     []byte
	at      int    // of ahead
	reverse bool   // the direction of ahead
	ended   bool   // there is nothing behind ahead
	want    int    // how many to read next time,
	first   int    // and the first time
	from    []byte // scratch: the key that it stands on, to go on from
}

const (
	// A cursor reads one entry ahead at first, then four times as many each time, up to maxAhead, but no more than it takes
	// to fill aheadBytes: a short walk should not pay for what it never comes to.
	maxAhead   = 32
	aheadBytes = 32 << 10
	// maxMoves bounds how long a move stays in the epoch, for which Close and whoever frees a table have to wait.
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

// open readies c for a view, whose pin it takes over from the caller.
func (c *cursor) open(v *lsm.View, seq uint64, now int64, o *IterOptions, own kv.Iterator) {
	c.view, c.seq, c.now, c.own = v, seq, now, own
	c.setBounds(o)
	c.ahead, c.found, c.more, c.dead.open, c.want, c.first = c.ahead[:0], false, false, false, 1, 1
	c.merged.Reset(c.sources.Open(v, seq, c.lower, c.upper, own))
	v.PayForScan(c.sources.Overlaid())
	c.deletes.Open(v, seq, c.lower, c.upper)
}

// close gives the view back, and c to the next iterator.
func (c *cursor) close() {
	c.merged.Close()
	live, pool, v := c.live, c.pool, c.view
	c.live, c.pool, c.view, c.own, c.key, c.found = nil, nil, nil, nil, nil, false
	c.deletes.Close()
	clear(c.ahead[:cap(c.ahead)])
	c.sources.Release()
	const keep = 1 << 20 // a rare huge value should not pin its size for good
	if cap(c.buf) > keep {
		c.buf = nil
	}
	live.Unpin(v)
	pool.Put(c)
}

// setBounds makes bounds of Start, End and Prefix.
func (c *cursor) setBounds(o *IterOptions) {
	c.lower, c.upper, c.empty, c.keysOnly = c.lower[:0], c.upper[:0], false, false
	if o == nil {
		return
	}
	c.keysOnly = o.KeysOnly
	c.lower = append(c.lower, o.Start...)
	if kv.Compare(o.Prefix, c.lower) > 0 {
		c.lower = append(c.lower[:0], o.Prefix...)
	}
	c.upper = appendPrefixEnd(c.upper, o.Prefix)
	if o.End != nil && (len(c.upper) == 0 || kv.Compare(o.End, c.upper) < 0) {
		c.upper = append(c.upper[:0], o.End...)
		c.empty = len(o.End) == 0
	}
	c.empty = c.empty || len(c.upper) > 0 && kv.Compare(c.lower, c.upper) >= 0
}

// near makes a move to the next or the previous entry if that was read already.
func (c *cursor) near() bool {
	if !c.found {
		return false
	}
	at := c.at + 1
	if (c.op == moveNext) == c.reverse {
		at = c.at - 1
	}
	if at < 0 || at >= len(c.ahead) {
		return false
	}
	c.at = at
	return true
}

// run makes the move op, which near cannot make, and goes on in its direction to an entry that is present, and some ahead.
// If there is much on the way that is not, it stops, with more set, and is to be called again.
func (c *cursor) run() {
	if c.more || c.begin() {
		c.fill()
	}
}

// begin makes the move op, to whatever is there.
func (c *cursor) begin() bool {
	stood := c.found
	c.found = false
	switch c.op {
	case moveNext, movePrev:
		if !stood || c.ended && (c.op == movePrev) == c.reverse {
			return false // it stands nowhere, or on the last
		}
		c.from = append(c.from[:0], c.entry().Key...)
	default:
		c.want = c.first
		c.from = append(c.from[:0], c.key...) // it may be in buf, and a scan notes it after
		c.key = c.from
	}
	if c.empty {
		return false
	}
	forward := c.op == moveFirst || c.op == moveSeek || c.op == moveNext
	step := c.at == len(c.ahead)-1 && c.reverse == !forward // merged stands where the cursor does
	c.ahead, c.buf, c.at, c.reverse, c.ended = c.ahead[:0], c.buf[:0], 0, !forward, false
	c.aim()
	if step && (c.op == moveNext || c.op == movePrev) {
		c.advance()
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
	if !c.reverse && kv.Compare(edge, c.lower) < 0 {
		edge = c.lower
	}
	if c.reverse && len(c.upper) > 0 && (c.op == moveLast || kv.Compare(edge, c.upper) > 0) {
		edge = c.upper
	}
	c.edge = append(c.edge[:0], edge...)
}

// seek goes to the first entry from an edge on, in reverse to the last before it.
func (c *cursor) seek(edge []byte) {
	m := &c.merged
	c.moves++
	switch {
	case c.reverse && len(edge) == 0 && c.op == moveLast:
		c.on = m.Last()
	case c.reverse:
		c.on = m.SeekLT(edge)
	case len(edge) == 0:
		c.on = m.First()
	default:
		c.on = m.SeekGE(edge)
	}
}

// fill goes on to an entry that is present, and reads as many as are wanted.
func (c *cursor) fill() {
	c.more = false
	for end := c.moves + maxMoves; c.on; {
		e := c.merged.Entry()
		if c.beyond(e.Key, !c.reverse) {
			break
		}
		switch {
		case c.take(e):
			if c.dead.open {
				c.endRun()
			}
			if len(c.ahead) >= c.want || len(c.buf) >= aheadBytes {
				c.filled(false)
				return
			}
			c.advance()
		case c.moves >= end:
			c.more = true
			return
		default:
			c.pass(e)
		}
	}
	c.endRun()
	c.filled(true)
}

// filled ends a move.
func (c *cursor) filled(ended bool) {
	c.ended = ended
	c.want = min(4*c.want, maxAhead)
	c.found = len(c.ahead) > 0
}

// entry returns the entry that it stands on.
func (c *cursor) entry() *Entry { return &c.ahead[c.at] }

// beyond reports whether a key lies behind the bound that the move goes towards.
func (c *cursor) beyond(key []byte, forward bool) bool {
	if forward {
		return len(c.upper) > 0 && kv.Compare(key, c.upper) >= 0
	}
	return len(c.lower) > 0 && kv.Compare(key, c.lower) < 0
}

// advance goes on by one entry. In a long stretch that a range delete covers, the sources in which all is older than the
// delete go on to its end.
func (c *cursor) advance() {
	c.moves++
	if d := c.covering; d != nil && d.Skips() {
		start, end := d.Stretch()
		if older := c.sources.Older(d.Seq(), start, end); older != nil {
			to := end
			if c.reverse {
				to = start
			}
			c.on = c.merged.Skip(to, older)
			c.dead.Dead += gap.RangeDead
			return
		}
	}
	if c.reverse {
		c.on = c.merged.Prev()
	} else {
		c.on = c.merged.Next()
	}
}

// take copies an entry behind those ahead, if it is present.
func (c *cursor) take(e *kv.Entry) bool {
	c.covering = nil
	if c.deletes.Any() {
		if c.covering = c.deletes.Cover(e); c.covering != nil {
			return false
		}
	}
	if !e.Live(c.now) {
		return false
	}
	c.ahead = append(c.ahead, Entry{})
	entry := &c.ahead[len(c.ahead)-1]
	start := len(c.buf)
	c.buf = append(c.buf, e.Key...)
	n := len(c.buf)
	entry.Key, entry.Version, entry.Deadline = c.buf[start:n:n], committed(e.Seq), e.Deadline
	if !c.keysOnly {
		c.buf = append(c.buf, e.Value...)
		entry.Value = c.buf[n:len(c.buf):len(c.buf)]
	}
	return true
}

// appendPrefixEnd appends the first key after all that begin with a prefix; nothing if there is none.
func appendPrefixEnd(dst, prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			dst = append(dst, prefix[:i+1]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return dst
}
