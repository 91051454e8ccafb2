package snapfile

import (
	"bytes"
	"testing"

	"github.com/ebbdb/ebb/wal"
)

func TestDescribe(t *testing.T) {
	seen := make(map[string]int)
	for name, data := range files(t) {
		for len(data) > 0 {
			r, n, err := wal.DecodeRecord(data)
			if err != nil {
				t.Fatal(err)
			}
			what, err := Describe(&r)
			if err != nil || len(what.Fields) == 0 {
				t.Errorf("%s: %+v, %v", name, what, err)
			}
			seen[what.What]++
			for _, row := range what.Rows {
				seen[row.What]++
			}
			data = data[n:]
		}
	}
	for _, what := range []string{"snapshot header", "entries", "put", "delete", "range delete", "writers", "writer", "end"} {
		if seen[what] == 0 {
			t.Errorf("nothing is described as %q: %v", what, seen)
		}
	}
	frame := make([]byte, frameSize)
	for kind := range byte(16) {
		frame[0] = kind
		for _, v := range [][]byte{{kind}, bytes.Clone(frame[:frameSize-1]), append(bytes.Clone(frame), 1)} {
			if what, err := Describe(&wal.Record{Value: v}); err == nil {
				t.Errorf("a record of type %d and %d bytes is described as %+v", kind, len(v), what)
			}
		}
	}
}
