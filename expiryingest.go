package ebb

import (
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
)

// beginIngest takes the commit lock for tables that do not pass through the log. What they may overwrite has then been
// reported if it has expired, and what they bring will be. end frees the lock.
//
// soon is no longer complete from their first deadline on, and that before a view shows the tables, so that nobody drops
// anything of them: see DB.dropNow.
func (db *DB) beginIngest(tables []*compaction.Table) (end func(), err error) {
	x, commit := db.expiries, &db.commit
	if x == nil {
		commit.Lock()
		return commit.Unlock, nil
	}
	x.sweeping.Lock()
	end = func() { commit.Unlock(); x.sweeping.Unlock() }
	for {
		if err := x.sweepOnce(); err != nil {
			x.sweeping.Unlock()
			return nil, err
		}
		if err := db.beginWrite(); err != nil {
			x.sweeping.Unlock()
			return nil, err
		}
		now := db.clock.Now()
		if now >= x.to {
			commit.Unlock() // time has gone on
			continue
		}
		if err := x.reportRestLocked(now); err != nil {
			end()
			return nil, err
		}
		x.startOverLocked(firstDeadline(tables))
		return end, nil
	}
}

// reportRestLocked reports what has become due since the sweeper has looked.
func (x *expiries) reportRestLocked(now int64) error {
	var due, newest []expiry
	x.soon.Ascend(func(v expiry) bool {
		if kv.Expired(v.deadline, now) {
			due = append(due, v)
			return true
		}
		return false
	})
	for _, v := range due {
		found, ok, err := x.expired(v.key, now)
		if err != nil {
			return err
		}
		if ok && found.seq == v.seq {
			newest = append(newest, v)
		}
	}
	if _, err := x.logLocked(newest); err != nil {
		return err
	}
	for _, v := range due {
		x.removeLocked(v)
	}
	return nil
}

// startOverLocked says that soon is complete only up to a deadline. Nobody scans.
func (x *expiries) startOverLocked(deadline int64) {
	x.to = min(x.to, deadline)
	x.filling = x.to
	x.publishLocked()
}

// firstDeadline returns the first deadline in some tables, math.MaxInt64 if there is none.
func firstDeadline(tables []*compaction.Table) int64 {
	first := int64(math.MaxInt64)
	for _, t := range tables {
		if p := t.Reader.Properties(); p.DeadlineEntries > 0 {
			first = min(first, p.MinDeadline)
		}
	}
	return first
}
