package compaction

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// Wherever AddBelow puts tables, what they overlap is below them, and no two of a level overlap.
func TestAddBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var levels Levels
		file := uint64(0)
		draw := func(n int) (tables []*Table) { // some that do not overlap
			at := 0
			for range n {
				from := at + rapid.IntRange(0, 20).Draw(t, "gap")
				to := from + rapid.IntRange(1, 20).Draw(t, "width")
				if at = to; to > 99 {
					break
				}
				file++
				tables = append(tables, fake(file, from, to, 1, table.Properties{}))
			}
			return tables
		}
		for level := range levels {
			levels[level] = draw(rapid.IntRange(0, 4).Draw(t, "tables"))
		}
		before := levels
		added := draw(6)
		after := levels.AddBelow(added)
		if !reflect.DeepEqual(levels, before) {
			t.Fatal("the old levels have changed")
		}
		for _, n := range added {
			at := levelOf(t, &after, n)
			for level := 0; level <= at; level++ {
				for _, o := range before[level] {
					if level > 0 && o.overlaps(n.start, n.end) {
						t.Fatalf("a new table in level %d overlaps one in %d", at, level)
					}
				}
			}
			if at < bottom && at > 0 && len(before.overlapping(at+1, n.start, n.end)) == 0 {
				t.Fatalf("a new table stays in level %d, with nothing below", at)
			}
			for _, o := range before[0] {
				if o.overlaps(n.start, n.end) && at > 0 {
					t.Fatalf("a new table is in level %d, below one of level 0 that it overlaps", at)
				}
			}
		}
		for level := 1; level < NumLevels; level++ {
			for i := 1; i < len(after[level]); i++ {
				if kv.Compare(after[level][i-1].end, after[level][i].start) > 0 {
					t.Fatalf("tables of level %d overlap", level)
				}
			}
		}
		if n := len(before[0]); len(after[0]) > n && n > 0 && after[0][len(after[0])-1] != before[0][n-1] {
			t.Fatal("a new table of level 0 is not the newest")
		}
	})
}

func levelOf(t *rapid.T, l *Levels, want *Table) int {
	for level, tables := range l {
		for _, have := range tables {
			if have == want {
				return level
			}
		}
	}
	t.Fatal("a table is missing")
	return 0
}

// Growing makes few tables of a large input, and the same ones as ever of a small one.
func TestGrowing(t *testing.T) {
	for _, growing := range []bool{false, true} {
		s := newStore(t, 4<<10)
		out := s.out
		out.Growing = growing
		n := uint64(0)
		result, err := Build(context.Background(), Input{
			Source: &numbers{left: 4000},
			Older:  func(_, _ []byte) bool { return true },
		}, out)
		if err != nil {
			t.Fatal(err)
		}
		for i, table := range result.Tables {
			n += table.Reader.Properties().Entries
			if i > 0 && kv.Compare(result.Tables[i-1].end, table.start) > 0 {
				t.Fatal("tables overlap")
			}
		}
		if n != 4000 {
			t.Errorf("%d entries", n)
		}
		if count := len(result.Tables); growing && count > 10 || !growing && count < 50 {
			t.Errorf("growing %t: %d tables", growing, count)
		}
		if err := Discard(out, result.Tables); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers is a source of so many entries.
type numbers struct {
	left  int
	bare  bool // without values
	entry kv.Entry
}

func (s *numbers) First() bool      { return s.Next() }
func (s *numbers) Entry() *kv.Entry { return &s.entry }
func (s *numbers) Err() error       { return nil }

func (s *numbers) Next() bool {
	if s.left == 0 {
		return false
	}
	s.left--
	s.entry = kv.Entry{Key: fmt.Appendf(nil, "%08d", 1<<20-s.left), Seq: 1}
	if !s.bare {
		s.entry.Value = make([]byte, 100)
	}
	return true
}

// Tables are cut by what their keys take while they are built, too, and growing ones as any other.
func TestBuildMemory(t *testing.T) {
	for _, growing := range []bool{false, true} {
		s := newStore(t, 1<<30)
		out := s.out
		out.Growing, out.Memory = growing, 256<<10
		result, err := Build(context.Background(), Input{
			Source:  &numbers{left: 100_000, bare: true},
			Deletes: []kv.RangeDelete{{Start: []byte("0"), End: []byte("a"), Seq: 1}},
			Older:   func(_, _ []byte) bool { return true },
		}, out)
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for i, table := range result.Tables {
			p := table.Reader.Properties()
			n += p.Entries
			if held := int64(p.Entries) * 22; held > out.Memory*11/10 {
				t.Errorf("table %d has %d entries: about %d bytes were held, want at most %d", i, p.Entries, held, out.Memory)
			}
			if i > 0 && kv.Compare(result.Tables[i-1].end, table.start) > 0 {
				t.Fatal("tables overlap")
			}
		}
		if count := len(result.Tables); n != 100_000 || count > 12 {
			t.Errorf("growing %t: %d entries in %d tables", growing, n, count)
		}
		if err := Discard(out, result.Tables); err != nil {
			t.Fatal(err)
		}
	}
}
