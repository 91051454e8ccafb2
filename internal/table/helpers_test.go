package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

var testID = Identity{Database: [16]byte{1, 2, 3, 15: 9}, File: 7}

const (
	testTime = 1_700_000_000_000 // Unix ms
	testName = "000007.tbl"
)

// pread is a file system that cannot map.
type pread struct{ vfs.FS }

type preadFile struct{ vfs.File }

func (p pread) Open(name string) (vfs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return preadFile{f}, nil
}

func (preadFile) Map() ([]byte, error) { return nil, vfs.ErrNotSupported }

// modes are the ways to read a table.
var modes = []struct {
	name  string
	fs    func(vfs.FS) vfs.FS
	cache int64 // bytes
}{
	{"mapped", func(fs vfs.FS) vfs.FS { return fs }, 0},
	{"mapped and cached", func(fs vfs.FS) vfs.FS { return fs }, 1 << 20},
	{"read", func(fs vfs.FS) vfs.FS { return pread{fs} }, 0},
	{"read and cached", func(fs vfs.FS) vfs.FS { return pread{fs} }, 1 << 20},
}

var compressions = []wal.Compression{wal.CompressionNone, wal.CompressionLZ4, wal.CompressionZstd}

// content is what a test puts into a table.
type content struct {
	entries []kv.Entry // in key order
	ranges  []kv.RangeDelete
}

// testContent returns n entries of all kinds, with three range deletes.
func testContent(n int) content {
	var c content
	for i := range n {
		e := kv.Entry{Key: key(i), Seq: uint64(1000 + (i*7919)%n), Value: bytes.Repeat([]byte{byte(i)}, i*37%150)}
		switch i % 5 {
		case 1:
			e.Deadline = testTime + int64(i%11)*3_600_000 + 1
		case 2:
			e.Deadline = testTime - int64(i)
		case 3:
			e.Kind, e.Value = kv.Delete, nil
		}
		c.entries = append(c.entries, e)
	}
	for i := range 3 {
		c.ranges = append(c.ranges, kv.RangeDelete{Start: key(i), End: key(i + 5), Seq: uint64(2000 + i)})
	}
	return c
}

// defaults fills in what most tests do not care about.
func defaults(o Options) Options {
	if o.ID == (Identity{}) {
		o.ID = testID
	}
	o.Created = testTime
	return o
}

// build writes a table of the content.
func build(tb testing.TB, fs vfs.FS, name string, c content, o Options) *Properties {
	tb.Helper()
	w := mustWriter(tb, fs, name, defaults(o))
	for i := range c.entries {
		if err := w.Add(&c.entries[i]); err != nil {
			tb.Fatal(err)
		}
	}
	for _, d := range c.ranges {
		if err := w.AddRangeDelete(d); err != nil {
			tb.Fatal(err)
		}
	}
	return mustFinish(tb, w)
}

func mustWriter(tb testing.TB, fs vfs.FS, name string, o Options) *Writer {
	tb.Helper()
	w, err := NewWriter(fs, name, o)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func mustFinish(tb testing.TB, w *Writer) *Properties {
	tb.Helper()
	p, err := w.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func mustOpen(tb testing.TB, fs vfs.FS, name string, cache *Cache) *Reader {
	tb.Helper()
	t, err := Open(fs, name, testID, cache)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { t.Close() })
	return t
}

// mustCache returns a cache of the given size, or none for 0.
func mustCache(tb testing.TB, size int64) *Cache {
	tb.Helper()
	if size == 0 {
		return nil
	}
	c, err := NewCache(size)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func mustReadFile(tb testing.TB, fs *vfstest.Mem, name string) []byte {
	tb.Helper()
	b, err := fs.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func key(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }

func sameEntry(a, b *kv.Entry) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		a.Seq == b.Seq && a.Deadline == b.Deadline && a.Kind == b.Kind
}

// describe is an entry in short.
func describe(e *kv.Entry) string {
	return fmt.Sprintf("{%.20q, %d bytes, seq %d, deadline %d, kind %d}", e.Key, len(e.Value), e.Seq, e.Deadline, e.Kind)
}

// compareAll reads all of a table in every way and reports the first difference from the content, or the first error. A
// table that may be damaged must give one or the other.
func compareAll(t *Reader, c content) error {
	if err := compareScan(t, c); err != nil {
		return err
	}
	for i := range c.entries {
		if err := compareGet(t, &c.entries[i]); err != nil {
			return err
		}
	}
	if got := t.Properties().RangeDeletes; !slices.EqualFunc(got, c.ranges, func(a, b kv.RangeDelete) bool {
		return bytes.Equal(a.Start, b.Start) && bytes.Equal(a.End, b.End) && a.Seq == b.Seq
	}) {
		return fmt.Errorf("%w: range deletes are %v", errDiffers, got)
	}
	return nil
}

// errDiffers is the one error of a comparison that does not come from the table.
var errDiffers = fmt.Errorf("wrong answer")

func compareScan(t *Reader, c content) error {
	it := t.NewIterator()
	defer it.Close()
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		if i == len(c.entries) || !sameEntry(it.Entry(), &c.entries[i]) {
			return fmt.Errorf("%w: entry %d is %s", errDiffers, i, describe(it.Entry()))
		}
		i++
	}
	if it.Err() != nil {
		return it.Err()
	}
	if i != len(c.entries) {
		return fmt.Errorf("%w: %d entries, not %d", errDiffers, i, len(c.entries))
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if i--; i < 0 || !sameEntry(it.Entry(), &c.entries[i]) {
			return fmt.Errorf("%w: backwards, entry %d is %s", errDiffers, i, describe(it.Entry()))
		}
	}
	if it.Err() == nil && i != 0 {
		return fmt.Errorf("%w: backwards, it ended at entry %d", errDiffers, i)
	}
	return it.Err()
}

func compareGet(t *Reader, want *kv.Entry) error {
	const before = "before"
	var e kv.Entry
	v, found, err := t.AppendGet([]byte(before), want.Key, &e)
	if err != nil {
		return err
	}
	aliased := e.Key != nil
	e.Key = want.Key
	if !found || aliased || !sameEntry(&e, want) || string(v) != before+string(want.Value) {
		return fmt.Errorf("%w: found %v, %s, not %s", errDiffers, found, describe(&e), describe(want))
	}
	if found, err = t.Stat(want.Key, &e); err != nil {
		return err
	}
	aliased = e.Key != nil || e.Value != nil
	size := e.ValueSize()
	e.Key, e.Value = want.Key, want.Value
	if !found || aliased || size != len(want.Value) || !sameEntry(&e, want) {
		return fmt.Errorf("%w: Stat found %v, %s, not %s", errDiffers, found, describe(&e), describe(want))
	}
	return nil
}

func verify(tb testing.TB, t *Reader) {
	tb.Helper()
	if err := t.Verify(context.Background()); err != nil {
		tb.Errorf("Verify of a good table: %v", err)
	}
}

// benchEntries calls add with n entries of 24-byte keys and 100-byte values.
func benchEntries(n int, add func(e *kv.Entry)) {
	rnd := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 100)
	e := kv.Entry{Value: value}
	for i := range n {
		e.Key = benchKey(e.Key[:0], i)
		binary.LittleEndian.PutUint64(value, rnd.Uint64())
		binary.LittleEndian.PutUint64(value[50:], rnd.Uint64())
		e.Seq = uint64(1000 + i)
		add(&e)
	}
}

// benchKey appends the i-th key in order: "user" and twenty digits, spread over the whole range as hashed ids are.
func benchKey(dst []byte, i int) []byte {
	dst = append(dst, "user00000000000000000000"...)
	v := uint64(i) * 1_234_567_890_1
	for p := len(dst) - 1; v > 0; p-- {
		dst[p] = byte('0' + v%10)
		v /= 10
	}
	return dst
}
