package ebb

import (
	"bytes"
	"context"
	"errors"
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

// A load in random order writes each byte few times, and what overwrites it does not take much more space, whatever runs there are
// between level 0 and the last level; reads find what was written, newest over older.
func TestLoadInRandomOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and much of it")
	}
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.tableSize, o.segmentSize = 64<<10, 128<<10, 1<<20
	db := openTest(t, o)
	const keys = 100_000
	key := func(i int) []byte { return fmt.Appendf(nil, "user%010d", uint32(i)*2654435761) }
	round, runs := 0, 0
	pass := func(n int, do func(i int) error) (perByte float64) {
		t.Helper()
		before := db.Stats()
		for i := range n {
			must(t, do(i*7919%keys))
			keepUp(t, db)
			runs = max(runs, db.live.View().Version.Levels.Runs())
		}
		s := db.Stats()
		return float64(s.CompactedBytes-before.CompactedBytes) / float64(s.FlushedBytes-before.FlushedBytes)
	}
	put := func(i int) error { return db.Put(key(i), fmt.Appendf(nil, "%020d%060d", i, round)) }
	check := func(deleted int) {
		t.Helper()
		for i := range keys {
			value, err := db.Get(key(i))
			switch want := fmt.Appendf(nil, "%020d%060d", i, round); {
			case i%10 < deleted && !errors.Is(err, ErrNotFound), i%10 >= deleted && string(value) != string(want):
				t.Fatalf("key %d is %q, %v", i, value, err)
			}
		}
		n, last := 0, []byte(nil)
		for e, err := range db.Range(nil) {
			must(t, err)
			if n++; bytes.Compare(e.Key, last) <= 0 {
				t.Fatalf("%q after %q", e.Key, last)
			}
			last = append(last[:0], e.Key...)
		}
		if n != keys*(10-deleted)/10 {
			t.Errorf("%d keys, want %d", n, keys*(10-deleted)/10)
		}
	}

	if n := pass(keys, put); n > 2 || runs < 2 {
		t.Errorf("compactions wrote %.2f bytes for each that was flushed, with %d runs at most", n, runs)
	}
	check(0)
	loaded := db.Stats().TableBytes
	for round = range 4 {
		n := pass(keys, put)
		if s := db.Stats(); s.TableBytes > loaded*9/4 {
			t.Errorf("overwritten %d times: %d bytes, %d after the load", round+1, s.TableBytes, loaded)
		}
		t.Logf("overwriting: %.2f bytes, %.2f of the space", n, float64(db.Stats().TableBytes)/float64(loaded))
	}
	check(0)
	pass(keys, func(i int) error {
		if i%10 < 3 {
			return db.Delete(key(i))
		}
		return nil
	})
	check(3)
	must(t, db.Verify(t.Context()))
	must(t, db.Compact(t.Context()))
	check(3)
}
