package cluster

import (
	"sync"
	"time"
)

// stampClock is the time by which a leader stamps entries. It runs on by the monotonic clock of the process from the latest
// time that the node has seen in the log, or that a majority of voters agree on: what one wrong wall clock says, this node's
// or another's, moves it nowhere. It never goes back.
type stampClock struct {
	mu struct {
		sync.Mutex
		base int64     // Unix ms
		at   time.Time // when it was base
	}
}

func newStampClock(base int64) *stampClock {
	c := &stampClock{}
	c.mu.base, c.mu.at = base, time.Now()
	return c
}

// now returns the time, Unix ms.
func (c *stampClock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked(time.Now())
}

func (c *stampClock) nowLocked(at time.Time) int64 {
	return c.mu.base + max(at.Sub(c.mu.at).Milliseconds(), 0)
}

// advance moves the clock on to a time, if it has not come so far.
func (c *stampClock) advance(to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := time.Now(); to > c.nowLocked(at) {
		c.mu.base, c.mu.at = to, at
	}
}

// agreed returns the latest time that a majority of the voters have come to, of the wall clocks that are known. ok is false if
// fewer are known.
func agreed(walls []int64, voters int) (wall int64, ok bool) {
	for _, w := range walls {
		n := 0
		for _, v := range walls {
			if v >= w {
				n++
			}
		}
		if n > voters/2 && (!ok || w > wall) {
			wall, ok = w, true
		}
	}
	return wall, ok
}
