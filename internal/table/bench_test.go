package table

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

var benchCount = flag.Int("table.entries", 1_000_000, "entries in the tables of the benchmarks")

// benchTable builds a table of *benchCount entries in an OS file.
func benchTable(b *testing.B, o Options) string {
	b.Helper()
	name := filepath.ToSlash(filepath.Join(b.TempDir(), "table"))
	o.ID, o.BaseSeq, o.Created = testID, 1000, testTime
	w := mustWriter(b, vfs.OS, name, o)
	benchEntries(*benchCount, func(e *kv.Entry) {
		if err := w.Add(e); err != nil {
			b.Fatal(err)
		}
	})
	mustFinish(b, w)
	return name
}

// benchGets times look-ups of random keys. With miss, none of them is in the table.
func benchGets(b *testing.B, t *Reader, miss bool) {
	rnd := rand.New(rand.NewPCG(3, 4))
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = benchKey(nil, rnd.IntN(*benchCount))
		if miss {
			keys[i][len(keys[i])-1]++
		}
	}
	var e kv.Entry
	var buf []byte
	i := 0
	get := func() {
		i = (i + 1) % len(keys)
		v, found, err := t.AppendGet(buf[:0], keys[i], &e)
		if err != nil || found == miss {
			b.Fatalf("found %v, error %v", found, err)
		}
		buf = v
	}
	for range keys { // verified, and in whatever caches there are
		get()
	}
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}

// benchFindByIndex is what a look-up would be without hash pages.
func benchFindByIndex(b *testing.B, t *Reader) {
	rnd := rand.New(rand.NewPCG(3, 4))
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = benchKey(nil, rnd.IntN(*benchCount))
	}
	i := 0
	find := func() {
		i = (i + 1) % len(keys)
		var r row
		if block, err := t.findByIndex(keys[i], &r, nil); err != nil || block == nil {
			b.Fatalf("found %v, error %v", block != nil, err)
		}
	}
	for range keys {
		find()
	}
	for b.Loop() {
		find()
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("block=%dK", size>>10), func(b *testing.B) {
			name := benchTable(b, Options{BlockSize: size})
			b.Run("mapped/hit", func(b *testing.B) { benchGets(b, mustOpen(b, vfs.OS, name, nil), false) })
			b.Run("mapped/miss", func(b *testing.B) { benchGets(b, mustOpen(b, vfs.OS, name, nil), true) })
			b.Run("mapped/by index", func(b *testing.B) { benchFindByIndex(b, mustOpen(b, vfs.OS, name, nil)) })
			b.Run("pread/hit", func(b *testing.B) { benchGets(b, mustOpen(b, pread{vfs.OS}, name, nil), false) })
			b.Run("cached/hit", func(b *testing.B) {
				benchGets(b, mustOpen(b, pread{vfs.OS}, name, mustCache(b, 1<<30)), false)
			})
		})
	}
}

func BenchmarkIterator(b *testing.B) {
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("block=%dK", size>>10), func(b *testing.B) {
			t := mustOpen(b, vfs.OS, benchTable(b, Options{BlockSize: size}), nil)
			it := t.NewIterator()
			for it.First(); it.Next(); {
			}
			b.Run("next", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !it.Next() && !it.First() {
						b.Fatal(it.Err())
					}
				}
			})
			b.Run("prev", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !it.Prev() && !it.Last() {
						b.Fatal(it.Err())
					}
				}
			})
			b.Run("seek", func(b *testing.B) {
				b.ReportAllocs()
				rnd := rand.New(rand.NewPCG(3, 4))
				var key []byte
				for b.Loop() {
					if key = benchKey(key[:0], rnd.IntN(*benchCount)); !it.SeekGE(key) {
						b.Fatal(it.Err())
					}
				}
			})
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4, wal.CompressionZstd} {
		b.Run(c.String(), func(b *testing.B) {
			const n = 200_000
			b.SetBytes(n * 124)
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				w := mustWriter(b, vfs.OS, filepath.ToSlash(filepath.Join(dir, fmt.Sprint(i))),
					Options{ID: testID, BaseSeq: 1000, Created: testTime, Compression: c})
				benchEntries(n, func(e *kv.Entry) {
					if err := w.Add(e); err != nil {
						b.Fatal(err)
					}
				})
				mustFinish(b, w)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	name := benchTable(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		t, err := Open(vfs.OS, name, testID, nil)
		if err != nil {
			b.Fatal(err)
		}
		t.Close()
	}
}

func BenchmarkGuard(b *testing.B) {
	n := 0
	for b.Loop() {
		if err := vfs.Guard(func() { n++ }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSort builds the sorted view of 24 tables that overlap, the first time with their blocks not verified.
func BenchmarkSort(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprintf("value=%d", size), func(b *testing.B) {
			const tables = 24
			entries := *benchCount * 100 / size
			rnd := rand.New(rand.NewPCG(1, 2))
			in := make([][]kv.Entry, tables)
			value := make([]byte, size)
			for i := range entries {
				n := rnd.IntN(tables)
				in[n] = append(in[n], kv.Entry{Key: benchKey(nil, i), Value: value, Seq: uint64(i)})
			}
			var runs [][]*Reader
			for n := range in {
				name := filepath.ToSlash(filepath.Join(b.TempDir(), "table"))
				build(b, vfs.OS, name, content{entries: in[n]}, Options{})
				r := mustOpen(b, vfs.OS, name, nil)
				defer r.Close()
				runs = append(runs, []*Reader{r})
			}
			b.ReportAllocs()
			for b.Loop() {
				s, err := Sort(runs, never)
				if err != nil || s.Len() != entries {
					b.Fatal(s.Len(), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
		})
	}
}
