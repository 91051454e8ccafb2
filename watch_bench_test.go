package ebb

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkPutWatched puts by turns into a database without a watcher and into one with a watcher of all keys that keeps
// up, a round each. Its time is that of both; cost is the median of what a round takes with the watcher to what it takes
// without.
func BenchmarkPutWatched(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy SyncPolicy
		puts   int // a round
	}{{"synced", SyncAlways, 100}, {"unsynced", SyncInterval, 20_000}} {
		b.Run(c.name, func(b *testing.B) {
			var dbs [2]*DB
			for i, name := range []string{"alone", "watched"} {
				db, err := Open(filepath.Join(b.TempDir(), name), &Options{Sync: c.policy, RetainLog: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				dbs[i] = db
			}
			seen := make(chan uint64)
			go func() {
				last := uint64(0)
				for c, err := range dbs[1].Watch(context.Background(), nil) {
					if err == nil {
						last = c.Seq
					}
					if len(c.Value) == 0 {
						break
					}
				}
				seen <- last
			}()
			var cost []float64
			value, key, n := benchValue(), make([]byte, 0, 24), uint64(0)
			for b.Loop() {
				var took [2]time.Duration
				for turn := range dbs {
					i := (turn + len(cost)) % len(dbs)
					start := time.Now()
					for range c.puts {
						n++
						if err := dbs[i].Put(benchKey(key, n), value); err != nil {
							b.Fatal(err)
						}
					}
					took[i] = time.Since(start)
				}
				cost = append(cost, float64(took[1])/float64(took[0]))
			}
			if err := dbs[1].Put([]byte("end"), nil, Sync); err != nil {
				b.Fatal(err)
			}
			if last, want := <-seen, dbs[1].log.NextSeq()-1; last != want {
				b.Errorf("the watcher has seen changes up to %d of %d", last, want)
			}
			slices.Sort(cost)
			b.ReportMetric(cost[len(cost)/2], "cost")
		})
	}
}
