// Command cache keeps what is slow to get, for a while and across restarts. Many keys are looked up at once, and only those that
// are missing are loaded.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Cache is a cache of values that load returns.
type Cache[V any] struct {
	entries *ebb.Typed[string, V]
	life    time.Duration
	load    func(keys []string) ([]V, error) // the values of keys, in their order
}

// New returns the cache of a name in a database. What is in it is used for so long after it was loaded.
func New[V any](db *ebb.DB, name string, life time.Duration, load func(keys []string) ([]V, error)) *Cache[V] {
	return &Cache[V]{ebb.NewTyped(db, []byte("cache/"+name+"/"), codec.String(), codec.JSON[V]()), life, load}
}

// Get returns the values of keys, in their order.
func (c *Cache[V]) Get(keys ...string) ([]V, error) {
	values, present, err := c.entries.GetMany(keys...)
	if err != nil {
		return nil, err
	}
	var missing []string
	for i, ok := range present {
		if !ok {
			missing = append(missing, keys[i])
		}
	}
	if len(missing) == 0 {
		return values, nil
	}
	loaded, err := c.load(missing)
	if err != nil {
		return nil, err
	}
	for i := range values {
		if present[i] {
			continue
		}
		values[i], loaded = loaded[0], loaded[1:]
		// It could be loaded again, so nobody waits for the disk.
		if err := c.entries.Put(keys[i], values[i], ebb.TTL(c.life), ebb.NoSync); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Forget drops a key: what it stands for has changed.
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
	slow := func(cities []string) ([]float64, error) {
		time.Sleep(100 * time.Millisecond)
		fmt.Println("  loaded", cities)
		degrees := make([]float64, len(cities))
		for i, c := range cities {
			degrees[i] = 10 + float64(len(c))
		}
		return degrees, nil
	}
	for _, cities := range [][]string{{"Oslo", "Rome"}, {"Oslo", "Rome", "Lima"}} { // the second after a restart
		db, err := ebb.Open(dir, nil)
		if err != nil {
			return err
		}
		began := time.Now()
		degrees, err := New(db, "weather", time.Hour, slow).Get(cities...)
		fmt.Println(cities, degrees, time.Since(began).Round(time.Millisecond))
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}
