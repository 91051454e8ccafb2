package table

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// TestConcurrentReaders lets goroutines race to the first use of every block and page.
func TestConcurrentReaders(t *testing.T) {
	c := testContent(3000)
	for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4} {
		for _, mode := range modes {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				build(t, mem, testName, c, Options{Compression: compression})
				r := mustOpen(t, mode.fs(mem), testName, mustCache(t, min(mode.cache, 64<<10)))
				var wg sync.WaitGroup
				for g := range 4 {
					wg.Go(func() {
						rnd := rand.New(rand.NewPCG(uint64(g), 1))
						for range 500 {
							if err := compareGet(r, &c.entries[rnd.IntN(len(c.entries))]); err != nil {
								t.Error(err)
							}
						}
						if err := compareScan(r, c); err != nil {
							t.Error(err)
						}
						if g == 0 {
							verify(t, r)
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// TestReadFaults fails every read of an unmapped table in turn: it must surface, and be gone with the fault.
func TestReadFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	c := testContent(200)
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{BlockSize: 400})
	fault := vfstest.NewFault(mem)
	noMap := vfstest.FailFrom(vfstest.OpMap, "", 1, vfs.ErrNotSupported)

	use := func(inject vfstest.Injector) error {
		fault.Inject(func(op vfstest.Op) error {
			if err := noMap(op); err != nil || inject == nil {
				return err
			}
			return inject(op)
		})
		r, err := Open(fault, testName, testID, nil)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := compareAll(r, c); err != nil {
			return err
		}
		return r.Verify(context.Background())
	}
	if err := use(nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []vfstest.OpKind{vfstest.OpOpen, vfstest.OpSize, vfstest.OpRead} {
		before := fault.Count(kind)
		if err := use(nil); err != nil {
			t.Fatal(err)
		}
		n := fault.Count(kind) - before
		if n == 0 {
			t.Fatalf("no %v", kind)
		}
		for i := 1; i <= n; i++ {
			if err := use(vfstest.FailNth(kind, testName, i, syscall.EIO)); !errors.Is(err, syscall.EIO) {
				t.Errorf("%v %d of %d failed: %v", kind, i, n, err)
			}
		}
	}
}

// TestIteratorAfterError: an error ends an iteration for good, and a new positioning starts afresh.
func TestIteratorAfterError(t *testing.T) {
	c := testContent(200)
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{BlockSize: 400})
	fault := vfstest.NewFault(mem)
	r := mustOpen(t, pread{fault}, testName, nil)
	it := r.NewIterator()
	it.First()
	fault.Inject(vfstest.FailFrom(vfstest.OpRead, testName, 1, syscall.EIO))
	n := 1
	for it.Next() {
		n++
	}
	if !errors.Is(it.Err(), syscall.EIO) || n >= len(c.entries) {
		t.Fatalf("%d entries, %v", n, it.Err())
	}
	fault.Inject(nil)
	if it.Next() || it.Prev() || !errors.Is(it.Err(), syscall.EIO) {
		t.Errorf("it went on, or forgot its error: %v", it.Err())
	}
	if !it.SeekGE(key(150)) || it.Err() != nil || !sameEntry(it.Entry(), &c.entries[150]) {
		t.Errorf("SeekGE afterwards: %s, %v", describe(it.Entry()), it.Err())
	}
}

// TestFaultInMapping cuts the file under a mapping, as a failing disk would.
func TestFaultInMapping(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mappings")
	}
	c := testContent(3000)
	name := filepath.ToSlash(filepath.Join(t.TempDir(), testName))
	build(t, vfs.OS, name, c, Options{})
	r := mustOpen(t, vfs.OS, name, nil)
	it := r.NewIterator()
	if err := compareAll(r, c); err != nil || !it.SeekGE(key(1000)) {
		t.Fatal(err)
	}
	var runners [12]Iterator // that have few rows at hand, and not all of a block; the second half go backward
	for i := range runners {
		copies := new(Copies)
		if i%2 == 0 {
			copies = nil
		}
		runners[i].ResetCopying(r, copies)
		if i < 6 && !runners[i].SeekGE(key(1000+i/2)) || i >= 6 && !runners[i].SeekLT(key(1000+7*i)) {
			t.Fatal(runners[i].Err())
		}
	}
	if err := os.Truncate(filepath.FromSlash(name), int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for i := range runners {
		walk, reverse := &runners[i], i >= 6
		run, _ := walk.Run(1000, reverse) // not the death of the process; the step that comes to the fault tells
		if len(run) == 0 || walk.Err() != nil {
			t.Fatalf("iterator %d has %d entries at hand: %v", i, len(run), walk.Err())
		}
		for walk.Pass(len(run)-1, reverse); !reverse && walk.Next() || reverse && walk.Prev(); {
		}
		if err := walk.Err(); !errors.Is(err, vfs.ErrFault) || !strings.Contains(err.Error(), testName) {
			t.Errorf("iterator %d after a run: %v", i, err)
		}
	}
	var e kv.Entry
	dst := []byte("before")
	got, found, err := r.AppendGet(dst, key(2000), &e)
	if !errors.Is(err, vfs.ErrFault) || found || string(got) != "before" {
		t.Errorf("AppendGet: %q, %v, %v", got, found, err)
	}
	if found, err := r.Stat(key(2000), &e); !errors.Is(err, vfs.ErrFault) || found {
		t.Errorf("Stat: %v, %v", found, err)
	}
	for it.Next() {
	}
	if !errors.Is(it.Err(), vfs.ErrFault) {
		t.Errorf("Next: %v", it.Err())
	}
	if it.SeekLT(key(2000)) || !errors.Is(it.Err(), vfs.ErrFault) {
		t.Errorf("SeekLT: %v", it.Err())
	}
	if err := r.Verify(context.Background()); !errors.Is(err, vfs.ErrFault) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := Open(vfs.OS, name, testID, nil); err == nil {
		t.Error("Open of what is left")
	}
}

func TestVerifyStops(t *testing.T) {
	mem := vfstest.NewMem()
	build(t, mem, testName, testContent(100), Options{})
	r := mustOpen(t, mem, testName, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v", err)
	}
}

// TestCachedBlocks: what was read once is not read again, and one cache keeps the blocks of two tables apart.
func TestCachedBlocks(t *testing.T) {
	a, b := testContent(300), testContent(300)
	for i := range b.entries {
		b.entries[i].Seq++
	}
	mem := vfstest.NewMem()
	build(t, mem, "a", a, Options{})
	build(t, mem, "b", b, Options{})
	fault := vfstest.NewFault(mem)
	cache := mustCache(t, 1<<20)
	first, second := mustOpen(t, pread{fault}, "a", cache), mustOpen(t, pread{fault}, "b", cache)
	for range 3 {
		for r, c := range map[*Reader]content{first: a, second: b} {
			if err := compareAll(r, c); err != nil {
				t.Fatal(err)
			}
		}
		cache.blocks.Wait()
	}
	before := fault.Count(vfstest.OpRead)
	for i := range a.entries {
		if err := compareGet(first, &a.entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if n := fault.Count(vfstest.OpRead) - before; n != 0 {
		t.Errorf("%d reads of what is in the cache", n)
	}
}

func TestNewCacheRefuses(t *testing.T) {
	if c, err := NewCache(0); err == nil {
		c.Close()
		t.Error("a cache of no size")
	}
	var none *Cache
	none.Close()
	if s := none.Stats(); s != (CacheStats{}) {
		t.Errorf("no cache has %+v", s)
	}
}

// A block counts as missed once, as long as the cache keeps it, and takes its uncompressed size there.
func TestCacheStats(t *testing.T) {
	c := testContent(2000)
	mem, cache := vfstest.NewMem(), mustCache(t, 8<<20)
	build(t, mem, testName, c, Options{Compression: wal.CompressionZstd})
	r := mustOpen(t, mem, testName, cache)
	if s := cache.Stats(); s != (CacheStats{Capacity: 8 << 20}) {
		t.Errorf("fresh: %+v", s)
	}
	for i := range c.entries {
		var e kv.Entry
		if _, known, err := r.AppendGet(nil, c.entries[i].Key, &e); !known || err != nil {
			t.Fatal(known, err)
		}
		cache.blocks.Wait() // for what was just given to it
	}
	s := cache.Stats()
	if blocks := uint64(r.index.blocks()); s.Misses != blocks || s.Bytes < 100_000 || s.Bytes > s.Capacity {
		t.Errorf("%+v after all of %d blocks", s, blocks)
	}
	words, separators := int64(8*(r.index.blocks()+1)), int64(len(key(0))*r.index.blocks())
	if n := r.IndexBytes(); n < words || n > 3*(words+separators) {
		t.Errorf("the index takes %d bytes", n)
	}
	if r.MappedBytes() != r.Properties().FileSize {
		t.Errorf("%d of %d bytes are mapped", r.MappedBytes(), r.Properties().FileSize)
	}
}

// TestAllocations: nothing is allocated for an operation.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := testContent(3000)
	for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4} {
		for _, mode := range modes[:3] {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				build(t, mem, testName, c, Options{Compression: compression})
				r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
				if err := compareAll(r, c); err != nil {
					t.Fatal(err)
				}
				if mode.cache > 0 {
					r.cache.blocks.Wait()
					if compression != wal.CompressionNone {
						return // what the cache does is its own affair
					}
				}
				var e kv.Entry
				var buf []byte
				it := r.NewScanner()
				for it.First(); it.Next(); {
				}
				i := 0
				for _, row := range []struct {
					name string
					f    func()
				}{
					{"AppendGet", func() {
						i = (i + 1) % len(c.entries)
						buf, _, _ = r.AppendGet(buf[:0], c.entries[i].Key, &e)
					}},
					{"AppendGet of no key", func() { _, _, _ = r.AppendGet(nil, []byte("key0001x"), &e) }},
					{"Stat", func() {
						i = (i + 1) % len(c.entries)
						_, _ = r.Stat(c.entries[i].Key, &e)
					}},
					{"Next", func() {
						if !it.Next() {
							it.First()
						}
					}},
					{"Prev", func() {
						if !it.Prev() {
							it.Last()
						}
					}},
					{"SeekGE", func() {
						i = (i + 1) % len(c.entries)
						it.SeekGE(c.entries[i].Key)
					}},
				} {
					t.Run(row.name, func(t *testing.T) {
						if n := testing.AllocsPerRun(5000, row.f); n != 0 {
							t.Errorf("%s allocates %v times", row.name, n)
						}
					})
				}
			})
		}
	}
}

func TestAddAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w := mustWriter(t, discard{}, testName, defaults(Options{}))
	e := kv.Entry{Key: make([]byte, 16), Value: make([]byte, 100), Seq: 5}
	i := uint64(0)
	add := func() {
		i++
		binary.BigEndian.PutUint64(e.Key, i)
		e.Deadline = testTime + int64(i%1000)
		if err := w.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		add()
	}
	// What is left is the growth of the indexes, far below one in a hundred entries.
	if n := testing.AllocsPerRun(20, func() {
		for range 1000 {
			add()
		}
	}); n > 10 {
		t.Errorf("1000 entries allocate %v times", n)
	}
}

// discard is a file system that forgets what is written.
type discard struct{ vfs.FS }

type discardFile struct{ vfs.File }

func (discard) Create(string) (vfs.File, error)              { return discardFile{}, nil }
func (discardFile) WriteAt(p []byte, off int64) (int, error) { return len(p), nil }
func (discardFile) WriteBack(off, n int64)                   {}
