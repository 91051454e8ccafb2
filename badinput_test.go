package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// What no call accepts, and what is left as it was by refusing it.
func TestBadArguments(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	key := []byte("k")
	must(t, db.Put(key, []byte("v")))
	longest, long := make([]byte, MaxKeySize), make([]byte, MaxKeySize+1)
	must(t, db.Put(longest, nil))
	huge := make([]byte, MaxValueSize+1) // never touched, so it takes no memory
	var b Batch
	for _, row := range []struct {
		name string
		err  error
		want error
	}{
		{"put empty key", db.Put(nil, nil), ErrKeyEmpty},
		{"put long key", db.Put(long, nil), ErrKeyTooLarge},
		{"put huge value", db.Put(key, huge), ErrValueTooLarge},
		{"put zero option", db.Put(key, nil, WriteOption{}), ErrInvalidOption},
		{"put keep beside TTL", db.Put(key, nil, KeepTTL, TTL(time.Second)), ErrInvalidOption},
		{"put keep beside past", db.Put(key, nil, TTL(-1), KeepTTL), ErrInvalidOption},
		{"delete empty key", db.Delete([]byte{}), ErrKeyEmpty},
		{"delete long key", db.Delete(long), ErrKeyTooLarge},
		{"delete with TTL", db.Delete(key, TTL(time.Second)), ErrInvalidOption},
		{"delete with keep", db.Delete(key, KeepTTL), ErrInvalidOption},
		{"range upside down", db.DeleteRange([]byte("z"), []byte("a")), nil}, // nothing is written
		{"range empty", db.DeleteRange(key, key), nil},
		{"range before all keys", db.DeleteRange(nil, []byte{}), nil},
		{"prefix of a long key", db.DeletePrefix(long), ErrKeyTooLarge},
		{"range to a long key", db.DeleteRange(key, long), ErrKeyTooLarge},
		{"range with TTL", db.DeleteRange(key, []byte("l"), TTL(1)), ErrInvalidOption},
		{"compact upside down", db.CompactRange(t.Context(), []byte("z"), []byte("a")), nil},
		{"compact from a long key", db.CompactRange(t.Context(), long, nil), ErrKeyTooLarge},
		{"expire empty key", db.Expire(nil, time.Second), ErrKeyEmpty},
		{"expire with TTL", db.Expire(key, time.Second, TTL(1)), ErrInvalidOption},
		{"persist long key", db.Persist(long), ErrKeyTooLarge},
		{"batch put empty key", b.Put(nil, nil), ErrKeyEmpty},
		{"batch put huge value", b.Put(key, huge), ErrValueTooLarge},
		{"batch put later", b.Put(key, nil, IfLater), ErrInvalidOption},
		{"batch delete if absent", b.Delete(key, IfAbsent), ErrInvalidOption},
		{"batch expire TTL", b.Expire(key, 1, TTL(1)), ErrInvalidOption},
		{"batch persist later", b.Persist(key, IfLater), ErrInvalidOption},
		{"batch put sync", b.Put(key, nil, Sync), ErrInvalidOption},
		{"batch delete empty key", b.Delete(nil), ErrKeyEmpty},
		{"batch delete long key", b.Delete(long), ErrKeyTooLarge},
		{"apply with TTL", db.Apply(&b, TTL(time.Second)), ErrInvalidOption},
		{"apply nothing", db.Apply(&b), nil},
		{"get empty key", second(db.Get(nil)), ErrKeyEmpty},
		{"get long key", second(db.Get(long)), ErrKeyTooLarge},
		{"has empty key", second(db.Has(nil)), ErrKeyEmpty},
		{"stat long key", second(db.Stat(long)), ErrKeyTooLarge},
		{"get many, one empty", second(db.GetMany(key, nil)), ErrKeyEmpty},
		{"get many, one long", second(db.GetMany(long, key)), ErrKeyTooLarge},
		{"get none", second(db.GetMany()), nil},
		{"first, reverse", second(db.First(&IterOptions{Reverse: true})), ErrInvalidOptions},
		{"last, with a limit", second(db.Last(&IterOptions{Limit: 1})), ErrInvalidOptions},
		{"touch empty key", second(db.GetTouch(nil, time.Second)), ErrKeyEmpty},
		{"take empty key", second(db.Take(nil)), ErrKeyEmpty},
		{"take if absent", second(db.Take(key, IfAbsent)), ErrInvalidOption},
		{"take an absent key", second(db.Take([]byte("absent"))), ErrNotFound},
		{"get longest key", second(db.Get(longest)), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			if !errors.Is(row.err, row.want) {
				t.Errorf("%v, want %v", row.err, row.want)
			}
		})
	}
	if b.Len() != 0 || lastSeq(db) != 2 {
		t.Errorf("a batch of %d, sequence %d", b.Len(), lastSeq(db))
	}
	content{db}.has(t, "k", "v")
}

func second[T any](_ T, err error) error { return err }

// A batch takes what MaxBatchSize allows and stays usable after refusing more.
func TestBatchTooLarge(t *testing.T) {
	b := Batch{size: MaxBatchSize - 1000}
	must(t, b.Put([]byte("k"), make([]byte, 100)))
	if err := b.Put([]byte("k"), make([]byte, 1000)); !errors.Is(err, ErrBatchTooLarge) {
		t.Errorf("put: %v", err)
	}
	if b.Len() != 1 {
		t.Errorf("%d operations", b.Len())
	}
}

// A directory that holds other things is left alone.
func TestNotADatabase(t *testing.T) {
	clock := newFakeClock()
	for _, c := range []struct {
		name string
		fill func(*vfstest.Mem) error
	}{
		{"other file", func(m *vfstest.Mem) error { return m.WriteFile("db/letter.txt", []byte("Dear")) }},
		{"other directory", func(m *vfstest.Mem) error { return m.MkdirAll("db/photos") }},
		{"manifest gone", func(m *vfstest.Mem) error { return m.MkdirAll("db/tables") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			must(t, mem.MkdirAll("db"))
			must(t, c.fill(mem))
			before := mem.Clone()
			if _, err := Open("db", manualOptions(mem, clock, SyncAlways)); !errors.Is(err, ErrNotDatabase) {
				t.Error(err)
			}
			for _, diff := range mem.Diff(before) {
				if filepath.Base(diff) != dir.LockName {
					t.Errorf("Open has changed %s", diff)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(file, nil); err == nil {
		t.Error("a file was opened as a database")
	}
}

// A directory that is open already says by whom, by whatever spelling, and can be opened when it is not any more.
func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := Open(dir, nil)
	must(t, err)
	_, err = Open(filepath.Dir(dir)+"/./db/", nil)
	var l *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &l) || l.PID != os.Getpid() ||
		!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second time: %v", err)
	}
	must(t, db.Put([]byte("k"), []byte("v")))
	must(t, db.Close())
	db, err = Open(dir, nil)
	must(t, err)
	content{db}.has(t, "k", "v")
	must(t, db.Close())
}

// A flipped bit in a block is an error with file and offset, for gets, iterators, Verify and compactions; other tables go
// on. No wrong byte is returned.
func TestCorruptBlock(t *testing.T) {
	mem, clock, tables := damagable(t)
	size, err := mem.Size(tables[1])
	must(t, err)
	found := 0
	for off := int64(0); off < size; off += 37 {
		fs := mem.Clone()
		must(t, fs.Corrupt(tables[1], off, 1<<(off%8)))
		db, err := Open("db", manualOptions(fs, clock, SyncAlways))
		if err != nil {
			isCorrupt(t, fmt.Sprintf("open, byte %d", off), err, tables[1])
			continue
		}
		found += checkCorruptBlock(t, db, off, tables[1])
		must(t, db.Close())
	}
	if found == 0 {
		t.Error("no read has come across the damage")
	}
}

// checkCorruptBlock reads everything from a database whose second table is damaged, and returns how many gets failed.
func checkCorruptBlock(t *testing.T, db *DB, off int64, file string) (failed int) {
	t.Helper()
	value := strings.Repeat("v", 100)
	for i := range 3 {
		for j := range 40 {
			got, err := db.Get(fmt.Appendf(nil, "key%d-%02d", i, j))
			if err != nil && i == 1 {
				failed++
				isCorrupt(t, fmt.Sprintf("get, byte %d", off), err, file)
			} else if err != nil || string(got) != value {
				t.Fatalf("byte %d, key%d-%02d: %q, %v", off, i, j, got, err)
			}
		}
	}
	n := 0
	var scanned error
	for e, err := range db.Range(nil) {
		if scanned = err; err == nil {
			if n++; string(e.Key) != "log" && string(e.Value) != value {
				t.Fatalf("byte %d: a scan shows %q = %q", off, e.Key, e.Value)
			}
		}
	}
	if scanned != nil {
		isCorrupt(t, fmt.Sprintf("scan, byte %d", off), scanned, file)
	} else if n != 121 {
		t.Fatalf("byte %d: a scan shows %d keys", off, n)
	}
	err := db.Verify(t.Context())
	isCorrupt(t, fmt.Sprintf("verify, byte %d", off), err, file)
	if scanned != nil {
		isCorrupt(t, fmt.Sprintf("compact, byte %d", off), compactStep.run(db), file)
	}
	content{db}.has(t, "log", "only")
	return failed
}

func isCorrupt(t *testing.T, what string, err error, file string) {
	t.Helper()
	var c *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &c) || c.File != file {
		t.Fatalf("%s: %v, want corruption of %s", what, err, file)
	}
}

// Errors about one key that the caller has passed in name it: escaped, and cut at 64 bytes.
func TestErrorsNameTheKey(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	key, name := []byte("a\x00b"), `"a\x00b"`
	must(t, db.Put(key, []byte("text")))
	most := []byte("most")
	_, err := db.Add(most, math.MaxInt64)
	must(t, err)
	long := bytes.Repeat([]byte("k"), MaxKeySize+1)
	conflicting := func(fn func(tx *Txn) error) func(tx *Txn) error {
		return func(tx *Txn) error {
			if _, err := tx.Get(key); err != nil {
				return err
			}
			return errors.Join(db.Put(key, []byte("other")), fn(tx))
		}
	}
	put := func(tx *Txn) error { return tx.Put(most, []byte("1")) }
	add := func(key []byte, delta int64) error { _, err := db.Add(key, delta); return err }
	var b Batch
	must(t, b.Put(key, nil, IfAbsent))
	for _, row := range []struct {
		name string
		err  error
		is   error
		want string
	}{
		{"long key", db.Put(long, nil), ErrKeyTooLarge, `"` + strings.Repeat("k", 64) + `"... (65537 bytes)`},
		{"huge value", db.Put(key, make([]byte, MaxValueSize+1)), ErrValueTooLarge, name},
		{"no counter", add(key, 1), ErrNotCounter, name},
		{"overflow", add(most, 1), ErrOverflow, `"most"`},
		{"no counter in a transaction", db.Update(func(tx *Txn) error { _, err := tx.Add(key, 1); return err }), ErrNotCounter, name},
		{"overflow in a transaction", db.Update(func(tx *Txn) error { _, err := tx.Add(most, 1); return err }), ErrOverflow, `"most"`},
		{"condition", db.Put(key, nil, IfAbsent), ErrConditionFailed, name},
		{"condition of a batch", db.Apply(&b), ErrConditionFailed, name},
		{"conflict", db.Update(conflicting(put)), ErrConflict, name + " has changed"},
		{"conflict of Begin", func() error {
			tx, err := db.Begin(true)
			must(t, err)
			return errors.Join(conflicting(put)(tx), tx.Commit())
		}(), ErrConflict, name + " has changed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if !errors.Is(row.err, row.is) || !strings.Contains(fmt.Sprint(row.err), row.want) {
				t.Errorf("%v", row.err)
			}
		})
	}
}
