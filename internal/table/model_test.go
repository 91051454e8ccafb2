package table

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"pgregory.net/rapid"
)

// genKey makes keys that share prefixes, differ in their last byte, or are prefixes of each other.
func genKey() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		prefix := rapid.SampledFrom([]string{"", "", "user", "session/aaaaaaaaaaaa/", "session/aaaaaaaaaaab/", "\xff\xff"}).
			Draw(t, "prefix")
		tail := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 'b', 0xff}), 1, 12).Draw(t, "tail")
		return append([]byte(prefix), tail...)
	})
}

func genContent(t *rapid.T) content {
	var c content
	keys := rapid.SliceOfNDistinct(genKey(), 1, 150, func(k []byte) string { return string(k) }).Draw(t, "keys")
	slices.SortFunc(keys, bytes.Compare)
	for _, k := range keys {
		e := kv.Entry{Key: k, Seq: rapid.Uint64Range(100, 1000).Draw(t, "seq")}
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			e.Kind = kv.Delete
		case 1, 2:
			e.Deadline = rapid.OneOf(
				rapid.Int64Range(testTime-1000, testTime+1000), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "deadline")
		}
		if e.Kind == kv.Put {
			value := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 40), rapid.Just(bytes.Repeat([]byte("value"), 60)))
			e.Value = value.Draw(t, "value")
		}
		c.entries = append(c.entries, e)
	}
	for range rapid.IntRange(0, 3).Draw(t, "ranges") {
		d := kv.RangeDelete{Start: genKey().Draw(t, "start"), End: genKey().Draw(t, "end"), Seq: 100}
		if bytes.Compare(d.Start, d.End) < 0 {
			c.ranges = append(c.ranges, d)
		}
	}
	return c
}

func TestModel(t *testing.T) {
	cache := mustCache(t, 1<<20)
	rapid.Check(t, func(rt *rapid.T) {
		c := genContent(rt)
		o := Options{
			BaseSeq:     rapid.SampledFrom([]uint64{0, 100}).Draw(rt, "base"),
			Huge:        rapid.Bool().Draw(rt, "huge"),
			BlockSize:   rapid.SampledFrom([]int{1, 64, 300, 4096}).Draw(rt, "block size"),
			Compression: rapid.SampledFrom(compressions).Draw(rt, "compression"),
		}
		mem := vfstest.NewMem()
		p := build(t, mem, testName, c, o)
		mode := rapid.SampledFrom(modes).Draw(rt, "mode")
		use := cache
		if mode.cache == 0 {
			use = nil
		}
		r, err := Open(mode.fs(mem), testName, testID, use)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		if err := compareAll(r, c); err != nil {
			rt.Fatal(err)
		}
		verify(t, r)
		compareProperties(rt, p, r.Properties(), c)
		for range 10 {
			k := genKey().Draw(rt, "key")
			compareAbsent(rt, r, c, k)
			compareSeek(rt, r, c, k)
		}
		compareWalk(rt, r, c)
	})
}

func find(c content, key []byte) (int, bool) {
	return slices.BinarySearchFunc(c.entries, key, func(e kv.Entry, k []byte) int { return bytes.Compare(e.Key, k) })
}

func compareAbsent(t *rapid.T, r *Reader, c content, key []byte) {
	if _, ok := find(c, key); ok {
		return
	}
	var e kv.Entry
	if v, found, err := r.AppendGet(nil, key, &e); found || err != nil || len(v) > 0 {
		t.Errorf("AppendGet(%q) of no key: %q, %v, %v", key, v, found, err)
	}
	if found, err := r.Stat(key, &e); found || err != nil {
		t.Errorf("Stat(%q) of no key: %v, %v", key, found, err)
	}
}

func compareSeek(t *rapid.T, r *Reader, c content, key []byte) {
	it := r.NewScanner()
	defer it.Close()
	i, _ := find(c, key)
	expectAt(t, it, it.SeekGE(key), c, i)
	expectAt(t, it, it.SeekLT(key), c, i-1)
	expectAt(t, it, it.SeekGE(key), c, i)
}

// expectAt checks where an iterator stands: on entry i, or nowhere if there is none.
func expectAt(t *rapid.T, it kv.Iterator, ok bool, c content, i int) {
	t.Helper()
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	if want := i >= 0 && i < len(c.entries); ok != want {
		t.Fatalf("at entry %d of %d: %v, want %v", i, len(c.entries), ok, want)
	}
	if ok && !sameEntry(it.Entry(), &c.entries[i]) {
		t.Fatalf("at entry %d: %s, want %s", i, describe(it.Entry()), describe(&c.entries[i]))
	}
}

// compareWalk moves an iterator about.
func compareWalk(t *rapid.T, r *Reader, c content) {
	var it Iterator
	var copies Copies
	if it.Reset(r); rapid.Bool().Draw(t, "copying") {
		it.ResetCopying(r, &copies)
	}
	defer it.Close()
	walk(t, &it, &copies, c)
}

// walk moves a new iterator about. Of kept entries copies are recycled.
func walk(t *rapid.T, it interface {
	kv.Runner
	kv.Aimer
}, copies *Copies, c content) {
	if run, _ := it.Run(1, false); it.Next() || it.Prev() || len(run) > 0 {
		t.Errorf("a new iterator moved, or has %d entries at hand", len(run))
	}
	var kept, keptWant []kv.Entry
	recycle := func() {
		for i := range kept {
			if !sameEntry(&kept[i], &keptWant[i]) {
				t.Fatalf("a kept entry became %s, want %s", describe(&kept[i]), describe(&keptWant[i]))
			}
		}
		kept, keptWant = nil, nil
		copies.Recycle()
	}
	defer recycle()
	at := -1
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		var ok bool
		switch rapid.IntRange(0, 14).Draw(t, "step") {
		case 13, 14:
			key, before := c.entries[rapid.IntRange(0, len(c.entries)-1).Draw(t, "entry")].Key, rapid.Bool().Draw(t, "before")
			if rapid.Bool().Draw(t, "other") {
				key = genKey().Draw(t, "key")
			}
			if rapid.Bool().Draw(t, "aim") {
				it.Aim(key, false)
				it.Fetch()
			}
			at = sort.Search(len(c.entries), func(i int) bool { return kv.Compare(c.entries[i].Key, key) >= 0 })
			if ok = it.SeekGE(key); before {
				at--
				it.Aim(key, true)
				ok = it.SeekLT(key)
			}
		case 10, 11:
			if ok = at >= 0; ok {
				run, first, to, keep := walkRun(t, it, c, at)
				if at = to; keep {
					kept, keptWant = append(kept, run...), append(keptWant, c.entries[first:first+len(run)]...)
				}
			}
		case 12:
			if recycle(); at < 0 {
				continue
			}
			ok = true
		case 0:
			aimAt(t, it, c)
			at, ok = 0, it.First()
		case 1:
			aimAt(t, it, c)
			at, ok = len(c.entries)-1, it.Last()
		case 2, 3, 4, 5:
			ok = it.Next()
			if at >= 0 {
				at++
			}
		default:
			ok = it.Prev()
			if at >= 0 {
				at--
			}
		}
		expectAt(t, it, ok, c, at)
		if !ok {
			at = -1
		}
	}
}

// aimAt aims an iterator at one of the entries, or does not, before a call that is no seek.
func aimAt(t *rapid.T, it kv.Aimer, c content) {
	if rapid.Bool().Draw(t, "aim") {
		it.Aim(c.entries[rapid.IntRange(0, len(c.entries)-1).Draw(t, "vain")].Key, rapid.Bool().Draw(t, "before"))
		it.Fetch()
	}
}

// walkRun checks a run of an iterator that stands on entry at, and passes over some of it. It returns a copy of the run, the
// index of the run's first entry, and that of the entry that the iterator stands on then.
func walkRun(t *rapid.T, it kv.Runner, c content, at int) (run []kv.Entry, first, to int, kept bool) {
	want, reverse := rapid.IntRange(1, 40).Draw(t, "want"), rapid.Bool().Draw(t, "reverse")
	run, kept = it.Run(want, reverse)
	if first = at; reverse {
		first = at + 1 - len(run)
	}
	if len(run) == 0 || len(run) > want || first < 0 || first+len(run) > len(c.entries) {
		t.Fatalf("a run of %d entries at %d of %d, reverse %t, wanted %d", len(run), at, len(c.entries), reverse, want)
	}
	for i := range run {
		if !sameEntry(&run[i], &c.entries[first+i]) {
			t.Fatalf("entry %d of a run: %s, want %s", i, describe(&run[i]), describe(&c.entries[first+i]))
		}
	}
	run = slices.Clone(run)
	n := rapid.IntRange(0, len(run)-1).Draw(t, "pass")
	if it.Pass(n, reverse); reverse {
		return run, first, at - n, kept
	}
	return run, first, at + n, kept
}

func compareProperties(t *rapid.T, built, read *Properties, c content) {
	want := Properties{MinSeq: math.MaxUint64, Created: testTime}
	for i := range c.entries {
		e := &c.entries[i]
		want.Entries++
		want.KeyBytes += uint64(len(e.Key))
		want.ValueBytes += uint64(len(e.Value))
		want.MinSeq, want.MaxSeq = min(want.MinSeq, e.Seq), max(want.MaxSeq, e.Seq)
		if e.Kind == kv.Delete {
			want.Tombstones++
		}
		if e.Deadline != 0 {
			if want.MinDeadline == 0 {
				want.MinDeadline = math.MaxInt64
			}
			want.MinDeadline, want.MaxDeadline = min(want.MinDeadline, e.Deadline), max(want.MaxDeadline, e.Deadline)
			want.DeadlineEntries++
			want.DeadlineBytes += uint64(len(e.Key) + len(e.Value))
		}
	}
	for _, d := range c.ranges {
		want.MinSeq, want.MaxSeq = min(want.MinSeq, d.Seq), max(want.MaxSeq, d.Seq)
	}
	for _, p := range []*Properties{built, read} {
		got := *p
		if !bytes.Equal(got.Smallest, c.entries[0].Key) || !bytes.Equal(got.Largest, c.entries[len(c.entries)-1].Key) {
			t.Errorf("key range %q to %q", got.Smallest, got.Largest)
		}
		if len(got.RangeDeletes) != len(c.ranges) || got.FileSize != built.FileSize || got.FileSize == 0 {
			t.Errorf("%d range deletes, file size %d", len(got.RangeDeletes), got.FileSize)
		}
		got.Smallest, got.Largest, got.RangeDeletes, got.FileSize, got.Deadlines = nil, nil, nil, 0, nil
		if a, b := got.append(nil, base{}), want.append(nil, base{}); !bytes.Equal(a, b) || got.Created != want.Created {
			t.Errorf("properties %+v, want %+v", got, want)
		}
	}
	if !slices.Equal(built.Deadlines, read.Deadlines) {
		t.Errorf("deadlines %v, read back as %v", built.Deadlines, read.Deadlines)
	}
	compareDeadlines(t, read, c)
}

// compareDeadlines checks the histogram, by what it says of any moment, against the entries.
func compareDeadlines(t *rapid.T, p *Properties, c content) {
	nows := []int64{0, 1, testTime, math.MaxInt64}
	for _, b := range p.Deadlines {
		nows = append(nows, b.UpTo-1, b.UpTo)
	}
	for _, now := range nows {
		var expired uint64
		all := len(c.ranges) == 0
		for i := range c.entries {
			e := &c.entries[i]
			if kv.Expired(e.Deadline, now) {
				expired += uint64(len(e.Key) + len(e.Value))
			}
			all = all && e.Kind == kv.Put && !e.Live(now)
		}
		if got := p.ExpiredBytes(now); got > expired || now >= p.MaxDeadline && got != expired {
			t.Errorf("ExpiredBytes(%d) = %d, the entries say %d", now, got, expired)
		}
		if got := p.AllExpired(now); got != all {
			t.Errorf("AllExpired(%d) = %v, the entries say %v", now, got, all)
		}
	}
	if len(p.Deadlines) > maxDeadlineBuckets {
		t.Errorf("%d buckets", len(p.Deadlines))
	}
}

func TestOnlyRangeDeletes(t *testing.T) {
	c := content{ranges: testContent(0).ranges}
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			p := build(t, mem, testName, c, Options{BaseSeq: 5})
			r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
			if err := compareAll(r, c); err != nil {
				t.Error(err)
			}
			verify(t, r)
			var e kv.Entry
			if found, err := r.Stat([]byte("a"), &e); found || err != nil {
				t.Errorf("Stat: %v, %v", found, err)
			}
			it := r.NewIterator()
			if it.First() || it.Last() || it.SeekGE([]byte("a")) || it.SeekLT([]byte("z")) || it.Err() != nil {
				t.Errorf("an iterator found an entry, or %v", it.Err())
			}
			if p.Entries != 0 || p.Smallest != nil || p.MinSeq != 2000 || p.MaxSeq != 2002 || p.AllExpired(math.MaxInt64) {
				t.Errorf("properties %+v", p)
			}
		})
	}
}

func TestEmptyTable(t *testing.T) {
	mem := vfstest.NewMem()
	w := mustWriter(t, mem, testName, defaults(Options{}))
	if p, err := w.Finish(); !errors.Is(err, ErrEmpty) || p != nil {
		t.Errorf("Finish of nothing: %v, %v", p, err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if names, err := mem.ReadDir("/"); err != nil || len(names) > 0 {
		t.Errorf("files %v, %v", names, err)
	}
}
