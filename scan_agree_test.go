package ebb

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// What a walk shows, in either direction, is what point reads of the same moment find: over memtables, tables of level 0 and
// below, with overwritten, deleted, evicted and expired keys and deleted ranges, rows that share a block, that have one of their
// own and that are too large to be copied with others, in snapshots and in transactions. Every other database has more keys, of
// which most have values of one size, in tables of many blocks that are alike, and many small tables above those.
func TestScansAgreeWithGets(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 8
	}
	for seed := range uint64(seeds) {
		w := &agreeing{t: t, r: rand.New(rand.NewPCG(seed, 13)), clock: newFakeClock(), keys: 300}
		o := manualOptions(vfstest.NewMem(), w.clock, SyncNever)
		o.memtableSize, o.tableSize = 1<<20, 0
		o.Compression = []Compression{CompressionNone, CompressionNone, CompressionLZ4}[seed%3]
		w.db = openTest(t, o)
		if w.alike = seed%2 == 1; w.alike {
			w.keys = 1500
			for i := range w.keys {
				must(t, w.db.Put(agreeKey(i), w.value()))
			}
			must(t, w.db.Compact(t.Context()))
		}
		for range 6 {
			w.change(20 + w.r.IntN(150))
			snapshot, err := w.db.Snapshot()
			must(t, err)
			w.change(w.r.IntN(30))
			w.compare(snapshot)
			must(t, w.db.View(func(tx *Txn) error { w.compare(tx); return nil }))
			must(t, w.db.Update(func(tx *Txn) error {
				for range w.r.IntN(10) {
					must(t, tx.Put(w.key(), w.value()))
				}
				if w.r.IntN(2) == 0 {
					start, end := w.span()
					must(t, tx.DeleteRange(start, end))
				}
				w.compare(tx)
				return nil
			}))
			snapshot.Close()
		}
		must(t, w.db.Close())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// agreeing is a database in which walks are compared with point reads.
type agreeing struct {
	t     *testing.T
	r     *rand.Rand
	clock *fakeClock
	db    *DB
	keys  int
	alike bool // most values are of one size, and flushes frequent
}

func agreeKey(i int) []byte { return fmt.Appendf(nil, "key%04d", i) }

func (w *agreeing) key() []byte { return agreeKey(w.r.IntN(w.keys)) }

func (w *agreeing) value() []byte {
	size := []int{0, 20, 100, 100, 1000, 5000}[w.r.IntN(6)]
	if w.alike && w.r.IntN(50) > 0 {
		size = 92
	}
	return append(fmt.Appendf(nil, "%08x", w.r.Uint32()), make([]byte, size)...)
}

func (w *agreeing) span() (start, end []byte) {
	from := w.r.IntN(w.keys)
	return agreeKey(from), agreeKey(min(w.keys, from+1+w.r.IntN(40)))
}

// change makes n changes.
func (w *agreeing) change(n int) {
	w.t.Helper()
	for range n {
		var err error
		if w.alike && w.r.IntN(20) == 0 {
			err = w.db.Flush()
		}
		must(w.t, err)
		switch w.r.IntN(61) {
		case 0:
			start, end := w.span()
			err = w.db.DeleteRange(start, end)
		case 1:
			err = w.db.Flush()
			fallthrough
		case 60:
			w.db.live.Sort(func() bool { return w.r.IntN(20) == 0 })
		case 2:
			if w.r.IntN(4) == 0 {
				err = w.db.Compact(w.t.Context())
			}
		case 3:
			w.clock.add(time.Second)
			if w.r.IntN(4) == 0 {
				err = w.db.evicter.evict(w.clock.ms() + 2000)
			}
		case 4, 5, 6, 7:
			err = w.db.Delete(w.key())
		case 8, 9, 10, 11:
			err = w.db.Put(w.key(), w.value(), TTL(time.Duration(1+w.r.IntN(4))*time.Second))
		default:
			err = w.db.Put(w.key(), w.value())
		}
		must(w.t, err)
	}
}

// compare compares walks over all that a reader sees, and over parts of it, with what point reads find.
func (w *agreeing) compare(reader Reader) {
	w.t.Helper()
	var all []string // "key=value"
	var keys []string
	for i := range w.keys {
		if value, err := reader.Get(agreeKey(i)); err == nil {
			keys, all = append(keys, string(agreeKey(i))), append(all, fmt.Sprintf("%s=%x", agreeKey(i), value))
		}
	}
	for range 8 {
		o := IterOptions{Limit: w.r.IntN(3) * w.r.IntN(150), Reverse: w.r.IntN(2) == 0}
		if w.r.IntN(3) > 0 {
			o.Start, o.End = w.span()
			if w.r.IntN(2) == 0 {
				o.End = nil
			}
		}
		var want, got []string
		for i, key := range keys {
			if (o.Start == nil || key >= string(o.Start)) && (o.End == nil || key < string(o.End)) {
				want = append(want, all[i])
			}
		}
		if o.Reverse {
			slices.Reverse(want)
		}
		if o.Limit > 0 {
			want = want[:min(o.Limit, len(want))]
		}
		for e, err := range reader.Range(&o) {
			must(w.t, err)
			got = append(got, fmt.Sprintf("%s=%x", e.Key, e.Value))
		}
		if !slices.Equal(got, want) {
			w.t.Errorf("Range(%+v) shows %d entries, point reads find %d", o, len(got), len(want))
		}
	}
	w.wander(reader, keys, all)
}

// wander moves an iterator about.
func (w *agreeing) wander(reader Reader, keys, all []string) {
	w.t.Helper()
	it, err := reader.NewIterator(nil)
	must(w.t, err)
	defer it.Close()
	at, on := -1, false
	for range 60 {
		var ok bool
		switch w.r.IntN(8) {
		case 0:
			ok, at = it.First(), 0
		case 1:
			ok, at = it.Last(), len(keys)-1
		case 2:
			key := w.key()
			ok = it.Seek(key)
			at, _ = slices.BinarySearch(keys, string(key))
		case 3:
			key := w.key()
			ok = it.SeekBefore(key)
			at, _ = slices.BinarySearch(keys, string(key))
			at--
		default: // a stretch in one direction
			step, move := 1, it.Next
			if w.r.IntN(2) == 0 {
				step, move = -1, it.Prev
			}
			for range 1 + w.r.IntN(60) {
				if ok = move(); !on {
					at = -1
					break
				}
				if at += step; at < 0 || at >= len(keys) {
					break
				}
				if !ok || string(it.Key()) != keys[at] {
					w.t.Fatalf("a step leads to %q, %t, want %q: %v", it.Key(), ok, keys[at], it.Err())
				}
			}
		}
		must(w.t, it.Err())
		if on = at >= 0 && at < len(keys); ok != on {
			w.t.Fatalf("an iterator stands on %q, %t, want entry %d of %d", it.Key(), ok, at, len(keys))
		}
		if on && fmt.Sprintf("%s=%x", it.Key(), it.Value()) != all[at] {
			w.t.Fatalf("an iterator shows %q with %d bytes, want entry %d", it.Key(), len(it.Value()), at)
		}
	}
}
