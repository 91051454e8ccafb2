package ebb

import "github.com/ebbdb/ebb/compaction"

// liveBytes estimates the keys and values in tables that have not expired and that nothing newer hides: see
// compaction.Hidden for how good an estimate it is.
func (v *view) liveBytes(now int64) int64 {
	var live int64
	var older compaction.Levels
	for level := len(v.tables.levels) - 1; level >= 0; level-- {
		tables := v.tables.levels[level]
		for i := len(tables) - 1; i >= 0; i-- { // of level 0 the oldest is last
			t := tables[i]
			p := t.Reader.Properties()
			tombstones := float64(p.KeyBytes) * float64(p.Tombstones) / float64(max(p.Entries, 1))
			start, end := t.Bounds()
			live += int64(p.KeyBytes+p.ValueBytes-p.ExpiredBytes(now)) - int64(tombstones)
			live -= older.Hides(0, start, end, p.Entries, p.RangeDeletes).Data
			live = max(live, 0)
			if level == 0 {
				older[0] = append(older[0], t)
			}
		}
		if level > 0 {
			older[level] = tables
		}
	}
	for _, m := range append(v.frozen[:len(v.frozen):len(v.frozen)], v.mem) {
		live -= m.hides(&v.tables.levels).Data
	}
	return max(live, 0)
}
