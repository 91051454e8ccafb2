package ebb

import (
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Scans that find keys in several places bring them into one, but not before they have paid for it.
func TestReadsCompact(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize = 32 << 10
	db := openTest(t, o)
	put := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 50)))
		}
	}
	scan := func(o *IterOptions) {
		t.Helper()
		for _, err := range db.Range(o) {
			must(t, err)
		}
	}
	pays := func(sources int, cost int64) {
		t.Helper()
		for n := 0; ; n++ {
			if paid := int64(n*sources) * scanBytes; db.readsHavePaid() {
				if paid < cost {
					t.Errorf("%d scans of %d sources have paid %d bytes", n, sources, cost)
				}
				return
			} else if len(db.view.Load().frozen) > 0 {
				return
			} else if paid > 2*cost {
				t.Fatalf("%d scans of %d sources have not paid %d bytes", n, sources, cost)
			}
			scan(&IterOptions{Limit: 1})
		}
	}
	level0 := func() int { return len(db.view.Load().tables.levels[0]) }
	cost := func() int64 { return compaction.Level0Cost(&db.view.Load().tables.levels, db.compaction()) }

	put(0, 1)
	scan(nil)
	if n := db.reads.paid.Load(); n != 0 {
		t.Errorf("a small memtable cost a scan %d bytes", n)
	}
	for from := range usualTables - 1 {
		put(from, 100)
		must(t, db.Flush())
	}
	lookups := func(key string) (paid int64) {
		t.Helper()
		for range 200 * lookupSample { // one in all: none of them pays with a chance of 2^-290
			_, err := db.Get([]byte(key))
			must(t, err)
		}
		return db.reads.paid.Swap(0)
	}
	if n := lookups("key0000"); n != 0 {
		t.Errorf("look-ups with the usual tables cost %d bytes", n)
	}
	put(50, 100)
	must(t, db.Flush())
	if n := lookups("key0099"); n != 0 {
		t.Errorf("look-ups in the newest table cost %d bytes", n)
	}
	if n := lookups("key0000"); n == 0 {
		t.Error("look-ups in the oldest table cost nothing")
	}
	scan(&IterOptions{Start: []byte("l")})
	if n := db.reads.paid.Load(); n != 0 {
		t.Errorf("a scan of nothing cost %d bytes", n)
	}
	pays(usualTables, cost())
	if n := db.reads.paid.Load(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}

	for !db.worthFlushing(db.view.Load().mem) {
		put(50, 60)
	}
	before := db.reads.paid.Load()
	scan(&IterOptions{Limit: 1})
	if n := db.reads.paid.Load() - before; n <= usualTables*scanBytes || n >= (usualTables+1)*scanBytes {
		t.Errorf("a scan of %d tables and a part of a memtable has paid %d bytes", usualTables, n)
	}
	for all := cost() + db.view.Load().mem.Size(); db.reads.paid.Load() < all; scan(&IterOptions{Limit: 1}) {
		if db.readsHavePaid() || len(db.view.Load().frozen) > 0 {
			t.Fatalf("%d bytes of %d are enough", db.reads.paid.Load(), all)
		}
	}
	if db.readsHavePaid() {
		t.Error("the memtable is to be flushed first")
	}
	if n := len(db.view.Load().frozen); n != 1 || level0() != usualTables {
		t.Fatalf("%d frozen memtables, %d tables: want 1 and %d", n, level0(), usualTables)
	}
	must(t, db.flushFrozen())
	must(t, db.compactPicked())
	if level0() != 0 || len(db.view.Load().tables.levels[compaction.NumLevels-1]) == 0 {
		t.Errorf("%d tables are in level 0", level0())
	}
	n := 0
	for _, err := range db.Range(nil) {
		must(t, err)
		n++
	}
	if n != 100 {
		t.Errorf("%d keys, want 100", n)
	}
}

// On a full disk reads do not try for ever.
func TestReadsOnFullDisk(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	db := openTest(t, manualOptions(fault, newFakeClock(), SyncNever))
	for !db.worthFlushing(db.view.Load().mem) {
		must(t, db.Put([]byte("k"), make([]byte, 100)))
	}
	fault.SetRoom(0)
	db.reads.paid.Store(1 << 20)
	if db.readsHavePaid() || len(db.view.Load().frozen) != 0 {
		t.Error("the memtable was frozen")
	}
	if n := db.reads.paid.Load(); n != 0 {
		t.Errorf("%d bytes are left, to try again at once", n)
	}
	fault.SetRoom(1 << 30)
	db.reads.paid.Store(1 << 20)
	if db.readsHavePaid() || len(db.view.Load().frozen) != 1 {
		t.Error("the memtable was not frozen")
	}
}
