package ebb

import (
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// An empty value that is present is not nil, wherever it comes from and however it is read.
func TestEmptyValueIsNotNil(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
	key := []byte("key")
	var batch Batch
	must(t, batch.Put(key, nil))
	write := map[string]func() error{
		"put":     func() error { return db.Put(key, nil) },
		"batch":   func() error { return db.Apply(&batch) },
		"update":  func() error { return db.Update(func(tx *Txn) error { return tx.Put(key, nil) }) },
		"expire":  func() error { return db.Expire(key, 0) },
		"rewrite": func() error { return db.Compact(t.Context()) },
	}
	for _, name := range []string{"put", "batch", "update", "expire", "rewrite"} {
		since := db.live.Visible()
		must(t, write[name]())
		notNil(t, name+", database", db)
		s, err := db.Snapshot()
		must(t, err)
		notNil(t, name+", snapshot", s)
		s.Close()
		must(t, db.View(func(tx *Txn) error { notNil(t, name+", transaction", tx); return nil }))
		if db.live.Visible() > since {
			for c, err := range db.Watch(t.Context(), &WatchOptions{From: since + 1}) {
				if must(t, err); c.Value == nil {
					t.Errorf("%s: a watcher gets nil", name)
				}
				break
			}
		}
		must(t, db.Flush())
		notNil(t, name+", table", db)
	}
	must(t, db.Update(func(tx *Txn) error {
		must(t, tx.Put(key, nil))
		notNil(t, "own write", tx)
		return nil
	}))
	if value, err := db.GetTouch(key, 0); err != nil || value == nil {
		t.Errorf("GetTouch: %v, %v", value, err)
	}
}

// notNil reads an empty value in every way.
func notNil(t *testing.T, what string, r interface {
	Get([]byte) ([]byte, error)
	AppendGet(dst, key []byte) ([]byte, error)
	GetEntry([]byte) (Entry, error)
	NewIterator(*IterOptions) (*Iterator, error)
	Range(*IterOptions) iter.Seq2[Entry, error]
}) {
	t.Helper()
	key := []byte("key")
	got, err1 := r.Get(key)
	appended, err2 := r.AppendGet(nil, key)
	e, err3 := r.GetEntry(key)
	it, err4 := r.NewIterator(nil)
	must(t, errors.Join(err1, err2, err3, err4))
	defer it.Close()
	if !it.First() {
		t.Fatalf("%s: nothing there: %v", what, it.Err())
	}
	values := [][]byte{got, appended, e.Value, it.Value(), it.Entry().Value}
	for e, err := range r.Range(nil) {
		must(t, err)
		values = append(values, e.Value)
	}
	for i, value := range values {
		if value == nil || len(value) != 0 {
			t.Errorf("%s, way %d: %#v", what, i, value)
		}
	}
}

// A snapshot's and a transaction's reads allocate the value that they return, and nothing else.
func TestReadsAllocateTheValue(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	key := []byte("key")
	must(t, db.Put(key, []byte("value"), TTL(time.Hour)))
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	buf := make([]byte, 0, 100)
	must(t, db.View(func(tx *Txn) error {
		for _, c := range []struct {
			name string
			r    interface {
				Get([]byte) ([]byte, error)
				AppendGet(dst, key []byte) ([]byte, error)
			}
		}{{"database", db}, {"snapshot", s}, {"transaction", tx}} {
			t.Run(c.name, func(t *testing.T) {
				get := testing.AllocsPerRun(100, func() { c.r.Get(key) })
				appendGet := testing.AllocsPerRun(100, func() { c.r.AppendGet(buf, key) })
				if get != 1 || appendGet != 0 {
					t.Errorf("Get allocates %v times, AppendGet %v", get, appendGet)
				}
			})
		}
		return nil
	}))
}
