package cluster

import (
	"math/rand/v2"
	"time"
)

// jitter returns a time between half of d and all of it, so that those who wait do not come together again.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
