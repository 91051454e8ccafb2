package table

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// Values around the size from which on they are not copied, beside small ones, are found and pass Verify.
func TestLargeValues(t *testing.T) {
	var c content
	for i, size := range []int{10, largeValue - 1, largeValue, 10, largeValue + 1, 3 << 20, 2 << 20, 0, 10, largeValue + 2} {
		value := bytes.Repeat([]byte{byte(i), 0, 9}, size/3+1)[:size]
		e := kv.Entry{Key: fmt.Appendf(nil, "key%03d", i), Value: value, Seq: 1000 + uint64(i)}
		if i%2 == 0 {
			e.Deadline = testTime + int64(i)
		}
		c.entries = append(c.entries, e)
	}
	for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4} {
		for _, mode := range modes {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				w := mustWriter(t, mem, testName, defaults(Options{Compression: compression}))
				for i := range c.entries {
					if err := w.Add(&c.entries[i]); err != nil {
						t.Fatal(err)
					}
				}
				mustFinish(t, w)
				r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
				if err := compareAll(r, c); err != nil {
					t.Error(err)
				}
				verify(t, r)
			})
		}
	}
}

// A large value is not copied on its way to the file.
func TestLargeValuesAreNotCopied(t *testing.T) {
	w := mustWriter(t, vfs.OS, t.TempDir()+"/t.tbl", defaults(Options{}))
	value := make([]byte, 16<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 4
	for i := range n {
		if err := w.Add(&kv.Entry{Key: fmt.Appendf(nil, "key%d", i), Value: value, Seq: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	mustFinish(t, w)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 1<<20 {
		t.Errorf("%d bytes are allocated for a value of %d", each, len(value))
	}
}
