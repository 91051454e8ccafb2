package ebb

import (
	"fmt"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
)

// What must always hold, in one place. A build with the tag invariants panics where it does not; the models run so in CI.

// invariant panics if something that must hold does not.
func invariant(ok bool, format string, args ...any) {
	if !ok {
		panic("ebb: invariant: " + fmt.Sprintf(format, args...))
	}
}

// check holds that the sources are in order: each memtable's sequences and log segments come after those of the older ones,
// and those of the tables before all.
func (v *view) check() {
	seq, segment := v.tables.lastSeq, uint32(0)
	for _, m := range slices.Backward(v.frozen) {
		invariant(m.lastSeq != 0 || m.Stats().MaxSeq == 0, "a frozen memtable does not know its last sequence")
		invariant(m.Stats().MaxSeq <= m.lastSeq, "a frozen memtable has %d, after its last, %d", m.Stats().MaxSeq, m.lastSeq)
		m.checkAfter(seq, segment)
		seq, segment = max(seq, m.lastSeq), m.segment
	}
	v.mem.checkAfter(seq, segment)
	checkLevels(&v.tables.levels)
	invariant(v.tables.refs.Load() > 0, "the tables of a view have %d references", v.tables.refs.Load())
}

func (m *mem) checkAfter(seq uint64, segment uint32) {
	s := m.Stats()
	invariant(s.MinSeq == 0 || s.MinSeq > seq, "a memtable begins with %d, but what is older ends with %d", s.MinSeq, seq)
	invariant(m.segment >= segment, "a memtable begins in segment %d, the one before it in %d", m.segment, segment)
}

// checkLevels holds that no table is there twice, that those of level 0 go from the newest to the oldest, and that in every
// other level they are in order and apart.
func checkLevels(levels *compaction.Levels) {
	seen := make(map[uint64]bool)
	for level, tables := range levels {
		var behind []byte
		for i, t := range tables {
			invariant(!seen[t.File], "table %d is there twice", t.File)
			seen[t.File] = true
			start, end := t.Bounds()
			invariant(kv.Compare(start, end) < 0, "table %d is empty", t.File)
			if level > 0 && i > 0 {
				invariant(kv.Compare(behind, start) <= 0, "table %d of level %d overlaps the one before it", t.File, level)
			}
			if level == 0 {
				checkBelow(tables[:i], t)
			}
			behind = end
		}
	}
}

// checkBelow holds that those of newer that overlap an older table of level 0 end after it. Tables that are cut from one
// flush, or come from one Ingest, are apart, and end as they do.
func checkBelow(newer []*compaction.Table, older *compaction.Table) {
	start, end := older.Bounds()
	last := older.Reader.Properties().MaxSeq
	for _, t := range newer {
		seq := t.Reader.Properties().MaxSeq
		invariant(!t.Within(start, end) || seq > last, "table %d of level 0 ends with %d, table %d below it with %d", t.File, seq,
			older.File, last)
	}
}

// check holds that the manifest says what the view shows, and that each table has a reference of each version that it is in.
// The caller holds mu; replaced may not change.
func (t *tables) check(v *view, replaced *replaced) {
	want := v.tables.levels.Manifest()
	invariant(slices.Equal(t.state.Tables, want), "the manifest names %v, the view has %v", t.state.Tables, want)
	oldest := v.mem
	if n := len(v.frozen); n > 0 {
		oldest = v.frozen[n-1]
	}
	invariant(t.state.FirstSegment <= oldest.segment, "the manifest's log begins in segment %d, the oldest memtable in %d",
		t.state.FirstSegment, oldest.segment)
	invariant(t.state.LastSeq >= v.tables.lastSeq, "the manifest ends with %d, the tables with %d", t.state.LastSeq,
		v.tables.lastSeq)
	invariant(!slices.ContainsFunc(want, func(m manifest.Table) bool { return m.File >= t.state.NextFile }),
		"a table has the next number, %d, or more", t.state.NextFile)

	// A version whose last reference has just gone may have given its tables back or not.
	least, most := make(map[*compaction.Table]int), make(map[*compaction.Table]int)
	count := func(v *version) {
		held := v.refs.Load() > 0
		for _, tables := range v.levels {
			for _, table := range tables {
				if most[table]++; held {
					least[table]++
				}
			}
		}
	}
	count(v.tables)
	for old := range replaced.versions {
		count(old)
	}
	for table, n := range t.refs {
		invariant(n > 0 && n >= least[table] && n <= most[table], "table %d has %d references, want %d to %d", table.File, n,
			least[table], most[table])
	}
	for table, n := range least {
		invariant(t.refs[table] >= n, "table %d has %d references, want %d", table.File, t.refs[table], n)
	}
}

// checkTables is check for what is live. The caller holds tables.mu.
func (db *DB) checkTables() {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	db.tables.check(db.view.Load(), &db.replaced)
}

// checkLocked holds that log, memtable and what reads see are one behind the other.
func (db *DB) checkLocked() {
	c := &db.commit
	next := db.log.NextSeq()
	invariant(next == c.lastSeq+1, "the log goes on with %d, the last write is %d", next, c.lastSeq)
	visible, newest := db.visible.Load(), c.mem.Stats().MaxSeq
	invariant(visible <= c.lastSeq, "reads see up to %d, the last write is %d", visible, c.lastSeq)
	invariant(newest <= c.lastSeq, "the memtable has %d, the last write is %d", newest, c.lastSeq)
	invariant(c.mem == db.view.Load().mem, "the active memtable is not that of the view")
}

// checkLocked holds that next goes no further than soon.
func (x *expiries) checkLocked() {
	next, first := x.next.Load(), x.soon.Next()
	invariant(next <= first, "nothing expires before %d, but what is known of it goes to %d", next, first)
}
