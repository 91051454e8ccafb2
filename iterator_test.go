package ebb

import (
	"errors"
	"testing"
)

// What ended a walk is told after Close too, as long as anybody asks: the end, damage, or the close of the database.
func TestIteratorErrAfterClose(t *testing.T) {
	mem, clock, tables := damagable(t)
	walk := func(db *DB) *Iterator {
		it, err := db.NewIterator(nil)
		must(t, err)
		for ok := it.First(); ok; ok = it.Next() {
		}
		it.Close()
		it.Close()
		return it
	}

	db := openTest(t, manualOptions(mem.Clone(), clock, SyncAlways))
	it := walk(db)
	if err := it.Err(); err != nil {
		t.Errorf("after a whole walk: %v", err)
	}
	if it.Next() || it.First() || !errors.Is(it.Err(), ErrClosed) {
		t.Errorf("moves after Close: %v", it.Err())
	}
	must(t, db.Close())

	fs := mem.Clone()
	must(t, fs.Corrupt(tables[1], 100, 1))
	db = openTest(t, manualOptions(fs, clock, SyncAlways))
	it = walk(db)
	isCorrupt(t, "after Close", it.Err(), tables[1])
	if it.Next() {
		t.Error("a closed iterator moves")
	}
	isCorrupt(t, "after Close and a move", it.Err(), tables[1])

	open, err := db.NewIterator(nil)
	must(t, err)
	must(t, db.Close())
	if open.First() {
		t.Error("an iterator of a closed database moves")
	}
	open.Close()
	if !errors.Is(open.Err(), ErrClosed) {
		t.Errorf("after Close of the database: %v", open.Err())
	}
}
