package ebb

import (
	"bytes"
	"cmp"
	"math"
	"sync"
	"sync/atomic"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// expiries reports in the log every version that expires: see Options.ExpiryEvents. Without it there is none, and nothing
// of this costs anything.
//
// A version is reported when its deadline has passed and it is the newest of its key. Both are looked at under the commit
// lock, and the report is a tombstone: from then on it is not the newest. So it is reported at most once. It is reported
// at least once, and before anything that follows from its absence, because
//
//   - soon holds every version that was not reported and expires before to, or more: writes add theirs, and scan those
//     that were there before. The sweeper reports what is due;
//   - a write that finds a version expired which the sweeper has not come to yet reports it first: see beforeLocked;
//   - what was not reported is not dropped: flushes and compactions take as expired only what expires before next, of
//     which nothing is left, and only when the log is on the disk that says so: see DB.dropNow.
//
// A crash loses the reports that were not synced, together with the writes after them; the versions are still there, and
// are reported after the next Open, where the first scan begins with the oldest.
type expiries struct {
	db    *DB
	limit int64 // of bytes

	// sweeping is held by who sweeps. It is taken before the commit lock.
	sweeping sync.Mutex

	// Guarded by the commit lock.
	soon    *btree.BTreeG[expiry]
	bytes   int64 // that soon takes, about
	to      int64 // soon is complete up to but not including this deadline
	filling int64 // what expires before it goes into soon: to, or more while a scan makes soon complete up to there
	encoder op.Encoder
	entries [1]wal.Entry // scratch
	unshown bool         // reports were written that nobody has waited for

	next    atomic.Int64  // nothing expires before it that was not reported; written under the commit lock
	settled atomic.Uint64 // what next relies on is in the log up to here, see pack; written before next
}

// expiry is a version that expires. It may have been overwritten since. What an Ingest brings has one sequence for all.
type expiry struct {
	deadline int64
	seq      uint64
	key      []byte
}

// expirySize is about what an expiry takes beside its key.
const expirySize = 64

func newExpiries(db *DB) *expiries {
	return &expiries{db: db, limit: db.opts.expiryMemory, soon: btree.NewG(32, func(a, b expiry) bool {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.seq, b.seq), bytes.Compare(a.key, b.key)) < 0
	})}
}

// dropNow returns the time by which entries have expired for good: nobody asks for them any more. That is now, or if
// expiries are to be reported the time up to which they have been, durably.
//
// Load the view before: of what comes into a view later less may have been reported.
func (db *DB) dropNow() int64 {
	now := db.clock.Now()
	x := db.expiries
	if x == nil {
		return now
	}
	next := x.next.Load()
	if err := db.log.SyncTo(unpackPosition(x.settled.Load())); err != nil {
		return -1 // before all deadlines
	}
	return min(now, next-1)
}

func packPosition(p wal.Position) uint64 { return uint64(p.Segment)<<32 | uint64(p.Offset) }

func unpackPosition(v uint64) wal.Position {
	return wal.Position{Segment: uint32(v >> 32), Offset: uint32(v)}
}

// noteLocked adds what a write that was applied has given a deadline.
func (x *expiries) noteLocked(e *wal.Entry) {
	if x == nil {
		return
	}
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return // the memtable has taken it
	}
	for ops.Next() {
		if o := &ops.Op; o.Kind == op.Put {
			x.addLocked(o.Key, o.Seq, o.Deadline)
		}
	}
}

// addLocked adds a version to soon if it expires soon enough. If soon becomes too large, its end goes.
func (x *expiries) addLocked(key []byte, seq uint64, deadline int64) {
	if deadline == 0 || deadline >= x.filling {
		return
	}
	e := expiry{deadline, seq, bytes.Clone(key)}
	if _, again := x.soon.ReplaceOrInsert(e); !again {
		x.bytes += expirySize + int64(len(key))
	}
	for x.bytes > x.limit {
		last, _ := x.soon.Max()
		x.removeLocked(last)
		x.filling, x.to = last.deadline, min(x.to, last.deadline)
	}
	x.publishLocked()
}

func (x *expiries) removeLocked(e expiry) {
	if _, ok := x.soon.Delete(e); ok {
		x.bytes -= expirySize + int64(len(e.key))
	}
}

// publishLocked brings next up to date.
func (x *expiries) publishLocked() {
	next := x.to
	if first, ok := x.soon.Min(); ok {
		next = min(next, first.deadline)
	}
	old := x.next.Load()
	if next > old {
		x.settled.Store(packPosition(x.db.log.End()))
	}
	if next != old {
		x.next.Store(next)
	}
	if invariants {
		x.checkLocked()
	}
}

// expired tells whether the newest version of a key has expired, and which that is.
func (x *expiries) expired(key []byte, now int64) (v expiry, ok bool, err error) {
	db := x.db
	ticket := db.epoch.enter(uint32(key[len(key)-1]))
	defer db.epoch.exit(ticket)
	if db.closed.Load() {
		return v, false, ErrClosed
	}
	var e kv.Entry
	_, found, err := db.view.Load().get(nil, key, math.MaxUint64, withoutValue, &e)
	if err != nil || !found || !kv.Expired(e.Deadline, now) {
		return v, false, err
	}
	return expiry{e.Deadline, e.Seq, key}, true, nil
}

// beforeLocked reports what a write that is about to be made would overwrite or delete and that has expired. While nothing
// is due it costs the reading of the clock.
func (x *expiries) beforeLocked(e *wal.Entry) error {
	if x == nil {
		return nil
	}
	now := x.db.commit.now // what the write has found present it overwrites as present
	if now == 0 {
		now = x.db.clock.Now()
	}
	if now < x.next.Load() {
		return nil
	}
	due, err := x.overwrittenBy(e, now)
	if err != nil {
		return err
	}
	_, err = x.logLocked(due)
	return err
}

// overwrittenBy returns what has expired of the versions that a write would overwrite or delete.
func (x *expiries) overwrittenBy(e *wal.Entry, now int64) (due []expiry, err error) {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return nil, err
	}
	var seen map[string]bool
	if ops.Len() > 1 {
		seen = make(map[string]bool, ops.Len())
	}
	for ops.Next() {
		o := &ops.Op
		switch o.Kind {
		case op.Put, op.Delete:
			if seen[string(o.Key)] {
				continue
			}
			if seen != nil {
				seen[string(o.Key)] = true
			}
			v, ok, err := x.expired(o.Key, now)
			if err != nil {
				return nil, err
			}
			if ok {
				due = append(due, v)
			}
		case op.DeleteRange:
			if due, err = x.expiredIn(due, o.Key, o.End, now); err != nil {
				return nil, err
			}
		default:
			return nil, op.Unknown(o.Kind)
		}
	}
	return due, nil
}

// expiredIn appends what in soon has expired of a range. What is beyond x.to has expired since the write began: see
// DB.beginDeleteRange.
func (x *expiries) expiredIn(due []expiry, start, end []byte, now int64) (_ []expiry, err error) {
	x.soon.Ascend(func(v expiry) bool {
		if !kv.Expired(v.deadline, now) || err != nil {
			return false
		}
		if kv.Compare(start, v.key) <= 0 && kv.Compare(v.key, end) < 0 {
			var found expiry
			var ok bool
			if found, ok, err = x.expired(v.key, now); ok && found.seq == v.seq {
				due = append(due, v)
			}
		}
		return true
	})
	return due, err
}

// logLocked writes the reports of versions that have expired, and applies them.
func (x *expiries) logLocked(due []expiry) (end wal.Position, err error) {
	if len(due) == 0 {
		return x.db.log.End(), nil
	}
	if err := x.encoder.BeginExpiries(); err != nil {
		return end, err
	}
	for _, v := range due {
		if err := x.encoder.Expired(v.key, v.seq, v.deadline); err != nil {
			return end, err
		}
	}
	db, e := x.db, &x.entries[0]
	*e = x.encoder.Entry()
	if end, err = db.log.Write(x.entries[:]); err != nil {
		return end, err
	}
	if err := db.applyLocked(e); err != nil {
		return end, err
	}
	db.commit.lastSeq = op.LastSeq(e)
	if db.opts.Sync != SyncAlways {
		db.show(db.commit.lastSeq)
	}
	x.unshown = true
	db.stats.expiryEvents.Add(int64(len(due)))
	return end, nil
}
