package lsm

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// Version is a set of tables. It does not change. Its tables stay open as long as anybody holds a reference.
type Version struct {
	Levels  compaction.Levels
	LastSeq uint64 // the newest sequence in the tables
	// Evictions may take entries of the tables and of memtables. They are durable, and visible to all reads of the version.
	Evictions kv.Evictions

	deletes   [compaction.NumLevels]tableDeletes
	deadlines bool // an entry in the tables has a deadline
	runs      int  // between level 0 and the last level
	order     atomic.Pointer[order]
	rent      *Rent
	refs      atomic.Int64
}

// tableDeletes are the tables of a level that have range deletes.
type tableDeletes struct {
	tables []*compaction.Table
	newest uint64 // the sequence of the newest range delete
}

// newVersion returns a version with one reference. If rent is nil reads pay none.
func newVersion(levels compaction.Levels, evictions kv.Evictions, rent *Rent) *Version {
	v := &Version{Levels: levels, Evictions: evictions, runs: levels.Runs(), rent: rent}
	for level, t := range levels.All() {
		p := t.Reader.Properties()
		v.LastSeq = max(v.LastSeq, p.MaxSeq)
		v.deadlines = v.deadlines || p.DeadlineEntries > 0
		if t.Deletes != nil {
			d := &v.deletes[level]
			d.tables, d.newest = append(d.tables, t), max(d.newest, t.Deletes.Newest())
		}
	}
	v.refs.Store(1)
	v.order.Store(new(order))
	return v
}

// Has reports whether a table is one of the version's.
func (v *Version) Has(t *compaction.Table) bool {
	for _, tables := range v.Levels {
		if slices.Contains(tables, t) {
			return true
		}
	}
	return false
}

// HasDeadlines reports whether an entry in the tables has a deadline.
func (v *Version) HasDeadlines() bool { return v.deadlines }

// Pins returns how many references the version has. The newest version has one reference more than it has pins.
func (v *Version) Pins() int { return int(v.refs.Load()) }

// without returns the tables that are not in another version.
func (v *Version) without(o *Version) []*compaction.Table {
	in := make(map[*compaction.Table]bool)
	for _, t := range o.Levels.All() {
		in[t] = true
	}
	var list []*compaction.Table
	for _, t := range v.Levels.All() {
		if !in[t] {
			list = append(list, t)
		}
	}
	return list
}

// pin keeps the tables of a version open. The caller is inside the epoch in which it has loaded the version, or holds a
// reference.
func (v *Version) pin() {
	if n := v.refs.Add(1); invariant.On {
		invariant.Check(n > 1, "tables that nobody holds are pinned")
	}
}

// Get finds the newest version of a key in the tables, describes it in e, and appends its value to dst if want says so. It
// is false if the tables have no version of the key, or the key was deleted.
func (v *Version) Get(dst, key []byte, want Wanted, e *kv.Entry) ([]byte, bool, error) {
	var hash uint64
	if len(v.Levels[0]) > 0 {
		hash = table.Hash(key)
	}
	for i, t := range v.Levels[0] {
		if t.Deletes == nil && t.Reader.Lacks(hash) {
			continue
		}
		if out, known, found, err := ask(t, dst, key, want, e); known || err != nil {
			v.rent.lookup(i, len(v.Levels[0]))
			return out, found, err
		}
	}
	v.rent.lookup(len(v.Levels[0]), len(v.Levels[0]))
	for level := 1; level < compaction.NumLevels; level++ {
		i := compaction.Find(v.Levels[level], key) // the tables of a level do not overlap
		if i == len(v.Levels[level]) {
			continue
		}
		if out, known, found, err := ask(v.Levels[level][i], dst, key, want, e); known || err != nil {
			return out, found, err
		}
	}
	return dst, false, nil
}

// ask is Get for one table. known says that no older one is to be asked.
func ask(t *compaction.Table, dst, key []byte, want Wanted, e *kv.Entry) (out []byte, known, found bool, err error) {
	if !t.Covers(key) {
		return dst, false, false, nil
	}
	deleted := t.Deletes.Seq(key, math.MaxUint64)
	if want == WithValue {
		dst, known, err = t.Reader.AppendGet(dst, key, e)
	} else {
		known, err = t.Reader.Stat(key, e)
	}
	found = known && e.Kind == kv.Put && e.Seq > deleted
	return dst, known || deleted > 0, found, err
}
