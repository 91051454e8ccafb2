package ebb

import (
	"bytes"
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Put gives a key a value, which replaces the one before together with its deadline. It takes any of the write options but
// those that are for Expire.
//
// When Put returns nil the write is as durable as the policy says. On ErrNoSpace it has not happened. After any other
// failure of the disk it may or may not have, and the database takes no more writes: see ErrFailed.
func (db *DB) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	p, err := evaluate(opts, deadlineOptions|keepOption|conditionOptions, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	if p.condition == 0 && !p.keepTTL {
		t, err := db.pipeline.begin()
		if err != nil {
			return err
		}
		return t.put(key, value, &p)
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithoutValue, &p)
	if err != nil {
		return err
	}
	if p.keepTTL && cur.found {
		p.deadline = cur.Deadline
	}
	return t.put(key, value, &p)
}

// Delete makes a key absent. Deleting an absent key is no error, unless the write options ask for a present one: it takes
// IfPresent, IfVersion, VersionTo, Sync and NoSync.
func (db *DB) Delete(key []byte, opts ...WriteOption) error {
	if err := checkKey(key); err != nil {
		return err
	}
	p, err := evaluate(opts, presentOptions, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	var t turn
	if p.condition == 0 {
		t, err = db.pipeline.begin()
	} else {
		t, _, err = db.pipeline.beginUpdate(key, lsm.WithoutValue, &p)
	}
	if err != nil {
		return err
	}
	return t.write(wal.Entry{Kind: wal.KindDelete, Key: key}, &p)
}

// DeleteRange makes the keys from start up to but not including end absent, at the cost of one record whatever the range
// holds. A nil end is no bound: all keys from start on go. A range without keys, whose end is not behind its start or that
// begins behind the last key there is, is no error, and nothing is written. Of the options it takes VersionTo, Sync and
// NoSync.
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
	t, err := beginRange(&db.pipeline, db.reporter)
	if err != nil {
		return err
	}
	if end != nil {
		return t.write(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, &p)
	}
	return t.deleteToEnd(start, &p)
}

// DeletePrefix makes all keys that begin with a prefix absent: it is DeleteRange from prefix to PrefixEnd(prefix). The empty
// prefix is that of every key.
func (db *DB) DeletePrefix(prefix []byte, opts ...WriteOption) error {
	return db.DeleteRange(prefix, PrefixEnd(prefix), opts...)
}

// beginRange returns a turn to delete a range. r may be nil.
func beginRange(p *pipeline, r *reporter) (turn, error) {
	if r != nil {
		return r.beginDeleteRange()
	}
	return p.begin()
}

// isEmpty reports whether no key lies in a range; a nil end is none.
func isEmpty(start, end []byte) bool { return end != nil && kv.Compare(start, end) >= 0 }

// keyAfter returns a bound, no longer than a key may be, that lies behind a key and all that are smaller; nil if there is none,
// as behind a key of the largest size whose bytes are 0xff.
func keyAfter(key []byte) []byte {
	if len(key) < MaxKeySize {
		return append(slices.Clip(key), 0)
	}
	return PrefixEnd(key) // what begins with key and is longer is no key
}

// deleteToEnd deletes what there is from start on, and ends the turn. The range that it writes ends behind the last key: that
// deletes the same, and is a range like others for all that read the log.
func (t turn) deleteToEnd(start []byte, w *params) error {
	last := t.lastKey()
	if kv.Compare(start, last) > 0 || len(last) == 0 {
		return t.leave(w)
	}
	if end := keyAfter(last); end != nil {
		return t.write(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, w)
	}
	var c op.Encoder
	err := c.BeginWithRanges()
	if err == nil && kv.Compare(start, last) < 0 {
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

// CompareAndSwap replaces the value of a key by new if it is old, and reports whether it was. An absent key has no value:
// for that there is IfAbsent. The write is a Put, and takes its options; to tell two equal values apart use IfVersion.
func (db *DB) CompareAndSwap(key, old, new []byte, opts ...WriteOption) (swapped bool, err error) {
	if err := checkEntry(key, new); err != nil {
		return false, err
	}
	p, err := evaluate(opts, deadlineOptions|keepOption|conditionOptions, db.clock, db.opts.Sync)
	if err != nil {
		return false, err
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithValue, &p)
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
