package compaction

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/table"
)

// Whatever is flushed, picking in a bounded database comes to an end, keeps the order of the levels, and writes no more than
// there is room for. With all the room it frees what it frees without a bound.
func TestBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulation{now: 1000, rows: map[*Table]map[int]uint64{}}
		config := Config{Base: rapid.Int64Range(1, 2000).Draw(t, "base")}
		room := rapid.Int64Range(1, 40).Draw(t, "tables") * (TableCost + 50)
		bounded := func(pick func(*Levels, int64, Config) *Plan) func(*Levels, int64, Config) *Plan {
			return func(l *Levels, now int64, c Config) *Plan {
				c.Bound = &Bound{Room: room, Target: 10, Table: room / 4, Tight: rapid.Bool().Draw(t, "tight"), Full: c.Settle}
				c.Settle = false
				plan := pick(l, now, c)
				if plan != nil && plan.Action == Rewrite && plan.Need(c.Bound) > room {
					t.Fatalf("%s: %d bytes, there is room for %d", plan.Reason, plan.Need(c.Bound), room)
				}
				return plan
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "flushes") {
			s.flush(t)
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0:
				s.run(t, bounded(Pick), config)
			case 1:
				s.run(t, bounded(PickFree), config)
			case 2:
				s.run(t, bounded(PickFree), Config{Base: config.Base, Settle: true})
			}
		}
		room = 1 << 30
		s.run(t, bounded(PickFree), Config{Base: config.Base, Settle: true})
		for level := range bottom {
			if len(s.levels[level]) > 0 {
				t.Errorf("level %d holds tables where there is all the room", level)
			}
		}
	})
}

// What is estimated to be freed grows with the horizon, and counts what is worth a rewrite that there is room for.
func TestFreed(t *testing.T) {
	const size = 40_000
	half := expiring(500, 100)
	half.Entries, half.Deadlines[0].Bytes = 200, size/4
	levels := Levels{0: {fake(1, 0, 9, size, expiring(300, 100))}, 6: {fake(2, 0, 9, size, half)}}
	for _, c := range []struct{ horizon, room, want int64 }{
		{200, 1 << 20, 0},
		{300, 1 << 20, size},
		{500, 1 << 20, size + size/4},
		{500, size, size}, // no room to rewrite the other
		{1 << 40, 1 << 20, size + size/4},
	} {
		got := levels.Freed(c.horizon, 100, Config{Bound: &Bound{Room: c.room, Target: size, Tight: true}})
		if got != c.want {
			t.Errorf("up to %d with room for %d: %d bytes, want %d", c.horizon, c.room, got, c.want)
		}
	}
}

// Outputs above the last level are cut where they would overlap too much of it.
func TestCuts(t *testing.T) {
	var levels Levels
	for i := range 10 {
		levels[bottom] = append(levels[bottom], fake(uint64(i), 10*i, 10*i+9, 100, table.Properties{}))
	}
	levels[0] = []*Table{fake(20, 0, 99, 100, table.Properties{})}
	c := Config{Base: 1 << 20, Bound: &Bound{Room: 6 * TableCost, Target: 100, Table: 600, Full: true}}
	plan := PickFree(&levels, 0, c)
	if plan == nil || plan.Level != bottom-1 || plan.Action != Rewrite || len(plan.cuts) != 3 || string(plan.cuts[0]) != "29" {
		t.Errorf("%+v", plan)
	}
}
