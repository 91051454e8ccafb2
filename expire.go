package ebb

import (
	"time"

	"github.com/ebbdb/ebb/internal/kv"
)

// Expire gives a present key a new deadline, d from now, and leaves its value; 0 takes the deadline away, a negative d
// deletes the key. It is ErrNotFound for an absent key. Of the options it takes Sync and NoSync.
func (db *DB) Expire(key []byte, d time.Duration, opts ...WriteOption) error {
	_, err := db.touch(nil, key, TTL(d), opts)
	return err
}

// Persist takes the deadline of a present key away. It is ErrNotFound for an absent key. Of the options it takes Sync and
// NoSync.
func (db *DB) Persist(key []byte, opts ...WriteOption) error {
	_, err := db.touch(nil, key, TTL(0), opts)
	return err
}

// GetTouch returns a copy of the value of a key and gives it a new deadline, d from now, in one step: a session that lives
// as long as it is used. It is ErrNotFound for an absent key. Of the options it takes Sync and NoSync.
func (db *DB) GetTouch(key []byte, d time.Duration, opts ...WriteOption) ([]byte, error) {
	return db.touch(nil, key, TTL(d), opts)
}

// touch writes the value of a present key once more, with the deadline that ttl asks for, and appends it to dst.
//
// The value is read twice: once without the lock, so that what has to come from the disk does so while others write, and
// again under it, when it is in memory.
func (db *DB) touch(dst, key []byte, ttl WriteOption, opts []WriteOption) ([]byte, error) {
	p, err := db.syncOnly(opts)
	if err != nil {
		return dst, err
	}
	if _, err := db.AppendGet(dst, key); err != nil {
		return dst, err
	}
	if err := db.beginWrite(); err != nil {
		return dst, err
	}
	var e kv.Entry
	out, err := db.getLatestLocked(dst, key, withValue, &e)
	if err != nil {
		db.commit.Unlock()
		return dst, err
	}
	p.deadline, p.past = ttl.deadline(db.clock.Now())
	return out, db.putLocked(key, out[len(dst):], p)
}

// keepDeadlineLocked takes the deadline of the present value of a key over, if it has one.
func (db *DB) keepDeadlineLocked(key []byte, p *params) error {
	var e kv.Entry
	_, err := db.getLatestLocked(nil, key, withoutValue, &e)
	if err == ErrNotFound {
		return nil
	}
	p.deadline = e.Deadline
	return err
}
