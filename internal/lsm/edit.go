package lsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
)

// Edit is one change of the tables, with the changes of memtables and manifest that go with it. The zero Edit changes
// nothing. Set.Commit makes the change.
type Edit struct {
	// Add becomes live, and Remove goes. Tables that are in both move. Without Remove the tables of Add are newer than all live
	// tables.
	Add, Remove []*compaction.Table
	Level       int  // where Add belongs; 0 without Remove
	Deep        bool // without Remove: each of Add goes as deep as it can, see compaction.Levels.AddBelow

	FirstSegment uint32 // the first segment of the log with writes that are not in tables; 0: as before
	LastSeq      uint64 // every write up to it is in tables; a lower one than before changes nothing

	Flushed *Mem              // the oldest frozen memtable, whose place Add takes; nil: no memtable is flushed
	Writers []manifest.Writer // with Flushed: the writers in the tables
	Active  *Mem              // the memtable that becomes the active one, with no gaps known; nil: as before
	// Evicted are evictions that are visible, and durable in the log. Those of Flushed take effect with it.
	Evicted kv.Evictions
}

// levels returns the live tables after the edit.
func (e *Edit) levels(l *compaction.Levels) compaction.Levels {
	switch {
	case len(e.Remove) > 0:
		return l.Replace(e.Remove, e.Level, e.Add)
	case e.Deep:
		return l.AddBelow(e.Add)
	}
	return l.AddNewest(e.Add)
}

// state changes the manifest, but for Clock and Log.
func (e *Edit) state(s *manifest.State, levels *compaction.Levels) {
	s.FirstSegment = max(s.FirstSegment, e.FirstSegment)
	s.LastSeq = max(s.LastSeq, e.LastSeq)
	if e.Flushed != nil {
		s.Writers = e.Writers
	}
	s.Tables = tablesOf(levels)
	evictions := s.Evictions.With(e.Evicted)
	if e.Flushed != nil {
		evictions = evictions.With(e.Flushed.Evictions())
	}
	s.Evictions = needed(evictions, levels, s.LastSeq)
}

// needed returns the evictions that may take an entry of a table, or of the log behind the tables, which end with lastSeq.
//
// An eviction takes no entry of a table that has newer ones than it: when these came into a table, the eviction was in the
// manifest or in the same memtable, and what is built from then on leaves out what it takes.
func needed(evictions kv.Evictions, levels *compaction.Levels, lastSeq uint64) (list kv.Evictions) {
	for _, e := range evictions {
		if e.Seq > lastSeq || levels.Evictable(e) {
			list = append(list, e)
		}
	}
	return list
}

// view changes the memtables of a view.
func (e *Edit) view(v *View) {
	if e.Flushed != nil {
		v.Frozen = slices.Clone(v.Frozen[:len(v.Frozen)-1]) // cloned, so that no array keeps the flushed memtable
	}
	if e.Active != nil {
		v.Mem = e.Active
	}
}

// tablesOf lists tables as the manifest does.
func tablesOf(levels *compaction.Levels) []manifest.Table {
	var list []manifest.Table
	for level, t := range levels.All() {
		list = append(list, manifest.Table{Level: level, File: t.File, Size: t.Size, Entries: t.Reader.Properties().Entries})
	}
	return list
}

// String describes the edit for people.
func (e *Edit) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if len(e.Remove) > 0 {
		add("remove %s", fileNumbers(e.Remove))
	}
	switch {
	case len(e.Add) == 0:
	case len(e.Remove) == 0 && e.Deep:
		add("add %s as deep as they go", fileNumbers(e.Add))
	default:
		add("add %s to level %d", fileNumbers(e.Add), e.Level)
	}
	if e.Flushed != nil {
		add("flush a memtable with %d writers", len(e.Writers))
	}
	if e.Active != nil {
		add("a new active memtable")
	}
	for _, v := range e.Evicted {
		add("evict what was written before %d with a deadline up to %d", v.Seq, v.Horizon)
	}
	if e.FirstSegment > 0 {
		add("the log begins in segment %d", e.FirstSegment)
	}
	if e.LastSeq > 0 {
		add("tables up to %d", e.LastSeq)
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func fileNumbers(tables []*compaction.Table) string {
	list := make([]uint64, len(tables))
	for i, t := range tables {
		list[i] = t.File
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}
