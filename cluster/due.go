package cluster

import (
	"sync"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// dueTime is when something in the state will have expired next. To look at it costs a lock: every transaction that reads the
// leader's state does. Only when it has come are all tables looked at.
type dueTime struct {
	mu struct {
		sync.Mutex
		known  bool
		at     int64  // Unix ms, no later than something expires; 0: nothing will
		writes uint64 // how often something was written that expires
	}
}

// wrote notes that a batch has something that expires, at the earliest at a time: once before others see the batch, so that
// none sees it without its deadline, and once after, so that no look that has missed it is kept.
func (d *dueTime) wrote(at int64) {
	if at == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.writes++
	if d.mu.at == 0 || at < d.mu.at {
		d.mu.at = at
	}
}

// reset forgets what is known: the state is another.
func (d *dueTime) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.known = false
	d.mu.writes++
}

// unreported reports whether something that was not reported may have expired by a time.
func (s *shared) unreported(now int64) bool {
	return s.reports.Load() && host.Root.Unreported(s.db.Load()) <= now
}

// past reports whether something is to expire by a time.
func (d *dueTime) past(now int64, state *ebb.DB) bool {
	d.mu.Lock()
	at, known, writes := d.mu.at, d.mu.known, d.mu.writes
	d.mu.Unlock()
	if known && (at == 0 || at > now) {
		return false
	}
	at, err := host.Root.Due(state)
	if err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.writes == writes {
		d.mu.at, d.mu.known = at, true
	}
	return at != 0 && at <= now
}
