package ebb

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// reporter writes a report into the log for every version that expires: see Options.ExpiryEvents. Without that option there
// is no reporter, and reports cost nothing.
//
// A version is reported if its deadline has passed and it is the newest of its key. Both are tested in one turn, in which
// the report is also written, and the report is a tombstone: the version is not the newest any more. So each version is
// reported at most once.
//
// A version that was evicted before it has expired is not reported: it is absent already, which watchers are told by the
// eviction. Any other version that expires is reported at least once, and before anything that follows from its absence:
//
//   - Completeness: every unreported version that comes before upcoming.Bound is in upcoming. Writes add the versions
//     that they make, and a scan adds those that were there before. The loop reports the versions in upcoming that are due.
//   - A write that is to replace, delete or evict a version which has expired, and which the loop has not come to, reports
//     that version first: see before.
//   - An unreported version is not dropped: flushes and compactions drop only versions that expire before reportedTo, and
//     only when the reports of these are durable in the log: see dropNow.
//
// A crash loses reports that were not synced, together with the writes after them. The versions of lost reports are still
// there. They are reported after the next Open, where the first scan begins with the oldest deadline.
type reporter struct {
	pipeline *pipeline
	live     *lsm.Set
	counters *counters
	manual   bool // nobody runs the loop
	hosted   bool // a host says when to report: a scan does not

	catching sync.Mutex // held by whoever catches up, and taken before the commit lock
	rest     scanRest   // guarded by catching

	// Guarded by the commit lock: the functions that use these have a turn.
	upcoming    *ttl.Upcoming
	encoder     op.Encoder
	entries     [1]wal.Entry // scratch
	key         []byte       // scratch
	pendingShow bool         // reports were written since show last looked

	// Written in a turn, read at any time. reportedAt is stored first: a reader that has loaded reportedTo, and reportedAt
	// after it, has a position that covers it.
	reportedTo atomic.Int64  // no unreported version has a deadline below this
	reportedAt atomic.Uint64 // packed log position that must be durable before reportedTo may be relied on: see packPosition
	scans      atomic.Int64
}

// dropNow returns the time by which an entry must have expired to be dropped: now or, if expiries are to be reported, the
// time up to which their reports are durable.
//
// Load the view before the call: a newer view may have entries that expired before this time and were not reported.
func (r *reporter) dropNow(now int64) int64 {
	if r == nil {
		return now
	}
	to := r.reportedTo.Load()
	if err := r.pipeline.log.SyncTo(unpackPosition(r.reportedAt.Load())); err != nil {
		return -1 // before all deadlines
	}
	return min(now, to-1)
}

func packPosition(p wal.Position) uint64 { return uint64(p.Segment)<<32 | uint64(p.Offset) }

func unpackPosition(v uint64) wal.Position {
	return wal.Position{Segment: uint32(v >> 32), Offset: uint32(v)}
}

// applied adds the versions that a write has put to upcoming, and takes out those that it has deleted. A version that was
// deleted by range or evicted stays in upcoming until it is due.
func (r *reporter) applied(t turn, e *wal.Entry) {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return // cannot be: the memtable has taken the entry
	}
	for ops.Next() {
		switch o := &ops.Op; o.Kind {
		case op.Put:
			r.upcoming.Set(o.Key, o.Seq, o.Deadline)
		case op.Delete, op.Expired:
			r.upcoming.Set(o.Key, o.Seq, 0)
		}
	}
	r.publish(t)
}

// publish sets reportedTo, and reportedAt, from upcoming.
func (r *reporter) publish(turn) {
	to, old := r.upcoming.Next(), r.reportedTo.Load()
	if to > old {
		r.reportedAt.Store(packPosition(r.pipeline.log.End()))
	}
	if to != old {
		r.reportedTo.Store(to)
	}
	if invariant.On {
		r.check()
	}
}

// check holds that reportedTo goes no further than upcoming.
func (r *reporter) check() {
	to, next := r.reportedTo.Load(), r.upcoming.Next()
	invariant.Check(to <= next, "expiries are reported up to %d, but what is known of them goes to %d", to, next)
}

// expired returns the newest version of a key, without its Key. ok is false unless that version has expired.
func (r *reporter) expired(key []byte, now int64) (v ttl.Version, ok bool, err error) {
	var e latestEntry
	if err := r.pipeline.lookLatest(key, lsm.WithoutValue, &e); err != nil || !e.found || !kv.Expired(e.Deadline, now) {
		return v, false, err
	}
	return ttl.Version{Deadline: e.Deadline, Seq: e.Seq}, true, nil
}

// newest returns the versions of a list that are the newest of their keys and have expired, in new memory. It calls unread
// for each version that cannot be looked up.
func (r *reporter) newest(of []ttl.Version, now int64, unread func(i int, err error)) []ttl.Version {
	var key []byte
	is := make([]ttl.Version, 0, len(of))
	for i, v := range of {
		key = append(key[:0], v.Key...)
		found, ok, err := r.expired(key, now)
		if err != nil {
			unread(i, err)
		} else if ok && found.Seq == v.Seq {
			is = append(is, v)
		}
	}
	return is
}

// before reports the expired versions that a write is about to replace or delete. While nothing is due it costs one reading
// of the clock.
func (r *reporter) before(t turn, e *wal.Entry) error {
	now := t.now() // the time of the write: a version that it has found present it replaces as present
	if now < r.reportedTo.Load() {
		return nil
	}
	due, err := r.overwrittenBy(e, now)
	if err != nil {
		return err
	}
	return r.write(t, due)
}

// overwrittenBy returns the expired versions that a write is about to replace or delete.
func (r *reporter) overwrittenBy(e *wal.Entry, now int64) (due []ttl.Version, err error) {
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
			v, ok, err := r.expired(o.Key, now)
			if err != nil {
				return nil, err
			}
			if ok {
				v.Key = string(o.Key)
				due = append(due, v)
			}
		case op.DeleteRange, op.Evict: // an eviction has no bounds
			in, err := r.expiredIn(o.Key, o.End, now)
			if err != nil {
				return nil, err
			}
			for _, v := range in {
				if !seen[v.Key] { // a batch may delete a key twice
					due = append(due, v)
				}
				if seen != nil {
					seen[v.Key] = true
				}
			}
		default:
			return nil, op.Unknown(o.Kind)
		}
	}
	return due, nil
}

// expiredIn returns the expired versions of a range that are in upcoming; a nil end is no bound. Expired versions that are
// not in upcoming have expired since the write began: see beginDeleteRange.
func (r *reporter) expiredIn(start, end []byte, now int64) (due []ttl.Version, err error) {
	due = r.upcoming.Due(nil, now, ttl.Version{}, math.MaxInt)
	due = slices.DeleteFunc(due, func(v ttl.Version) bool { return v.Key < string(start) || end != nil && v.Key >= string(end) })
	due = r.newest(due, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	return due, err
}

// write writes the reports of versions into the log and applies them. Under SyncAlways the reports become visible with the
// next write that waits for the disk, at the latest by show; under other policies at once.
func (r *reporter) write(t turn, due []ttl.Version) error {
	if len(due) == 0 {
		return nil
	}
	if err := r.encoder.BeginExpiries(); err != nil {
		return err
	}
	for _, v := range due {
		r.key = append(r.key[:0], v.Key...)
		if err := r.encoder.Expired(r.key, v.Seq, v.Deadline); err != nil {
			return err
		}
	}
	r.entries[0] = r.encoder.Entry()
	if _, err := t.append(r.entries[:]); err != nil {
		return err
	}
	if r.pipeline.policy != SyncAlways {
		r.pipeline.show(t.lastSeq())
	}
	r.pendingShow = true
	r.counters.expiryEvents.Add(int64(len(due)))
	return nil
}

// show makes the reports durable and visible under SyncAlways. Under other policies they are visible already.
func (r *reporter) show() error {
	t, err := r.pipeline.beginFor(claimNothing)
	if err != nil {
		return err
	}
	pending, seq, end := r.pendingShow, t.lastSeq(), t.logEnd()
	r.pendingShow = false
	t.end()
	if !pending || r.pipeline.policy != SyncAlways {
		return nil
	}
	return r.pipeline.showSynced(seq, end)
}

const (
	// The loop catches up at least every reportPause and at most every reportRest: a version is reported within reportPause
	// of its deadline, plus the time that catching up takes.
	reportPause = time.Second
	reportRest  = 100 * time.Millisecond
)

// loop reports the versions that expire, until Close.
func (r *reporter) loop() {
	h := r.pipeline.health
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := reportPause
	for {
		select {
		case <-h.work.Done():
			return
		case <-timer.C:
		}
		err := r.catchUp()
		if h.closed.Load() {
			return
		}
		if err != nil {
			h.events.backgroundError("report expiries", err, retry)
			timer.Reset(retry)
			retry = min(2*retry, retryLast)
			continue
		}
		retry = reportPause
		left := ttl.Remaining(max(r.reportedTo.Load(), 1), r.pipeline.clock.Now())
		timer.Reset(max(min(left, reportPause), reportRest))
	}
}
