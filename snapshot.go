package ebb

import (
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

// Snapshot is the database at one moment: later writes do not show, and neither does time pass. Taking one copies nothing.
// While it is open, the memory and the files that it needs stay, so Close it. Its methods may be called from any goroutine.
type Snapshot struct {
	db     *DB
	view   *lsm.View
	seq    uint64
	now    moment
	closed atomic.Bool
}

// moment is a clock that stands still.
type moment int64

// Now is of a pointer, which becomes a clock without an allocation.
func (m *moment) Now() int64 { return int64(*m) }

// Snapshot returns the database as it is now.
func (db *DB) Snapshot() (*Snapshot, error) {
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	return &Snapshot{db: db, view: v, seq: seq, now: moment(db.clock.Now())}, nil
}

// pin returns a view, whose tables stay open until it is unpinned, and a sequence as of which it is whole: see lsm.Set.Pin.
func pin(live *lsm.Set) (*lsm.View, uint64, error) {
	v, seq, ok := live.Pin()
	if !ok {
		return nil, 0, ErrClosed
	}
	return v, seq, nil
}

// Close lets go of what the snapshot holds. A second Close does nothing.
func (s *Snapshot) Close() {
	if !s.closed.Swap(true) {
		s.db.live.UnpinShared(s.view) // a Get on the snapshot may be running
	}
}

// Seq returns the sequence of the newest write that the snapshot shows.
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
	return Entry{Key: append([]byte(nil), key...), Value: value, Version: e.Seq, Deadline: e.Deadline}, nil
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

func (s *Snapshot) get(dst, key []byte, want lsm.Wanted, e *kv.Entry) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return dst, err
	}
	ticket, ok := s.db.live.Enter(uint32(key[len(key)-1])) // Close of the database waits for it
	if !ok {
		return dst, ErrClosed
	}
	defer s.db.live.Exit(ticket)
	if s.closed.Load() {
		return dst, ErrClosed
	}
	return getLive(s.view, dst, key, s.seq, want, &s.now, e)
}
