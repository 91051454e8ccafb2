package ebb

import (
	"iter"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

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
	return entryOf(key, value, &e), nil
}

// Stat is GetEntry without the value, which it does not read: the entry has its size. So it costs what Has does, and a copy
// of the key.
func (db *DB) Stat(key []byte) (Entry, error) {
	var e kv.Entry
	if _, err := db.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return Entry{}, err
	}
	return entryOf(key, nil, &e), nil
}

// GetMany returns copies of the values of keys, in the order of the keys, nil for each that is absent; the value of a
// present one is never nil. All are looked up as of one moment: no write comes in between. That costs less than a Get for
// each, above all in memory: short values share pieces of it, so whoever keeps one for long keeps up to 4 KiB.
func (db *DB) GetMany(keys ...[]byte) ([][]byte, error) {
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	defer db.live.Unpin(v)
	return getMany(&db.live, v, seq, db.clock.Now(), keys)
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

// TTL returns how long a key has left until its deadline, and 0 if it has no deadline. It is ErrNotFound for an absent key.
func (db *DB) TTL(key []byte) (time.Duration, error) {
	var e kv.Entry
	if _, err := db.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return 0, err
	}
	if left := ttl.Remaining(e.Deadline, db.clock.Now()); left >= 0 {
		return left, nil
	}
	return 0, ErrNotFound // the key has expired since get
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

// NewIterator returns an iterator over the entries that o allows. Reverse and Limit, which are for Range, are
// ErrInvalidOptions.
func (db *DB) NewIterator(o *IterOptions) (*Iterator, error) {
	if err := o.check(true); err != nil {
		return nil, err
	}
	return db.iterator(o)
}

func (db *DB) iterator(o *IterOptions) (*Iterator, error) {
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	return db.cursors.open(v, seq, db.clock.Now(), o, nil), nil
}

// First returns a copy of the first entry that o allows, or ErrNotFound if there is none. o is as for NewIterator.
func (db *DB) First(o *IterOptions) (Entry, error) {
	return outermost(db.NewIterator, o, (*Iterator).First)
}

// Last returns a copy of the last entry that o allows, or ErrNotFound if there is none. o is as for NewIterator.
func (db *DB) Last(o *IterOptions) (Entry, error) {
	return outermost(db.NewIterator, o, (*Iterator).Last)
}

// Range returns the entries that o allows as of the moment the loop begins. A failure ends the loop with an empty entry and
// the error; before that, errors are nil. An entry's slices are valid until the next entry, and not the caller's to change.
// Nothing needs closing.
func (db *DB) Range(o *IterOptions) iter.Seq2[Entry, error] {
	return rangeOver(func() (*Iterator, error) { return db.iterator(o) }, o)
}
