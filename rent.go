package ebb

import (
	"github.com/ebbdb/ebb/compaction"
)

// readsHavePaid reports whether reads have paid for a compaction of level 0. If they have, and the memtable is worth it, it
// is flushed first, which brings the background back here.
func (db *DB) readsHavePaid() bool {
	v := db.live.View()
	levels := &v.Version.Levels
	memory := int64(0)
	if db.live.Rent().Worth(v.Mem) {
		memory = v.Mem.Size()
	}
	if memory == 0 && len(levels[0]) == 0 {
		db.live.Rent().Reset()
		return false
	}
	if db.live.Rent().Paid() < memory+compaction.Level0Cost(levels, db.compaction()) {
		return false
	}
	if memory > 0 {
		t := db.pipeline.lock()
		defer t.end()
		if v.Mem == t.mem() && len(v.Frozen) == 0 && db.health.failure() == nil {
			if err := t.freeze(); err != nil { // that is the next write's to report
				db.live.Rent().Reset()
			}
		}
		return false
	}
	db.live.Rent().Reset()
	return true
}
