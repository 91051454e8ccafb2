package ebb

import (
	"bytes"
	"fmt"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
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
// holds. Of the options it takes VersionTo, Sync and NoSync.
func (db *DB) DeleteRange(start, end []byte, opts ...WriteOption) error {
	if len(start) > MaxKeySize || len(end) > MaxKeySize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrKeyTooLarge, MaxKeySize)
	}
	if kv.Compare(start, end) >= 0 {
		return ErrInvalidRange
	}
	p, err := evaluate(opts, 0, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	var t turn
	if db.reporter != nil {
		t, err = db.reporter.beginDeleteRange()
	} else {
		t, err = db.pipeline.begin()
	}
	if err != nil {
		return err
	}
	return t.write(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, &p)
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
