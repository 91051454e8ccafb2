package ebb

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
)

// version is a set of tables. As long as somebody holds a reference, its tables stay open.
type version struct {
	levels  compaction.Levels
	deletes [compaction.NumLevels]tableDeletes
	lastSeq uint64 // the newest in the tables
	// deadlines tells that something in the tables has one.
	deadlines bool
	reads     *readCost
	refs      atomic.Int64
}

// tableDeletes are the tables of a level that have range deletes.
type tableDeletes struct {
	tables []*compaction.Table
	newest uint64 // sequence of the newest of the deletes
}

// newVersion returns a version with one reference.
func newVersion(levels compaction.Levels, reads *readCost) *version {
	v := &version{levels: levels, reads: reads}
	for level, tables := range levels {
		for _, t := range tables {
			p := t.Reader.Properties()
			v.lastSeq = max(v.lastSeq, p.MaxSeq)
			v.deadlines = v.deadlines || p.DeadlineEntries > 0
			if t.Deletes != nil {
				d := &v.deletes[level]
				d.tables, d.newest = append(d.tables, t), max(d.newest, t.Deletes.Newest())
			}
		}
	}
	v.refs.Store(1)
	return v
}

// has reports whether a table is one of the version's.
func (v *version) has(t *compaction.Table) bool {
	for _, tables := range v.levels {
		if slices.Contains(tables, t) {
			return true
		}
	}
	return false
}

// without returns the tables that are not in another version.
func (v *version) without(o *version) []*compaction.Table {
	in := make(map[*compaction.Table]bool)
	for _, tables := range o.levels {
		for _, t := range tables {
			in[t] = true
		}
	}
	var list []*compaction.Table
	for _, tables := range v.levels {
		for _, t := range tables {
			if !in[t] {
				list = append(list, t)
			}
		}
	}
	return list
}

// pin keeps the tables of a version open. The caller is inside the epoch in which it has loaded the version, or holds a
// reference.
func (v *version) pin() {
	if n := v.refs.Add(1); invariants {
		invariant(n > 1, "tables that nobody holds are pinned")
	}
}

// get is view.get for the tables, newest first.
func (v *version) get(dst, key []byte, want part, e *kv.Entry) ([]byte, bool, error) {
	for i, t := range v.levels[0] {
		if out, known, found, err := ask(t, dst, key, want, e); known || err != nil {
			v.reads.lookup(i, len(v.levels[0]))
			return out, found, err
		}
	}
	v.reads.lookup(len(v.levels[0]), len(v.levels[0]))
	for level := 1; level < compaction.NumLevels; level++ {
		i := compaction.Find(v.levels[level], key) // they do not overlap
		if i == len(v.levels[level]) {
			continue
		}
		if out, known, found, err := ask(v.levels[level][i], dst, key, want, e); known || err != nil {
			return out, found, err
		}
	}
	return dst, false, nil
}

// ask is get for one table. known says that no older one is to be asked.
func ask(t *compaction.Table, dst, key []byte, want part, e *kv.Entry) (out []byte, known, found bool, err error) {
	if !t.Covers(key) {
		return dst, false, false, nil
	}
	deleted := t.Deletes.Seq(key, math.MaxUint64)
	if want == withValue {
		dst, known, err = t.Reader.AppendGet(dst, key, e)
	} else {
		known, err = t.Reader.Stat(key, e)
	}
	found = known && e.Kind == kv.Put && e.Seq > deleted
	return dst, known || deleted > 0, found, err
}
