package ebb

import (
	"cmp"
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/ttl"
)

// beginIngest returns a turn for tables that do not pass through the log. What they may replace has then been reported if it
// has expired, and what they bring will be. end ends the turn.
//
// upcoming is no longer complete from their first deadline on. That is so before a view shows the tables: so nobody drops
// anything of them that was not reported, see dropNow.
func (r *reporter) beginIngest(tables []*compaction.Table) (t turn, end func(), err error) {
	r.catching.Lock()
	for {
		if err := r.catchUpLocked(); err != nil {
			r.catching.Unlock()
			return t, nil, err
		}
		if t, err = r.pipeline.begin(); err != nil {
			r.catching.Unlock()
			return t, nil, err
		}
		now := r.pipeline.clock.Now()
		if now >= r.upcoming.Complete() {
			t.end() // time has gone on
			continue
		}
		end = func() { t.end(); r.catching.Unlock() }
		if err := r.reportLate(t, now); err != nil {
			end()
			return t, nil, err
		}
		r.upcoming.Forget(firstDeadline(tables))
		r.publish(t)
		return t, end, nil
	}
}

// reportLate reports what has become due since catchUp.
func (r *reporter) reportLate(t turn, now int64) error {
	due := r.upcoming.Due(nil, now, ttl.Version{}, math.MaxInt)
	var err error
	newest := r.newest(due, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	if err != nil {
		return err
	}
	if err := r.write(t, newest); err != nil {
		return err
	}
	for _, v := range due {
		r.upcoming.Remove(v)
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
