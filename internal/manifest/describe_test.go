package manifest

import (
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

func TestDescribe(t *testing.T) {
	s := sample()
	s.Writers = []Writer{{ID: 1, Sequence: 2, Version: 3, Used: 4}}
	s.Evictions = kv.Evictions{{Seq: 5, Horizon: 6}}
	var seen []string
	for data := s.encode(); len(data) > 0; {
		r, n, err := wal.DecodeRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		what, err := Describe(&r)
		if err != nil || len(what.Fields) == 0 {
			t.Errorf("%+v, %v", what, err)
		}
		seen = append(seen, what.What)
		data = data[n:]
	}
	if want := []string{"manifest header", "table", "table", "table", "writer", "evict", "end"}; !slices.Equal(seen, want) {
		t.Errorf("described as %q, want %q", seen, want)
	}
	for kind := range byte(16) {
		if what, err := Describe(&wal.Record{Value: []byte{kind}}); err == nil {
			t.Errorf("a record of type %d and nothing else is described as %+v", kind, what)
		}
	}
	if _, err := Describe(&wal.Record{Key: []byte("k"), Value: []byte{typeEnd}}); err == nil {
		t.Error("a record with a key is described")
	}
}
