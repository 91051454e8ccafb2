package ebb

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

const (
	// reportChunk is how many expiries one record of the log reports, in one turn: looking up as many keys a second time
	// takes a fraction of a millisecond.
	reportChunk = 256
	// A scan is made when upcoming is complete for no longer ahead than scanAhead, in ms, and the time that the last scan
	// took.
	scanAhead = 1000
)

// catchUp reports the versions that are due. It scans for more if upcoming is not complete up to now, or soon will not be.
func (r *reporter) catchUp() error {
	if r == nil {
		return nil
	}
	r.catching.Lock()
	defer r.catching.Unlock()
	return r.catchUpLocked()
}

// catchUpLocked is catchUp. The caller holds catching.
func (r *reporter) catchUpLocked() error {
	err := r.reportDue()
	if scan, serr := r.scanDue(); scan && serr == nil {
		err = errors.Join(err, r.scan())
	} else {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, r.show())
}

// scanDue reports whether to scan: upcoming is not complete up to now, or will not be by the time a scan has ended. Scans
// slow writers: while upcoming is still complete up to now, a scan that took long is not repeated soon.
func (r *reporter) scanDue() (bool, error) {
	t, err := r.pipeline.beginFor(claimNothing)
	if err != nil {
		return false, err
	}
	defer t.end()
	left := r.upcoming.Complete() - r.pipeline.clock.Now()
	return left <= 0 || left <= scanAhead+r.rest.cost.Milliseconds() && r.upcoming.Low() &&
		r.rest.over(r.pipeline.health.sys.now()), nil
}

// scanRest keeps a time of rest between scans.
type scanRest struct {
	cost  time.Duration // how long the last scan took
	until time.Time     // end of the rest
}

// ended notes when a scan began and ended. The rest after it grows with what the scan cost.
func (r *scanRest) ended(start, end time.Time) {
	r.cost = end.Sub(start)
	wait, _ := ttl.Cadence{}.Wait(1, 1, r.cost)
	r.until = end.Add(wait)
}

func (r *scanRest) over(now time.Time) bool { return !now.Before(r.until) }

// reportDue reports the versions in upcoming that are due. Versions that cannot be looked up stay in upcoming; reportDue
// returns the error of one of them.
func (r *reporter) reportDue() error {
	var failed error
	var after ttl.Version
	for {
		due, err := r.due(after)
		if len(due) == 0 || err != nil {
			return errors.Join(failed, err)
		}
		after = due[len(due)-1]
		after.Key += "\x00"
		unread, err := r.report(due, nil)
		if err != nil {
			return errors.Join(failed, err)
		}
		if failed == nil {
			failed = unread
		}
	}
}

// due returns the versions in upcoming that are due, from after on, at most reportChunk of them.
func (r *reporter) due(after ttl.Version) ([]ttl.Version, error) {
	t, err := r.pipeline.beginFor(claimNothing)
	if err != nil {
		return nil, err
	}
	defer t.end()
	return r.upcoming.Due(nil, r.pipeline.clock.Now(), after, reportChunk), nil
}

// report reports the versions of due that are the newest of their keys, takes due out of upcoming, and adds later to it. A
// version that cannot be looked up stays in upcoming; unread is the error.
//
// The keys are looked up twice: before the turn, so that blocks are read from the disk while others write, and in the turn,
// when the blocks are in memory.
func (r *reporter) report(due, later []ttl.Version) (unread, err error) {
	now := r.pipeline.clock.Now()
	stays := make([]bool, len(due))
	newest := r.newest(due, now, func(i int, err error) { unread, stays[i] = err, true })
	t, err := r.pipeline.beginFor(claimNothing)
	if err != nil {
		return unread, err
	}
	newest = r.newest(newest, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	if err == nil {
		err = r.write(t, newest)
	}
	if err != nil {
		t.end()
		return unread, err
	}
	for i, v := range due {
		if !stays[i] {
			r.upcoming.Remove(v)
		}
	}
	for _, v := range later {
		r.upcoming.Set([]byte(v.Key), v.Seq, v.Deadline)
	}
	r.publish(t)
	t.freezeIfFull()
	t.end()
	return unread, nil
}

// scan reads all versions from upcoming.Bound on, reports those that are due, and adds the others to upcoming, as many as it
// has room for. For a host it adds those that are due, too: see hostReporter.
//
//  1. In a turn: from here on writes add every version with a deadline to upcoming. Older versions are in the view.
//  2. Read the view, outside of turns. Versions that are no longer the newest do no harm.
//  3. In a turn: upcoming is now complete up to the first version that it had no room for.
func (r *reporter) scan() error {
	t, err := r.pipeline.beginFor(claimNothing)
	if err != nil {
		return err
	}
	v, _, err := pin(r.live)
	if err != nil {
		t.end()
		return err
	}
	defer r.live.Unpin(v)
	r.scans.Add(1)
	sys := r.pipeline.health.sys
	start := sys.now()
	if !r.manual {
		defer func() { r.rest.ended(start, sys.now()) }()
	}
	s := reportScan{r: r, from: r.upcoming.Bound(), shown: start}
	r.upcoming.Fill()
	var sources []kv.Iterator
	for _, m := range append([]*lsm.Mem{v.Mem}, v.Frozen...) {
		if m.Deadlines.Entries() > 0 && m.Deadlines.Max() >= s.from.Deadline {
			sources = append(sources, m.NewIterator(math.MaxUint64))
		}
	}
	t.end()
	for _, level := range v.Version.Levels {
		for _, t := range level {
			if p := t.Reader.Properties(); p.DeadlineEntries > 0 && p.MaxDeadline >= s.from.Deadline {
				sources = append(sources, t.Reader.NewScanner())
			}
		}
	}
	for i, it := range sources {
		sources[i] = nil
		if rerr := s.read(it); rerr != nil {
			err = cmp.Or(err, rerr)
			if !errors.Is(rerr, ErrCorrupt) {
				break // a damaged table does not hide the others
			}
		}
	}
	t, berr := r.pipeline.beginFor(claimNothing)
	if berr != nil {
		return errors.Join(err, berr)
	}
	defer t.end()
	r.upcoming.Filled(err == nil)
	r.publish(t)
	return err
}

// reportScan reads the versions that do not come before from.
type reportScan struct {
	r          *reporter
	from       ttl.Version
	due, later []ttl.Version
	shown      time.Time // when reports were last shown
}

// read reads one source, a memtable or a table, and closes it.
func (s *reportScan) read(it kv.Iterator) error {
	defer it.Close()
	next := it.First
	for more := true; more; {
		err := whileOpen(s.r.live, func() error {
			for n := 0; n < scanChunk && len(s.due)+len(s.later) < reportChunk; n += scanned(it.Entry()) {
				if more = next(); !more {
					return it.Err()
				}
				next = it.Next
				s.take(it.Entry())
			}
			return nil
		})
		if err == nil {
			err = s.flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take adds an entry to due or later, unless it comes before from.
func (s *reportScan) take(e *kv.Entry) {
	if e.Kind != kv.Put || e.Deadline == 0 || e.Deadline < s.from.Deadline {
		return
	}
	v := ttl.Version{Deadline: e.Deadline, Seq: e.Seq, Key: string(e.Key)}
	if v.Before(s.from) {
		return
	}
	if !s.r.hosted && kv.Expired(e.Deadline, s.r.pipeline.clock.Now()) {
		s.due = append(s.due, v)
	} else {
		s.later = append(s.later, v)
	}
}

// flush hands due and later to report, empties them, and reports the versions in upcoming that have become due meanwhile.
func (s *reportScan) flush() error {
	r := s.r
	if len(s.due)+len(s.later) > 0 {
		unread, err := r.report(s.due, s.later)
		s.due, s.later = s.due[:0], s.later[:0]
		if err != nil || unread != nil {
			return errors.Join(err, unread)
		}
	}
	if r.hosted {
		return nil
	}
	// A version in upcoming that cannot be looked up does not end the scan: it has been, or will be, the error of catchUp.
	if err := r.reportDue(); err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	sys := r.pipeline.health.sys
	if sys.since(s.shown) < reportRest {
		return nil
	}
	s.shown = sys.now()
	return r.show()
}

// beginDeleteRange is pipeline.begin for a delete of a range. Looking for the expired keys of the range would cost a scan of
// it. Instead beginDeleteRange first reports all versions that are due. Those that become due afterwards are in upcoming,
// which is complete up to now. A damaged table makes it fail only if upcoming cannot become complete: then nobody knows
// which versions of the range have expired.
//
// It is for an Update that may have precedence, too: own and c are as for pipeline.beginAhead.
func (r *reporter) beginDeleteRange(own chan struct{}, c claim) (turn, error) {
	for {
		var err error
		if r.pipeline.clock.Now() >= r.reportedTo.Load() {
			err = r.catchUp()
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return turn{}, err
		}
		t, beginErr := r.pipeline.beginAhead(own, c)
		if beginErr != nil {
			return turn{}, beginErr
		}
		if r.pipeline.clock.Now() < r.upcoming.Complete() {
			return t, nil
		}
		t.end()
		if err != nil {
			return turn{}, err
		}
	}
}

// beginIngest returns a turn to add tables that do not pass through the log. By then all expired versions that the tables
// may replace have been reported. Those that the tables bring will be. end ends the turn.
//
// In the turn upcoming is no longer complete from the first deadline of the tables on. The tables come into a view only
// after that: so none of their versions is dropped before it was reported, see dropNow.
func (r *reporter) beginIngest(tables []*compaction.Table) (t turn, end func(), err error) {
	r.catching.Lock()
	for {
		if err := r.catchUpLocked(); err != nil {
			r.catching.Unlock()
			return t, nil, err
		}
		if t, err = r.pipeline.beginFor(claimNothing); err != nil {
			r.catching.Unlock()
			return t, nil, err
		}
		now := r.pipeline.clock.Now()
		if now >= r.upcoming.Complete() {
			t.end() // more may have expired since catchUpLocked
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

// reportLate reports the versions in upcoming that have become due since catchUp.
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
