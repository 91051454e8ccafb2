package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
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
func notNil(t *testing.T, what string, r Reader) {
	t.Helper()
	key := []byte("key")
	got, err1 := r.Get(key)
	appended, err2 := r.AppendGet(nil, key)
	e, err3 := r.GetEntry(key)
	it, err4 := r.NewIterator(nil)
	many, err5 := r.GetMany(key, []byte("absent"), key)
	first, err6 := r.First(nil)
	last, err7 := r.Last(nil)
	must(t, errors.Join(err1, err2, err3, err4, err5, err6, err7))
	if many[1] != nil {
		t.Errorf("%s: an absent key of many is %#v", what, many[1])
	}
	defer it.Close()
	if !it.First() {
		t.Fatalf("%s: nothing there: %v", what, it.Err())
	}
	values := [][]byte{got, appended, e.Value, it.Value(), it.Entry().Value, many[0], many[2], first.Value, last.Value}
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
			r    Reader
		}{{"database", db}, {"snapshot", s}, {"transaction", tx}} {
			t.Run(c.name, func(t *testing.T) {
				get := testing.AllocsPerRun(100, func() { c.r.Get(key) })
				appendGet := testing.AllocsPerRun(100, func() { c.r.AppendGet(buf, key) })
				has := testing.AllocsPerRun(100, func() { c.r.Has(key) })
				if get != 1 || appendGet != 0 || has != 0 {
					t.Errorf("Get allocates %v times, AppendGet %v, Has %v", get, appendGet, has)
				}
				stat := testing.AllocsPerRun(100, func() { c.r.Stat(key) })
				left := testing.AllocsPerRun(100, func() { c.r.TTL(key) })
				if stat != 1 || left != 0 { // the key's copy
					t.Errorf("Stat allocates %v times, TTL %v", stat, left)
				}
				keys := slices.Repeat([][]byte{key}, 100)
				if n := testing.AllocsPerRun(100, func() { c.r.GetMany(keys...) }); n > 7 {
					t.Errorf("GetMany of 100 allocates %v times", n)
				}
			})
		}
		return nil
	}))
}

// TestGetMany looks up more keys than are read in one go, of values short and long: each is whole, and the caller's own.
func TestGetMany(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	const n = 3*manyAtOnce + 5
	keys, want := make([][]byte, n), make([][]byte, n)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key%04d", i*7919%n)
		var opts []WriteOption
		switch i % 5 {
		case 0:
			continue // absent
		case 1:
			opts = append(opts, TTL(time.Second)) // absent soon
		default:
			want[i] = bytes.Repeat([]byte{byte(i)}, []int{0, 3, 100, manyRoom / 4, manyRoom + 1}[i/5%5])
		}
		must(t, db.Put(keys[i], want[i], opts...))
	}
	clock.add(time.Second)
	keys = append(keys, keys[2]) // the same once more
	want = append(want, want[2])
	s, err := db.Snapshot()
	must(t, err)
	must(t, db.Update(func(tx *Txn) error {
		for _, r := range []Reader{db, s, tx} {
			got, err := r.GetMany(keys...)
			must(t, err)
			for i, value := range got {
				if (value == nil) != (want[i] == nil) || !bytes.Equal(value, want[i]) {
					t.Fatalf("%T: %s is %.20q, want %.20q", r, keys[i], value, want[i])
				}
				_ = append(value, 'x') // into the next, if they overlap
				for j := range value {
					value[j]++
				}
			}
		}
		return nil
	}))
	s.Close()
	if _, err := s.GetMany(keys[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed snapshot: %v", err)
	}
	if refs := db.live.View().Version.Pins(); refs != 1 {
		t.Errorf("%d references to the tables are left", refs)
	}
}

// TestIterOptionsOfIterators holds that each iterator refuses what is for Range, and that Valid says where it stands.
func TestIterOptionsOfIterators(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), []byte("value")))
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	must(t, db.Update(func(tx *Txn) error {
		for _, r := range []Reader{db, s, tx} {
			for _, o := range []IterOptions{{Reverse: true}, {Limit: 1}, {Limit: -1}} {
				if _, err := r.NewIterator(&o); !errors.Is(err, ErrInvalidOptions) {
					t.Errorf("%T: an iterator of %+v: %v", r, o, err)
				}
			}
			it, err := r.NewIterator(&IterOptions{KeysOnly: true})
			must(t, err)
			valid := []bool{it.Valid(), it.First() && it.Valid(), it.Next() || it.Valid(), it.Last() && it.Valid()}
			if !slices.Equal(valid, []bool{false, true, false, true}) {
				t.Errorf("%T: valid is %v", r, valid)
			}
			if e := it.Entry(); e.Value != nil || e.ValueSize != 5 {
				t.Errorf("%T: a walk over keys shows %+v", r, e)
			}
			it.Close()
			if it.Valid() || it.Next() || it.Valid() {
				t.Errorf("%T: a closed iterator is valid", r)
			}
		}
		return nil
	}))
}

// A look-up reads nothing of most tables of level 0 that lack its key: their filters say so. A database that was opened with these
// tables reads each.
func TestGetReadsFewTables(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	fault.Inject(vfstest.FailFrom(vfstest.OpMap, "", 1, vfs.ErrNotSupported)) // so that reads are seen
	o := manualOptions(fault, newFakeClock(), SyncNever)
	o.memtableSize = 1 << 20
	db, err := Open("db", o)
	must(t, err)
	const tables, keys = 20, 50
	key := func(table, i int) []byte { return fmt.Appendf(nil, "key%03d of %02d", i, table) }
	for table := range tables {
		for i := range keys {
			must(t, db.Put(key(table, i), key(i, table)))
		}
		must(t, db.Flush())
	}
	reads := func() int {
		t.Helper()
		before := fault.Count(vfstest.OpRead)
		for table := range tables {
			for i := range keys {
				content{db}.has(t, string(key(table, i)), string(key(i, table)))
				if _, err := db.Get(append(key(table, i), 'x')); !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		}
		return fault.Count(vfstest.OpRead) - before
	}
	if n := reads(); n > 3*tables*keys {
		t.Errorf("%d reads in %d tables for %d keys that are there and as many that are not", n, tables, tables*keys)
	}
	must(t, db.Close())
	db, err = Open("db", o)
	must(t, err)
	if n := reads(); n < tables/2*2*tables*keys {
		t.Errorf("%d reads of tables without filters", n)
	}
	must(t, db.Close())
}
