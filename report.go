package ebb

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// expiries reports in the log every version that expires: see Options.ExpiryEvents. Without it there is none, and nothing
// of this costs anything.
//
// A version is reported when its deadline has passed and it is the newest of its key. Both are looked at under the commit
// lock, and the report is a tombstone: from then on it is not the newest. So it is reported at most once. It is reported
// at least once, and before anything that follows from its absence, because
//
//   - soon is complete up to a time: writes add theirs, and scan those that were there before. The sweeper reports what is
//     due;
//   - a write that finds a version expired which the sweeper has not come to yet reports it first: see beforeLocked;
//   - what was not reported is not dropped: flushes and compactions take as expired only what expires before next, of
//     which nothing is left, and only when the log is on the disk that says so: see DB.dropNow.
//
// A crash loses the reports that were not synced, together with the writes after them; the versions are still there, and
// are reported after the next Open, where the first scan begins with the oldest.
type expiries struct {
	db *DB

	// Guarded by sweeping, which is held by who sweeps. It is taken before the commit lock.
	sweeping sync.Mutex
	rest     scanRest

	// Guarded by the commit lock.
	soon    *ttl.Upcoming
	encoder op.Encoder
	entries [1]wal.Entry // scratch
	key     []byte       // scratch
	unshown bool         // reports were written that nobody has waited for

	next    atomic.Int64  // nothing expires before it that was not reported; written under the commit lock
	settled atomic.Uint64 // what next relies on is in the log up to here, see pack; written before next
	scans   atomic.Int64
}

func newExpiries(db *DB) *expiries {
	return &expiries{db: db, soon: ttl.NewUpcoming(db.opts.expiryMemory)}
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

// noteLocked takes note of what a write that was applied has put or deleted. What was deleted by range stays in soon until
// it is due.
func (x *expiries) noteLocked(e *wal.Entry) {
	if x == nil {
		return
	}
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return // the memtable has taken it
	}
	for ops.Next() {
		switch o := &ops.Op; o.Kind {
		case op.Put:
			x.soon.Set(o.Key, o.Seq, o.Deadline)
		case op.Delete, op.Expired:
			x.soon.Set(o.Key, o.Seq, 0)
		}
	}
	x.publishLocked()
}

// publishLocked brings next up to date.
func (x *expiries) publishLocked() {
	next, old := x.soon.Next(), x.next.Load()
	if next > old {
		x.settled.Store(packPosition(x.db.log.End()))
	}
	if next != old {
		x.next.Store(next)
	}
	if invariant.On {
		x.checkLocked()
	}
}

// expired tells whether the newest version of a key has expired, and which that is. Its Key is not set.
func (x *expiries) expired(key []byte, now int64) (v ttl.Version, ok bool, err error) {
	db := x.db
	ticket, entered := db.live.Enter(uint32(key[len(key)-1]))
	if !entered {
		return v, false, ErrClosed
	}
	defer db.live.Exit(ticket)
	var e kv.Entry
	_, found, err := db.live.View().Get(nil, key, math.MaxUint64, lsm.WithoutValue, &e)
	if err != nil || !found || !kv.Expired(e.Deadline, now) {
		return v, false, err
	}
	return ttl.Version{Deadline: e.Deadline, Seq: e.Seq}, true, nil
}

// newest returns those of some versions that are the newest of their keys and have expired, in their own memory, and calls
// unread with the others that cannot be read.
func (x *expiries) newest(of []ttl.Version, now int64, unread func(i int, err error)) []ttl.Version {
	var key []byte
	is := make([]ttl.Version, 0, len(of))
	for i, v := range of {
		key = append(key[:0], v.Key...)
		found, ok, err := x.expired(key, now)
		if err != nil {
			unread(i, err)
		} else if ok && found.Seq == v.Seq {
			is = append(is, v)
		}
	}
	return is
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
func (x *expiries) overwrittenBy(e *wal.Entry, now int64) (due []ttl.Version, err error) {
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
				v.Key = string(o.Key)
				due = append(due, v)
			}
		case op.DeleteRange:
			in, err := x.expiredIn(o.Key, o.End, now)
			if err != nil {
				return nil, err
			}
			due = append(due, in...)
		default:
			return nil, op.Unknown(o.Kind)
		}
	}
	return due, nil
}

// expiredIn returns what in soon has expired of a range. What soon does not have has expired since the write began: see
// DB.beginDeleteRange.
func (x *expiries) expiredIn(start, end []byte, now int64) (due []ttl.Version, err error) {
	due = x.soon.Due(nil, now, ttl.Version{}, math.MaxInt)
	due = slices.DeleteFunc(due, func(v ttl.Version) bool { return v.Key < string(start) || v.Key >= string(end) })
	due = x.newest(due, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	return due, err
}

// logLocked writes the reports of versions that have expired, and applies them.
func (x *expiries) logLocked(due []ttl.Version) (end wal.Position, err error) {
	if len(due) == 0 {
		return x.db.log.End(), nil
	}
	if err := x.encoder.BeginExpiries(); err != nil {
		return end, err
	}
	for _, v := range due {
		x.key = append(x.key[:0], v.Key...)
		if err := x.encoder.Expired(x.key, v.Seq, v.Deadline); err != nil {
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
		db.live.Show(db.commit.lastSeq)
	}
	x.unshown = true
	db.stats.expiryEvents.Add(int64(len(due)))
	return end, nil
}
