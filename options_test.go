package ebb

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Any number is a setting: what is too small or too large is taken for the next that can be.
func TestOptionsAtTheirLimits(t *testing.T) {
	for _, n := range []int64{math.MinInt64, -1, 0, 1, 1 << 31, 1<<32 - 1, 1 << 40, math.MaxInt64 - 1, math.MaxInt64} {
		for _, c := range []struct {
			name string
			o    Options
		}{
			{"Memory", Options{Memory: n}},
			{"Memory with ExpiryEvents", Options{Memory: n, ExpiryEvents: true}},
			{"RetainLog", Options{RetainLog: n}},
			{"SyncEvery", Options{SyncEvery: time.Duration(n), Sync: SyncInterval}},
			{"WriterIdle", Options{WriterIdle: time.Duration(n)}},
		} {
			t.Run(fmt.Sprint(c.name, " ", n), func(t *testing.T) {
				c.o.fs = vfstest.NewMem()
				for range 2 {
					db, err := Open("db", &c.o)
					must(t, err)
					must(t, applyAs(db, 1, 0, "a", "1"))
					must(t, db.Flush())
					must(t, db.Put([]byte("b"), []byte("2"), TTL(time.Hour)))
					must(t, db.Compact(t.Context()))
					content{db}.has(t, "a", "1")
					content{db}.has(t, "b", "2")
					db.Stats()
					must(t, db.Close())
				}
			})
		}
	}
	if o := (&Options{Memory: math.MaxInt64}).withDefaults(); o.memtableSize > maxMemtable || o.Memory > maxMemory {
		t.Errorf("a memtable of %d bytes of %d", o.memtableSize, o.Memory)
	}
}
