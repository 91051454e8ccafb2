package ebb

import (
	"iter"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/occ"
	"github.com/ebbdb/ebb/internal/scan"
	"github.com/ebbdb/ebb/internal/vfs"
)

// IterOptions say which entries an iterator shows. The zero value, and nil, are all.
type IterOptions struct {
	Start   []byte // the first key, inclusive; nil: from the beginning
	End     []byte // the end, exclusive; nil: to the end
	Prefix  []byte // only keys that begin with it; Start and End narrow the range further
	Reverse bool   // Range only: from the last to the first
	Limit   int    // Range only: at most so many entries; 0: no limit
	// KeysOnly leaves values out, which saves copying them. Entry.ValueSize is there.
	KeysOnly bool
}

// PrefixEnd returns the first key behind all keys that begin with a prefix, as the end of a range. It is nil, which is no
// bound, if there is no such key: for a prefix without bytes, or of bytes 0xff only.
func PrefixEnd(prefix []byte) []byte { return scan.AppendPrefixEnd(nil, prefix) }

// Iterator walks the present keys in order, as of the moment the iterator was made: it shows no later write, and no entry
// expires meanwhile. An Iterator is for one goroutine. Close it: an open one keeps memory and files.
//
// An Iterator stands nowhere at first. A move returns whether the iterator stands on an entry; after false, Err tells
// whether the walk has come to its end or failed.
type Iterator struct {
	c     *cursor   // nil once closed
	entry *kv.Entry // the cursor's; nil if the iterator stands nowhere
	scan  *occ.Scan // the walked stretches, for a transaction that validates its reads; otherwise nil
	err   error
}

// check refuses values that are not allowed. Reverse and Limit are for Range, not for an iterator, which goes both ways.
func (o *IterOptions) check(iterator bool) error {
	switch {
	case o == nil:
		return nil
	case o.Limit < 0:
		return invalid("Limit", o.Limit, "0, which is none, and more")
	case iterator && o.Limit != 0:
		return invalid("Limit", o.Limit, "0 for an iterator: it is for Range")
	case iterator && o.Reverse:
		return invalid("Reverse", o.Reverse, "false for an iterator, which has Last and Prev: it is for Range")
	}
	return nil
}

// rangeAhead is how many entries a Range without a Limit reads at first.
const rangeAhead = 8

func rangeOver(open func() (*Iterator, error), o *IterOptions) iter.Seq2[Entry, error] {
	if o == nil {
		o = new(IterOptions)
	}
	return func(yield func(Entry, error) bool) { eachOf(open, o, yield) }
}

// eachOf is the loop of rangeOver: a function of its own, as what the compiler puts into its callers' packages calls what would
// be inlined here.
func eachOf(open func() (*Iterator, error), o *IterOptions, yield func(Entry, error) bool) {
	if err := o.check(false); err != nil {
		yield(Entry{}, err)
		return
	}
	it, err := open()
	if err != nil {
		yield(Entry{}, err)
		return
	}
	defer it.Close()
	it.c.first = rangeAhead
	if o.Limit > 0 {
		it.c.first = min(o.Limit, maxAhead)
	}
	first, next := it.First, it.Next
	if o.Reverse {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; ok = next() {
		c := it.c
		ahead := c.Entries[c.at:]
		if it.scan != nil {
			ahead = ahead[:1]
		}
		for i := range ahead { // over the entries that were read ahead
			if i > 0 {
				if c.live.Closed() {
					break
				}
				c.at++
			}
			if n++; !yield(shownOf(&ahead[i]), nil) || n == o.Limit {
				return
			}
		}
		if o.Limit > 0 {
			c.Want = min(c.Want, o.Limit-n)
		}
	}
	if err := it.Err(); err != nil {
		yield(Entry{}, err)
	}
}

// First moves to the first entry.
func (it *Iterator) First() bool { return it.move(moveFirst, nil) }

// Last moves to the last entry.
func (it *Iterator) Last() bool { return it.move(moveLast, nil) }

// Seek moves to the first entry whose key is key or after it.
func (it *Iterator) Seek(key []byte) bool { return it.move(moveSeek, key) }

// SeekBefore moves to the last entry whose key is before key.
func (it *Iterator) SeekBefore(key []byte) bool { return it.move(moveSeekBefore, key) }

// Next moves to the next entry. The iterator must stand on an entry; if it does not, Next returns false.
func (it *Iterator) Next() bool { return it.inside(false) || it.move(moveNext, nil) }

// Prev moves to the previous entry. The iterator must stand on an entry; if it does not, Prev returns false.
func (it *Iterator) Prev() bool { return it.inside(true) || it.move(movePrev, nil) }

// inside makes a step in the direction of the last one, to an entry that was read ahead. It is false if there is none, or
// more is to be done than to step.
func (it *Iterator) inside(reverse bool) bool {
	if it.entry == nil || it.scan != nil {
		return false
	}
	c := it.c
	if c.Reverse != reverse || c.at+1 >= len(c.Entries) || c.live.Closed() {
		return false
	}
	c.at++
	it.entry = &c.Entries[c.at]
	return true
}

// Valid reports whether the iterator stands on an entry, as the last move has returned.
func (it *Iterator) Valid() bool { return it.entry != nil }

// Entry returns the entry that the iterator stands on, an empty one if it stands nowhere. Its slices are valid until the next
// move, and not the caller's to change.
func (it *Iterator) Entry() Entry {
	if it.entry == nil {
		return Entry{}
	}
	return shownOf(it.entry)
}

// Key returns the key that the iterator stands on, valid until the next move.
func (it *Iterator) Key() []byte {
	if it.entry == nil {
		return nil
	}
	return it.entry.Key
}

// Value returns the value that the iterator stands on, valid until the next move; nil if it walks keys only.
func (it *Iterator) Value() []byte {
	if it.entry == nil {
		return nil
	}
	return it.entry.Value
}

// Err returns the error that ended the walk early, nil if there was none. Close leaves the error as it is; after a move that
// follows Close it is ErrClosed, unless the walk had failed before.
func (it *Iterator) Err() error { return it.err }

// Close lets go of the memory and the files that the iterator keeps. Closing it again does nothing.
func (it *Iterator) Close() {
	if it.c == nil {
		return
	}
	it.c.close()
	it.c, it.entry = nil, nil
}

// move makes one move, to an entry that was read before or is read now.
func (it *Iterator) move(op move, key []byte) bool {
	it.entry = nil
	c := it.c
	if it.err != nil {
		return false
	}
	if c == nil {
		it.err = ErrClosed
		return false
	}
	if c.live.Closed() {
		it.err = ErrClosed
		return false
	}
	c.op, c.key = op, key
	if (op == moveNext || op == movePrev) && c.near() {
		it.entry = c.entry()
	} else if it.err = it.read(); it.err != nil {
		return false
	}
	if it.scan != nil {
		c.note(it.scan, it.Key())
	}
	return c.found
}

// read makes a move that needs the sources. A move that takes long leaves the epoch and enters it again now and then: Close
// of the database, and whoever frees a table, wait for each stay.
func (it *Iterator) read() error {
	c := it.c
	c.more = false
	for {
		if err := c.readSome(); err != nil {
			c.found = false
			return err
		}
		if !c.more {
			break
		}
	}
	if !c.found {
		return c.merged.Err()
	}
	it.entry = c.entry()
	return nil
}

// readSome makes as much of a move as fits into one stay in the epoch. The cursor's more is set if the move is not done.
func (c *cursor) readSome() error {
	ticket, ok := c.live.Enter(uint32(c.op))
	if !ok {
		return ErrClosed
	}
	defer c.live.Exit(ticket)
	return vfs.Guard(c.step)
}

// outermost returns a copy of the entry that a new iterator comes to with one move, which is First or Last.
func outermost(open func(*IterOptions) (*Iterator, error), o *IterOptions, move func(*Iterator) bool) (Entry, error) {
	it, err := open(o)
	if err != nil {
		return Entry{}, err
	}
	defer it.Close()
	if !move(it) {
		if it.err != nil {
			return Entry{}, it.err
		}
		return Entry{}, ErrNotFound
	}
	e := it.Entry()
	e.Key, e.Value = append([]byte(nil), e.Key...), append([]byte(nil), e.Value...)
	if !it.c.KeysOnly {
		e.Value = present(e.Value)
	}
	return e, nil
}

// note records a move in a transaction's scan: the cursor now stands on key, or has come to its bound if key is nil.
func (c *cursor) note(s *occ.Scan, key []byte) {
	if c.found && c.entry().Seq != ownSeq {
		s.Show(c.entry().Deadline)
	}
	switch c.op {
	case moveFirst:
		s.Ascend(nil, key, c.Lower, c.Upper)
	case moveSeek:
		s.Ascend(c.key, key, c.Lower, c.Upper)
	case moveNext:
		s.AscendTo(key, c.Upper)
	case moveLast:
		s.Descend(key, c.Lower, c.Upper)
	case moveSeekBefore:
		s.DescendBefore(c.key, key, c.Lower, c.Upper)
	case movePrev:
		s.DescendTo(key, c.Lower)
	}
}
