package ebb

import (
	"sync/atomic"
)

// counters are the moving parts of Stats. Times are in nanoseconds.
type counters struct {
	flushes, flushed, flushedFor           atomic.Int64
	compactions, compacted, compactedFor   atomic.Int64
	compactionRead                         atomic.Int64
	dropped, droppedBytes, sweeps          atomic.Int64
	expired, evicted                       atomic.Uint64
	evictions                              atomic.Int64
	expiryEvents                           atomic.Int64
	slowed, slowedFor, stopped, stoppedFor atomic.Int64
	noSpace, backgroundErrors, logCut      atomic.Int64
}
