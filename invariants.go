package ebb

import (
	"github.com/ebbdb/ebb/internal/invariant"
)

// What must always hold, in one place. A build with the tag invariants panics where it does not; the models run so in CI.

// checkLocked holds that log, memtable and what reads see are one behind the other.
func (db *DB) checkLocked() {
	c := &db.commit
	next := db.log.NextSeq()
	invariant.Check(next == c.lastSeq+1, "the log goes on with %d, the last write is %d", next, c.lastSeq)
	visible, newest := db.live.Visible(), c.mem.Stats().MaxSeq
	invariant.Check(visible <= c.lastSeq, "reads see up to %d, the last write is %d", visible, c.lastSeq)
	invariant.Check(newest <= c.lastSeq, "the memtable has %d, the last write is %d", newest, c.lastSeq)
	invariant.Check(c.mem == db.live.View().Mem, "the active memtable is not that of the view")
}

// checkLocked holds that next goes no further than soon.
func (x *expiries) checkLocked() {
	next, first := x.next.Load(), x.soon.Next()
	invariant.Check(next <= first, "nothing expires before %d, but what is known of it goes to %d", next, first)
}
