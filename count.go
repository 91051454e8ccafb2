package ebb

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/scan"
	"github.com/ebbdb/ebb/ttl"
)

// Count returns how many entries o allows, as of one moment. o is as for Range; with a Limit Count returns that at most, and ends
// there: whether there are at least so many costs no more than that. Count walks over the keys, and neither copies nor returns
// values. For a figure that costs no walk see EstimateCount.
func (db *DB) Count(o *IterOptions) (int, error) { return countOver(db.iterator, o) }

// Count is DB.Count for a snapshot.
func (s *Snapshot) Count(o *IterOptions) (int, error) { return countOver(s.iterator, o) }

// Count is DB.Count as the transaction sees the database, with its writes. Update checks that nothing has changed in the range
// that was counted.
func (tx *Txn) Count(o *IterOptions) (int, error) { return countOver(tx.iterator, o) }

// countOver counts what a new iterator shows.
func countOver(open func(*IterOptions) (*Iterator, error), o *IterOptions) (n int, err error) {
	if err := o.check(false); err != nil {
		return 0, err
	}
	var of IterOptions
	if o != nil {
		of = *o
	}
	of.KeysOnly = true
	it, err := open(&of)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	c := it.c
	c.first = maxAhead
	if of.Limit > 0 {
		c.first = min(of.Limit, maxAhead)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
		if it.scan == nil { // otherwise each is to be noted
			n += len(c.Entries) - 1 - c.at
			c.at = len(c.Entries) - 1
		}
		if of.Limit > 0 && n >= of.Limit {
			return of.Limit, nil
		}
	}
	return n, it.Err()
}

// EstimateCount returns about how many entries o allows, without reading any: from what the memory has of each table, its block
// index and its properties, and from a sample of the memtables. o is as for NewIterator; KeysOnly changes nothing. It takes some
// microseconds for each table that the range cuts, and up to a few milliseconds for each memtable.
//
// Of data that is at rest it is right to within a few percent, if the range has many blocks of 4 KiB: where a table is cut, it
// knows the range to a part of a block. What it does not know:
//
//   - which keys were overwritten: until a compaction meets them, a key counts once for each version that is left. A delete is
//     taken to hide one entry;
//   - where in a table deadlines and sizes lie: they are taken to be mixed, so a range of large values within a table of small
//     ones counts for too many, and where what is old is a stretch of keys, what has expired counts as if it were spread;
//   - of range deletes more than the newest 4096.
func (db *DB) EstimateCount(o *IterOptions) (int, error) {
	n, _, err := estimateNow(db, o)
	return int(n), err
}

// EstimateSize returns about how many bytes the keys and values have that o allows, before compression. It is as good as
// EstimateCount, but for large values among small ones, which it knows.
func (db *DB) EstimateSize(o *IterOptions) (int64, error) {
	_, size, err := estimateNow(db, o)
	return size, err
}

func estimateNow(db *DB, o *IterOptions) (n, size int64, err error) {
	v, seq, err := pin(&db.live)
	if err != nil {
		return 0, 0, err
	}
	defer db.live.Unpin(v)
	return estimate(v, o, seq, db.clock.Now())
}

// EstimateCount is DB.EstimateCount for a snapshot.
func (s *Snapshot) EstimateCount(o *IterOptions) (int, error) {
	n, _, err := s.estimate(o)
	return int(n), err
}

// EstimateSize is DB.EstimateSize for a snapshot.
func (s *Snapshot) EstimateSize(o *IterOptions) (int64, error) {
	_, size, err := s.estimate(o)
	return size, err
}

func (s *Snapshot) estimate(o *IterOptions) (n, size int64, err error) {
	if err := s.pin(); err != nil {
		return 0, 0, err
	}
	defer s.live.Unpin(s.view)
	return estimate(s.view, o, s.seq, int64(s.now))
}

// EstimateCount is DB.EstimateCount as of the transaction's moment, without what it has written itself. It is no read that a
// commit checks.
func (tx *Txn) EstimateCount(o *IterOptions) (int, error) {
	n, _, err := tx.estimate(o)
	return int(n), err
}

// EstimateSize is DB.EstimateSize as of the transaction's moment, without what it has written itself. It is no read that a commit
// checks.
func (tx *Txn) EstimateSize(o *IterOptions) (int64, error) {
	_, size, err := tx.estimate(o)
	return size, err
}

func (tx *Txn) estimate(o *IterOptions) (n, size int64, err error) {
	s := tx.s
	if s == nil {
		return 0, 0, ErrTxnDone
	}
	defer runtime.KeepAlive(tx) // what nobody can reach any more is unpinned
	if s.db.live.Closed() {
		return 0, 0, ErrClosed
	}
	return estimate(s.view, o, s.seq, int64(s.now))
}

// estimate returns about how many entries of a pinned view o allows, and their size.
func estimate(v *lsm.View, o *IterOptions, seq uint64, now int64) (n, size int64, err error) {
	b, err := o.bounds()
	if err != nil || b.Empty {
		return 0, 0, err
	}
	n, size = v.Estimate(b.Lower, b.Upper, seq, now)
	return n, size, nil
}

// bounds returns the bounds of o, which may be nil.
func (o *IterOptions) bounds() (b scan.Bounds, err error) {
	if err := o.check(true); err != nil || o == nil {
		return b, err
	}
	b.Set(o.Start, o.End, o.Prefix)
	return b, nil
}

// MaxSplitKeys is how many parts SplitKeys makes at most.
const MaxSplitKeys = 1 << 16

// SplitKeys returns at most n-1 keys, ascending, that divide what o allows into n parts of about the same size, which several
// goroutines can read or several processes hold: those before the first key, those from a key to before the next, and those from
// the last key on. Each is within the bounds of o, and need not be there. It reads no file, costs what EstimateSize costs, and
// knows what that knows, to a few blocks of 4 KiB. There are fewer keys where there are fewer blocks than parts, and none where
// nothing is. o is as for NewIterator; n is at least 1 and at most MaxSplitKeys. The keys are the caller's.
func (db *DB) SplitKeys(o *IterOptions, n int) ([][]byte, error) {
	if n < 1 || n > MaxSplitKeys {
		return nil, invalid("parts", n, fmt.Sprintf("1 to %d", MaxSplitKeys))
	}
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	defer db.live.Unpin(v)
	b, err := o.bounds()
	if err != nil || b.Empty {
		return nil, err
	}
	return v.Split(b.Lower, b.Upper, seq, db.clock.Now(), n), nil
}

// Expiring is about how much expires within a time: see DB.EstimateExpiring.
type Expiring struct {
	Within  time.Duration
	Entries int64
	Bytes   int64 // of keys and values, before compression
}

// EstimateExpiring returns about how much of what is there will have expired when each of the times has passed; what has expired
// by now does not count. It reads no file: tables and memtables have histograms of their deadlines, of 64 cells each, within
// which deadlines count as spread evenly. So it is right to within a cell, a sixty-fourth of the time that the deadlines of a
// table span. Entries that were overwritten or deleted count as long as they are there. It takes some ten microseconds for each
// table, and may wait for a write under way. It may be called from any goroutine.
func (db *DB) EstimateExpiring(within ...time.Duration) ([]Expiring, error) {
	v, _, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	defer db.live.Unpin(v)
	t := db.pipeline.lock() // for the histogram of the memtable that is written
	active := *v.Mem.Deadlines
	t.end()
	now := db.clock.Now()
	to := make([]int64, len(within))
	for i, d := range within {
		to[i] = ttl.Deadline(now, d)
	}
	list := make([]Expiring, len(within))
	for i, due := range v.Expiring(&active, now, to) {
		list[i] = Expiring{within[i], int64(math.Round(due.Entries)), int64(math.Round(due.Bytes))}
	}
	return list, nil
}

// Count returns how many entries r allows. It is DB.Count: it decodes nothing. r is as for Range.
func (v TypedView[K, V]) Count(r *TypedRange[K]) (int, error) {
	o, err := v.format.bounds(r)
	if err != nil {
		return 0, err
	}
	return v.from.Count(o)
}

// EstimateCount returns about how many entries r allows, without reading any. It is DB.EstimateCount, and r is as for
// NewIterator.
func (v TypedView[K, V]) EstimateCount(r *TypedRange[K]) (int, error) {
	o, err := v.format.bounds(r)
	if err != nil {
		return 0, err
	}
	return v.from.EstimateCount(o)
}

// EstimateSize returns about how many bytes the encoded keys, with the prefix, and values have that r allows. It is
// DB.EstimateSize, and r is as for NewIterator.
func (v TypedView[K, V]) EstimateSize(r *TypedRange[K]) (int64, error) {
	o, err := v.format.bounds(r)
	if err != nil {
		return 0, err
	}
	return v.from.EstimateSize(o)
}
