package ebb

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var benchRecords = flag.Int("records", 1_000_000, "records of 124 B in the database of the read benchmarks")

// benchKey writes the i-th key of 24 bytes, in an order that is random but for every i the same.
func benchKey(dst []byte, i uint64) []byte {
	x := i * 0x9e3779b97f4a7c15
	x ^= x >> 29
	dst = append(dst[:0], "user00000000000000000000"...)
	for d := len(dst) - 1; x > 0; x /= 10 {
		dst[d] = '0' + byte(x%10)
		d--
	}
	return dst
}

func benchValue() []byte {
	v := make([]byte, 100)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(v)/2; i += 2 { // half compressible
		binary.LittleEndian.PutUint16(v[i:], uint16(r.Uint32()))
	}
	return v
}

// load fills a database with benchRecords and lets it settle.
func load(b *testing.B, dir string) *DB {
	b.Helper()
	db, err := Open(dir, &Options{Sync: SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	var batch Batch
	value, key := benchValue(), make([]byte, 0, 24)
	for i := range *benchRecords {
		if err := batch.Put(benchKey(key, uint64(i)), value); err != nil {
			b.Fatal(err)
		}
		if batch.Len() == 1000 || i == *benchRecords-1 {
			if err := db.Apply(&batch); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := db.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkGet reads random keys from a settled database of -records in the page cache.
func BenchmarkGet(b *testing.B) {
	db := load(b, filepath.Join(b.TempDir(), "db"))
	defer db.Close()
	for name, offset := range map[string]uint64{"hit": 0, "miss": 1 << 40} {
		b.Run(name, func(b *testing.B) {
			keys := make([][]byte, 1<<16)
			for i := range keys {
				keys[i] = benchKey(nil, offset+rand.Uint64N(uint64(*benchRecords)))
			}
			var dst []byte
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				var err error
				if dst, err = db.AppendGet(dst[:0], keys[i%len(keys)]); (err == nil) != (name == "hit") {
					b.Fatal(err)
				}
				i++
			}
		})
	}
	for name, get := range map[string]func(keys [][]byte) error{
		"one by one": func(keys [][]byte) (err error) {
			for _, key := range keys {
				if _, getErr := db.Get(key); getErr != nil {
					err = getErr
				}
			}
			return err
		},
		"many": func(keys [][]byte) error {
			_, err := db.GetMany(keys...)
			return err
		},
	} {
		b.Run("100 "+name, func(b *testing.B) {
			keys := make([][]byte, 100)
			for i := range keys {
				keys[i] = benchKey(nil, rand.Uint64N(uint64(*benchRecords)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := get(keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("scan100", func(b *testing.B) {
		b.ReportAllocs()
		key := make([]byte, 0, 24)
		for b.Loop() {
			n := 0
			for _, err := range db.Range(&IterOptions{Start: benchKey(key, rand.Uint64N(uint64(*benchRecords))), Limit: 100}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
	})
}

// BenchmarkGetLevel0 looks keys up in the tables of level 0 that a load leaves, 184,000 records each: as they were written, with
// their filters, and as they were opened, without.
func BenchmarkGetLevel0(b *testing.B) {
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, tables := range []int{8, 30} {
		dir := filepath.Join(b.TempDir(), "db")
		o := &Options{Sync: SyncNever, manual: true}
		db, err := Open(dir, o)
		check(err)
		var batch Batch
		value, key, records := benchValue(), make([]byte, 0, 24), uint64(0)
		for len(db.live.View().Version.Levels[0]) < tables {
			for range 1000 {
				check(batch.Put(benchKey(key, records), value))
				records++
			}
			check(db.Apply(&batch))
			batch.Reset()
			if len(db.live.View().Frozen) > 0 {
				check(db.flusher.flushFrozen())
			}
		}
		gets := func(b *testing.B) {
			dst := make([]byte, 0, 100)
			for i := uint64(0); b.Loop(); i++ {
				if dst, err = db.AppendGet(dst[:0], benchKey(key, i*0x9e3779b97f4a7c15%records)); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(fmt.Sprintf("tables=%d/written", tables), gets)
		check(db.Close())
		db, err = Open(dir, o)
		check(err)
		b.Run(fmt.Sprintf("tables=%d/opened", tables), gets)
		check(db.Close())
	}
}

// BenchmarkPut writes new keys and overwrites, without sync, by one and by eight goroutines.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db, err := Open(filepath.Join(b.TempDir(), "db"), &Options{Sync: SyncNever})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			value := benchValue()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					key := make([]byte, 0, 24)
					for i := w; i < b.N; i += writers {
						if err := db.Put(benchKey(key, uint64(i)), value); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkOpen opens a database of -records that was closed cleanly.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "db")
	if err := load(b, dir).Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		db, err := Open(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkOpenAfterKill opens a database whose log holds 64 MB that no table has.
func BenchmarkOpenAfterKill(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "db")
	db, err := Open(dir, &Options{Sync: SyncNever, memtableSize: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	key, value := make([]byte, 0, 24), benchValue()
	for i := 0; db.Stats().Log.Bytes < 63<<20; i++ {
		if err := db.Put(benchKey(key, uint64(i)), value); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Sync(); err != nil {
		b.Fatal(err)
	}
	killed := filepath.Join(b.TempDir(), "killed")
	for b.Loop() {
		b.StopTimer()
		if err := os.RemoveAll(killed); err != nil {
			b.Fatal(err)
		}
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		again, err := Open(killed, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		again.Close()
		b.StartTimer()
	}
	db.Close()
}

// BenchmarkConditionalPut compares a put that has a condition with one that has none, over keys that are there.
func BenchmarkConditionalPut(b *testing.B) {
	for _, bm := range []struct {
		name string
		opts []WriteOption
	}{{"Plain", nil}, {"IfPresent", []WriteOption{IfPresent}}, {"KeepTTL", []WriteOption{KeepTTL}}} {
		b.Run(bm.name, func(b *testing.B) {
			db := load(b, b.TempDir())
			defer db.Close()
			key, value := make([]byte, 0, 24), benchValue()
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				if err := db.Put(benchKey(key, rng.Uint64N(uint64(*benchRecords))), value, bm.opts...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUpdate compares a transaction of one read and one write with a put.
func BenchmarkUpdate(b *testing.B) {
	update := func(db *DB, key, value []byte) error {
		return db.Update(func(tx *Txn) error {
			if _, err := tx.AppendGet(value[:0], key); err != nil {
				return err
			}
			return tx.Put(key, value)
		})
	}
	put := func(db *DB, key, value []byte) error { return db.Put(key, value) }
	for name, do := range map[string]func(*DB, []byte, []byte) error{"Put": put, "Update": update} {
		b.Run(name, func(b *testing.B) {
			db := load(b, b.TempDir())
			defer db.Close()
			key, value := make([]byte, 0, 24), benchValue()
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				if err := do(db, benchKey(key, rng.Uint64N(uint64(*benchRecords))), value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenMemory(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		db, err := OpenMemory(nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInMemory puts, gets and scans by turns in memory and in a directory, and reports the least times of each: of an
// operation, in ns.
func BenchmarkInMemory(b *testing.B) {
	const records, part = 50_000, 5000
	least := map[string]float64{}
	value, key := benchValue(), make([]byte, 0, 24)
	for b.Loop() {
		for _, c := range []struct {
			name string
			open func() (*DB, error)
		}{
			{"memory", func() (*DB, error) { return OpenMemory(nil) }},
			{"disk", func() (*DB, error) { return Open(b.TempDir(), &Options{Sync: SyncNever}) }},
		} {
			db, err := c.open()
			if err != nil {
				b.Fatal(err)
			}
			timed := func(what string, run func(i uint64) error) {
				for i := 0; i < records; i += part {
					start := time.Now()
					for j := range part {
						if err := run(uint64(i + j)); err != nil {
							b.Fatal(err)
						}
					}
					name, took := c.name+"-"+what, float64(time.Since(start))/part
					if old, ok := least[name]; !ok || took < old {
						least[name] = took
					}
				}
			}
			get := func(i uint64) (err error) { _, err = db.Get(benchKey(key, i)); return err }
			timed("put", func(i uint64) error { return db.Put(benchKey(key, i), value) })
			timed("get", get)
			if err := db.Flush(); err != nil {
				b.Fatal(err)
			}
			timed("get-table", get)
			it, err := db.NewIterator(nil)
			if err != nil {
				b.Fatal(err)
			}
			timed("scan", func(i uint64) error {
				if i == 0 && it.First() || i > 0 && it.Next() {
					return nil
				}
				return fmt.Errorf("the end after %d, %w", i, it.Err())
			})
			it.Close()
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, ns := range least {
		b.ReportMetric(ns, name+"-ns")
	}
}
