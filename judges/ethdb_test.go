package judges

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb"
	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/ethdb/dbtest"
	"github.com/ethereum/go-ethereum/ethdb/leveldb"
	"github.com/ethereum/go-ethereum/ethdb/pebble"
)

// store is a database as go-ethereum wants it. Its keys may be empty, and those of ebb may not: so each has a byte in front.
type store struct{ *ebb.DB }

func under(key []byte) []byte { return append([]byte{'k'}, key...) }

// end returns the end of a range: nil is none.
func end(key []byte) []byte {
	if key == nil {
		return []byte{'k' + 1}
	}
	return under(key)
}

func (s store) Has(key []byte) (bool, error)   { return s.DB.Has(under(key)) }
func (s store) Get(key []byte) ([]byte, error) { return s.DB.Get(under(key)) }
func (s store) Put(key, value []byte) error    { return s.DB.Put(under(key), value, ebb.NoSync) }
func (s store) Delete(key []byte) error        { return s.DB.Delete(under(key), ebb.NoSync) }
func (s store) Stat() (string, error)          { return fmt.Sprintf("%+v", s.Stats()), nil }
func (s store) SyncKeyValue() error            { return s.Sync() }

func (s store) DeleteRange(start, limit []byte) error {
	return s.DB.DeleteRange(under(start), end(limit), ebb.NoSync)
}

func (s store) Compact(start, limit []byte) error {
	return s.CompactRange(context.Background(), under(start), end(limit))
}

func (s store) NewBatch() ethdb.Batch            { return &batch{db: s.DB} }
func (s store) NewBatchWithSize(int) ethdb.Batch { return s.NewBatch() }

func (s store) NewIterator(prefix, start []byte) ethdb.Iterator {
	prefix = under(prefix)
	it, err := s.DB.NewIterator(&ebb.IterOptions{Prefix: prefix, Start: append(bytes.Clone(prefix), start...)})
	return &iterator{Iterator: it, err: err}
}

type iterator struct {
	*ebb.Iterator
	err   error
	begun bool
}

func (it *iterator) Next() bool {
	switch {
	case it.err != nil:
		return false
	case it.begun:
		return it.Iterator.Next()
	}
	it.begun = true
	return it.First()
}

func (it *iterator) Key() []byte {
	if key := it.Iterator.Key(); key != nil {
		return key[1:]
	}
	return nil
}

func (it *iterator) Error() error {
	if it.err != nil {
		return it.err
	}
	return it.Err()
}

func (it *iterator) Release() {
	if it.err == nil {
		it.Close()
	}
}

type batch struct {
	ebb.Batch
	db *ebb.DB
}

func (b *batch) Put(key, value []byte) error { return b.Batch.Put(under(key), value) }
func (b *batch) Delete(key []byte) error     { return b.Batch.Delete(under(key)) }
func (b *batch) ValueSize() int              { return int(b.Size()) }
func (b *batch) Write() error                { return b.db.Apply(&b.Batch, ebb.NoSync) }
func (b *batch) Close()                      { b.Reset() }

func (b *batch) DeleteRange(start, limit []byte) error {
	return b.Batch.DeleteRange(under(start), end(limit))
}

func (b *batch) Replay(w ethdb.KeyValueWriter) (err error) {
	for op := range b.All() {
		key := op.Key[1:]
		switch op.Kind {
		case ebb.BatchPut:
			err = w.Put(key, op.Value)
		case ebb.BatchDelete:
			err = w.Delete(key)
		case ebb.BatchDeleteRange:
			limit := op.End[1:]
			if bytes.Equal(op.End, end(nil)) {
				limit = nil
			}
			err = w.(ethdb.KeyValueRangeDeleter).DeleteRange(key, limit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestEthdb(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		dbtest.TestDatabaseSuite(t, func() ethdb.KeyValueStore {
			db, err := ebb.OpenMemory(nil)
			if err != nil {
				t.Fatal(err)
			}
			return store{db}
		})
	})
	t.Run("directory", func(t *testing.T) {
		dbtest.TestDatabaseSuite(t, func() ethdb.KeyValueStore { return openStore(t) })
	})
}

func openStore(tb testing.TB) ethdb.KeyValueStore {
	db, err := ebb.Open(tb.TempDir(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return store{db}
}

func BenchmarkEthdb(b *testing.B) {
	b.Run("store=ebb", func(b *testing.B) {
		dbtest.BenchDatabaseSuite(b, func() ethdb.KeyValueStore { return openStore(b) })
	})
	b.Run("store=pebble", func(b *testing.B) {
		dbtest.BenchDatabaseSuite(b, func() ethdb.KeyValueStore {
			db, err := pebble.New(b.TempDir(), 256, 0, "", false)
			if err != nil {
				b.Fatal(err)
			}
			return db
		})
	})
	b.Run("store=leveldb", func(b *testing.B) {
		dbtest.BenchDatabaseSuite(b, func() ethdb.KeyValueStore {
			db, err := leveldb.New(b.TempDir(), 256, 0, "", false)
			if err != nil {
				b.Fatal(err)
			}
			return db
		})
	})
}
