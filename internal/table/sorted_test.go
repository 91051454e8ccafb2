package table

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
	"pgregory.net/rapid"
)

func never() bool { return false }

// openContent builds and opens a table of the content.
func openContent(tb testing.TB, fs vfs.FS, n int, c content, o Options) *Reader {
	tb.Helper()
	name := fmt.Sprintf("%06d.tbl", n)
	build(tb, fs, name, c, o)
	return mustOpen(tb, fs, name, nil)
}

// cutAt cuts a content into parts of which each has an entry.
func cutAt(c content, cuts []int) (parts []content) {
	from := 0
	for _, to := range append(cuts, len(c.entries)) {
		if to > from {
			parts, from = append(parts, content{entries: c.entries[from:to]}), to
		}
	}
	return parts
}

// TestSortedModel compares a sorted view of runs of tables with a map that was given the oldest first.
func TestSortedModel(t *testing.T) {
	var it SortedIterator // one for all, so that what is left of an earlier use would show
	rapid.Check(t, func(rt *rapid.T) {
		mem, tables := vfstest.NewMem(), 0
		newest := make(map[string]kv.Entry)
		var runs [][]*Reader
		for range rapid.IntRange(1, 8).Draw(rt, "runs") {
			c := genContent(rt)
			large := rapid.SampledFrom([]int{1, 10, 14}).Draw(rt, "large") // 300 bytes become 3000 or 4200: a few, or none, to a copy
			for i, e := range c.entries {
				if len(e.Value) == 300 {
					e.Value = bytes.Repeat(e.Value, large)
				}
				c.entries[i], newest[string(e.Key)] = e, e
			}
			cuts := rapid.SliceOfN(rapid.IntRange(1, len(c.entries)), 0, 3).Draw(rt, "cuts")
			slices.Sort(cuts)
			o := Options{BlockSize: rapid.SampledFrom([]int{1, 64, 300, 4096}).Draw(rt, "block size")}
			var run []*Reader
			for _, part := range cutAt(c, cuts) {
				tables++
				run = append(run, openContent(t, mem, tables, part, o))
			}
			runs = append([][]*Reader{run}, runs...)
		}
		var c content
		for _, k := range slices.Sorted(maps.Keys(newest)) {
			c.entries = append(c.entries, newest[k])
		}
		s, err := Sort(runs, never)
		if err != nil {
			rt.Fatal(err)
		}
		if most := SortedMemory(uint64(8 * 150)); s.Len() != len(c.entries) || s.Memory() > most+8*int64(tables)+64 {
			t.Errorf("%d entries and %d bytes, want %d and at most %d", s.Len(), s.Memory(), len(c.entries), most)
		}
		copies := new(Copies)
		if it.Reset(s, nil); rapid.Bool().Draw(rt, "copying") {
			it.Reset(s, copies)
		}
		walk(rt, &it, copies, c)
		it.Close()
		for i, e := range it.rows[:cap(it.rows)] {
			if e.Key != nil || e.Value != nil {
				rt.Fatalf("row %d of a closed iterator points into a mapping", i)
			}
		}
		for _, t := range slices.Concat(runs...) {
			t.Close()
		}
	})
}

// TestSortedSeek seeks every key and every place between two keys of a view with many groups, some of which have one head.
func TestSortedSeek(t *testing.T) {
	var c [3]content
	var all content
	for i := range 3000 {
		k := fmt.Appendf(nil, "user%03d", i/10)
		if i%1000 < 100 {
			k = append(k, "same head, for as long as it takes "...) // which group heads do not tell apart
		}
		e := kv.Entry{Key: fmt.Appendf(k, "%04d", i), Seq: 1, Value: []byte{byte(i)}}
		all.entries = append(all.entries, e)
	}
	slices.SortFunc(all.entries, func(a, b kv.Entry) int { return bytes.Compare(a.Key, b.Key) })
	for i, e := range all.entries {
		c[i%3].entries = append(c[i%3].entries, e)
	}
	mem := vfstest.NewMem()
	var runs [][]*Reader
	for i := range c {
		runs = append(runs, []*Reader{openContent(t, mem, i, c[i], Options{})})
	}
	s, err := Sort(runs, never)
	if err != nil {
		t.Fatal(err)
	}
	var it SortedIterator
	it.Reset(s, nil)
	at := func(ok bool, i int) {
		t.Helper()
		if want := i >= 0 && i < len(all.entries); ok != want || ok && !sameEntry(it.Entry(), &all.entries[i]) {
			t.Fatalf("entry %d: %v, %s", i, ok, describe(it.Entry()))
		}
	}
	for i, e := range all.entries {
		at(it.SeekGE(e.Key), i)
		at(it.SeekLT(e.Key), i-1)
		after := append(bytes.Clone(e.Key), 0)
		at(it.SeekGE(after), i+1)
		at(it.SeekLT(after), i)
	}
	for key, i := range map[string]int{"": 0, "u": 0, "user": 0, "usee": 0, "uses": 3000, "v": 3000, "user\xff": 3000} {
		at(it.SeekGE([]byte(key)), i)
		at(it.SeekLT([]byte(key)), i-1)
	}
}

// TestSortStops checks that Sort ends when it is told to, and that of a table with a bad block there is no sorted view.
func TestSortStops(t *testing.T) {
	mem := vfstest.NewMem()
	r := openContent(t, mem, 1, testContent(5000), Options{})
	calls := 0
	if _, err := Sort([][]*Reader{{r}}, func() bool { calls++; return calls == 3 }); !errors.Is(err, ErrStopped) {
		t.Errorf("told to stop: %v", err)
	}
	file := mustReadFile(t, mem, "000001.tbl")
	file[len(file)/3] ^= 1
	mem = vfstest.NewMem()
	if err := mem.WriteFile("000001.tbl", file); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, mem, "000001.tbl", nil)
	if _, err := Sort([][]*Reader{{r}}, never); err == nil || !strings.Contains(err.Error(), "000001.tbl") {
		t.Errorf("a table with a bad block: %v", err)
	}
}

// TestSortable: what is read in blocks has no place for a row.
func TestSortable(t *testing.T) {
	mem := vfstest.NewMem()
	if r := openContent(t, mem, 1, testContent(100), Options{}); !r.Sortable() {
		t.Error("a mapped table is not sortable")
	}
	if r := openContent(t, mem, 2, testContent(100), Options{Compression: wal.CompressionLZ4}); r.Sortable() {
		t.Error("a compressed table is sortable")
	}
	if r := mustOpen(t, pread{mem}, "000001.tbl", nil); r.Sortable() {
		t.Error("a table that is not mapped is sortable")
	}
}

// TestFaultInSorted cuts a file under a sorted view, as a failing disk would: each reading is an error that names the file, and
// so is sorting.
func TestFaultInSorted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a mapped file can be cut short on Linux")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, testName)
	build(t, vfs.OS, name, testContent(20_000), Options{})
	r := mustOpen(t, vfs.OS, name, nil)
	defer r.Close()
	s, err := Sort([][]*Reader{{r}}, never)
	if err != nil {
		t.Fatal(err)
	}
	var it SortedIterator
	it.Reset(s, nil)
	if !it.First() {
		t.Fatal(it.Err())
	}
	if err := os.Truncate(name, 4096); err != nil {
		t.Fatal(err)
	}
	isFault := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, vfs.ErrFault) || !strings.Contains(err.Error(), testName) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for it.Next() {
		run, _ := it.Run(64, false)
		it.Pass(len(run)-1, false)
	}
	isFault("a walk", it.Err())
	for what, move := range map[string]func() bool{
		"Last":   it.Last,
		"SeekGE": func() bool { return it.SeekGE(key(15_000)) },
		"SeekLT": func() bool { return it.SeekLT(key(15_000)) },
	} {
		if move() {
			t.Errorf("%s found something", what)
		}
		isFault(what, it.Err())
	}
	if it.Entry().Key != nil || it.Next() || it.Prev() {
		t.Error("it stands somewhere after a fault")
	}
	_, err = Sort([][]*Reader{{r}}, never)
	isFault("sorting", err)
}

// TestFaultInSortedKeys has keys go while Sort compares those of two tables, after a third, which is named last, has ended.
func TestFaultInSortedKeys(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a mapped file can be cut short on Linux")
	}
	dir := t.TempDir()
	c := testContent(4000)
	var runs [][]*Reader
	for i, n := range []int{sortedStep, len(c.entries), len(c.entries)} {
		name := filepath.Join(dir, fmt.Sprint(i))
		build(t, vfs.OS, name, content{entries: c.entries[:n]}, Options{})
		r := mustOpen(t, vfs.OS, name, nil)
		defer r.Close()
		runs = append(runs, []*Reader{r})
	}
	calls := 0
	_, err := Sort(runs, func() bool {
		if calls++; calls == 2 { // the first table has ended
			for i := range runs {
				if err := os.Truncate(filepath.Join(dir, fmt.Sprint(i)), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		return false
	})
	if !errors.Is(err, vfs.ErrFault) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Sort: %v", err)
	}
}

// TestSortLyingProperties: what the properties say of the number of entries neither crashes Sort nor takes more memory than that.
func TestSortLyingProperties(t *testing.T) {
	mem := vfstest.NewMem()
	r := openContent(t, mem, 1, testContent(100), Options{})
	for _, n := range []uint64{1 << 40, 1 << 62, 1 << 63, math.MaxUint64} {
		if r.properties.Entries = n; r.Sortable() {
			t.Errorf("a table that says it has %d entries is sortable", n)
		}
	}
	r.properties.Entries = 99
	if s, err := Sort([][]*Reader{{r}}, never); err == nil || s != nil || !strings.Contains(err.Error(), "000001.tbl") {
		t.Errorf("a table with an entry more than it says: %v", err)
	}
}

// TestSortedWindow walks with runs that are asked for before the last has come to its end, as a merge does where another source
// has a key now and then: what the iterator keeps at hand does not grow.
func TestSortedWindow(t *testing.T) {
	large := testContent(2_000)
	for i := range large.entries {
		large.entries[i].Value = make([]byte, farRow)
	}
	for what, c := range map[string]content{"rows": testContent(20_000), "large rows": large} {
		s, err := Sort([][]*Reader{{openContent(t, vfstest.NewMem(), 1, c, Options{})}}, never)
		if err != nil {
			t.Fatal(err)
		}
		for _, reverse := range []bool{false, true} {
			var it SortedIterator
			copies := new(Copies)
			it.Reset(s, copies)
			next, n := it.Next, 1
			ok := it.First()
			if reverse {
				next, ok = it.Prev, it.Last()
			}
			for ; ok; ok = next() {
				copies.Recycle()
				run, _ := it.Run(100, reverse)
				if len(run) > 1 {
					it.Pass(len(run)-2, reverse)
					n += len(run) - 2
				}
				if n++; len(it.rows) > mostRows || len(it.copied) > mostRows {
					t.Fatalf("%s, reverse %v: %d rows and %d copies at hand after %d entries", what, reverse, len(it.rows), len(it.copied), n)
				}
			}
			if n-1 != len(c.entries) || it.Err() != nil {
				t.Errorf("%s, reverse %v: %d entries, %v", what, reverse, n-1, it.Err())
			}
		}
	}
}
