package ebb

import "testing"

// A large value is copied once on its way to a table, by the memtable.
func TestLargeValuesAreCopiedOnce(t *testing.T) {
	const size, n = 24 << 20, 4
	db, err := Open(t.TempDir(), &Options{Sync: SyncNever, Memory: 8 << 20})
	must(t, err)
	defer db.Close()
	value := make([]byte, size)
	put := func() {
		for i := range n {
			value[0] = byte(i)
			must(t, db.Put([]byte{byte(i)}, value))
		}
		must(t, db.Flush())
	}
	put()
	before := allocated()
	put()
	if each := (allocated() - before) / n; each > size*5/4 {
		t.Errorf("%d bytes are allocated for a value of %d", each, size)
	} else {
		t.Logf("%d bytes are allocated for a value of %d", each, size)
	}
}
