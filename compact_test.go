package ebb

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// What was there before a compaction of a range comes to the last level, though writers flush meanwhile what is in the range.
func TestCompactRangeBesideFlush(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.tableSize = 8<<10, 64<<10
	var db *DB
	armed, flushed := false, uint64(0)
	o.sys.now = func() time.Time {
		if armed { // by the first plan, which is picked
			armed = false
			must(t, db.Put([]byte("key00050"), []byte("meanwhile")))
			must(t, db.Flush())
			flushed = lastSeq(db)
		}
		return time.Now()
	}
	db = openTest(t, o)
	for i := range 8000 { // so many that level 0 goes to the level before the last
		must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 100)))
	}
	must(t, db.Compact(context.Background()))
	for i := range 100 {
		must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 10)))
	}
	must(t, db.Flush())
	armed = true
	must(t, db.CompactRange(context.Background(), []byte("key"), nil))
	if flushed == 0 {
		t.Fatal("nothing was flushed meanwhile")
	}
	for level, table := range db.live.View().Version.Levels.All() {
		if level < compaction.NumLevels-1 && table.Reader.Properties().MaxSeq < flushed {
			t.Errorf("table %d is left in level %d", table.File, level)
		}
	}
	content{db}.has(t, "key00050", "meanwhile")
}
