package ebb

import (
	"runtime"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A large value is copied once on its way to a table, by the memtable.
func TestLargeValuesAreCopiedOnce(t *testing.T) {
	const size, n = 24 << 20, 4
	db, err := Open(t.TempDir(), &Options{Sync: SyncNever, Memory: 8 << 20})
	must(t, err)
	defer db.Close()
	value := make([]byte, size)
	put := func() {
		for i := range n {
			value[0] = byte(i)
			must(t, db.Put([]byte{byte(i)}, value))
		}
		must(t, db.Flush())
	}
	put()
	before := allocated()
	put()
	if each := (allocated() - before) / n; each > size*5/4 {
		t.Errorf("%d bytes are allocated for a value of %d", each, size)
	} else {
		t.Logf("%d bytes are allocated for a value of %d", each, size)
	}
}

// Memtables that a snapshot, an iterator or a transaction holds are counted for as long as they are held, and no longer.
func TestReplacedMemtables(t *testing.T) {
	for _, c := range []struct {
		name string
		hold func(*DB) (release func())
	}{
		{"snapshot", func(db *DB) func() {
			s, err := db.Snapshot()
			must(t, err)
			return s.Close
		}},
		{"iterator", func(db *DB) func() {
			it, err := db.NewIterator(nil)
			must(t, err)
			return it.Close
		}},
		{"transaction", func(db *DB) func() {
			s, err := db.begin(true)
			must(t, err)
			tx := Txn{s}
			return tx.end
		}},
		{"nobody", func(*DB) func() { return func() {} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
			o.memtableSize = 1 << 20
			db := openTest(t, o)
			var release []func()
			var held int64
			for i := range 3 {
				must(t, db.Put([]byte{byte(i)}, make([]byte, 100<<10)))
				release = append(release, c.hold(db))
				held += db.Stats().ActiveBytes
				must(t, db.Flush())
			}
			if c.name == "nobody" {
				held = 0
			}
			runtime.GC()
			if s := db.Stats(); s.ReplacedMemtableBytes != held || s.ReplacedMemtables != int(min(held, 3)) {
				t.Errorf("%d memtables of %d bytes are held, want %d bytes", s.ReplacedMemtables, s.ReplacedMemtableBytes, held)
			}
			for _, f := range release {
				f()
			}
			for range 3 { // what is in a pool goes with the second
				runtime.GC()
			}
			if s := db.Stats(); s.ReplacedMemtableBytes != 0 || s.ReplacedMemtables != 0 {
				t.Errorf("%d memtables of %d bytes are left", s.ReplacedMemtables, s.ReplacedMemtableBytes)
			}
		})
	}
}

// What grows beside memtables and caches is in the figures.
func TestStatsOfMemory(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.ExpiryEvents, o.expiryMemory = true, 1<<20
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	o.OnEvent = func(Event) { entered <- struct{}{}; <-gate }
	db := openTest(t, o)
	must(t, db.reporter.catchUp())
	for i := range int64(10) {
		must(t, applyAs(db, i, 0, "k", "v"))
		must(t, db.Put([]byte{byte(i), 'k'}, nil, TTL(time.Hour)))
	}
	<-entered // Recovered, and the others wait behind it
	for range 5 {
		db.events.backgroundError("test", ErrNotFound, 0)
	}
	s := db.Stats()
	if s.Writers != 10 || s.UpcomingBytes != 10*122 || s.QueuedEvents != 5 {
		t.Errorf("%d writers, %d bytes of what expires next, %d events", s.Writers, s.UpcomingBytes, s.QueuedEvents)
	}
	close(gate)
}
