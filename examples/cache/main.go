// Command cache keeps what is slow to get, for a while and across restarts. Those who ask for a key at a time wait for one load,
// a value that grows old is loaded anew before it is gone, and that there is none is remembered, too.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Cache is a cache of values that load returns. Its methods may be called from any goroutine.
type Cache[V any] struct {
	entries *ebb.Typed[string, V]
	life    time.Duration
	load    func(ctx context.Context, key string) (V, error) // an error that is ebb.ErrNotFound says that there is none
}

// New returns the cache of a name in a database. What is in it is used for so long after it was loaded.
func New[V any](db *ebb.DB, name string, life time.Duration, load func(ctx context.Context, key string) (V, error)) *Cache[V] {
	return &Cache[V]{ebb.NewTyped(db, []byte("cache/"+name+"/"), codec.String(), codec.JSON[V]()), life, load}
}

// Get returns the value of a key.
func (c *Cache[V]) Get(ctx context.Context, key string) (V, error) {
	return c.entries.GetOrLoad(ctx, key, c.life, c.load,
		ebb.LoadJitter(0.1),          // what was loaded together is not loaded anew together
		ebb.LoadStale(c.life/4),      // nobody waits for what is asked for often
		ebb.LoadNegative(c.life/100)) // whoever asks for what does not exist does not bring the source down
}

// Forget drops a key: what it stands for has changed, or exists by now.
func (c *Cache[V]) Forget(key string) error { return c.entries.Delete(key) }

// Clear drops all keys.
func (c *Cache[V]) Clear() error { return c.entries.DeleteRange(nil) }

func main() {
	dir, err := os.MkdirTemp("", "ebb-cache-")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(run(dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	slow := func(_ context.Context, city string) (float64, error) {
		time.Sleep(100 * time.Millisecond)
		fmt.Println("  loaded", city)
		if city == "Atlantis" {
			return 0, fmt.Errorf("%s: %w", city, ebb.ErrNotFound)
		}
		return 10 + float64(len(city)), nil
	}
	for _, cities := range [][]string{{"Oslo", "Oslo", "Rome"}, {"Oslo", "Rome", "Atlantis"}} { // the second after a restart
		db, err := ebb.Open(dir, nil)
		if err != nil {
			return err
		}
		weather := New(db, "weather", time.Hour, slow)
		began := time.Now()
		var all sync.WaitGroup
		for _, city := range cities {
			all.Go(func() {
				degrees, err := weather.Get(context.Background(), city)
				fmt.Println(city, degrees, err)
			})
		}
		all.Wait()
		fmt.Println("in", time.Since(began).Round(time.Millisecond))
		if err := db.Close(); err != nil {
			return err
		}
	}
	return nil
}
