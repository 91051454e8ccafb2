package lsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/memtable"
)

// numbers returns the file numbers of each level that is not empty.
func numbers(l *compaction.Levels) string {
	var list []string
	for level, tables := range l {
		if len(tables) > 0 {
			list = append(list, fmt.Sprintf("%d: %s", level, fileNumbers(tables)))
		}
	}
	return fmt.Sprint(list)
}

// An edit says what is live after it, without a set.
func TestEditLevels(t *testing.T) {
	b := newBench(t)
	table := func(keys ...string) *compaction.Table { return b.flush(keys...) } // 1, 2, ...
	ac, bd, ef, gh, ah := table("a", "c"), table("b", "d"), table("e", "f"), table("g", "h"), table("a", "h")
	levels := compaction.Levels{0: {bd}, 5: {ac}, 6: {ef}}
	for _, c := range []struct {
		name string
		edit Edit
		want string
	}{
		{"nothing", Edit{}, "[0: 2 5: 1 6: 3]"},
		{"flush", Edit{Add: []*compaction.Table{ah}}, "[0: 5 2 5: 1 6: 3]"},
		{"flush of nothing", Edit{Flushed: new(Mem)}, "[0: 2 5: 1 6: 3]"},
		{"ingest", Edit{Add: []*compaction.Table{ef, gh}}, "[0: 3 4 2 5: 1 6: 3]"},
		{"ingest, deep", Edit{Add: []*compaction.Table{gh}, Deep: true}, "[0: 2 5: 1 6: 3 4]"},
		{"drop", Edit{Remove: []*compaction.Table{ef}, Level: 6}, "[0: 2 5: 1]"},
		{"move", Edit{Remove: []*compaction.Table{bd}, Add: []*compaction.Table{bd}, Level: 4}, "[4: 2 5: 1 6: 3]"},
		{"compact", Edit{Remove: []*compaction.Table{bd, ac}, Add: []*compaction.Table{gh}, Level: 6}, "[6: 3 4]"},
		{"in place", Edit{Remove: []*compaction.Table{bd}, Add: []*compaction.Table{ah}, Level: 0}, "[0: 5 5: 1 6: 3]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := numbers(&levels)
			got := c.edit.levels(&levels)
			if n := numbers(&got); n != c.want {
				t.Errorf("%v: %s, want %s", &c.edit, n, c.want)
			}
			if after := numbers(&levels); after != before {
				t.Errorf("%v has changed its input to %s", &c.edit, after)
			}
		})
	}
}

// The manifest goes forward only, and writers change with a flush only.
func TestEditState(t *testing.T) {
	one, two := []manifest.Writer{{ID: 1}}, []manifest.Writer{{ID: 2}}
	was := manifest.State{FirstSegment: 5, LastSeq: 100, Writers: one, NextFile: 9, Created: 3}
	for _, c := range []struct {
		name    string
		edit    Edit
		segment uint32
		seq     uint64
		writers []manifest.Writer
	}{
		{"nothing", Edit{}, 5, 100, one},
		{"forward", Edit{FirstSegment: 6, LastSeq: 101}, 6, 101, one},
		{"back", Edit{FirstSegment: 4, LastSeq: 99}, 5, 100, one},
		{"writers without a flush", Edit{Writers: two}, 5, 100, one},
		{"writers", Edit{Flushed: NewMem(memtable.Hint{}, 1, 0), Writers: two}, 5, 100, two},
		{"no writers", Edit{Flushed: NewMem(memtable.Hint{}, 1, 0)}, 5, 100, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := was
			c.edit.state(&s, new(compaction.Levels))
			if s.FirstSegment != c.segment || s.LastSeq != c.seq || !slices.Equal(s.Writers, c.writers) || s.NextFile != 9 || s.Created != 3 {
				t.Errorf("%v: %+v", &c.edit, s)
			}
		})
	}
}

// The manifest keeps an eviction while entries that it takes may be in the log or in a table, and of those no more than say
// all.
func TestEditEvictions(t *testing.T) {
	flushed := NewMem(memtable.Hint{}, 1, 0)
	flushed.Evict(30, 104)
	was := manifest.State{LastSeq: 100, Evictions: kv.Evictions{{Seq: 101, Horizon: 50}, {Seq: 103, Horizon: 20}}}
	for _, c := range []struct {
		name string
		edit Edit
		want kv.Evictions
	}{
		{"nothing", Edit{}, was.Evictions},
		{"another", Edit{Evicted: kv.Evictions{{Seq: 105, Horizon: 10}}}, append(was.Evictions[:2:2], kv.Eviction{Seq: 105, Horizon: 10})},
		{"one that takes all", Edit{Evicted: kv.Evictions{{Seq: 105, Horizon: 50}}}, kv.Evictions{{Seq: 105, Horizon: 50}}},
		{"the tables have come past the first", Edit{LastSeq: 102}, was.Evictions[1:]},
		{"of the memtable", Edit{LastSeq: 103, Flushed: flushed}, kv.Evictions{{Seq: 104, Horizon: 30}}},
		{"none is needed", Edit{LastSeq: 104, Flushed: flushed}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := was
			c.edit.state(&s, new(compaction.Levels))
			if !slices.Equal(s.Evictions, c.want) {
				t.Errorf("%v: %v, want %v", &c.edit, s.Evictions, c.want)
			}
		})
	}
}

// Of a view an edit changes the memtables that it names.
func TestEditView(t *testing.T) {
	mem := func() *Mem { return NewMem(memtable.Hint{}, 1, 0) }
	active, young, old, next := mem(), mem(), mem(), mem()
	was := View{Mem: active, Frozen: []*Mem{young, old}}
	for _, c := range []struct {
		name string
		edit Edit
		want View
	}{
		{"compaction", Edit{}, was},
		{"flush", Edit{Flushed: old}, View{Mem: active, Frozen: []*Mem{young}}},
		{"ingest", Edit{Active: next}, View{Mem: next, Frozen: was.Frozen}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := was
			c.edit.view(&v)
			if v.Mem != c.want.Mem || !slices.Equal(v.Frozen, c.want.Frozen) {
				t.Errorf("%v: %v and %v", &c.edit, v.Mem, v.Frozen)
			}
			equal(t, "the view before", was.Frozen, []*Mem{young, old})
		})
	}
}

func TestEditString(t *testing.T) {
	table := func(file uint64) *compaction.Table { return &compaction.Table{File: file} }
	for _, c := range []struct {
		edit Edit
		want string
	}{
		{Edit{}, "nothing"},
		{Edit{Remove: []*compaction.Table{table(3), table(4)}, Add: []*compaction.Table{table(7)}, Level: 2}, "remove 3 4; add 7 to level 2"},
		{Edit{Add: []*compaction.Table{table(7), table(8)}, Deep: true, Active: new(Mem), FirstSegment: 5, LastSeq: 90},
			"add 7 8 as deep as they go; a new active memtable; the log begins in segment 5; tables up to 90"},
		{Edit{Add: []*compaction.Table{table(7)}, Flushed: new(Mem), Writers: make([]manifest.Writer, 2)},
			"add 7 to level 0; flush a memtable with 2 writers"},
		{Edit{Evicted: kv.Evictions{{Seq: 5, Horizon: 9}}}, "evict what was written before 5 with a deadline up to 9"},
	} {
		if got := c.edit.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
