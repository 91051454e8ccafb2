package compaction

import (
	"fmt"
	"testing"
)

// After an idle database has settled, it takes little more than what is visible in it, whatever was done to it before.
func TestSpace(t *testing.T) {
	const keys, perFlush = 4000, 250
	key := func(i int) string { return fmt.Sprintf("key%06d", i*7919%keys) } // in no order
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s *store, i int)
		limit  float64 // of the size of the tables, as a multiple of what is left when all is compacted
	}{
		{"nothing", func(*testing.T, *store, int) {}, 1.5},
		{"all overwritten", func(t *testing.T, s *store, i int) { s.put(t, key(i), 0) }, 1.5},
		{"all overwritten, to expire later", func(t *testing.T, s *store, i int) { s.put(t, key(i), s.now+1_000_000) }, 1.5},
		{"half deleted", func(t *testing.T, s *store, i int) {
			if i%2 == 0 {
				s.delete(t, key(i))
			}
		}, 2},
		{"all deleted by a range", func(t *testing.T, s *store, i int) {
			if i == 0 {
				s.deleteRange("k", "l")
			}
		}, 1},
		{"half deleted by a range", func(t *testing.T, s *store, i int) {
			if i == 0 {
				s.deleteRange("key001000", "key003000")
			}
		}, 1.3},
		{"all deleted by ranges", func(t *testing.T, s *store, i int) {
			s.deleteRange(key(i), key(i)+"\x00")
		}, 1},
		{"all deleted", func(t *testing.T, s *store, i int) { s.delete(t, key(i)) }, 1},
		{"all expired", func(t *testing.T, s *store, i int) { s.put(t, key(i), s.now+1) }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 20_000)
			config := Config{Base: 40_000}
			work := func() {
				for steps := 0; ; steps++ {
					p := Pick(&s.levels, s.now, config)
					if p == nil {
						return
					}
					if steps > 1000 {
						t.Fatal("picking does not end")
					}
					s.commit(t, p)
				}
			}
			load := func(write func(i int)) {
				for i := range keys {
					write(i)
					if i%perFlush == perFlush-1 {
						s.flush(t)
						work()
					}
				}
			}
			load(func(i int) { s.put(t, key(i), 0) })
			load(func(i int) { c.change(t, s, i) })
			s.now += 10
			config.Settle = true
			work()
			s.check(t)
			settled := s.levels.Total()
			s.settle(t)
			if least := s.levels.Total(); float64(settled) > c.limit*float64(least) {
				t.Errorf("settled at %d bytes, %d are needed", settled, least)
			}
		})
	}
}
