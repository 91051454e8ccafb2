package compaction

import (
	"context"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// TestBuildMemtable: a memtable becomes one table, however small tables are to be, and is not compressed.
func TestBuildMemtable(t *testing.T) {
	s := newStore(t, 1)
	s.out.Compression = wal.CompressionLZ4
	value := []byte(strings.Repeat("x", 1000))
	for i := range 100 {
		s.seq++
		if err := s.mem.Set(key(i), value, s.seq, 0, kv.Put); err != nil {
			t.Fatal(err)
		}
	}
	s.deleteRange("10", "20")
	none := func(start, end []byte) bool { return false }
	r, err := BuildMemtable(context.Background(), s.mem, none, s.now, nil, s.out)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tables) != 1 || r.Entries != 100 || r.Tables[0].props.Entries != 90 || r.Bytes < 90*1000 {
		t.Errorf("%d tables, %d entries, %d bytes", len(r.Tables), r.Entries, r.Bytes)
	}
}
