package ttl_test

import (
	"fmt"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/ttl"
)

// A key that lives for ten minutes, written while the wall clock is right, stays expired when that is set back.
func ExampleClock() {
	wall := time.UnixMilli(1_800_000_000_000)
	clock := ttl.NewClock(0, func() time.Time { return wall })

	deadline := ttl.Deadline(clock.Now(), 10*time.Minute)
	wall = wall.Add(11 * time.Minute)
	fmt.Println("expired:", kv.Expired(deadline, clock.Now()))

	mark := clock.Now() // stored by the owner
	wall = wall.Add(-time.Hour)
	clock = ttl.NewClock(mark, func() time.Time { return wall })
	fmt.Println("expired:", kv.Expired(deadline, clock.Now()), "- ahead by", clock.Ahead())
	// Output:
	// expired: true
	// expired: true - ahead by 1h0m0s
}

// A sweeper asks how much there is to reclaim, and when to look again.
func ExampleHistogram() {
	now := int64(1_800_000_000_000)
	h := ttl.NewHistogram(now)
	h.Add(ttl.Deadline(now, time.Second), 4096)
	h.Add(ttl.Deadline(now, time.Hour), 1024)

	half := h.When(h.Bytes() / 2)
	fmt.Println("half in", ttl.Remaining(half, now))
	fmt.Println("then expired:", h.ExpiredBytes(half), "of", h.Bytes(), "bytes")

	var cadence ttl.Cadence
	wait, _ := cadence.Wait(half, h.When(h.Bytes()), 10*time.Millisecond)
	fmt.Println("look again in", wait)
	// Output:
	// half in 1s
	// then expired: 4096 of 5120 bytes
	// look again in 1s
}
