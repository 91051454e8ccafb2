package compaction

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is flushed above a last level that is large against it, and whether the database is bounded or a table damaged for a
// time, picking comes to an end, keeps the order of the levels, and leaves no more runs than it says.
func TestPickingRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulation{now: 1000, rows: map[*Table]map[int]uint64{}}
		base := rapid.Int64Range(1, 12).Draw(t, "base")
		over := rapid.SampledFrom([]float64{0, 0.1, 0.25, 1}).Draw(t, "overwritten")
		for range rapid.IntRange(1, 6).Draw(t, "at first") {
			s.flush(t)
		}
		s.run(t, PickAll, Config{Base: base})
		for range rapid.IntRange(1, 60).Draw(t, "flushes") {
			s.flush(t)
			config := Config{Base: base, Overwritten: over}
			switch rapid.IntRange(0, 19).Draw(t, "then") {
			case 0, 1, 2, 3, 4:
				continue
			case 5:
				config.Bound = &Bound{Room: 1 << 30, Target: 10, Table: 1 << 28}
			case 6:
				if n := len(s.levels.all()); n > 0 {
					config.Damaged = map[*Table]bool{s.levels.all()[rapid.IntRange(0, n-1).Draw(t, "damaged")]: true}
				}
			case 7:
				config.Paid = true
			case 8:
				config.Settle = true
			case 9:
				s.now += 100
			}
			s.run(t, Pick, config)
			if n := s.levels.Runs(); n > runsMost && config.Bound == nil && config.Damaged == nil {
				t.Fatalf("%d runs", n)
			}
		}
		s.run(t, Pick, Config{Base: base, Settle: true})
	})
}
