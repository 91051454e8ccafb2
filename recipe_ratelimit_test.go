package ebb_test

import (
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

// limiter lets each caller through so many times in a window, which begins with the caller's first call. It holds
// across restarts, and forgets callers by itself.
type limiter struct {
	db     *ebb.DB
	limit  int64
	window time.Duration
}

// allow counts a call. The deadline is that of the first, as Add keeps it. Losing a few counts to a power cut does no
// harm, so nobody waits for the disk.
func (l *limiter) allow(caller string) (bool, error) {
	n, err := l.db.Add([]byte("rate/"+caller), 1, ebb.TTL(l.window), ebb.NoSync)
	return err == nil && n <= l.limit, err
}

// A rate limit with a fixed window is one call.
func Example_rateLimiter() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	l := limiter{db: db, limit: 2, window: time.Minute}

	for _, pause := range []time.Duration{0, 20 * time.Second, 20 * time.Second, 20 * time.Second} {
		clock.Advance(pause)
		ok, err := l.allow("alice")
		fmt.Println(clock.Now().Format("15:04:05"), ok, err)
	}
	// Output:
	// 12:00:00 true <nil>
	// 12:00:20 true <nil>
	// 12:00:40 false <nil>
	// 12:01:00 true <nil>
}
