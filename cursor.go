package ebb

import (
	"sync"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/merge"
)

// cursors is a pool of cursors that no iterator uses.
type cursors struct {
	live *lsm.Set
	pool sync.Pool // of *cursor
}

// open returns an iterator over a view, and takes over the caller's pin of the view. own, if not nil, walks the own writes
// of a transaction, which are newer than the whole view.
func (cs *cursors) open(v *lsm.View, seq uint64, now int64, o *IterOptions, own kv.Iterator) *Iterator {
	c := cs.pool.Get().(*cursor)
	c.live, c.pool = cs.live, &cs.pool
	c.open(v, seq, now, o, own)
	return &Iterator{c: c}
}

// cursor does an Iterator's work. It is reused, with the memory it has, so that a short scan allocates almost nothing.
type cursor struct {
	live     *lsm.Set
	pool     *sync.Pool // takes the cursor back when it is closed
	view     *lsm.View
	seq      uint64
	now      int64
	lower    []byte // inclusive; empty: none
	upper    []byte // exclusive; empty: none
	empty    bool   // no key lies within the bounds
	keysOnly bool

	sources  lsm.Sources
	merged   merge.Iterator
	own      kv.Iterator // the source with a transaction's own writes; nil if there is none
	hidden   kv.RangeSet // the ranges that a transaction has deleted: of their keys it sees only its own writes
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

	// Entries are read several at a time: to enter the epoch and to guard mapped memory is paid once for all of them.
	ahead   []Entry // in the direction of travel; their slices are in buf
	buf     []byte
	at      int    // the index in ahead of the entry that the cursor stands on
	reverse bool   // the direction of ahead
	ended   bool   // no entry follows the last one of ahead
	want    int    // how many entries to read next time
	first   int    // how many entries to read at the first move
	from    []byte // scratch: the key that the cursor stands on, to go on from
}

const (
	// A cursor reads one entry at first, then four times as many each time, up to maxAhead, but no more than it takes to fill
	// aheadBytes: a short walk should not pay for entries that it never comes to.
	maxAhead   = 32
	aheadBytes = 32 << 10
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
	c.setBounds(o)
	c.ahead, c.found, c.more, c.dead.open, c.want, c.first = c.ahead[:0], false, false, false, 1, 1
	c.merged.Reset(c.sources.Open(v, seq, c.lower, c.upper, own))
	v.PayForScan(c.sources.Overlaid())
	c.deletes.Open(v, seq, c.lower, c.upper)
	c.evicted = v.AppendEvictions(c.evicted[:0], seq)
}

// close unpins the view, and leaves c to the next iterator.
func (c *cursor) close() {
	c.merged.Close()
	live, pool, v := c.live, c.pool, c.view
	c.live, c.pool, c.view, c.own, c.key, c.found = nil, nil, nil, nil, nil, false
	c.hidden = kv.RangeSet{}
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

// setBounds sets the bounds from Start, End and Prefix.
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

// near moves to the next or the previous entry if that entry is in ahead.
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
		if !stood || c.ended && (c.op == movePrev) == c.reverse {
			return false // the cursor stands nowhere, or on the last entry
		}
		c.from = append(c.from[:0], c.entry().Key...)
	default:
		c.want = c.first
		c.from = append(c.from[:0], c.key...) // key may be in buf, and note needs it later
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

// seek moves merged to the first entry from an edge on, in reverse to the last entry before the edge.
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

// fill moves merged on and reads live entries into ahead, as many as are wanted.
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

// filled ends a move. ended says that no live entry follows those in ahead.
func (c *cursor) filled(ended bool) {
	c.ended = ended
	c.want = min(4*c.want, maxAhead)
	c.found = len(c.ahead) > 0
}

// entry returns the entry that the cursor stands on.
func (c *cursor) entry() *Entry { return &c.ahead[c.at] }

// beyond reports whether a key lies past the bound in a direction: forward the upper bound, otherwise the lower.
func (c *cursor) beyond(key []byte, forward bool) bool {
	if forward {
		return len(c.upper) > 0 && kv.Compare(key, c.upper) >= 0
	}
	return len(c.lower) > 0 && kv.Compare(key, c.lower) < 0
}

// advance moves merged on by one entry. In a long stretch that a range delete covers, the sources whose entries there are
// all older than the delete skip to the end of the stretch.
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

// hides reports whether the transaction has deleted the range in which an entry lies that is not its own.
func (c *cursor) hides(e *kv.Entry) bool {
	if e.Seq == ownSeq {
		return false
	}
	_, hidden := c.hidden.Find(e.Key)
	return hidden
}

// take appends a copy of an entry to ahead. It is false if the entry is not live: covered by a range delete, deleted, expired,
// evicted or hidden.
func (c *cursor) take(e *kv.Entry) bool {
	c.covering = nil
	if c.deletes.Any() {
		if c.covering = c.deletes.Cover(e); c.covering != nil {
			return false
		}
	}
	if !e.Live(c.now) || c.evicted.Cover(e, c.seq) {
		return false
	}
	if c.hides(e) {
		return false
	}
	c.ahead = append(c.ahead, Entry{})
	entry := &c.ahead[len(c.ahead)-1]
	start := len(c.buf)
	c.buf = append(c.buf, e.Key...)
	n := len(c.buf)
	entry.Key, entry.Version, entry.Deadline = c.buf[start:n:n], committed(e.Seq), e.Deadline
	entry.ValueSize = len(e.Value)
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
