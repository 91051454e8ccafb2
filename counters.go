package ebb

import (
	"sync/atomic"
	"time"
)

// counters are the moving parts of Stats. Times are in nanoseconds.
type counters struct {
	flushes, flushed, flushedFor           atomic.Int64
	compactions, compacted, compactedFor   atomic.Int64
	compactionRead                         atomic.Int64
	dropped, droppedBytes, sweeps          atomic.Int64
	expired                                atomic.Uint64
	expiryEvents                           atomic.Int64
	slowed, slowedFor, stopped, stoppedFor atomic.Int64
	noSpace, backgroundErrors, logCut      atomic.Int64
}

// stats returns the counters' part.
func (c *counters) stats() Stats {
	return Stats{
		ExpiredEntries:      c.expired.Load(),
		DroppedTables:       c.dropped.Load(),
		DroppedBytes:        c.droppedBytes.Load(),
		Sweeps:              c.sweeps.Load(),
		ExpiryEvents:        c.expiryEvents.Load(),
		Flushes:             c.flushes.Load(),
		FlushedBytes:        c.flushed.Load(),
		FlushedFor:          time.Duration(c.flushedFor.Load()),
		Compactions:         c.compactions.Load(),
		CompactionReadBytes: c.compactionRead.Load(),
		CompactedBytes:      c.compacted.Load(),
		CompactedFor:        time.Duration(c.compactedFor.Load()),
		SlowedWrites:        c.slowed.Load(),
		SlowedFor:           time.Duration(c.slowedFor.Load()),
		StoppedWrites:       c.stopped.Load(),
		StoppedFor:          time.Duration(c.stoppedFor.Load()),
		LogCutBytes:         c.logCut.Load(),
		DiskFull:            c.noSpace.Load(),
		BackgroundErrors:    c.backgroundErrors.Load(),
	}
}
