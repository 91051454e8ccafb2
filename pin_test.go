package ebb

import (
	"context"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// An iterator keeps what it reads from, whatever becomes of the snapshot it was made from and of the tables.
func TestIteratorOutlivesSnapshotAndTables(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	const keys = 50
	write := func(round int) {
		for i := range keys {
			must(t, db.Put(fmt.Appendf(nil, "key%03d", i), fmt.Appendf(nil, "%d of round %d", i, round)))
		}
		must(t, db.Compact(context.Background()))
	}
	write(1)
	s, err := db.Snapshot()
	must(t, err)
	it, err := s.NewIterator(nil)
	must(t, err)
	defer it.Close()
	s.Close()
	write(2)
	db.health.workers.Wait() // the tables of the first round are closed by now, if nobody has them pinned
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if want := fmt.Sprintf("%d of round 1", n); string(it.Value()) != want {
			t.Errorf("%s is %q, want %q", it.Key(), it.Value(), want)
		}
		n++
	}
	if it.Err() != nil || n != keys {
		t.Errorf("%d entries: %v", n, it.Err())
	}
	it.Close()
	db.health.workers.Wait()
	if r := db.live.Replaced(); r.Tables != 0 || r.Pins != 0 {
		t.Errorf("held back: %+v", r)
	}
}
