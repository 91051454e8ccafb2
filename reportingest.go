package ebb

import (
	"cmp"
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/ttl"
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
		if now >= x.soon.Complete() {
			commit.Unlock() // time has gone on
			continue
		}
		if err := x.reportRestLocked(now); err != nil {
			end()
			return nil, err
		}
		x.soon.Forget(firstDeadline(tables))
		x.publishLocked()
		return end, nil
	}
}

// reportRestLocked reports what has become due since the sweeper has looked.
func (x *expiries) reportRestLocked(now int64) error {
	due := x.soon.Due(nil, now, ttl.Version{}, math.MaxInt)
	var err error
	newest := x.newest(due, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	if err != nil {
		return err
	}
	if _, err := x.logLocked(newest); err != nil {
		return err
	}
	for _, v := range due {
		x.soon.Remove(v)
	}
	return nil
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
