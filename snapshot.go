package ebb

import (
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/ttl"
)

// Snapshot is the database at one moment: later writes do not show, and neither does time pass. Taking one copies nothing.
// While it is open, the memory and the files that it needs stay, so Close it. Its methods may be called from any goroutine.
type Snapshot struct {
	db     *DB
	view   *view
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
	v, seq, err := db.pinView()
	if err != nil {
		return nil, err
	}
	return &Snapshot{db: db, view: v, seq: seq, now: moment(db.clock.Now())}, nil
}

// pinView returns a view, whose tables stay open until unref, and a sequence as of which it is whole: no operation up to it
// is missing, and the tables hold none after it.
func (db *DB) pinView() (*view, uint64, error) {
	ticket := db.epoch.Enter(0)
	defer db.epoch.Exit(ticket)
	for {
		if db.health.closed.Load() {
			return nil, 0, ErrClosed
		}
		v := db.view.Load()
		if seq, ok := db.wholeAt(v); ok {
			v.tables.pin()
			return v, seq, nil
		}
	}
}

// wholeAt returns a sequence as of which a view is whole. It is false if the view has been replaced since the caller has
// loaded it: then the sequence may count what only a newer memtable has.
func (db *DB) wholeAt(v *view) (seq uint64, ok bool) {
	seq = db.seqIn(v)
	if db.view.Load() != v {
		return 0, false
	}
	return max(seq, v.tables.lastSeq), true // of an Ingest the tables are in the view first
}

// Close lets go of what the snapshot holds. A second Close does nothing.
func (s *Snapshot) Close() {
	if !s.closed.Swap(true) {
		if s.db.view.Load().tables != s.view.tables {
			s.db.epoch.Wait() // for who reads it now; otherwise install waits, before the tables can go
		}
		s.db.unref(s.view.tables)
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
	return s.get(dst, key, withValue, &e)
}

// GetEntry returns the value of a key, as a copy, with its version and deadline, or ErrNotFound.
func (s *Snapshot) GetEntry(key []byte) (Entry, error) {
	var e kv.Entry
	value, err := s.get(nil, key, withValue, &e)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: append([]byte(nil), key...), Value: value, Version: e.Seq, Deadline: e.Deadline}, nil
}

// Has reports whether a key is present.
func (s *Snapshot) Has(key []byte) (bool, error) {
	var e kv.Entry
	_, err := s.get(nil, key, withoutValue, &e)
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

func (s *Snapshot) get(dst, key []byte, want part, e *kv.Entry) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return dst, err
	}
	ticket := s.db.epoch.Enter(uint32(key[len(key)-1])) // Close of the database waits for it
	defer s.db.epoch.Exit(ticket)
	if s.db.health.closed.Load() || s.closed.Load() {
		return dst, ErrClosed
	}
	return s.view.getLive(dst, key, s.seq, want, &s.now, e)
}
