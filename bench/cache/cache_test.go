package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/bench/workload"
	"github.com/ebbdb/ebb/codec"
)

const (
	keys      = 1 << 20
	valueSize = 1000
	lifetime  = time.Hour // longer than any run: only the bound takes entries
)

// cache is what is compared: one call that answers a key, and loads it if it is absent.
type cache interface {
	get(key uint64) ([]byte, error)
}

// BenchmarkCache asks for keys of a zipfian trace (YCSB's, 0.99), 1 GB of entries in all. A miss loads the value, which costs
// nothing but making it. Before that is measured, as many operations as there are keys warm the cache up.
func BenchmarkCache(b *testing.B) {
	for _, capacity := range []int64{128 << 20, 256 << 20, 512 << 20} {
		for _, c := range []struct {
			name string
			open func(*testing.B, int64) cache
		}{
			{"otter", openOtter},
			{"ebb-fixed", func(b *testing.B, n int64) cache { return openEbb(b, n, false) }},
			{"ebb-sliding", func(b *testing.B, n int64) cache { return openEbb(b, n, true) }},
		} {
			b.Run(fmt.Sprintf("capacity=%dMiB/store=%s", capacity>>20, c.name), func(b *testing.B) {
				run(b, c.open(b, capacity))
			})
		}
	}
}

// loads counts the misses of a benchmark.
var loads atomic.Int64

func run(b *testing.B, c cache) {
	b.Helper()
	zipf := workload.NewScrambled()
	ask := func(r *workload.Rand) {
		key := zipf.Next(r, keys)
		value, err := c.get(key)
		if err != nil {
			b.Fatal(err)
		}
		if len(value) != valueSize || binary.LittleEndian.Uint64(value) != key {
			b.Fatalf("the value of key %d is another's", key)
		}
	}
	warm := workload.NewRand(1, "warm", 0)
	for range keys {
		ask(warm)
	}
	var threads atomic.Int64
	loads.Store(0)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		r := workload.NewRand(1, "measured", int(threads.Add(1)))
		for pb.Next() {
			ask(r)
		}
	})
	b.ReportMetric(100*(1-float64(loads.Load())/float64(b.N)), "hit%")
}

// load makes the value of a key.
func load(_ context.Context, key uint64) ([]byte, error) {
	loads.Add(1)
	value := make([]byte, valueSize)
	for i := 0; i < valueSize; i += 8 {
		binary.LittleEndian.PutUint64(value[i:], key)
	}
	return value, nil
}

type otterCache struct{ c *otter.Cache[uint64, []byte] }

func openOtter(b *testing.B, capacity int64) cache {
	b.Helper()
	c, err := otter.New(&otter.Options[uint64, []byte]{
		MaximumWeight:    uint64(capacity),
		Weigher:          func(uint64, []byte) uint32 { return 8 + valueSize },
		ExpiryCalculator: otter.ExpiryWriting[uint64, []byte](lifetime),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.StopAllGoroutines() })
	return otterCache{c}
}

func (o otterCache) get(key uint64) ([]byte, error) {
	return o.c.Get(context.Background(), key, otter.LoaderFunc[uint64, []byte](load))
}

// ebbCache is a database of at most as many bytes on the disk as otter has in memory, its log, indexes and what waits for
// compaction among them.
type ebbCache struct {
	values  *ebb.Typed[uint64, []byte]
	sliding bool
}

func openEbb(b *testing.B, capacity int64, sliding bool) cache {
	b.Helper()
	db, err := ebb.Open(b.TempDir(), &ebb.Options{MaxDisk: capacity, Memory: 64 << 20, Sync: ebb.SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return ebbCache{ebb.NewTyped(db, nil, codec.Uint64(), codec.Bytes()), sliding}
}

// recent is how old a deadline has to be to be moved: a cache whose hits all write is none.
const recent = 5 * time.Second

// get of a sliding life gives what it finds a new deadline, unless it has had one just before: what is asked for is evicted last.
func (e ebbCache) get(key uint64) ([]byte, error) {
	if e.sliding {
		switch entry, err := e.values.GetEntry(key); {
		case err == ebb.ErrNotFound:
		case err != nil:
			return nil, err
		case time.Until(time.UnixMilli(entry.Deadline)) > lifetime-recent:
			return entry.Value, nil
		default:
			if value, err := e.values.GetTouch(key, lifetime, ebb.NoSync); err != ebb.ErrNotFound {
				return value, err
			}
		}
	}
	return e.values.GetOrLoad(context.Background(), key, lifetime, load)
}
