package compaction

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestAll: level by level, each in its order, and no further than is asked for.
func TestAll(t *testing.T) {
	plain := func(file uint64, from, to int) *Table { return fake(file, from, to, 1000, table.Properties{}) }
	l := Levels{0: {plain(5, 0, 9), plain(4, 0, 9)}, 3: {plain(3, 0, 9)}, 6: {plain(1, 0, 9), plain(2, 9, 20)}}
	for n := range 6 {
		var got []uint64
		for level, t := range l.All() {
			if len(got) == n {
				break
			}
			got = append(got, uint64(level)*10+t.File)
		}
		if want := []uint64{5, 4, 33, 61, 62}[:min(n, 5)]; !slices.Equal(got, want) {
			t.Errorf("%d, not %d", got, want)
		}
	}
}

// TestNewTable: a table's range deletes may be in any order and overlap, and are taken apart once.
func TestNewTable(t *testing.T) {
	mem := vfstest.NewMem()
	id := table.Identity{File: 1}
	w, err := table.NewWriter(mem, "/t", table.Options{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []kv.RangeDelete{
		{Start: []byte("k"), End: []byte("z"), Seq: 9}, {Start: []byte("b"), End: []byte("m"), Seq: 5},
	} {
		if err := w.AddRangeDelete(d); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.Finish()
	r, oerr := table.Open(mem, "/t", id, nil)
	if err := errors.Join(err, oerr); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := NewTable(r)
	want := []kv.RangeDelete{{Start: []byte("b"), End: []byte("k"), Seq: 5}, {Start: []byte("k"), End: []byte("z"), Seq: 9}}
	if !reflect.DeepEqual(got.deletes, want) {
		t.Errorf("%v, want %v", got.deletes, want)
	}
	if start, end := got.Bounds(); string(start) != "b" || string(end) != "z" {
		t.Errorf("bounds %q %q", start, end)
	}
}
