package ebb

import (
	"fmt"
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Entry is a key with what the database holds for it.
type Entry struct {
	Key       []byte
	Value     []byte // nil where it was not asked for
	ValueSize int    // of the value, in bytes; told even where Value was not asked for
	Version   uint64 // the sequence of the write that made the entry; grows with every write to the key
	Deadline  int64  // Unix ms from which the key is absent; 0: it has none
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

// getLive reads a key from a view. It returns ErrNotFound for a key that is absent, has expired or was evicted. It reads the
// clock only if the entry has a deadline.
func getLive(v *lsm.View, dst, key []byte, seq uint64, want lsm.Wanted, clock clock, e *kv.Entry) ([]byte, error) {
	out, found, err := v.Get(dst, key, seq, want, e)
	if err != nil {
		return dst, err
	}
	if !found || e.Deadline != 0 && (kv.Expired(e.Deadline, clock.Now()) || v.Evicted(e, seq)) {
		return dst, ErrNotFound
	}
	return present(out), nil
}

// shownOf returns an entry as a walk shows it, with the same slices.
func shownOf(e *kv.Entry) Entry {
	return Entry{e.Key, e.Value, e.ValueSize(), committed(e.Seq), e.Deadline}
}

// entryOf returns what a look-up of a key has found, with a copy of the key.
func entryOf(key, value []byte, e *kv.Entry) Entry {
	return Entry{append([]byte(nil), key...), value, e.ValueSize(), committed(e.Seq), e.Deadline}
}

const (
	// manyAtOnce is how many keys a look-up of many reads in one stay in the epoch: Close, and whoever frees a table, wait for
	// its end.
	manyAtOnce = 128
	// manyRoom is the size, in bytes, of the pieces of memory that the values of such a look-up share. Values of more than a
	// quarter have memory of their own.
	manyRoom = 4 << 10
)

// many is a look-up of many keys.
type many struct {
	live *lsm.Set
	get  func(dst, key []byte) ([]byte, error) // looks one up, while nothing that it reads is freed
	room []byte                                // values that share memory
}

// all returns the values of keys, nil for each that is absent.
func (m *many) all(keys [][]byte) ([][]byte, error) {
	for i, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i, len(keys), err)
		}
	}
	values := make([][]byte, len(keys))
	for from := 0; from < len(keys); from += manyAtOnce {
		to := min(from+manyAtOnce, len(keys))
		if err := m.some(keys[from:to], values[from:to]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// some looks keys up in one stay in the epoch.
func (m *many) some(keys, values [][]byte) error {
	ticket, ok := m.live.Enter(0)
	if !ok {
		return ErrClosed
	}
	defer m.live.Exit(ticket)
	for i, key := range keys {
		used := len(m.room)
		value, err := m.get(m.room[used:], key)
		if err == ErrNotFound {
			continue
		}
		if err != nil {
			return err
		}
		n := len(value)
		values[i] = value[:n:n]
		switch {
		case n <= cap(m.room)-used:
			m.room = m.room[:used+n]
		case n <= manyRoom/4: // it did not fit, and has memory of its own
			m.room = make([]byte, 0, min(manyRoom, n*(len(keys)-i-1)))
		}
	}
	return nil
}

// getMany reads keys from a view that the caller has pinned.
func getMany(live *lsm.Set, v *lsm.View, seq uint64, now int64, keys [][]byte) ([][]byte, error) {
	at := moment(now)
	m := many{live: live, get: func(dst, key []byte) ([]byte, error) {
		var e kv.Entry
		return getLive(v, dst, key, seq, lsm.WithValue, &at, &e)
	}}
	return m.all(keys)
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
