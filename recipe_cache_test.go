package ebb_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// cache keeps what is slow to get for a while, across restarts. What several ask for at a time is loaded once.
type cache[V any] struct {
	entries *ebb.Typed[string, V]
	life    time.Duration
	load    func(key string) (V, error)

	mu      sync.Mutex
	loading map[string]func() (V, error)
}

func newCache[V any](db *ebb.DB, name string, life time.Duration, load func(string) (V, error)) *cache[V] {
	entries := ebb.NewTyped(db, []byte("cache/"+name+"/"), codec.String(), codec.JSON[V]())
	return &cache[V]{entries: entries, life: life, load: load, loading: map[string]func() (V, error){}}
}

func (c *cache[V]) get(key string) (V, error) {
	v, err := c.entries.Get(key)
	if !errors.Is(err, ebb.ErrNotFound) {
		return v, err
	}
	c.mu.Lock()
	fill, ok := c.loading[key]
	if !ok {
		fill = sync.OnceValues(func() (V, error) { return c.fill(key) })
		c.loading[key] = fill
	}
	c.mu.Unlock()
	return fill()
}

// fill loads an entry, unless that was done between the look and the lock of get.
func (c *cache[V]) fill(key string) (V, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.loading, key)
	}()
	v, err := c.entries.Get(key)
	if !errors.Is(err, ebb.ErrNotFound) {
		return v, err
	}
	if v, err = c.load(key); err != nil {
		return v, err
	}
	return v, c.entries.Put(key, v, ebb.TTL(c.life), ebb.NoSync) // it could be loaded again: no need to wait for the disk
}

// A cache that a restart does not empty, and that a crowd does not break through.
func Example_cache() {
	clock := newTestClock(noon)
	dir, err := os.MkdirTemp("", "ebb")
	must(err)
	defer os.RemoveAll(dir)

	var loads atomic.Int64
	slow := func(city string) (float64, error) {
		loads.Add(1)
		return 21.5, nil
	}
	for range 2 { // the second time after a restart
		db, err := ebb.Open(dir, &ebb.Options{Clock: clock.Now})
		must(err)
		weather := newCache(db, "weather", time.Hour, slow)
		var crowd sync.WaitGroup
		for range 20 {
			crowd.Go(func() {
				_, err := weather.get("Oslo")
				must(err)
			})
		}
		crowd.Wait()
		fmt.Println("loads:", loads.Load())
		clock.Advance(40 * time.Minute)
		degrees, err := weather.get("Oslo")
		fmt.Println(degrees, err, "loads:", loads.Load())
		must(db.Close())
	}
	// Output:
	// loads: 1
	// 21.5 <nil> loads: 1
	// loads: 1
	// 21.5 <nil> loads: 2
}
