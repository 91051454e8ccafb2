package ebb

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A view that was replaced between the look at it and the look at how far reads see is not pinned: what was written since is
// in another memtable.
func TestPinViewLooksTwice(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("a"), []byte("1")))
	v := db.view.Load()
	if seq, ok := db.wholeAt(v); !ok || seq != db.visible.Load() {
		t.Fatalf("a view that is up to date: %d, %t", seq, ok)
	}
	must(t, db.Flush()) // between the two: v lacks what follows
	must(t, db.Put([]byte("a"), []byte("2")))
	if seq, ok := db.wholeAt(v); ok {
		t.Errorf("a view that ends before %d is pinned as of it", seq)
	}
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	if got, err := s.Get([]byte("a")); string(got) != "2" || err != nil {
		t.Errorf("a snapshot shows %q, %v", got, err)
	}
}

// Close of a snapshot whose tables have been replaced waits for those who read it: its tables stay mapped under them.
func TestSnapshotCloseWaitsForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		write := func(value string) {
			for i := range 50 {
				must(t, db.Put(fmt.Appendf(nil, "key%03d", i), []byte(value)))
			}
			must(t, db.Compact(t.Context()))
		}
		write("old")
		s, err := db.Snapshot()
		must(t, err)
		tables := s.view.tables
		write("new")
		db.health.workers.Wait() // only the snapshot holds the old tables

		reader := db.epoch.Enter(7) // as Snapshot.Get does, before it looks whether the snapshot is closed
		closed := false
		go func() {
			s.Close()
			closed = true
		}()
		synctest.Wait()
		if closed || tables.refs.Load() == 0 {
			t.Error("the tables are closed under a reader")
		}
		db.epoch.Exit(reader)
		time.Sleep(time.Second) // of the bubble's time
		synctest.Wait()
		if !closed || tables.refs.Load() != 0 {
			t.Error("the tables are open though nobody reads them")
		}
		must(t, db.Close())
	})
}
