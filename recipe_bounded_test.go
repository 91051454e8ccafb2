package ebb_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

// A cache that never takes more than it may: what was not used for the longest goes when room is needed.
func Example_boundedCache() {
	clock := newTestClock(noon)
	db, err := ebb.OpenMemory(&ebb.Options{MaxDisk: 8 << 20, Clock: clock.Now}) // Open bounds a directory the same way
	must(err)
	defer db.Close()

	const idle = 24 * time.Hour // a deadline that each use puts off: so the least recently used have the earliest
	get := func(key string) ([]byte, error) {
		value, err := db.GetTouch([]byte(key), idle)
		if errors.Is(err, ebb.ErrNotFound) {
			value = make([]byte, 2000) // as it would be got from elsewhere
			err = db.Put([]byte(key), value, ebb.TTL(idle))
		}
		return value, err
	}
	for i := range 20_000 { // five times what fits
		_, err := get(fmt.Sprint("page ", i))
		must(err)
		if i%100 == 0 {
			_, err := get("in use")
			must(err)
		}
		clock.Advance(time.Second)
	}
	for _, key := range []string{"in use", "page 0", "page 19999"} {
		has, err := db.Has([]byte(key))
		fmt.Println(key, has, err)
	}
	s := db.Stats()
	fmt.Println(s.DirectoryBytes <= s.MaxDisk, s.Evictions > 0)
	// Output:
	// in use true <nil>
	// page 0 false <nil>
	// page 19999 true <nil>
	// true true
}
