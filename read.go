package ebb

import (
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Entry is a key with what the database holds for it.
type Entry struct {
	Key      []byte
	Value    []byte
	Version  uint64 // the sequence of the write that made the entry; grows with every write to the key
	Deadline int64  // Unix ms from which the key is absent; 0: it has none
}

// Expires returns the deadline as a time, and false if the entry has none.
func (e Entry) Expires() (time.Time, bool) {
	if e.Deadline == 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(e.Deadline), true
}

// ownSeq is the sequence of the uncommitted writes of a transaction: newer than every committed one.
const ownSeq = math.MaxUint64

// committed returns the version of an entry by its sequence: 0 for an uncommitted write.
func committed(seq uint64) uint64 {
	if seq == ownSeq {
		return 0
	}
	return seq
}

// clock tells the time by which entries expire: a *ttl.Clock, or the moment of a snapshot or a transaction.
type clock interface{ Now() int64 }

// moment is a clock that stands still.
type moment int64

// Now has a pointer receiver: a *moment becomes a clock without an allocation.
func (m *moment) Now() int64 { return int64(*m) }

// pin returns a pinned view, whose tables stay open until it is unpinned, and a sequence as of which the view is complete:
// see lsm.Set.Pin.
func pin(live *lsm.Set) (*lsm.View, uint64, error) {
	v, seq, ok := live.Pin()
	if !ok {
		return nil, 0, ErrClosed
	}
	return v, seq, nil
}

// getLive reads a key from a view. It returns ErrNotFound for a key that is absent or has expired. It reads the clock only
// if the entry has a deadline.
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

// present returns the value of a present key: it is never nil, even if it is empty.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// whileOpen runs fn, which may read tables. Close waits for fn, and so does whoever lets go of tables: so fn reads only a
// part of them.
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

// scanChunk is how many entries, as scanned counts them, a scan reads before Close and others have their turn.
const scanChunk = 1024

// scanned returns how many entries e counts for: one with a large value takes as long as many small ones.
func scanned(e *kv.Entry) int { return 1 + len(e.Value)>>10 }
