package lsm

import (
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
)

// check checks that the sources are in order: each memtable's sequences and log segments come after those of the older
// memtables, and the sequences of the tables before all.
func (v *View) check() {
	seq, segment := v.Version.LastSeq, uint32(0)
	for _, m := range slices.Backward(v.Frozen) {
		invariant.Check(m.LastSeq != 0 || m.Stats().MaxSeq == 0, "a frozen memtable does not know its last sequence")
		invariant.Check(m.Stats().MaxSeq <= m.LastSeq, "a frozen memtable has %d, after its last, %d", m.Stats().MaxSeq, m.LastSeq)
		m.checkAfter(seq, segment)
		seq, segment = max(seq, m.LastSeq), m.Segment
	}
	v.Mem.checkAfter(seq, segment)
	CheckLevels(&v.Version.Levels)
	invariant.Check(v.Version.refs.Load() > 0, "the tables of a view have %d references", v.Version.refs.Load())
}

func (m *Mem) checkAfter(seq uint64, segment uint32) {
	s := m.Stats()
	invariant.Check(s.MinSeq == 0 || s.MinSeq > seq, "a memtable begins with %d, but what is older ends with %d", s.MinSeq, seq)
	invariant.Check(m.Segment >= segment, "a memtable begins in segment %d, the one before it in %d", m.Segment, segment)
}

// CheckLevels checks that no table is there twice, that level 0 goes from the newest table to the oldest, and that the
// tables of every other level are in order and do not overlap.
func CheckLevels(levels *compaction.Levels) {
	seen := make(map[uint64]bool)
	for level, tables := range levels {
		var behind []byte
		for i, t := range tables {
			invariant.Check(!seen[t.File], "table %d is there twice", t.File)
			seen[t.File] = true
			start, end := t.Bounds()
			invariant.Check(kv.Compare(start, end) < 0, "table %d is empty", t.File)
			if level > 0 && i > 0 {
				invariant.Check(kv.Compare(behind, start) <= 0, "table %d of level %d overlaps the one before it", t.File, level)
			}
			if level == 0 {
				checkBelow(tables[:i], t)
			}
			behind = end
		}
	}
}

// checkBelow checks that the tables of newer that overlap an older table of level 0 have a higher last sequence. Tables that
// are cut from one flush, or come from one Ingest, do not overlap, so their last sequences may be in any order.
func checkBelow(newer []*compaction.Table, older *compaction.Table) {
	start, end := older.Bounds()
	last := older.Reader.Properties().MaxSeq
	for _, t := range newer {
		seq := t.Reader.Properties().MaxSeq
		invariant.Check(!t.Within(start, end) || seq > last, "table %d of level 0 ends with %d, table %d below it with %d", t.File, seq,
			older.File, last)
	}
}

// checkLocked checks that the manifest agrees with the view, and that each table has one reference for each version that has
// the table.
//
// +checklocks:s.mu.Mutex
func (s *Set) checkLocked() {
	s.replace.Lock()
	defer s.replace.Unlock()
	v, state, refs := s.view.Load(), &s.mu.state, s.mu.refs
	want := tablesOf(&v.Version.Levels)
	invariant.Check(slices.Equal(state.Tables, want), "the manifest names %v, the view has %v", state.Tables, want)
	oldest := v.Oldest()
	invariant.Check(state.FirstSegment <= oldest.Segment, "the manifest's log begins in segment %d, the oldest memtable in %d",
		state.FirstSegment, oldest.Segment)
	invariant.Check(state.LastSeq >= v.Version.LastSeq, "the manifest ends with %d, the tables with %d", state.LastSeq,
		v.Version.LastSeq)
	invariant.Check(!slices.ContainsFunc(want, func(m manifest.Table) bool { return m.File >= state.NextFile }),
		"a table has the next number, %d, or more", state.NextFile)

	// A version whose last reference has just gone may have given its tables back or not.
	least, most := make(map[*compaction.Table]int), make(map[*compaction.Table]int)
	versions := []*Version{v.Version}
	for old := range s.replace.replaced.versions {
		versions = append(versions, old)
	}
	for _, v := range versions {
		held := v.refs.Load() > 0
		for _, table := range v.Levels.All() {
			if most[table]++; held {
				least[table]++
			}
		}
	}
	for table, n := range refs {
		invariant.Check(n > 0 && n >= least[table] && n <= most[table], "table %d has %d references, want %d to %d", table.File, n,
			least[table], most[table])
	}
	for table, n := range least {
		invariant.Check(refs[table] >= n, "table %d has %d references, want %d", table.File, refs[table], n)
	}
}
