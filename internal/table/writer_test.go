package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

func TestWriterRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		entry kv.Entry
		want  error
	}{
		{"the same key", kv.Entry{Key: []byte("k"), Seq: 10}, ErrOrder},
		{"a smaller key", kv.Entry{Key: []byte("a"), Seq: 10}, ErrOrder},
		{"an empty key", kv.Entry{Seq: 10}, ErrInvalid},
		{"a key too large", kv.Entry{Key: bytes.Repeat([]byte("z"), MaxKeySize+1), Seq: 10}, ErrInvalid},
		{"a sequence below the base", kv.Entry{Key: []byte("z"), Seq: 9}, ErrInvalid},
		{"a negative deadline", kv.Entry{Key: []byte("z"), Seq: 10, Deadline: -1}, ErrInvalid},
		{"an unknown kind", kv.Entry{Key: []byte("z"), Seq: 10, Kind: kv.Delete + 1}, ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			w := mustWriter(t, mem, testName, defaults(Options{BaseSeq: 10}))
			good := []kv.Entry{{Key: []byte("k"), Seq: 10}, {Key: []byte("z"), Seq: 11}}
			if err := w.Add(&good[0]); err != nil {
				t.Fatal(err)
			}
			if err := w.Add(&test.entry); !errors.Is(err, test.want) {
				t.Errorf("Add: %v, want %v", err, test.want)
			}
			if err := w.Add(&good[1]); err != nil {
				t.Errorf("Add after it: %v", err)
			}
			mustFinish(t, w)
			if err := compareAll(mustOpen(t, mem, testName, nil), content{entries: good}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWriterFull(t *testing.T) {
	for _, c := range []struct {
		name string
		fill func(w *Writer)
	}{
		{"entries", func(w *Writer) { w.sum.Entries = maxEntries }},
		{"bytes", func(w *Writer) { w.written = maxFileSize - MaxValueSize }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := mustWriter(t, vfstest.NewMem(), testName, defaults(Options{}))
			if err := w.Add(&kv.Entry{Key: []byte("a")}); err != nil {
				t.Fatal(err)
			}
			c.fill(w)
			if err := w.Add(&kv.Entry{Key: []byte("b")}); !errors.Is(err, ErrFull) {
				t.Errorf("with no room for %s: %v", c.name, err)
			}
		})
	}
}

func TestWriterRefusesRangeDeletes(t *testing.T) {
	w := mustWriter(t, vfstest.NewMem(), testName, defaults(Options{BaseSeq: 10}))
	for _, d := range []kv.RangeDelete{
		{Start: []byte("b"), End: []byte("b"), Seq: 10},
		{Start: []byte("b"), End: nil, Seq: 10},
		{Start: []byte("a"), End: []byte("b"), Seq: 9},
	} {
		if err := w.AddRangeDelete(d); !errors.Is(err, ErrInvalid) {
			t.Errorf("AddRangeDelete(%q to %q, %d): %v", d.Start, d.End, d.Seq, err)
		}
	}
}

func TestWriterRefusesOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"negative block size", Options{BlockSize: -1}},
		{"huge block size", Options{BlockSize: maxBlockSize + 1}},
		{"negative time", Options{Created: -1}},
		{"compression", Options{Compression: wal.CompressionZstd + 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			if _, err := NewWriter(mem, testName, c.o); !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			if names, _ := mem.ReadDir("/"); len(names) > 0 {
				t.Errorf("left %v", names)
			}
		})
	}
	mem := vfstest.NewMem()
	mustWriter(t, mem, testName, Options{})
	if _, err := NewWriter(mem, testName, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
}

func TestFinishedWriter(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(w *Writer) error
		left int
	}{
		{"Finish", func(w *Writer) error { _, err := w.Finish(); return err }, 1},
		{"Abort", (*Writer).Abort, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			w := mustWriter(t, mem, testName, defaults(Options{}))
			if err := w.Add(&kv.Entry{Key: []byte("k")}); err != nil {
				t.Fatal(err)
			}
			if err := test.end(w); err != nil {
				t.Fatal(err)
			}
			if err := w.Add(&kv.Entry{Key: []byte("l")}); !errors.Is(err, ErrFinished) {
				t.Errorf("Add: %v", err)
			}
			if err := w.AddRangeDelete(kv.RangeDelete{End: []byte("l")}); !errors.Is(err, ErrFinished) {
				t.Errorf("AddRangeDelete: %v", err)
			}
			if _, err := w.Finish(); !errors.Is(err, ErrFinished) {
				t.Errorf("Finish: %v", err)
			}
			if err := w.Abort(); err != nil {
				t.Errorf("Abort: %v", err)
			}
			if names, _ := mem.ReadDir("/"); len(names) != test.left {
				t.Errorf("left %v", names)
			}
		})
	}
}

// With Huge a file is written in pieces that grow with it, each at a multiple of its size.
func TestHugeWrites(t *testing.T) {
	c := testContent(80_000)
	for _, huge := range []bool{false, true} {
		fault := vfstest.NewFault(vfstest.NewMem())
		size := build(t, fault, testName, c, Options{Huge: huge}).FileSize
		want := int(size/leastWrite) + 1
		if huge { // 256 KiB twice, 512 KiB, 1 MiB and then 2 MiB at a time
			want = 4 + int((size-hugeWrite)/hugeWrite) + 1
		}
		if n := fault.Count(vfstest.OpWrite); n != want || size < 2*hugeWrite {
			t.Errorf("huge %t: %d bytes in %d writes, want %d", huge, size, n, want)
		}
	}
}

// TestWriterFaults fails every operation of a writer in turn.
func TestWriterFaults(t *testing.T) {
	c := testContent(80_000) // several writes
	write := func(fsys vfs.FS) (*Writer, error) {
		w, err := NewWriter(fsys, testName, defaults(Options{}))
		if err != nil {
			return nil, err
		}
		for i := range c.entries {
			if err := w.Add(&c.entries[i]); err != nil {
				return w, err
			}
		}
		_, err = w.Finish()
		return w, err
	}
	for _, kind := range []vfstest.OpKind{vfstest.OpCreate, vfstest.OpWrite, vfstest.OpSync, vfstest.OpClose} {
		t.Run(kind.String(), func(t *testing.T) {
			fault := vfstest.NewFault(vfstest.NewMem())
			if _, err := write(fault); err != nil {
				t.Fatal(err)
			}
			n := fault.Count(kind)
			if n == 0 || kind == vfstest.OpWrite && n < 3 {
				t.Fatalf("%d operations to fail", n)
			}
			for i := 1; i <= n; i++ {
				mem := vfstest.NewMem()
				fault := vfstest.NewFault(mem)
				fault.Inject(vfstest.FailNth(kind, testName, i, syscall.EIO))
				w, err := write(fault)
				if !errors.Is(err, syscall.EIO) {
					t.Errorf("failure %d: %v", i, err)
				}
				if w == nil {
					continue
				}
				if _, again := w.Finish(); !errors.Is(again, syscall.EIO) {
					t.Errorf("failure %d: then Finish says %v", i, again)
				}
				if err := w.Add(&kv.Entry{Key: []byte("z"), Seq: 1 << 20}); !errors.Is(err, syscall.EIO) {
					t.Errorf("failure %d: then Add says %v", i, err)
				}
				if err := w.Abort(); err != nil {
					t.Errorf("failure %d: Abort: %v", i, err)
				}
				if names, _ := mem.ReadDir("/"); len(names) > 0 {
					t.Errorf("failure %d: left %v", i, names)
				}
			}
		})
	}
}

// TestWriterCrash cuts the power at every moment. Before the caller syncs the directory, a file that is there must be
// whole or refuse itself; afterwards it must be whole.
func TestWriterCrash(t *testing.T) {
	c := testContent(300)
	mem := vfstest.NewMem()
	mem.Record()
	build(t, mem, "/"+testName, c, Options{})
	if err := mem.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	var whole, refused, absent int
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 5}, func(crash *vfstest.Crash) error {
		r, err := Open(crash.FS, testName, testID, nil)
		if errors.Is(err, fs.ErrNotExist) && !crash.Last {
			absent++
			return nil
		}
		if err == nil {
			err = compareAll(r, c)
			if verr := r.Verify(context.Background()); (err == nil) != (verr == nil) {
				return fmt.Errorf("reading says %v, Verify %v", err, verr)
			}
			r.Close()
		}
		switch {
		case err == nil:
			whole++
		case crash.Last || !errors.Is(err, corrupt.ErrCorrupt):
			return err
		default:
			refused++
		}
		return nil
	})
	if whole == 0 || refused == 0 || absent == 0 {
		t.Errorf("%d states with a whole table, %d with one that refuses, %d with none: no test", whole, refused, absent)
	}
}

func TestEstimatedSize(t *testing.T) {
	mem := vfstest.NewMem()
	w := mustWriter(t, mem, testName, defaults(Options{BaseSeq: 1000}))
	last := w.EstimatedSize()
	benchEntries(50_000, func(e *kv.Entry) {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
		if n := w.EstimatedSize(); n <= last {
			t.Fatalf("%d after %d", n, last)
		} else {
			last = n
		}
	})
	p := mustFinish(t, w)
	if off := math.Abs(float64(last-p.FileSize)) / float64(p.FileSize); off > 0.02 {
		t.Errorf("estimated %d, the file has %d bytes", last, p.FileSize)
	}
}

// TestLargeEntries has the largest keys, and values far above the size of a block between small ones.
func TestLargeEntries(t *testing.T) {
	var c content
	for i := range 40 {
		e := kv.Entry{Key: key(i), Value: bytes.Repeat([]byte{byte(i)}, 10), Seq: uint64(i)}
		switch i % 8 {
		case 3:
			e.Value = bytes.Repeat([]byte(strings.Repeat("x", i)), 20_000)
		case 5:
			e.Key = append(e.Key, bytes.Repeat([]byte{'k'}, MaxKeySize-len(e.Key))...)
		}
		c.entries = append(c.entries, e)
	}
	for _, compression := range compressions {
		for _, mode := range modes {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				build(t, mem, testName, c, Options{Compression: compression, BlockSize: maxBlockSize})
				r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
				if err := compareAll(r, c); err != nil {
					t.Error(err)
				}
				verify(t, r)
				for i := range r.index.blocks() {
					block, err := r.block(i, new(scratch))
					if err != nil {
						t.Fatal(err)
					}
					var first row
					if next := r.base.decodeRow(&first, block, firstRow); len(block) > maxBlockSize && next != len(block) {
						t.Errorf("block %d has %d bytes and more than one row", i, len(block))
					}
				}
			})
		}
	}
}

// TestSameBytes: the same entries make the same file.
func TestSameBytes(t *testing.T) {
	mem := vfstest.NewMem()
	build(t, mem, "a", testContent(3000), Options{})
	build(t, mem, "b", testContent(3000), Options{})
	if !bytes.Equal(mustReadFile(t, mem, "a"), mustReadFile(t, mem, "b")) {
		t.Error("two tables of the same entries differ")
	}
}
