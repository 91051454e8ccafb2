package compaction

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// Range deletes count for the size of a table, so that there are never too many in one, with entries between them or not.
func TestBuildCutsByRangeDeletes(t *testing.T) {
	for _, every := range []int{0, 1, 50} { // an entry behind each so many of them
		s := newStore(t, 2000)
		const n = 2000
		start := func(i int) []byte { return fmt.Appendf(nil, "k%05d", i) }
		end := func(i int) []byte { return fmt.Appendf(nil, "k%05d5", i) }
		for i := range n {
			s.seq++
			s.mem.DeleteRange(start(i), end(i), s.seq)
		}
		entries := uint64(0)
		if every > 0 {
			for i := 0; i < n; i += every {
				s.seq++
				entries++
				if err := s.mem.Set(end(i), []byte("v"), s.seq, 0, kv.Put); err != nil {
					t.Fatal(err)
				}
			}
		}
		it := s.mem.NewIterator(math.MaxUint64)
		built, err := Build(context.Background(), Input{
			Source:  it,
			Deletes: s.mem.RangeDeletes().All(),
			Older:   func(start, end []byte) bool { return true },
			Now:     s.now,
			BaseSeq: 1,
		}, s.out)
		if err != nil {
			t.Fatal(err)
		}
		var all []kv.RangeDelete
		for i, table := range built.Tables {
			p := table.Reader.Properties()
			if len(p.RangeDeletes) > 200 {
				t.Errorf("an entry for %d: table %d has %d range deletes", every, i, len(p.RangeDeletes))
			}
			if i > 0 && kv.Compare(built.Tables[i-1].end, table.start) > 0 {
				t.Errorf("an entry for %d: table %d begins at %q, the one before ends at %q", every, i, table.start,
					built.Tables[i-1].end)
			}
			entries -= p.Entries
			all = append(all, p.RangeDeletes...)
		}
		if fmt.Sprint(all) != fmt.Sprint(s.mem.RangeDeletes().All()) || entries != 0 {
			t.Errorf("an entry for %d: %d range deletes and %d entries too few", every, n-len(all), entries)
		}
		if err := Discard(s.out, built.Tables); err != nil {
			t.Fatal(err)
		}
	}
}
