package table_test

import (
	"fmt"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Write a table, and look a key up in it.
func Example() {
	fs := vfstest.NewMem()
	id := table.Identity{File: 1}

	w, err := table.NewWriter(fs, "000001.tbl", table.Options{ID: id, BaseSeq: 100, Created: 1_700_000_000_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Abort() // nothing once Finish has succeeded
	for _, e := range []kv.Entry{
		{Key: []byte("a"), Value: []byte("stays"), Seq: 101},
		{Key: []byte("b"), Value: []byte("expires"), Seq: 100, Deadline: 1_700_000_060_000},
		{Key: []byte("c"), Kind: kv.Delete, Seq: 102},
	} {
		if err := w.Add(&e); err != nil {
			fmt.Println(err)
			return
		}
	}
	p, err := w.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Entries, "entries,", p.Tombstones, "tombstone,", p.ExpiredBytes(1_700_000_060_000), "bytes expire in a minute")

	r, err := table.Open(fs, "000001.tbl", id, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	var e kv.Entry
	value, found, err := r.AppendGet(nil, []byte("b"), &e)
	fmt.Printf("%s %v %v, until %d\n", value, found, err, e.Deadline)
	// Output:
	// 3 entries, 1 tombstone, 8 bytes expire in a minute
	// expires true <nil>, until 1700000060000
}
