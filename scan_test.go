package ebb

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A walk over many expired entries between few live ones, which comes over more blocks than the sources keep copies of, shows
// the live ones, in both directions and back and forth, and keeps few copies.
func TestScanOverManyBlocks(t *testing.T) {
	clock := newFakeClock()
	o := manualOptions(vfstest.NewMem(), clock, SyncNever)
	o.memtableSize, o.tableSize, o.segmentSize = 8<<20, 0, 0
	db := openTest(t, o)
	const keys = 3000 // in some 600 blocks
	var live []string
	for i := range keys {
		key := fmt.Sprintf("key%05d", i)
		if i%6 == 3 && i/1000 != 1 {
			live = append(live, key)
			must(t, db.Put([]byte(key), []byte(key)))
		} else {
			must(t, db.Put([]byte(key), make([]byte, 900), TTL(time.Minute)))
		}
	}
	must(t, db.Flush())
	clock.add(time.Hour)
	open := func() *DB { return openTest(t, o) }
	for _, walk := range []string{"forward", "backward", "back and forth", "forward again"} {
		t.Run(walk, func(t *testing.T) {
			if walk != "forward again" { // without gaps that an earlier walk has found
				must(t, db.Close())
				db = open()
			}
			it, err := db.NewIterator(nil)
			must(t, err)
			defer it.Close()
			it.c.first = 8 // more than one block at once
			var got []string
			next, ok := it.Next, false
			if walk == "backward" {
				next, ok = it.Prev, it.Last()
			} else {
				ok = it.First()
			}
			for n := 0; ok; n++ {
				if got = append(got, string(it.Key())); string(it.Value()) != string(it.Key()) {
					t.Fatalf("%q = %q", it.Key(), it.Value())
				}
				const ofRun = 9
				if n := it.c.sources.Copies(); n > maxCopies+ofRun {
					t.Fatalf("%d copies of blocks are kept", n)
				}
				if walk == "back and forth" && n%3 == 2 && it.Prev() && !it.Next() {
					t.Fatalf("there is nothing behind %q any more", it.Key())
				}
				ok = next()
			}
			must(t, it.Err())
			if walk == "backward" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, live) {
				t.Errorf("found %d: %q, want %d: %q", len(got), got, len(live), live)
			}
		})
	}
}
