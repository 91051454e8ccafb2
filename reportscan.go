package ebb

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
)

const (
	// expiryChunk is how many expiries are reported by one record of the log: so many look-ups of what has just been looked
	// up hold the commit lock for a fraction of a millisecond.
	expiryChunk = 256
	// A scan is made when soon does not reach further than scanAhead ms, and what the last scan has taken.
	scanAhead = 1000
	// An expiry is reported within expiryPause of its deadline, and what the sweeper needs; at most every expiryRest.
	expiryPause = time.Second
	expiryRest  = 100 * time.Millisecond
)

// loop reports what expires until Close.
func (x *expiries) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := expiryPause
	for {
		select {
		case <-x.db.health.work.Done():
			return
		case <-timer.C:
		}
		err := x.sweep()
		if x.db.health.closed.Load() {
			return
		}
		if err != nil {
			x.db.events.backgroundError("report expiries", err, retry)
			timer.Reset(retry)
			retry = min(2*retry, retryLast)
			continue
		}
		retry = expiryPause
		left := ttl.Remaining(max(x.next.Load(), 1), x.db.clock.Now())
		timer.Reset(max(min(left, expiryPause), expiryRest))
	}
}

// sweep reports what is due, and looks for more where soon may not have all that is.
func (x *expiries) sweep() error {
	if x == nil {
		return nil
	}
	x.sweeping.Lock()
	defer x.sweeping.Unlock()
	return x.sweepOnce()
}

// sweepOnce is sweep for who sweeps.
func (x *expiries) sweepOnce() error {
	err := x.reportDue()
	if scan, serr := x.scanDue(); scan && serr == nil {
		err = errors.Join(err, x.scan())
	} else {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, x.show())
}

// scanDue tells whether soon is to be filled: where it is no longer complete up to now, or will not be by the time a scan
// has ended. What scans cost is for the writers' sake: while there is time left, a scan that was dear is not soon repeated.
func (x *expiries) scanDue() (bool, error) {
	if err := x.db.beginWrite(); err != nil {
		return false, err
	}
	defer x.db.commit.Unlock()
	left := x.soon.Complete() - x.db.clock.Now()
	return left <= 0 || left <= scanAhead+x.rest.cost.Milliseconds() && x.soon.Low() && x.rest.over(time.Now()), nil
}

// scanRest holds scans apart.
type scanRest struct {
	cost  time.Duration // of the last scan
	until time.Time
}

// ended notes that a scan has ended, and for how long none is to be made that can wait.
func (r *scanRest) ended(start, end time.Time) {
	r.cost = end.Sub(start)
	wait, _ := ttl.Cadence{}.Wait(1, 1, r.cost)
	r.until = end.Add(wait)
}

func (r *scanRest) over(now time.Time) bool { return !now.Before(r.until) }

// reportDue reports what in soon is due. What cannot be read stays there, and its error is returned.
func (x *expiries) reportDue() error {
	var failed error
	var after ttl.Version
	for {
		due, err := x.due(after)
		if len(due) == 0 || err != nil {
			return errors.Join(failed, err)
		}
		after = due[len(due)-1]
		after.Key += "\x00"
		unread, err := x.report(due, nil)
		if err != nil {
			return errors.Join(failed, err)
		}
		if failed == nil {
			failed = unread
		}
	}
}

// due returns what in soon is due, from after on, but no more than a chunk.
func (x *expiries) due(after ttl.Version) ([]ttl.Version, error) {
	if err := x.db.beginWrite(); err != nil {
		return nil, err
	}
	defer x.db.commit.Unlock()
	return x.soon.Due(nil, x.db.clock.Now(), after, expiryChunk), nil
}

// report reports what of due is the newest version of its key, takes due out of soon, and adds what expires later. What
// cannot be read stays; unread is why.
//
// The keys are looked up twice: once without the commit lock, so that what has to come from the disk does so while others
// write, and again under it, when it is in memory.
func (x *expiries) report(due, later []ttl.Version) (unread, err error) {
	now := x.db.clock.Now()
	stays := make([]bool, len(due))
	newest := x.newest(due, now, func(i int, err error) { unread, stays[i] = err, true })
	db := x.db
	if err := db.beginWrite(); err != nil {
		return unread, err
	}
	newest = x.newest(newest, now, func(_ int, unread error) { err = cmp.Or(err, unread) })
	if err == nil {
		_, err = x.logLocked(newest)
	}
	if err != nil {
		db.commit.Unlock()
		return unread, err
	}
	for i, v := range due {
		if !stays[i] {
			x.soon.Remove(v)
		}
	}
	for _, v := range later {
		x.soon.Set([]byte(v.Key), v.Seq, v.Deadline)
	}
	x.publishLocked()
	db.freezeIfFullLocked()
	db.commit.Unlock()
	return unread, nil
}

// show makes the reports durable where the policy is that, and lets reads and watchers see them.
func (x *expiries) show() error {
	db := x.db
	if err := db.beginWrite(); err != nil {
		return err
	}
	unshown, seq, end := x.unshown, db.commit.lastSeq, db.log.End()
	x.unshown = false
	db.commit.Unlock()
	if !unshown || db.opts.Sync != SyncAlways {
		return nil
	}
	if err := db.log.SyncTo(end); err != nil {
		return closedLog(err)
	}
	db.live.Show(seq)
	return nil
}

// scan reads all that may expire from x.to on, reports what is due of it and fills soon with the rest, as far as that
// reaches.
//
//  1. From here on writes add to soon whatever they give a deadline; what was there before is in the view.
//  2. Read the view without the lock. Versions that are no longer the newest do no harm.
//  3. Soon is complete up to where it is filled.
func (x *expiries) scan() error {
	db := x.db
	if err := db.beginWrite(); err != nil {
		return err
	}
	v, _, err := pin(&db.live)
	if err != nil {
		db.commit.Unlock()
		return err
	}
	defer db.live.Unpin(v)
	x.scans.Add(1)
	start := time.Now()
	if !db.opts.manual {
		defer func() { x.rest.ended(start, time.Now()) }()
	}
	s := expiryScan{x: x, from: x.soon.Complete(), shown: start}
	x.soon.Fill()
	var sources []kv.Iterator
	for _, m := range append([]*lsm.Mem{v.Mem}, v.Frozen...) {
		if m.Deadlines.Entries() > 0 && m.Deadlines.Max() >= s.from {
			sources = append(sources, m.NewIterator(math.MaxUint64))
		}
	}
	db.commit.Unlock()
	for _, t := range v.Version.Levels.All() {
		if p := t.Reader.Properties(); p.DeadlineEntries > 0 && p.MaxDeadline >= s.from {
			sources = append(sources, t.Reader.NewScanner())
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
	if berr := db.beginWrite(); berr != nil {
		return errors.Join(err, berr)
	}
	defer db.commit.Unlock()
	x.soon.Filled(err == nil)
	x.publishLocked()
	return err
}

// expiryScan reads what expires from a deadline on.
type expiryScan struct {
	x          *expiries
	from       int64
	due, later []ttl.Version
	shown      time.Time // when reports were last shown
}

// read reads one source.
func (s *expiryScan) read(it kv.Iterator) error {
	defer it.Close()
	next := it.First
	for more := true; more; {
		err := whileOpen(&s.x.db.live, func() error {
			for n := 0; n < scanChunk && len(s.due)+len(s.later) < expiryChunk; n += scanned(it.Entry()) {
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

// take notes an entry that expires.
func (s *expiryScan) take(e *kv.Entry) {
	if e.Kind != kv.Put || e.Deadline == 0 || e.Deadline < s.from {
		return
	}
	v := ttl.Version{Deadline: e.Deadline, Seq: e.Seq, Key: string(e.Key)}
	if kv.Expired(e.Deadline, s.x.db.clock.Now()) {
		s.due = append(s.due, v)
	} else {
		s.later = append(s.later, v)
	}
}

// flush hands on what was noted, and reports what has become due meanwhile.
func (s *expiryScan) flush() error {
	x := s.x
	if len(s.due)+len(s.later) > 0 {
		unread, err := x.report(s.due, s.later)
		s.due, s.later = s.due[:0], s.later[:0]
		if err != nil || unread != nil {
			return errors.Join(err, unread)
		}
	}
	// What is damaged in soon has been, or will be, the sweep's error; it does not hide the rest.
	if err := x.reportDue(); err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if time.Since(s.shown) < expiryRest {
		return nil
	}
	s.shown = time.Now()
	return x.show()
}

// beginDeleteRange is beginWrite for a delete of a range. What of the range has expired is not known by its keys, so first
// all is reported that is due; what is due since is in soon. Damage is a reason to refuse only where it keeps soon
// from being complete: nobody knows then what is in the range.
func (db *DB) beginDeleteRange() error {
	x := db.expiries
	if x == nil {
		return db.beginWrite()
	}
	for {
		var err error
		if db.clock.Now() >= x.next.Load() {
			err = x.sweep()
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
		if err := db.beginWrite(); err != nil {
			return err
		}
		if db.clock.Now() < x.soon.Complete() {
			return nil
		}
		db.commit.Unlock()
		if err != nil {
			return err
		}
	}
}
