package ebb

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A scan jumps over what a range delete covers in tables, also right after a reopen: what it passes one by one does not
// depend on how much that is.
func TestScanJumpsRangeDelete(t *testing.T) {
	for _, n := range []int{1000, 4000} {
		fs := vfstest.NewMem()
		o := manualOptions(fs, newFakeClock(), SyncNever)
		db := openTest(t, o)
		key := func(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }
		for i := range n {
			must(t, db.Put(key(i), []byte("v")))
		}
		must(t, db.Put([]byte("a"), []byte("first")))
		must(t, db.Put([]byte("z"), []byte("last")))
		must(t, db.Flush())
		must(t, db.DeleteRange(key(0), key(n/2)))
		must(t, db.DeleteRange(key(n/2), key(n)))
		must(t, db.Put(key(n/4), []byte("again")))
		for _, where := range []string{"memory", "table", "reopened"} {
			switch where {
			case "table":
				must(t, db.Flush())
			case "reopened":
				must(t, db.Close())
				db = openTest(t, o)
			}
			it, err := db.NewIterator(nil)
			must(t, err)
			var got []string
			for ok := it.First(); ok; ok = it.Next() {
				got = append(got, string(it.Key()))
			}
			for ok := it.Last(); ok; ok = it.Prev() {
				got = append(got, string(it.Key()))
			}
			must(t, it.Err())
			want := fmt.Sprintf("[a %[1]s z z %[1]s a]", key(n/4))
			if fmt.Sprint(got) != want {
				t.Errorf("%d keys, %s: %s, want %s", n, where, got, want)
			}
			if passed := it.c.deletes.Passed(); passed > 2*(3*lsm.SkipAfter+3) {
				t.Errorf("%d keys, %s: passed %d entries one by one", n, where, passed)
			}
			it.Close()
		}
		must(t, db.Close())
	}
}

// TestRangeDeletesModel scans a small database with many range deletes, in all its sources, from random places, in both
// directions and at old snapshots, and reads it by key.
func TestRangeDeletesModel(t *testing.T) {
	for seed := range uint64(12 / vfstest.Step(6)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 14))
			fs := vfstest.NewMem()
			o := manualOptions(fs, newFakeClock(), SyncNever)
			o.memtableSize = 24 << 10
			o.tableSize = 4 << 10
			m := &rangeModel{t: t, r: r, db: openTest(t, o), live: make(map[string]string)}
			defer func() {
				m.closeSnapshots()
				must(t, m.db.Close())
			}()
			for step := range 3000 {
				m.step(step)
				if r.IntN(600) == 0 {
					m.closeSnapshots()
					must(t, m.db.Close())
					m.db = openTest(t, o)
				}
			}
		})
	}
}

// rangeModel is a database beside a map.
type rangeModel struct {
	t     *testing.T
	r     *rand.Rand
	db    *DB
	live  map[string]string
	snaps []rangeSnapshot
}

type rangeSnapshot struct {
	*Snapshot
	live map[string]string
}

const rangeModelKeys = 400

func (m *rangeModel) key(i int) []byte { return fmt.Appendf(nil, "k%03d", i) }

func (m *rangeModel) step(step int) {
	t, r := m.t, m.r
	k := r.IntN(rangeModelKeys)
	switch p := r.IntN(100); {
	case p < 45:
		value := fmt.Sprint(step)
		must(t, m.db.Put(m.key(k), []byte(value)))
		m.live[string(m.key(k))] = value
	case p < 50:
		must(t, m.db.Delete(m.key(k)))
		delete(m.live, string(m.key(k)))
	case p < 75:
		end := k + 1 + r.IntN(5)
		if r.IntN(10) == 0 {
			end = k + 1 + r.IntN(rangeModelKeys)
		}
		must(t, m.db.DeleteRange(m.key(k), m.key(end)))
		for i := k; i < end; i++ {
			delete(m.live, string(m.key(i)))
		}
	case p < 77:
		must(t, m.db.Flush())
	case p < 78:
		must(t, m.db.Compact(t.Context()))
	case p < 80:
		s, err := m.db.Snapshot()
		must(t, err)
		if len(m.snaps) == 6 {
			i := r.IntN(6)
			m.snaps[i].Close()
			m.snaps = append(m.snaps[:i], m.snaps[i+1:]...)
		}
		live := make(map[string]string)
		for k, v := range m.live {
			live[k] = v
		}
		m.snaps = append(m.snaps, rangeSnapshot{s, live})
	case p < 90:
		m.check(m.db, m.live)
	default:
		if len(m.snaps) > 0 {
			s := m.snaps[r.IntN(len(m.snaps))]
			m.check(s, s.live)
		}
	}
}

func (m *rangeModel) closeSnapshots() {
	for _, s := range m.snaps {
		s.Close()
	}
	m.snaps = nil
}

// check compares a scan from a random place, which may turn round, and some look-ups with a map.
func (m *rangeModel) check(db interface {
	Get(key []byte) ([]byte, error)
	NewIterator(o *IterOptions) (*Iterator, error)
}, live map[string]string) {
	t, r := m.t, m.r
	t.Helper()
	var o IterOptions
	if r.IntN(2) == 0 {
		from := r.IntN(rangeModelKeys)
		o.Start, o.End = m.key(from), m.key(from+1+r.IntN(100))
	}
	it, err := db.NewIterator(&o)
	must(t, err)
	defer it.Close()
	at := r.IntN(rangeModelKeys)
	visible := func(i int) bool {
		_, ok := live[string(m.key(i))]
		return ok && string(m.key(i)) >= string(o.Start) && (o.End == nil || string(m.key(i)) < string(o.End))
	}
	forward := r.IntN(2) == 0
	var ok bool
	if forward {
		ok = it.Seek(m.key(at))
	} else {
		ok = it.SeekBefore(m.key(at))
		at--
	}
	for {
		for at >= 0 && at < rangeModelKeys && !visible(at) {
			if forward {
				at++
			} else {
				at--
			}
		}
		if inside := at >= 0 && at < rangeModelKeys; ok != inside {
			t.Fatalf("at %d the iterator stands on an entry: %t (%q), want %t; %v", at, ok, it.Key(), inside, it.Err())
		}
		if !ok {
			break
		}
		if string(it.Key()) != string(m.key(at)) || string(it.Value()) != live[string(m.key(at))] {
			t.Fatalf("%q = %q, want %q = %q", it.Key(), it.Value(), m.key(at), live[string(m.key(at))])
		}
		if r.IntN(20) == 0 {
			forward = !forward
		}
		if forward {
			ok, at = it.Next(), at+1
		} else {
			ok, at = it.Prev(), at-1
		}
	}
	for range 10 {
		k := string(m.key(r.IntN(rangeModelKeys)))
		got, err := db.Get([]byte(k))
		if want, present := live[k]; present != (err == nil) || string(got) != want {
			t.Fatalf("Get(%q) = %q, %v, want %q, %t", k, got, err, want, present)
		}
	}
}

// What reads, scans and writes allocate does not depend on how many range deletes there are, in memory and in tables.
func TestRangeDeletesCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a goroutine that changes its processor finds that one's pools empty
	measure := func(n int, flushed bool) map[string]uint64 {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		for i := range n {
			must(t, db.Put(fmt.Appendf(nil, "key%06d", i), []byte("v")))
		}
		must(t, db.Flush())
		for i := range n {
			k := i * 7919 % n
			must(t, db.DeleteRange(fmt.Appendf(nil, "key%06d5", k), fmt.Appendf(nil, "key%06d8", k)))
		}
		if flushed {
			must(t, db.Flush())
		}
		got := make(map[string]uint64)
		for _, c := range []struct {
			name string
			do   func(i int)
		}{
			{"Get", func(i int) {
				_, err := db.Get(fmt.Appendf(nil, "key%06d", i))
				must(t, err)
			}},
			{"scan", func(i int) {
				for _, err := range db.Range(&IterOptions{Start: fmt.Appendf(nil, "key%06d", i), Limit: 10}) {
					must(t, err)
				}
			}},
			{"DeleteRange and Get", func(i int) {
				must(t, db.DeleteRange(fmt.Appendf(nil, "key%06d5", i), fmt.Appendf(nil, "key%06d7", i)))
				_, err := db.Get(fmt.Appendf(nil, "key%06d", i))
				must(t, err)
			}},
			{"transaction", func(i int) {
				must(t, db.Update(func(txn *Txn) error {
					for _, err := range txn.Range(&IterOptions{Start: fmt.Appendf(nil, "key%06d", i), Limit: 10}) {
						must(t, err)
					}
					return txn.Put([]byte("other"), nil)
				}))
			}},
		} {
			const runs = 200
			collect := debug.SetGCPercent(-1) // which would empty the pools
			c.do(0)
			least := uint64(math.MaxUint64)
			for round := range 3 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for i := range runs {
					c.do(round + i*7)
				}
				runtime.ReadMemStats(&after)
				least = min(least, (after.TotalAlloc-before.TotalAlloc)/runs)
			}
			debug.SetGCPercent(collect)
			got[c.name] = least
		}
		must(t, db.Close())
		return got
	}
	for _, flushed := range []bool{false, true} {
		few, many := measure(2000, flushed), measure(8000, flushed)
		t.Logf("flushed %t: bytes %v and %v", flushed, few, many)
		for name, bytes := range many {
			if bytes > few[name]*2+500 {
				t.Errorf("flushed %t: %s allocates %d bytes beside 2,000 range deletes, %d beside 8,000", flushed, name, few[name], bytes)
			}
		}
	}
}
