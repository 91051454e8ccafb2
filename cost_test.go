package ebb

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// What an operation costs must not grow with how many there are of things that it has nothing to do with. Bytes allocated and
// tables asked are counted, at n and at four times n; time is not.

// bytesOf returns the bytes that one of some calls allocates, on average, in the round that allocates least: memory that grows
// for many calls at once is not what is looked for.
func bytesOf(calls int, do func(i int)) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	least := ^uint64(0)
	for round := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range calls {
			do(round*calls + i)
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/uint64(calls))
	}
	return least
}

// costs are the bytes of operations, by name.
type costs map[string]uint64

// grown fails the test where many costs more than few by half, and by more than a few objects.
func (few costs) grown(t *testing.T, many costs, n int) {
	t.Helper()
	t.Logf("beside %d: %v; beside %d: %v", n, few, 4*n, many)
	for name, bytes := range many {
		if bytes > few[name]*3/2+256 {
			t.Errorf("%s takes %d bytes beside %d, and %d beside %d", name, few[name], n, bytes, 4*n)
		}
	}
}

func TestCostBesideSnapshots(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	measure := func(n int) costs {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		var open []*Snapshot
		for i := range n { // each of another view
			must(t, db.Put(fmt.Appendf(nil, "k%06d", i), []byte("v")))
			s, err := db.Snapshot()
			must(t, err)
			open = append(open, s)
			if i%8 == 0 {
				must(t, db.Flush())
			}
		}
		c := costs{
			"Get": bytesOf(100, func(i int) { must(t, second(db.Get([]byte("k000000")))) }),
			"Put": bytesOf(100, func(i int) { must(t, db.Put([]byte("other"), []byte("v"))) }),
			"Snapshot": bytesOf(100, func(i int) {
				s, err := db.Snapshot()
				must(t, err)
				s.Close()
			}),
			"scan": bytesOf(100, func(i int) {
				for _, err := range db.Range(&IterOptions{Limit: 10}) {
					must(t, err)
				}
			}),
		}
		for _, s := range open {
			s.Close()
		}
		return c
	}
	measure(50).grown(t, measure(200), 50)
}

// TestCostBesideWriters counts the idle writers that one use of another looks at and forgets: never all of them.
func TestCostBesideWriters(t *testing.T) {
	for _, n := range []int{1000, 4000} {
		w := writers{idle: 10}
		for i := range n {
			w.set(int64(i), writerState{used: 0})
		}
		const now = 100
		w.set(int64(n), writerState{used: now})
		if got := len(w.index); got != n-1 {
			t.Errorf("of %d idle writers %d are left after one use", n, got-1)
		}
		if got := len(w.list(now)); got != 1 {
			t.Errorf("%d writers count as known", got)
		}
	}
}

// TestCostBesideTables counts the tables in which a look-up has to look: one a level, whatever a level has.
func TestCostBesideTables(t *testing.T) {
	asked := func(n int) (most, tables int) {
		o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
		o.tableSize = 4 << 10
		db := openTest(t, o)
		for i := range n {
			must(t, db.Put(fmt.Appendf(nil, "k%06d", i), make([]byte, 100)))
		}
		must(t, db.Compact(context.Background()))
		levels := &db.live.View().Version.Levels
		for i := range n {
			key := fmt.Appendf(nil, "k%06d", i)
			must(t, second(db.Get(key)))
			found := 0
			for level := range levels {
				for _, table := range levels[level] {
					if table.Covers(key) {
						found++
					}
				}
			}
			most = max(most, found)
		}
		for level := range compaction.NumLevels {
			tables += len(levels[level])
		}
		return most, tables
	}
	few, tables := asked(500)
	many, fourfold := asked(2000)
	if fourfold < 3*tables {
		t.Fatalf("%d tables, and then %d", tables, fourfold)
	}
	if few != 1 || many != 1 {
		t.Errorf("a look-up asks %d of %d tables, and %d of %d", few, tables, many, fourfold)
	}
}

// TestCostBesideDeletedRanges counts what looking for the first of some keys costs beside the ranges that the transaction has
// deleted elsewhere.
func TestCostBesideDeletedRanges(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	measure := func(n int) (c costs) {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		must(t, db.Put([]byte("z"), []byte("v")))
		must(t, db.Update(func(tx *Txn) error {
			for i := range n {
				must(t, tx.DeletePrefix(fmt.Appendf(nil, "k%06d/", i)))
			}
			c = costs{"First": bytesOf(100, func(int) { must(t, second(tx.First(&IterOptions{Prefix: []byte("z")}))) })}
			return nil
		}))
		return c
	}
	measure(100).grown(t, measure(400), 100)
}
