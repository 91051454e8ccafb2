package table

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
	"pgregory.net/rapid"
)

// TestBlockIndexFind compares the search by heads with counting separators.
func TestBlockIndexFind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(genKey(), 2, 80, func(k []byte) string { return string(k) }).Draw(rt, "keys")
		slices.SortFunc(keys, bytes.Compare)
		var b blockIndexBuilder
		for i := range keys {
			b.blocks = append(b.blocks, blockSize{head: 10, rest: 20 + i, compressed: i%2 == 0})
			if i > 0 {
				b.separate(keys[i-1], keys[i])
			}
		}
		end := int64(headerSize)
		for _, s := range b.blocks {
			end += int64(s.head + s.rest)
		}
		x, err := decodeBlockIndex(b.append(nil), end, wal.CompressionLZ4)
		if err != nil {
			rt.Fatal(err)
		}
		off := int64(headerSize)
		for i, k := range keys { // block i holds key i
			if got := x.find(k); got != i {
				rt.Fatalf("find(%q) = %d, want %d", k, got, i)
			}
			s := b.blocks[i]
			word, at, head, next := x.place(i)
			if at != off || head != 10 || next != off+int64(s.head+s.rest) || (word&wordCompressed != 0) != s.compressed {
				rt.Fatalf("block %d is at %d, head %d, next %d, word %x", i, at, head, next, word)
			}
			if x.at(at) != i || x.at(next-1) != i {
				rt.Fatalf("at(%d) = %d, at(%d) = %d, want %d", at, x.at(at), next-1, x.at(next-1), i)
			}
			off = next
		}
		for range 20 {
			k := genKey().Draw(rt, "key")
			want := 0
			for i := 1; i < len(keys); i++ {
				if separator := keys[i][:commonPrefix(keys[i-1], keys[i])+1]; bytes.Compare(separator, k) <= 0 {
					want = i
				}
			}
			if got := x.find(k); got != want {
				rt.Fatalf("find(%q) = %d, want %d", k, got, want)
			}
		}
	})
}

// TestCollidingKeys: keys that all have one hash make a table without hash pages, which finds them all the same.
func TestCollidingKeys(t *testing.T) {
	c := testContent(pageSlots + 1)
	for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4} {
		for _, mode := range modes {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				w := mustWriter(t, mem, testName, defaults(Options{Compression: compression}))
				for i := range c.entries {
					if err := w.Add(&c.entries[i]); err != nil {
						t.Fatal(err)
					}
					w.rows[len(w.rows)-1].hash = 42 // real ones take an attacker to find
				}
				mustFinish(t, w)
				r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
				if r.pageCount != 0 {
					t.Fatalf("%d hash pages", r.pageCount)
				}
				if err := compareAll(r, content{entries: c.entries}); err != nil {
					t.Error(err)
				}
				verify(t, r)
				for _, k := range []string{"a", "key0000005", "z"} {
					var e kv.Entry
					if found, err := r.Stat([]byte(k), &e); found || err != nil {
						t.Errorf("Stat(%q): %v, %v", k, found, err)
					}
				}
			})
		}
	}
}

// TestHashIndexLayOut fills pages to the last slot and past it.
func TestHashIndexLayOut(t *testing.T) {
	for _, test := range []struct {
		name  string
		hash  func(i int) uint64
		count int
		pages int
	}{
		{"none", nil, 0, 0},
		{"one", func(i int) uint64 { return 1 }, 1, 1},
		{"a full page of one hash", func(i int) uint64 { return math.MaxUint64 }, pageSlots, 2},
		{"too many of one hash", func(i int) uint64 { return 5 }, pageSlots + 1, 0},
		{"a page that overflows at first", func(i int) uint64 { return uint64(i) * (1 << 63 / 800) }, 800, 4},
		{"real hashes", func(i int) uint64 { return xxhash.Sum64(key(i)) }, 100_000, 250},
	} {
		t.Run(test.name, func(t *testing.T) {
			var x hashIndex
			for i := range test.count {
				x.add(test.hash(i), uint64(i+1))
			}
			pages := x.pages()
			if pages != test.pages {
				t.Fatalf("%d pages, want %d", pages, test.pages)
			}
			payloads := make([]byte, pages*pagePayload)
			for first := 0; first < pages; first += 3 { // whatever parts they are laid out in
				x.layOut(payloads[first*pagePayload:min(first+3, pages)*pagePayload], first, pages)
			}
			for i := range test.count * min(1, pages) {
				h := test.hash(i)
				page := payloads[slotPage(h, pages)*pagePayload:][:pagePayload]
				if !hasSlot(page[pageSlotsStart:pageNumber], slotStart(h), makeSlot(h, uint64(i+1))) {
					t.Fatalf("entry %d is not found", i)
				}
			}
			for i := range pages {
				page := payloads[i*pagePayload:]
				if page[0] != typeHashPage || binary.LittleEndian.Uint32(page[pageNumber:]) != uint32(i) {
					t.Errorf("page %d calls itself %d", i, binary.LittleEndian.Uint32(page[pageNumber:]))
				}
			}
		})
	}
}

// TestDeadlineHistogram feeds shapes that strain it and holds it to what it promises.
func TestDeadlineHistogram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const hour = 3_600_000
	for _, c := range []struct {
		name     string
		deadline func(i int) int64
	}{
		{"one", func(i int) int64 { return testTime }},
		{"ascending", func(i int) int64 { return testTime + int64(i) }},
		{"descending", func(i int) int64 { return testTime - int64(i) }},
		{"uniform", func(i int) int64 { return 1 + rnd.Int64N(math.MaxInt64-1) }},
		{"an hour", func(i int) int64 { return testTime + rnd.Int64N(hour) }},
		{"powers of two", func(i int) int64 { return 1 << (i % 63) }},
		{"and an outlier", func(i int) int64 { return max(testTime+rnd.Int64N(hour), math.MaxInt64*int64(1-min(1, i))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h deadlineHistogram
			var all []int64
			for i := range 5000 {
				d := c.deadline(i)
				all = append(all, d)
				h.add(d, uint64(d%10))
			}
			if len(h.buckets) > maxDeadlineBuckets || len(h.buckets) == 0 {
				t.Fatalf("%d buckets", len(h.buckets))
			}
			after := int64(0)
			for _, b := range h.buckets {
				var want DeadlineBucket
				for _, d := range all {
					if d > after && d <= b.UpTo {
						want.UpTo = max(want.UpTo, d)
						want.Entries++
						want.Bytes += uint64(d % 10)
					}
				}
				if b != want {
					t.Errorf("bucket %+v, want %+v", b, want)
				}
				after = b.UpTo
			}
			if after != slices.Max(all) {
				t.Errorf("the last bucket ends at %d, the deadlines at %d", after, slices.Max(all))
			}
			if c.name == "and an outlier" && len(h.buckets) < maxDeadlineBuckets/3 {
				t.Errorf("%d buckets are left of the hour", len(h.buckets))
			}
		})
	}
}
