package ebb

import (
	"math"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/table"
)

// cursor does an Iterator's work. It is reused, with the memory it has, so that a short scan allocates almost nothing.
type cursor struct {
	db       *DB
	view     *view
	seq      uint64
	now      int64
	lower    []byte // inclusive; empty: none
	upper    []byte // exclusive; empty: none
	empty    bool   // the bounds leave nothing
	keysOnly bool

	sources  sources
	merged   merge.Iterator
	deletes  deletes
	covering *deleteSource // what covers the entry that merged stands on; nil if nothing does

	op    move   // what step does,
	key   []byte // and to which key
	step  func() // run, made once
	found bool

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
	c.sources.init()
	return c
}

// open readies c for a view, whose reference it takes over from the caller.
func (c *cursor) open(db *DB, v *view, seq uint64, now int64, o *IterOptions, own kv.Iterator) {
	c.db, c.view, c.seq, c.now = db, v, seq, now
	c.setBounds(o)
	c.ahead, c.found, c.want, c.first = c.ahead[:0], false, 1, 1
	c.merged.Reset(c.sources.open(v, seq, c.lower, c.upper, own))
	db.scanned(v, c.sources.overlaid)
	c.deletes.open(v, seq, c.lower, c.upper)
}

// close gives the view back, and c to the next iterator.
func (c *cursor) close() {
	c.merged.Close()
	db, v := c.db, c.view
	c.db, c.view, c.key, c.found = nil, nil, nil, false
	c.deletes.close()
	clear(c.ahead[:cap(c.ahead)])
	c.sources.release()
	const keep = 1 << 20 // a rare huge value should not pin its size for good
	if cap(c.buf) > keep {
		c.buf = nil
	}
	db.unref(v.tables)
	db.cursors.Put(c)
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
func (c *cursor) run() {
	stood := c.found
	c.found = false
	switch c.op {
	case moveNext, movePrev:
		if !stood || c.ended && (c.op == movePrev) == c.reverse {
			return // it stands nowhere, or on the last
		}
		c.from = append(c.from[:0], c.entry().Key...)
	default:
		c.want = c.first
		c.from = append(c.from[:0], c.key...) // it may be in buf, and a scan notes it after
		c.key = c.from
	}
	if c.empty {
		return
	}
	ok, forward := c.jump()
	c.ahead, c.buf, c.at, c.reverse, c.ended = c.ahead[:0], c.buf[:0], 0, !forward, false
	for ok && !c.beyond(c.merged.Entry().Key, forward) {
		if c.take(c.merged.Entry()) && (len(c.ahead) >= c.want || len(c.buf) >= aheadBytes) {
			break
		}
		ok = c.advance(forward)
	}
	c.ended = !ok || c.beyond(c.merged.Entry().Key, forward)
	c.want = min(4*c.want, maxAhead)
	c.found = len(c.ahead) > 0
}

// entry returns the entry that it stands on.
func (c *cursor) entry() *Entry { return &c.ahead[c.at] }

// jump makes the move op within the bounds, over whatever is there.
func (c *cursor) jump() (ok, forward bool) {
	m := &c.merged
	switch c.op {
	case moveNext:
		if !c.reverse && c.at == len(c.ahead)-1 {
			return m.Next(), true
		}
		c.from = append(c.from, 0) // the key after
		return m.SeekGE(c.from), true
	case movePrev:
		if c.reverse && c.at == len(c.ahead)-1 {
			return m.Prev(), false
		}
		return m.SeekLT(c.from), false
	case moveSeek:
		if kv.Compare(c.key, c.lower) > 0 {
			return m.SeekGE(c.key), true
		}
		fallthrough
	case moveFirst:
		if len(c.lower) > 0 {
			return m.SeekGE(c.lower), true
		}
		return m.First(), true
	case moveSeekBefore:
		if len(c.upper) == 0 || kv.Compare(c.key, c.upper) < 0 {
			return m.SeekLT(c.key), false
		}
	}
	if len(c.upper) > 0 {
		return m.SeekLT(c.upper), false
	}
	return m.Last(), false
}

// beyond reports whether a key lies behind the bound that the move goes towards.
func (c *cursor) beyond(key []byte, forward bool) bool {
	if forward {
		return len(c.upper) > 0 && kv.Compare(key, c.upper) >= 0
	}
	return len(c.lower) > 0 && kv.Compare(key, c.lower) < 0
}

// advance moves on from an entry. In a long stretch that a range delete covers, the sources in which all is older than the
// delete move to its end.
func (c *cursor) advance(forward bool) bool {
	if d := c.covering; d != nil && d.skips() {
		if older := c.sources.older(d.seq, d.start, d.end); older != nil {
			to := d.start
			if forward {
				to = d.end
			}
			return c.merged.Skip(to, older)
		}
	}
	if forward {
		return c.merged.Next()
	}
	return c.merged.Prev()
}

// take copies an entry behind those ahead, if it is present.
func (c *cursor) take(e *kv.Entry) bool {
	c.covering = c.deletes.cover(e)
	if c.covering != nil || !e.Live(c.now) {
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

// sources are the iterators that a cursor merges.
type sources struct {
	list   []kv.Iterator
	mems   []*memtable.Iterator
	level0 []*table.Iterator
	levels [compaction.NumLevels]levelIterator

	overlaid int      // how many of level0 are in list
	newest   []uint64 // of each of list but the levels, which come last, the newest sequence in it
	tables   *version
	isOlder  []bool // scratch
}

// levelIterator walks the tables of one level, which do not overlap.
type levelIterator struct {
	merge.Concat[*compaction.Table]
	table table.Iterator
	open  func(*compaction.Table) kv.Iterator // makes table one over the given
}

func (s *sources) init() {
	for i := range s.levels {
		l := &s.levels[i]
		l.open = func(t *compaction.Table) kv.Iterator {
			l.table.Reset(t.Reader)
			return &l.table
		}
	}
}

// open returns iterators over own, if it is not nil, and the view, newest first. Tables of level 0 that lie outside the bounds
// are left out; of the other levels only what is walked is opened.
func (s *sources) open(v *view, seq uint64, lower, upper []byte, own kv.Iterator) []kv.Iterator {
	s.list, s.newest = s.list[:0], s.newest[:0]
	if own != nil {
		s.add(own, math.MaxUint64)
	}
	for i := range 1 + len(v.frozen) {
		if i == len(s.mems) {
			s.mems = append(s.mems, new(memtable.Iterator))
		}
		m := v.mem
		if i > 0 {
			m = v.frozen[i-1]
		}
		s.mems[i].Reset(m.Memtable, seq)
		s.add(s.mems[i], m.Stats().MaxSeq)
	}
	n := 0
	for _, t := range v.tables.levels[0] {
		if !t.Within(lower, upper) {
			continue
		}
		if n == len(s.level0) {
			s.level0 = append(s.level0, new(table.Iterator))
		}
		s.level0[n].Reset(t.Reader)
		s.add(s.level0[n], t.Reader.Properties().MaxSeq)
		n++
	}
	s.overlaid, s.tables = n, v.tables
	for level := 1; level < compaction.NumLevels; level++ {
		if tables := v.tables.levels[level]; len(tables) > 0 {
			s.levels[level].Reset(tables, s.levels[level].open)
			s.list = append(s.list, &s.levels[level])
		}
	}
	return s.list
}

// add adds an iterator in which no entry is newer than a sequence.
func (s *sources) add(it kv.Iterator, newest uint64) {
	s.list, s.newest = append(s.list, it), append(s.newest, newest)
}

// older tells of each iterator of list whether all that it has of start <= key < end is older than a sequence. It returns
// nil if that is so of none.
func (s *sources) older(seq uint64, start, end []byte) []bool {
	s.isOlder = s.isOlder[:0]
	for _, newest := range s.newest {
		s.isOlder = append(s.isOlder, newest < seq)
	}
	for _, tables := range s.tables.levels[1:] {
		if len(tables) > 0 {
			s.isOlder = append(s.isOlder, compaction.NewestIn(tables, start, end) < seq)
		}
	}
	if !slices.Contains(s.isOlder, true) {
		return nil
	}
	return s.isOlder
}

// release forgets the view.
func (s *sources) release() {
	clear(s.list)
	s.tables = nil
}
