package ttl

import (
	"sync"
	"sync/atomic"
	"time"
)

// jumpThreshold is how many milliseconds the wall clock has to gain on the monotonic one at once to be reported: well
// above the corrections of a time daemon, well below the hour of a daylight-saving mistake.
const jumpThreshold = 60_000

// A Clock tells the time by which keys expire: Unix milliseconds that never go back and never stand still for long,
// whatever is done to the wall clock. See the package documentation for the rule. It is safe for use by many
// goroutines.
type Clock struct {
	// No lock is taken around the system's clock. Let e be the monotonic milliseconds since NewClock. The one thing that
	// has to be remembered is offset, the greatest of the mark and every (wall clock - e) that was seen: Now is e + offset.
	//
	// - e never decreases: of two readings the one that began after the other had ended is at least as great. The runtime
	//   promises it for its monotonic clock, stepClock makes it true for an injected one under its mutex.
	// - offset never decreases: it is written by compare-and-swap and only with a greater value (Reset aside).
	// - A call returns e + offset, both as it read them or, where the wall clock was ahead, as it wrote the latter. A call
	//   that begins after another has returned reads an e and an offset that are no less: Now never decreases. Calls that
	//   overlap have no order to violate.
	// - e runs on whatever the wall clock does, and so does the sum.
	// - compared only decides whether the wall clock is read again. If it is stale, the wall clock is read once too often.

	offset   atomic.Int64 // ms; Unix time at e = 0
	compared atomic.Int64 // the e at which the wall clock was last compared with Now
	jumped   atomic.Int64 // ms; the sum that Jumped returns

	start time.Time  // where e = 0 on the system's clock; unused if step is set
	step  *stepClock // in place of the system's clock if not nil

	exact func() int64 // in place of all of the above if not nil
}

// NewExactClock returns a clock that is what now returns and nothing else, Unix ms: another has decided it. now is above
// zero, never less than before, and may be called by many goroutines at a time. Marks do not move such a clock, and it never
// leaps and is never ahead.
func NewExactClock(now func() int64) *Clock { return &Clock{exact: now} }

// NewClock returns a clock that runs from mark (Unix ms; 0 if there is none yet) or from the wall clock, whichever is
// later. A wall clock before 1970 counts as 1970, so that Now is above zero and is never mistaken for "no deadline".
//
// A nil now is the system's clock. Any other is for tests and simulations and is called once a reading, never twice at
// the same time; it must not call the Clock. Times without a monotonic reading will do: a step back then counts as no
// progress, after which time runs on, and a step forward as that much progress.
func NewClock(mark int64, now func() time.Time) *Clock {
	c := &Clock{}
	start := time.Now() //permit:time.Now the system's clock comes in here
	switch {
	case now != nil:
		c.step = newStepClock(now)
	case !hasMonotonic(start): // in a synctest bubble, and when the wall clock is past 2157
		c.step = newStepClock(time.Now) //permit:time.Now see start
	default:
		c.start = start.Add(-subMilli(start))
	}
	c.Reset(mark)
	return c
}

// Now returns the time in Unix milliseconds: above zero, never below the mark, never less than an earlier call
// returned. It compares itself with the wall clock once a millisecond, the reading of which is the larger part of its
// cost.
func (c *Clock) Now() int64 {
	if c.exact != nil {
		return c.exact()
	}
	if c.step == nil {
		if elapsed := c.elapsed(); elapsed == c.compared.Load() {
			return add(c.offset.Load(), elapsed)
		}
	}
	return c.at(c.read())
}

// Ahead returns how far Now is ahead of the wall clock: more than a few milliseconds mean that the wall clock was set
// back, or was wrong once and left its mark. The caller decides from where on that is worth a report.
func (c *Clock) Ahead() time.Duration {
	if c.exact != nil {
		return 0
	}
	wall, elapsed := c.read()
	return span(wall, c.at(wall, elapsed))
}

// Jumped returns by how much Now has followed the wall clock forward since NewClock in leaps of more than a minute,
// which expire keys all at once. A machine that was suspended leaps too. The sum only grows: a caller that wants to
// report each leap remembers what it saw last. Times without a monotonic reading never leap, since nothing tells how
// long they took.
func (c *Clock) Jumped() time.Duration {
	return span(0, c.jumped.Load())
}

// Reset makes time run from mark or from the wall clock, whichever is later. It is the one way to make Now go back, for
// a tool that repairs a database which a wrong clock has put ahead; keys that had expired meanwhile can come back.
func (c *Clock) Reset(mark int64) {
	if c.exact != nil {
		return
	}
	wall, elapsed := c.read()
	c.offset.Store(max(mark, wall, 1) - elapsed)
}

// Advance makes time run from mark, if it has not come so far: somebody else has seen it there.
func (c *Clock) Advance(mark int64) {
	if c.exact != nil {
		return
	}
	_, elapsed := c.read()
	for {
		offset := c.offset.Load()
		if add(offset, elapsed) >= mark || c.offset.CompareAndSwap(offset, mark-elapsed) {
			return
		}
	}
}

// at returns the time at one reading of both clocks, and remembers the wall clock's if that is ahead.
func (c *Clock) at(wall, elapsed int64) int64 {
	for {
		offset := c.offset.Load()
		now := add(offset, elapsed)
		if wall > now {
			if !c.offset.CompareAndSwap(offset, wall-elapsed) {
				continue
			}
			if wall-now > jumpThreshold {
				c.jumped.Add(wall - now)
			}
			now = wall
		}
		c.compared.Store(elapsed)
		return now
	}
}

// read reads both clocks, the wall clock first: a pause between the two then makes it look late, which is harmless, and
// not early, which Now would keep for ever.
func (c *Clock) read() (wall, elapsed int64) {
	if c.step != nil {
		return c.step.read()
	}
	wall = unixMilli(time.Now()) //permit:time.Now the system's clock
	return wall, c.elapsed()
}

// elapsed is e on the system's clock. time.Since and not the difference of two times, because time.Now leaves the
// monotonic reading out while the wall clock is past 2157.
func (c *Clock) elapsed() int64 {
	return time.Since(c.start).Milliseconds() //permit:time.Since the system's clock
}

// A stepClock makes readings that may step back into a wall clock and an elapsed time that does not.
type stepClock struct {
	now func() time.Time

	mu struct { // orders the calls of now, too
		sync.Mutex
		// +checklocks:Mutex
		last time.Time // the previous reading
		// +checklocks:Mutex
		elapsed time.Duration // the sum of all steps forward
	}
}

func newStepClock(now func() time.Time) *stepClock {
	s := &stepClock{now: now}
	s.mu.last = now()
	s.mu.elapsed = subMilli(s.mu.last)
	return s
}

func (s *stepClock) read() (wall, elapsed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.now()
	step := max(t.Sub(s.mu.last), 0)
	s.mu.last = t
	s.mu.elapsed = time.Duration(add(int64(s.mu.elapsed), int64(step)))
	return unixMilli(t), s.mu.elapsed.Milliseconds()
}

// hasMonotonic reports whether t carries a monotonic reading, which Round(0) strips.
func hasMonotonic(t time.Time) bool { return t != t.Round(0) }

// subMilli returns how far t is past a whole millisecond. Elapsed time is counted from there, so that it and the wall
// clock change at the same moment and their difference does not flicker.
func subMilli(t time.Time) time.Duration {
	return time.Duration(t.Nanosecond()) % time.Millisecond
}
