package ebb

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

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
		tables := s.view.Version
		write("new")
		db.health.workers.Wait() // only the snapshot holds the old tables

		reader, _ := db.live.Enter(7) // as Snapshot.Get does, before it looks whether the snapshot is closed
		closed := false
		go func() {
			s.Close()
			closed = true
		}()
		synctest.Wait()
		if closed || tables.Pins() == 0 {
			t.Error("the tables are closed under a reader")
		}
		db.live.Exit(reader)
		time.Sleep(time.Second) // of the bubble's time
		synctest.Wait()
		if !closed || tables.Pins() != 0 {
			t.Error("the tables are open though nobody reads them")
		}
		must(t, db.Close())
	})
}
