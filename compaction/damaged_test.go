package compaction

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is damaged, wherever it is, picking comes to an end, keeps the order of the levels, rewrites nothing that is
// damaged, and keeps level 0 from filling up.
func TestPickingAroundDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulation{now: 1000, rows: map[*Table]map[int]uint64{}}
		config := Config{Base: rapid.Int64Range(1, 2000).Draw(t, "base"), Damaged: map[*Table]bool{}}
		often := rapid.IntRange(2, 30).Draw(t, "damage one in")
		for range rapid.IntRange(1, 150).Draw(t, "flushes") {
			s.flush(t)
			if rapid.IntRange(0, often).Draw(t, "damage") == 0 {
				level := rapid.IntRange(0, bottom).Draw(t, "level")
				if n := len(s.levels[level]); n > 0 {
					config.Damaged[s.levels[level][rapid.IntRange(0, n-1).Draw(t, "table")]] = true
				}
			}
			config.Settle, config.Paid = rapid.Bool().Draw(t, "settle"), false
			s.run(t, Pick, config)
			held := 0
			for _, table := range s.levels[0] {
				if config.Damaged[table] {
					held++
				}
			}
			if n := len(s.levels[0]); n >= level0Most+level0Settled*held {
				t.Fatalf("%d tables in level 0, of which %d are damaged", n, held)
			}
		}
		s.run(t, PickAll, config)
		config.Damaged = nil // as if they had been restored
		s.run(t, PickAll, config)
		for level := range bottom {
			if len(s.levels[level]) > 0 {
				t.Errorf("level %d holds tables after compacting all", level)
			}
		}
	})
}
