package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Put gives a key a value. The value replaces the one before, together with its deadline. Put takes all write options except
// those that are only for Expire.
//
// When Put returns nil, the write is as durable as the policy says. When it returns ErrNoSpace, the write was not made.
// After any other failure of the disk the write may have been made or not, and the database takes no more writes: see
// ErrFailed.
func (db *DB) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	p, err := evaluate(opts, deadlineOptions|keepOption|conditionOptions|foundOption|untilOption, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	if !p.looks() {
		t, err := db.pipeline.begin()
		if err != nil {
			return err
		}
		return t.put(key, value, &p)
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithoutValue, &p, claimRoom)
	if err != nil {
		return err
	}
	if p.keepTTL && cur.found {
		p.deadline = cur.Deadline
	}
	return t.put(key, value, &p)
}

// Delete makes a key absent. Deleting an absent key is no error, unless the write options ask for a present one. Of the
// options Delete takes IfPresent, IfVersion, FoundTo, VersionTo, Sync and NoSync.
func (db *DB) Delete(key []byte, opts ...WriteOption) error {
	if err := checkKey(key); err != nil {
		return err
	}
	p, err := evaluate(opts, presentOptions|foundOption, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	var t turn
	if p.looks() {
		t, _, err = db.pipeline.beginUpdate(key, lsm.WithoutValue, &p, claimReserve)
	} else {
		t, err = db.pipeline.beginFor(claimReserve)
	}
	if err != nil {
		return err
	}
	return t.write(wal.Entry{Kind: wal.KindDelete, Key: key}, &p)
}

// DeleteRange makes the keys from start up to but not including end absent, at the cost of one record however many keys the
// range has. A nil end is no bound: all keys from start on are deleted. A range whose end is not behind its start is no
// error, and neither is one without end that begins behind the last key there is: nothing is written. Of the options
// DeleteRange takes VersionTo, Sync and NoSync.
func (db *DB) DeleteRange(start, end []byte, opts ...WriteOption) error {
	if err := checkRange(start, end); err != nil {
		return err
	}
	p, err := evaluate(opts, 0, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	if isEmpty(start, end) {
		return db.health.refusal()
	}
	t, err := beginRange(&db.pipeline, db.reporter, claimReserve)
	if err != nil {
		return err
	}
	if end != nil {
		return t.write(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, &p)
	}
	return t.deleteToEnd(start, &p)
}

// DeletePrefix makes all keys that begin with a prefix absent: it is DeleteRange from prefix to PrefixEnd(prefix). Every key
// begins with the empty prefix.
func (db *DB) DeletePrefix(prefix []byte, opts ...WriteOption) error {
	return db.DeleteRange(prefix, PrefixEnd(prefix), opts...)
}

// beginRange returns a turn to delete a range. r may be nil.
func beginRange(p *pipeline, r *reporter, c claim) (turn, error) {
	return beginRangeAhead(p, r, nil, c)
}

// beginRangeAhead is beginRange for an Update that may have precedence: own is as for pipeline.beginAhead.
func beginRangeAhead(p *pipeline, r *reporter, own chan struct{}, c claim) (turn, error) {
	if r != nil {
		return r.beginDeleteRange(own, c)
	}
	return p.beginAhead(own, c)
}

// isEmpty reports whether no key can lie in a range; a nil end is no bound.
func isEmpty(start, end []byte) bool { return end != nil && kv.Compare(start, end) >= 0 }

// keyAfter returns a bound behind key that is no longer than a key may be; nil if there is none. There is none behind a key
// of the largest size whose bytes are all 0xff.
func keyAfter(key []byte) []byte {
	if len(key) < MaxKeySize {
		return append(slices.Clip(key), 0)
	}
	return PrefixEnd(key) // a longer one that begins with key is too long for a key
}

// deleteToEnd deletes all keys from start on, and ends the turn. The range that it writes ends behind the last key: it
// deletes the same keys as one without end, and readers of the log need to know only ranges with an end.
func (t turn) deleteToEnd(start []byte, w *params) error {
	last := t.lastKey()
	if kv.Compare(start, last) > 0 || len(last) == 0 {
		return t.leave(w)
	}
	if end := keyAfter(last); end != nil {
		return t.write(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, w)
	}
	if kv.Compare(start, last) == 0 {
		return t.write(wal.Entry{Kind: wal.KindDelete, Key: last}, w)
	}
	var c op.Encoder
	err := c.BeginWithRanges()
	if err == nil {
		err = c.DeleteRange(start, last)
	}
	if err == nil {
		err = c.Delete(last)
	}
	if err != nil {
		t.end()
		return err
	}
	return t.write(c.Entry(), w)
}

// CompareAndSwap replaces the value of a key by new if the value is old, and reports whether it did. An absent key has no
// value to compare: use Put with IfAbsent for it. The write is a Put, and takes the options of Put but FoundTo. To tell two
// equal values apart use IfVersion.
func (db *DB) CompareAndSwap(key, old, new []byte, opts ...WriteOption) (swapped bool, err error) {
	if err := checkEntry(key, new); err != nil {
		return false, err
	}
	p, err := evaluate(opts, deadlineOptions|keepOption|conditionOptions|untilOption, db.clock, db.opts.Sync)
	if err != nil {
		return false, err
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithValue, &p, claimRoom)
	if err != nil {
		return false, err
	}
	if !cur.found || !bytes.Equal(cur.Value, old) {
		return false, t.leave(&p)
	}
	if p.keepTTL {
		p.deadline = cur.Deadline
	}
	err = t.put(key, new, &p)
	return err == nil, err
}

// Sync makes every write that has returned durable.
func (db *DB) Sync() error {
	if db.health.closed.Load() {
		return ErrClosed
	}
	if db.opts.ReadOnly {
		return ErrReadOnly
	}
	return closedLog(db.log.Sync())
}

// maxCounter is the length of the longest counter, the least int64. The scratch of a turn has room for it.
const maxCounter = 20

// Counter decodes the value of a counter, as Add writes it and Get returns it: an int64 in decimal digits. For any other
// value the error is ErrNotCounter.
func Counter(value []byte) (int64, error) {
	if len(value) > maxCounter {
		return 0, fmt.Errorf("%w: a value of %d bytes", ErrNotCounter, len(value))
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotCounter, errors.Unwrap(err))
	}
	return n, nil
}

// Add adds delta to a counter and returns the sum. An absent key counts as 0. The sum keeps the deadline of the counter that
// it replaces: TTL and ExpireAt count only for an absent key. So one call is a rate limit with a fixed window. Add takes the
// options of Put except KeepTTL.
//
// For a value that is no counter the error is ErrNotCounter, for a sum outside int64 ErrOverflow. In both cases nothing
// changes.
func (db *DB) Add(key []byte, delta int64, opts ...WriteOption) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	p, err := evaluate(opts, deadlineOptions|conditionOptions|foundOption|untilOption, db.clock, db.opts.Sync)
	if err != nil {
		return 0, err
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithValue, &p, claimRoom)
	if err != nil {
		return 0, err
	}
	var n int64
	if cur.found {
		if n, err = Counter(cur.Value); err != nil {
			return 0, t.refuse(ofKey(err, key), &p)
		}
		p.deadline, p.past = cur.Deadline, false
	}
	sum, err := sumOf(n, delta)
	if err != nil {
		return 0, t.refuse(ofKey(err, key), &p)
	}
	value := strconv.AppendInt(t.scratch(), sum, 10)
	if err := t.put(key, value, &p); err != nil {
		return 0, err
	}
	return sum, nil
}

// sumOf returns the sum of a counter and what is added to it, or ErrOverflow.
func sumOf(n, delta int64) (int64, error) {
	sum := n + delta
	if (sum > n) != (delta > 0) && delta != 0 {
		return 0, fmt.Errorf("%w: %d and %d", ErrOverflow, n, delta)
	}
	return sum, nil
}
