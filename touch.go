package ebb

import (
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// Expire gives a present key a new deadline, d from now, and leaves its value. A d of 0 takes the deadline away, a negative
// d deletes the key. For an absent key the error is ErrNotFound.
//
// IfNoDeadline, IfDeadline, IfLater, IfEarlier and IfVersion set a condition; where it does not hold the error is
// ErrConditionFailed. Of the other options Expire takes DeadlineTo, VersionTo, Sync and NoSync.
func (db *DB) Expire(key []byte, d time.Duration, opts ...WriteOption) error {
	_, err := db.touch(nil, key, TTL(d), expireOptions, opts)
	return err
}

// Persist takes the deadline of a present key away. For an absent key the error is ErrNotFound. Of the options Persist takes
// IfVersion, VersionTo, Sync and NoSync.
func (db *DB) Persist(key []byte, opts ...WriteOption) error {
	_, err := db.touch(nil, key, TTL(0), 1<<optionIfVersion, opts)
	return err
}

// GetTouch returns a copy of the value of a key and gives the key a new deadline, d from now, in one step: for a session
// that lives as long as it is used. For an absent key the error is ErrNotFound. GetTouch takes the options of Expire.
func (db *DB) GetTouch(key []byte, d time.Duration, opts ...WriteOption) ([]byte, error) {
	return db.touch([]byte{}, key, TTL(d), expireOptions, opts)
}

// Take deletes a key and returns a copy of the value that it had, in one step: of several who take a key, one gets the value.
// For an absent key the error is ErrNotFound. Of the options Take takes IfVersion, VersionTo, Sync and NoSync.
func (db *DB) Take(key []byte, opts ...WriteOption) ([]byte, error) {
	return db.touch([]byte{}, key, TTL(-1), 1<<optionIfVersion, opts) // a deadline that has passed deletes
}

// touch writes the value of a present key once more, with the deadline that ttl asks for. It appends the value to dst,
// unless dst is nil.
func (db *DB) touch(dst, key []byte, ttl WriteOption, allowed optionSet, opts []WriteOption) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	p, err := evaluate(opts, allowed, db.clock, db.opts.Sync)
	if err != nil {
		return nil, err
	}
	if db.opts.ReadOnly && !db.health.closed.Load() {
		return nil, ErrReadOnly // whether the key is there or not
	}
	var e kv.Entry
	if _, err := db.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return nil, err // most often ErrNotFound: no reason to stop writers
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithValue, &p, claimOf(ttl.value < 0))
	if err != nil {
		return nil, err
	}
	if !cur.found {
		return nil, t.refuse(ErrNotFound, &p)
	}
	p.deadline, p.past = ttl.deadline(db.clock.Now())
	if !p.allowsDeadline(cur.Deadline) {
		return nil, t.refuse(p.failed(key, &cur), &p)
	}
	if dst != nil {
		dst = append(dst, cur.Value...)
	}
	if err := t.put(key, cur.Value, &p); err != nil {
		return nil, err
	}
	return dst, nil
}

// allowsDeadline reports whether p's condition lets p's deadline replace the deadline old.
func (p *params) allowsDeadline(old int64) bool {
	endless := func(deadline int64) int64 {
		if deadline == 0 {
			return math.MaxInt64
		}
		return deadline
	}
	switch p.condition {
	case optionIfNoDeadline:
		return old == 0
	case optionIfDeadline:
		return old != 0
	case optionIfLater:
		return endless(p.deadline) > endless(old)
	case optionIfEarlier:
		return endless(p.deadline) < endless(old)
	}
	return true
}
