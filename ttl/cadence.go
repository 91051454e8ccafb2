package ttl

import (
	"math"
	"time"
)

const (
	defaultShare   = 0.05
	defaultMaxWait = time.Second
	// minWait is the shortest pause: ten slices a second, as often as Redis looks.
	minWait = 100 * time.Millisecond
)

// A Cadence decides when a sweeper looks again. It is a value without state; the zero value has the defaults.
type Cadence struct {
	// Share is the most of one core that sweeping may cost, above 0. Default: 0.05. 1 or more is no limit.
	Share float64
	// MaxWait is the longest pause while anything has a deadline, if Share allows it. Default: 1 s. A pause is never
	// shorter than 100 ms.
	MaxWait time.Duration
}

// Wait returns how long to pause after a slice that ended at now and cost so much CPU time. next is when there will be
// something to reclaim, in the past if there is already, 0 if nothing has a deadline: then Wait returns false, and the
// sweeper sleeps until it is told that something has.
//
// The pause ends when next comes, but not before 100 ms, and not after MaxWait, since deadlines may have come in
// meanwhile. An expensive slice is followed by as long a pause as makes it no more than Share of the time: that goes
// before MaxWait.
func (c Cadence) Wait(now, next int64, cost time.Duration) (wait time.Duration, ok bool) {
	if next == 0 {
		return 0, false
	}
	share, longest := c.Share, c.MaxWait
	if share <= 0 {
		share = defaultShare
	}
	if longest <= 0 {
		longest = defaultMaxWait
	}
	wait = max(min(Remaining(next, now), longest), minWait)
	return max(wait, rest(cost, share)), true
}

// rest returns the shortest pause that makes cost no more than share of cost and pause together.
func rest(cost time.Duration, share float64) time.Duration {
	pause := math.Ceil(float64(cost) * (1/share - 1))
	if pause >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(pause)
}
