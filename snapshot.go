package ebb

import (
	"iter"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

// Snapshot is the database at one moment: later writes are not visible in it, and time does not pass. Taking a snapshot
// copies nothing. While it is open it pins memory and files, so Close it. Its methods may be called from any goroutine.
type Snapshot struct {
	db      *DB
	live    *lsm.Set
	cursors *cursors
	view    *lsm.View // pinned
	seq     uint64
	now     moment
	closed  atomic.Bool
}

// Snapshot returns the database as it is now.
func (db *DB) Snapshot() (*Snapshot, error) {
	var v *lsm.View
	var seq uint64
	err := db.pipeline.snapshots.begin(func() (_ uint64, err error) {
		v, seq, err = pin(&db.live)
		return seq, err
	})
	if err != nil {
		return nil, err
	}
	return &Snapshot{db: db, live: &db.live, cursors: &db.cursors, view: v, seq: seq, now: moment(db.clock.Now())}, nil
}

// Close unpins the memory and the files of the snapshot. A second Close does nothing.
func (s *Snapshot) Close() {
	if !s.closed.Swap(true) {
		s.db.pipeline.snapshots.end(s.seq)
		s.live.UnpinShared(s.view) // shared: a Get on the snapshot may still be running
	}
}

// Seq returns the sequence up to which writes are visible in the snapshot.
func (s *Snapshot) Seq() uint64 { return s.seq }

// Time returns the moment of the snapshot, by which it tells what has expired.
func (s *Snapshot) Time() time.Time { return ttl.Time(int64(s.now)) }

// Get returns a copy of the value of a key, or ErrNotFound.
func (s *Snapshot) Get(key []byte) ([]byte, error) { return s.AppendGet(nil, key) }

// AppendGet appends the value of a key to dst and returns the extended slice, or dst and ErrNotFound.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	var e kv.Entry
	return s.get(dst, key, lsm.WithValue, &e)
}

// GetEntry returns the value of a key, as a copy, with its version and deadline, or ErrNotFound.
func (s *Snapshot) GetEntry(key []byte) (Entry, error) {
	var e kv.Entry
	value, err := s.get(nil, key, lsm.WithValue, &e)
	if err != nil {
		return Entry{}, err
	}
	return entryOf(key, value, &e), nil
}

// Stat is GetEntry without the value, of which the entry has the size.
func (s *Snapshot) Stat(key []byte) (Entry, error) {
	var e kv.Entry
	if _, err := s.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return Entry{}, err
	}
	return entryOf(key, nil, &e), nil
}

// GetMany is DB.GetMany for a snapshot.
func (s *Snapshot) GetMany(keys ...[]byte) ([][]byte, error) {
	if err := s.pin(); err != nil {
		return nil, err
	}
	defer s.live.Unpin(s.view)
	return getMany(s.live, s.view, s.seq, int64(s.now), keys)
}

// pin pins the snapshot's view once more, for a call that may last longer than the snapshot.
func (s *Snapshot) pin() error {
	ticket, ok := s.live.Enter(0)
	if !ok {
		return ErrClosed
	}
	defer s.live.Exit(ticket)
	if s.closed.Load() {
		return ErrClosed
	}
	s.view.Pin()
	return nil
}

// Has reports whether a key is present.
func (s *Snapshot) Has(key []byte) (bool, error) {
	var e kv.Entry
	_, err := s.get(nil, key, lsm.WithoutValue, &e)
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// TTL returns how long a key had left at the snapshot's moment, and 0 if it has no deadline. It is ErrNotFound for an absent
// key.
func (s *Snapshot) TTL(key []byte) (time.Duration, error) {
	var e kv.Entry
	if _, err := s.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return 0, err
	}
	return ttl.Remaining(e.Deadline, int64(s.now)), nil
}

func (s *Snapshot) get(dst, key []byte, want lsm.Wanted, e *kv.Entry) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return dst, err
	}
	ticket, ok := s.live.Enter(uint32(key[len(key)-1])) // Close of the database waits until Exit
	if !ok {
		return dst, ErrClosed
	}
	defer s.live.Exit(ticket)
	if s.closed.Load() {
		return dst, ErrClosed
	}
	return getLive(s.view, dst, key, s.seq, want, &s.now, e)
}

// NewIterator returns an iterator over the snapshot's entries that o allows. The iterator may be used after the snapshot is
// closed. Close the iterator, too.
func (s *Snapshot) NewIterator(o *IterOptions) (*Iterator, error) {
	if err := o.check(true); err != nil {
		return nil, err
	}
	return s.iterator(o)
}

func (s *Snapshot) iterator(o *IterOptions) (*Iterator, error) {
	if err := s.pin(); err != nil {
		return nil, err
	}
	return s.cursors.open(s.view, s.seq, int64(s.now), o, nil), nil
}

// First is DB.First for a snapshot.
func (s *Snapshot) First(o *IterOptions) (Entry, error) {
	return outermost(s.NewIterator, o, (*Iterator).First)
}

// Last is DB.Last for a snapshot.
func (s *Snapshot) Last(o *IterOptions) (Entry, error) {
	return outermost(s.NewIterator, o, (*Iterator).Last)
}

// Range is DB.Range for a snapshot.
func (s *Snapshot) Range(o *IterOptions) iter.Seq2[Entry, error] {
	return rangeOver(func() (*Iterator, error) { return s.iterator(o) }, o)
}
