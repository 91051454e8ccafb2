package page

import (
	"sync"
	"time"
)

// cached keeps what was worked out last, so that many browsers cost what one does.
type cached[T any] struct {
	keep time.Duration

	mu    sync.Mutex
	at    time.Time // guarded by mu
	value T         // guarded by mu
}

// get returns what is kept, if it is young enough, or works it out. One goroutine does that at a time, the others wait for it.
func (c *cached[T]) get(now time.Time, work func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.at); !c.at.IsZero() && age >= 0 && age < c.keep {
		return c.value, nil
	}
	v, err := work()
	if err == nil {
		c.value, c.at = v, now
	}
	return v, err
}
