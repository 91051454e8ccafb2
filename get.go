package ebb

import (
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/ttl"
)

// Entry is a key with what the database holds for it.
type Entry struct {
	Key      []byte
	Value    []byte
	Version  uint64 // the sequence of the write that made it; grows with every write to the key
	Deadline int64  // Unix ms from which the key is absent; 0: it has none
}

// Expires returns the deadline as a time, and false if there is none.
func (e Entry) Expires() (time.Time, bool) {
	if e.Deadline == 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(e.Deadline), true
}

// Get returns a copy of the value of a key, or ErrNotFound. The value of a key that is present is never nil: if it is empty
// it is []byte{}, here and wherever else values are returned.
func (db *DB) Get(key []byte) ([]byte, error) { return db.AppendGet(nil, key) }

// AppendGet appends the value of a key to dst and returns the extended slice, or dst and ErrNotFound. It allocates nothing
// if dst has room.
func (db *DB) AppendGet(dst, key []byte) ([]byte, error) {
	var e kv.Entry
	return db.get(dst, key, lsm.WithValue, &e)
}

// GetEntry returns the value of a key, as a copy, with its version and deadline, or ErrNotFound.
func (db *DB) GetEntry(key []byte) (Entry, error) {
	var e kv.Entry
	value, err := db.get(nil, key, lsm.WithValue, &e)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: append([]byte(nil), key...), Value: value, Version: e.Seq, Deadline: e.Deadline}, nil
}

// Has reports whether a key is present. It does not read the value.
func (db *DB) Has(key []byte) (bool, error) {
	var e kv.Entry
	_, err := db.get(nil, key, lsm.WithoutValue, &e)
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// TTL returns how long a key has left, and 0 if it has no deadline. It is ErrNotFound for an absent key.
func (db *DB) TTL(key []byte) (time.Duration, error) {
	var e kv.Entry
	if _, err := db.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return 0, err
	}
	if left := ttl.Remaining(e.Deadline, db.clock.Now()); left >= 0 {
		return left, nil
	}
	return 0, ErrNotFound // it has expired since
}

// get reads the newest visible value of a key and describes it in e.
func (db *DB) get(dst, key []byte, want lsm.Wanted, e *kv.Entry) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return dst, err
	}
	ticket, v, seq, ok := db.live.EnterNewest(uint32(key[len(key)-1]))
	if !ok {
		return dst, ErrClosed
	}
	defer db.live.Exit(ticket)
	return getLive(v, dst, key, seq, want, db.clock, e)
}

// getLive reads a key from a view, and is ErrNotFound for one that is not there or has expired. It asks the clock only about a
// deadline.
func getLive(v *lsm.View, dst, key []byte, seq uint64, want lsm.Wanted, clock clock, e *kv.Entry) ([]byte, error) {
	out, found, err := v.Get(dst, key, seq, want, e)
	if err != nil {
		return dst, err
	}
	if !found || e.Deadline != 0 && kv.Expired(e.Deadline, clock.Now()) {
		return dst, ErrNotFound
	}
	return present(out), nil
}

// whileOpen runs fn, which may read tables. Close waits for it, and so does whoever lets go of tables: it reads some of
// them, never all.
func whileOpen(live *lsm.Set, fn func() error) (err error) {
	ticket, ok := live.Enter(0)
	if !ok {
		return ErrClosed
	}
	defer live.Exit(ticket)
	if fault := vfs.Guard(func() { err = fn() }); fault != nil {
		return fault
	}
	return err
}

// present returns the value of a key that is there: it is never nil, even if it is empty.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// clock is a *ttl.Clock, or the one moment of a snapshot.
type clock interface{ Now() int64 }
