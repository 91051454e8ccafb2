package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// exactly returns what an estimate is about.
func exactly(t *testing.T, r Reader, o *IterOptions) (n int, size int64) {
	t.Helper()
	for e, err := range r.Range(o) {
		must(t, err)
		n++
		size += int64(len(e.Key) + len(e.Value))
	}
	return n, size
}

// estimateOf returns both estimates.
func estimateOf(t *testing.T, r Reader, o *IterOptions) (n int, size int64) {
	t.Helper()
	n, err := r.EstimateCount(o)
	must(t, err)
	size, err = r.EstimateSize(o)
	must(t, err)
	return n, size
}

// estimated are options under which tables have blocks as usual, and a database of some MiB has many tables.
func estimated(clock *fakeClock) *Options {
	o := manualOptions(vfstest.NewMem(), clock, SyncNever)
	o.memtableSize, o.tableSize, o.segmentSize = 512<<10, 128<<10, 1<<20
	return o
}

// TestEstimates holds estimates of settled data against the exact figures: of ranges that are large and small, in tables, in a
// memtable, with expired and deleted parts.
func TestEstimates(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and what it counts does not depend on the race detector")
	}
	const keys = 12_000
	random := rand.New(rand.NewPCG(1, 2))
	id := func() []byte { return fmt.Appendf(nil, "user/%08x", random.Uint32()) }
	value := func(most int) []byte { return make([]byte, random.IntN(most)) }
	fill := func(t *testing.T, db *DB, n int, opts func() []WriteOption) {
		for range n {
			must(t, db.Put(id(), value(200), opts()...))
			if len(db.live.View().Frozen) > 0 {
				must(t, db.flusher.flushFrozen())
			}
		}
	}
	none := func() []WriteOption { return nil }
	settled := func(t *testing.T, db *DB) { must(t, db.Compact(context.Background())) }
	for _, row := range []struct {
		name   string
		blocks float64 // by how many an estimate may be wrong, beside a tenth
		do     func(t *testing.T, db *DB, clock *fakeClock)
	}{
		{"tables", 1, func(t *testing.T, db *DB, _ *fakeClock) {
			fill(t, db, keys, none)
			settled(t, db)
		}},
		{"a memtable", 1, func(t *testing.T, db *DB, _ *fakeClock) { fill(t, db, 3000, none) }},
		{"tables of many levels and a memtable", 1, func(t *testing.T, db *DB, _ *fakeClock) { fill(t, db, keys, none) }},
		{"a third expired", 1, func(t *testing.T, db *DB, clock *fakeClock) {
			fill(t, db, keys, func() []WriteOption {
				if random.IntN(10) == 0 {
					return nil
				}
				return []WriteOption{TTL(time.Duration(random.IntN(1000)) * time.Minute)}
			})
			settled(t, db)
			clock.add(370 * time.Minute)
		}},
		{"ranges deleted", 1, func(t *testing.T, db *DB, _ *fakeClock) {
			fill(t, db, keys, none)
			settled(t, db)
			must(t, db.DeleteRange([]byte("user/2"), []byte("user/5")))
			must(t, db.DeleteRange([]byte("user/e8"), nil))
			fill(t, db, 1000, none)
		}},
		// Each of five tables of level 0 adds its part of a block, and a block of tombstones has many; where memtables are full, and so
		// which blocks there are, depends a little on the seed of their hashes.
		{"keys deleted", 4, func(t *testing.T, db *DB, _ *fakeClock) {
			fill(t, db, keys, none)
			must(t, db.Flush())
			for e, err := range db.Range(&IterOptions{Start: []byte("user/"), End: []byte("v"), KeysOnly: true}) {
				must(t, err)
				if random.IntN(4) == 0 {
					must(t, db.Delete(e.Key))
				}
			}
			must(t, db.Flush())
			for e, err := range db.Range(&IterOptions{Start: []byte("user/a"), KeysOnly: true}) {
				must(t, err)
				if random.IntN(4) == 0 {
					must(t, db.Delete(e.Key))
				}
			}
		}},
		{"evicted", 1, func(t *testing.T, db *DB, clock *fakeClock) {
			fill(t, db, keys, func() []WriteOption {
				return []WriteOption{TTL(time.Duration(1+random.IntN(1000)) * time.Minute)}
			})
			settled(t, db)
			must(t, db.evicter.evict(clock.ms()+(400*time.Minute).Milliseconds()))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			clock := newFakeClock()
			db := openTest(t, estimated(clock))
			must(t, db.Put([]byte("before"), make([]byte, 100)))
			must(t, db.Put([]byte("z"), make([]byte, 100)))
			row.do(t, db, clock)
			for _, o := range []*IterOptions{
				nil, {Prefix: []byte("user/")}, {Start: []byte("user/4")}, {End: []byte("user/4")}, {Prefix: []byte("user/1")},
				{Start: []byte("user/12"), End: []byte("user/c3")}, {Prefix: []byte("user/c"), Start: []byte("user/c8")},
				{Start: []byte("user/1e"), End: []byte("user/27"), KeysOnly: true},
			} {
				n, size := exactly(t, db, o)
				if o != nil && o.KeysOnly {
					size = math.MaxInt64 // what it shows has no values
				}
				gotN, gotSize := estimateOf(t, db, o)
				if off := math.Abs(float64(gotN - n)); off > 0.1*float64(n)+20*row.blocks {
					t.Errorf("%+v: about %d entries, there are %d", o, gotN, n)
				}
				if off := math.Abs(float64(gotSize - size)); off > 0.1*float64(size)+row.blocks*(2<<10) && size < math.MaxInt64 {
					t.Errorf("%+v: about %d bytes, there are %d", o, gotSize, size)
				}
			}
			for _, o := range []*IterOptions{nil, {Prefix: []byte("user/")}, {Start: []byte("user/12"), End: []byte("user/c3")}} {
				checkSplit(t, db, o)
			}
			checkExpiring(t, db)
			for _, o := range []*IterOptions{{Prefix: []byte("v")}, {Start: []byte("b"), End: []byte("a")}, {Start: []byte("zz")}, {End: []byte{}}} {
				if n, size := estimateOf(t, db, o); n != 0 || size != 0 {
					t.Errorf("%+v: about %d entries and %d bytes, there is nothing", o, n, size)
				}
			}
		})
	}
}

// checkSplit holds that the keys of a split are within the bounds, in order, and divide what is there into parts of which none
// is larger than half more than its share, and some blocks.
func checkSplit(t *testing.T, db *DB, o *IterOptions) {
	t.Helper()
	const parts = 8
	keys, err := db.SplitKeys(o, parts)
	must(t, err)
	if len(keys) >= parts {
		t.Fatalf("%+v: %d keys make more than %d parts", o, len(keys), parts)
	}
	var of IterOptions
	if o != nil {
		of = *o
	}
	all, size := exactly(t, db, o)
	last, sum, blocks := of.Start, 0, int64(8<<10)
	for i := range len(keys) + 1 {
		part := IterOptions{Prefix: of.Prefix, Start: last, End: of.End}
		if i < len(keys) {
			if bytes.Compare(keys[i], last) <= 0 || of.End != nil && bytes.Compare(keys[i], of.End) >= 0 {
				t.Errorf("%+v: %q after %q", o, keys[i], last)
			}
			part.End, last = keys[i], keys[i]
		}
		n, partSize := exactly(t, db, &part)
		sum += n
		if share := size / parts; partSize > share+share/2+blocks {
			t.Errorf("%+v: part %d has %d bytes of %d", o, i, partSize, size)
		}
	}
	if sum != all {
		t.Errorf("%+v: the parts have %d of %d entries", o, sum, all)
	}
}

// checkExpiring holds estimates of what expires against a walk.
func checkExpiring(t *testing.T, db *DB) {
	t.Helper()
	within := []time.Duration{-time.Hour, 0, time.Minute, time.Hour, 7 * time.Hour, 1000 * time.Hour, math.MaxInt64}
	list, err := db.EstimateExpiring(within...)
	must(t, err)
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	for i, d := range within {
		n, size := 0, 0
		for e, err := range s.Range(nil) {
			must(t, err)
			if e.Deadline != 0 && d > 0 && e.Deadline-s.Time().UnixMilli() <= d.Milliseconds() {
				n, size = n+1, size+len(e.Key)+len(e.Value)
			}
		}
		got := list[i]
		off, offSize := math.Abs(float64(got.Entries-int64(n))), math.Abs(float64(got.Bytes-int64(size)))
		if got.Within != d || off > 0.1*float64(n)+30 || offSize > 0.1*float64(size)+4<<10 {
			t.Errorf("within %v: about %+v, there are %d entries of %d bytes", d, got, n, size)
		}
	}
}

// A split of little, of nothing, and of what was deleted; and into numbers of parts that are none.
func TestSplitKeys(t *testing.T) {
	db := openTest(t, estimated(newFakeClock()))
	split := func(o *IterOptions, n, most int) [][]byte {
		t.Helper()
		keys, err := db.SplitKeys(o, n)
		if err != nil || len(keys) > most {
			t.Errorf("%+v in %d: %q, %v, want at most %d", o, n, keys, err, most)
		}
		return keys
	}
	split(nil, 4, 0)
	must(t, db.Put([]byte("k"), make([]byte, 100_000)))
	if keys := split(nil, 4, 1); len(keys) == 1 && string(keys[0]) != "k" {
		t.Errorf("%q", keys)
	}
	must(t, db.Put([]byte("l"), make([]byte, 100_000)))
	if keys := split(nil, 2, 1); len(keys) != 1 || string(keys[0]) != "l" {
		t.Errorf("%q, want l", keys)
	}
	must(t, db.Flush())
	if keys := split(nil, 2, 1); len(keys) != 1 || string(keys[0]) != "l" {
		t.Errorf("%q in a table, want l", keys)
	}
	split(nil, 1, 0)
	split(&IterOptions{Prefix: []byte("l")}, 9, 8)
	split(&IterOptions{Start: []byte("b"), End: []byte("a")}, 9, 0)
	must(t, db.DeleteRange([]byte("l"), nil))
	split(&IterOptions{Start: []byte("l")}, 9, 0)
	for _, n := range []int{-1, 0, MaxSplitKeys + 1} {
		if _, err := db.SplitKeys(nil, n); !errors.Is(err, ErrInvalidOptions) {
			t.Errorf("%d parts: %v", n, err)
		}
	}
	if _, err := db.SplitKeys(&IterOptions{Limit: 1}, 2); !errors.Is(err, ErrInvalidOptions) {
		t.Errorf("with a limit: %v", err)
	}
	must(t, db.Close())
	_, err := db.SplitKeys(nil, 2)
	_, err2 := db.EstimateExpiring(time.Hour)
	if !errors.Is(err, ErrClosed) || !errors.Is(err2, ErrClosed) {
		t.Errorf("closed: %v, %v", err, err2)
	}
}

// Of a range with more keys in the memtable than are looked at one by one, a random part is.
func TestEstimateOfALargeMemtable(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and what it counts does not depend on the race detector")
	}
	o := estimated(newFakeClock())
	o.memtableSize = 64 << 20
	db := openTest(t, o)
	var b Batch
	for i := range 60_000 {
		must(t, b.Put(fmt.Appendf(nil, "%08x", uint32(i)*2654435761), make([]byte, i%50)))
	}
	must(t, db.Apply(&b))
	for _, o := range []*IterOptions{nil, {Prefix: []byte("1")}, {Start: []byte("8")}, {Prefix: []byte("77")}} {
		n, size := exactly(t, db, o)
		gotN, gotSize := estimateOf(t, db, o)
		if math.Abs(float64(gotN-n)) > 0.1*float64(n) || math.Abs(float64(gotSize-size)) > 0.1*float64(size) {
			t.Errorf("%+v: about %d and %d bytes, there are %d and %d", o, gotN, gotSize, n, size)
		}
	}
}

// Estimates read no file, whether or not it is mapped, and Count copies no value.
func TestCountReadsLittle(t *testing.T) {
	const keys, valueSize = 8, 2 << 20 // more than a cursor keeps memory for
	o := estimated(newFakeClock())
	fault := vfstest.NewFault(o.fs)
	fault.Inject(vfstest.FailFrom(vfstest.OpMap, "", 1, vfs.ErrNotSupported)) // so that reads are seen
	o.fs, o.memtableSize, o.tableSize = fault, 64<<20, 2<<20
	db := openTest(t, o)
	typed := NewTyped(db, nil, codec.String(), codec.Value[int](undecodable{}))
	for i := range keys {
		must(t, db.Put(fmt.Appendf(nil, "k%d", i), make([]byte, valueSize), NoSync))
	}
	count := func() {
		if n, err := typed.Count(typed.From("k1")); n != keys-1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	count()
	if n := bytesOf(10, func(int) { count() }); n > valueSize/64 {
		t.Errorf("to count in a memtable allocates %d bytes", n)
	}
	must(t, db.Compact(context.Background()))
	for _, o := range []*IterOptions{nil, {Start: []byte("k2"), End: []byte("k7")}} {
		n, _ := exactly(t, db, &IterOptions{Start: []byte("k2"), End: []byte("k7"), KeysOnly: true})
		if o == nil {
			n = keys
		}
		reads := fault.Count(vfstest.OpAny)
		got, _ := estimateOf(t, db, o)
		if after := fault.Count(vfstest.OpAny); after != reads || math.Abs(float64(got-n)) > 2 {
			t.Errorf("about %d, there are %d, after %d operations on files", got, n, after-reads)
		}
	}
	count()
}

// undecodable is a codec of values that nobody may ask.
type undecodable struct{}

func (undecodable) Append(dst []byte, _ int) ([]byte, error) { return dst, nil }
func (undecodable) Decode([]byte) (int, error)               { return 0, errors.New("a value was decoded") }

// The moment of a snapshot and of a transaction is that of its counts and estimates, and a count in a transaction is a read.
func TestCount(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	numbers := NewTyped(db, []byte("n/"), codec.Int64(), codec.String())
	for i := range int64(100) {
		must(t, numbers.Put(i, "value", TTL(time.Duration(i)*time.Minute)))
	}
	must(t, db.Put([]byte("n"), nil))
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	must(t, numbers.DeleteRange(numbers.From(90)))
	clock.add(20 * time.Minute)
	for _, row := range []struct {
		name string
		in   TypedView[int64, string]
		r    *TypedRange[int64]
		want int
	}{
		{"all", numbers.TypedView, nil, 70}, // 0 has no deadline
		{"from", numbers.TypedView, numbers.From(85), 5},
		{"a limit", numbers.TypedView, &TypedRange[int64]{Limit: 7}, 7},
		{"a limit that is not met", numbers.TypedView, &TypedRange[int64]{Limit: 71}, 70},
		{"in reverse", numbers.TypedView, &TypedRange[int64]{Reverse: true, KeysOnly: true}, 70},
		{"then", numbers.At(s), nil, 100},
		{"nothing", numbers.TypedView, numbers.Between(3, 3), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			if n, err := row.in.Count(row.r); n != row.want || err != nil {
				t.Errorf("%d, %v, want %d", n, err, row.want)
			}
			if row.r != nil && (row.r.Limit > 0 || row.r.Reverse) {
				if _, err := row.in.EstimateCount(row.r); !errors.Is(err, ErrInvalidOptions) {
					t.Errorf("an estimate with a limit: %v", err)
				}
			} else if n, err := row.in.EstimateCount(row.r); n != row.want || err != nil {
				t.Errorf("about %d, %v, want %d: so few are looked at one by one", n, err, row.want)
			}
		})
	}
	tx, err := db.Begin(true)
	must(t, err)
	defer tx.Discard()
	in := numbers.In(tx)
	must(t, in.Put(1000, "own"))
	if n, err := in.Count(nil); n != 71 || err != nil {
		t.Errorf("with an own write %d, %v", n, err)
	}
	if n, err := in.EstimateCount(nil); n != 70 || err != nil {
		t.Errorf("without an own write about %d, %v", n, err)
	}
	clock.add(time.Minute) // which ends the second that was counted
	if err := tx.Commit(); !errors.Is(err, ErrConflict) {
		t.Errorf("what was counted has expired: %v", err)
	}
	err = db.Update(func(tx *Txn) error {
		n, err := numbers.In(tx).Count(nil)
		if n == 69 {
			must(t, numbers.Put(1001, "changes what was counted"))
		}
		return errors.Join(err, numbers.In(tx).Put(1002, fmt.Sprint(n)))
	})
	must(t, err)
	if v, err := numbers.Get(1002); v != "70" || err != nil {
		t.Errorf("counted %s, %v, want 70", v, err)
	}
	if _, err := in.EstimateSize(nil); !errors.Is(err, ErrTxnDone) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := db.Count(&IterOptions{Limit: -1}); !errors.Is(err, ErrInvalidOptions) {
		t.Errorf("a limit below zero: %v", err)
	}
}
