package ebb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A key is hidden from every read at the very millisecond of its deadline, wherever it is stored.
func TestHiddenAtTheMillisecond(t *testing.T) {
	for _, c := range []struct {
		name   string
		settle func(*DB) error
	}{
		{"memtable", func(*DB) error { return nil }}, {"table", (*DB).Flush}, {"last level", compactStep.run},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := newFakeClock()
			db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
			must(t, db.Put([]byte("k"), []byte("v"), TTL(100*time.Millisecond)))
			must(t, c.settle(db))
			clock.add(99 * time.Millisecond)
			content{db}.has(t, "k", "v")
			if left, err := db.TTL([]byte("k")); left != time.Millisecond || err != nil {
				t.Errorf("left: %v, %v", left, err)
			}
			clock.add(time.Millisecond)
			content{db}.lacks(t, "k")
			if _, err := db.TTL([]byte("k")); !errors.Is(err, ErrNotFound) {
				t.Errorf("TTL: %v", err)
			}
		})
	}
}

// leave is a way to end a run of the database; it returns the disk as it is then.
type leave struct {
	name string
	end  func(*testing.T, *DB, *vfstest.Mem) *vfstest.Mem
}

func leaves() []leave {
	closed := func(t *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
		must(t, db.Close())
		return mem
	}
	return []leave{
		{"close", closed},
		{"flush and close", func(t *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
			must(t, db.Flush())
			return closed(t, db, mem)
		}},
		{"kill after a flush", func(t *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
			must(t, db.Flush())
			return mem.Clone()
		}},
		{"kill after a sweep", func(_ *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
			db.sweep()
			return mem.Clone()
		}},
		{"power cut after a flush", func(t *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
			must(t, db.Flush())
			return synced(t, mem)
		}},
		{"power cut after a sweep and a sync", func(t *testing.T, db *DB, mem *vfstest.Mem) *vfstest.Mem {
			db.sweep()
			must(t, db.Sync())
			return synced(t, mem)
		}},
	}
}

// synced returns what a power cut now leaves if nothing is written back by itself.
func synced(t *testing.T, mem *vfstest.Mem) *vfstest.Mem {
	t.Helper()
	c := mem.Crashes(1, 0)
	last := mem.Clone()
	for state := range c.At(c.OpCount()) {
		if last = state.FS; state.Name == "synced" { // not yielded if everything is
			break
		}
	}
	return last
}

// A clock that is set back, however the run before ended, brings no expired key back, and time goes on: what has not
// expired still does.
func TestClockSetBack(t *testing.T) {
	for _, l := range leaves() {
		for _, c := range []struct {
			name string
			back time.Duration
		}{
			{"same", 0}, {"an hour", time.Hour}, {"ten years", 10 * 365 * 24 * time.Hour},
		} {
			t.Run(l.name+", "+c.name, func(t *testing.T) {
				mem, clock := vfstest.NewMem(), newFakeClock()
				mem.Record()
				db := openTest(t, manualOptions(mem, clock, SyncAlways))
				must(t, db.Put([]byte("forever"), []byte("v")))
				must(t, db.Put([]byte("gone"), []byte("v"), TTL(500*time.Millisecond)))
				must(t, db.Put([]byte("later"), []byte("v"), TTL(2500*time.Millisecond)))
				clock.add(1200 * time.Millisecond)
				content{db}.lacks(t, "gone")
				disk := l.end(t, db, mem)

				later := newClockAt(clock.ms() - c.back.Milliseconds())
				db = openTest(t, manualOptions(disk, later, SyncAlways))
				content{db}.lacks(t, "gone")
				content{db}.has(t, "later", "v")
				content{db}.has(t, "forever", "v")
				later.add(1299 * time.Millisecond)
				content{db}.has(t, "later", "v") // its deadline has not slid
				later.add(time.Millisecond)
				content{db}.lacks(t, "later")
				must(t, db.Put([]byte("new"), []byte("v"), TTL(time.Second)))
				later.add(999 * time.Millisecond)
				content{db}.has(t, "new", "v")
				later.add(time.Millisecond)
				content{db}.lacks(t, "new")
			})
		}
	}
}

// The clock may jump back and forth while the database runs.
func TestClockJumpsWhileOpen(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	must(t, db.Put([]byte("gone"), nil, TTL(time.Second)))
	must(t, db.Put([]byte("later"), nil, TTL(10*time.Second)))
	clock.add(2 * time.Second)
	content{db}.lacks(t, "gone")
	clock.add(-time.Hour)
	content{db}.lacks(t, "gone")
	content{db}.has(t, "later", "")
	clock.add(8 * time.Second)
	content{db}.lacks(t, "later")
	clock.add(10 * 365 * 24 * time.Hour)
	must(t, db.Put([]byte("new"), nil, TTL(time.Second)))
	content{db}.has(t, "new", "")
}

// A version with a deadline over an older one without, with a flush, a compaction, both, or a restart at every point
// between: when it has expired, the older one does not come back, ever.
func TestOlderVersionStaysHidden(t *testing.T) {
	points := []step{
		otherStep("nothing", func(*DB) error { return nil }),
		flushStep, compactStep, otherStep("sweep", func(db *DB) error { db.sweep(); return nil }),
	}
	n := len(points)
	for i := range n * n * n * n {
		mem, clock := vfstest.NewMem(), newFakeClock()
		o := manualOptions(mem, clock, SyncNever)
		db := openTest(t, o)
		var path []string
		point := func(at int) {
			p := points[i/at%n]
			path = append(path, p.name)
			must(t, p.run(db))
		}
		must(t, db.Put([]byte("k"), []byte("old")))
		must(t, db.Put([]byte("neighbour"), []byte("v")))
		point(1)
		must(t, db.Put([]byte("k"), []byte("new"), TTL(time.Second)))
		point(n)
		clock.add(time.Second)
		content{db}.lacks(t, "k")
		point(n * n)
		content{db}.lacks(t, "k")
		if i%2 == 0 {
			must(t, db.Close())
		}
		db = openTest(t, manualOptions(mem.Clone(), clock, SyncNever))
		content{db}.lacks(t, "k")
		point(n * n * n)
		must(t, db.Put([]byte("other"), []byte("v")))
		must(t, db.Flush())
		must(t, db.Compact(context.Background()))
		content{db}.lacks(t, "k")
		content{db}.has(t, "neighbour", "v")
		if t.Failed() {
			t.Fatalf("between: %s; closed: %v", strings.Join(path, ", "), i%2 == 0)
		}
	}
}

// What deadline each kind of write leaves.
func TestDeadlines(t *testing.T) {
	const none = -1 // the key is absent
	key := []byte("k")
	put := func(opts ...WriteOption) func(*DB) error {
		return func(db *DB) error { return db.Put(key, []byte("v"), opts...) }
	}
	start := newFakeClock().ms()
	ms := func(n int64) time.Time { return time.UnixMilli(start + n) }
	touch := func(d time.Duration) func(*DB) error {
		return func(db *DB) error {
			v, err := db.GetTouch(key, d)
			if err == nil && string(v) != "v" {
				err = fmt.Errorf("value %q", v)
			}
			return err
		}
	}
	batch := func(opts ...WriteOption) func(*DB) error {
		return func(db *DB) error {
			var b Batch
			return errors.Join(b.Put(key, []byte("v"), opts...), db.Apply(&b))
		}
	}
	for _, c := range []struct {
		name  string
		first func(*DB) error // a second before
		then  func(*DB) error
		want  int64 // ms after the second write; 0: no deadline
		err   error
	}{
		{"put has none", put(), put(), 0, nil},
		{"put clears", put(TTL(time.Hour)), put(), 0, nil},
		{"put TTL(0) clears", put(TTL(time.Hour)), put(TTL(0)), 0, nil},
		{"put zero time clears", put(TTL(time.Hour)), put(ExpireAt(time.Time{})), 0, nil},
		{"put keeps", put(TTL(5 * time.Second)), put(KeepTTL), 4000, nil},
		{"put keeps none", put(), put(KeepTTL), 0, nil},
		{"put does not keep what has expired", put(TTL(time.Second)), put(KeepTTL), 0, nil},
		{"put negative deletes", put(), put(TTL(-1)), none, nil},
		{"put smallest deletes", put(), put(TTL(math.MinInt64)), none, nil},
		{"put past deletes", put(), put(ExpireAt(ms(999))), none, nil},
		{"put now deletes", put(), put(ExpireAt(ms(1000))), none, nil},
		{"put before 1970 deletes", put(), put(ExpireAt(time.Unix(-1, 0))), none, nil},
		{"put next ms", put(), put(ExpireAt(ms(1001))), 1, nil},
		{"put below a ms", put(), put(TTL(1)), 1, nil},
		{"put rounds up", put(), put(TTL(time.Millisecond + 1)), 2, nil},
		{"put at rounds up", put(), put(ExpireAt(ms(1005).Add(1))), 6, nil},
		{"put longest", put(), put(TTL(math.MaxInt64)), (math.MaxInt64 + 999_999) / 1_000_000, nil},
		{"batch", put(TTL(time.Hour)), batch(TTL(time.Second)), 1000, nil},
		{"batch clears", put(TTL(time.Hour)), batch(), 0, nil},
		{"batch past deletes", put(), batch(TTL(-1)), none, nil},
		{"expire", put(), func(db *DB) error { return db.Expire(key, time.Second) }, 1000, nil},
		{"expire 0", put(TTL(time.Hour)), func(db *DB) error { return db.Expire(key, 0) }, 0, nil},
		{"expire negative", put(), func(db *DB) error { return db.Expire(key, -1) }, none, nil},
		{"expire absent", put(TTL(-1)), func(db *DB) error { return db.Expire(key, time.Hour) }, none, ErrNotFound},
		{"expire expired", put(TTL(time.Second)), func(db *DB) error { return db.Expire(key, time.Hour) }, none, ErrNotFound},
		{"persist", put(TTL(time.Hour)), func(db *DB) error { return db.Persist(key) }, 0, nil},
		{"persist expired", put(TTL(time.Second)), func(db *DB) error { return db.Persist(key) }, none, ErrNotFound},
		{"touch", put(TTL(2 * time.Second)), touch(3 * time.Second), 3000, nil},
		{"touch clears", put(TTL(2 * time.Second)), touch(0), 0, nil},
		{"touch expired", put(TTL(time.Second)), touch(time.Hour), none, ErrNotFound},
	} {
		for _, flush := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, flush %v", c.name, flush), func(t *testing.T) {
				mem, clock := vfstest.NewMem(), newFakeClock()
				db := openTest(t, manualOptions(mem, clock, SyncNever))
				must(t, c.first(db))
				clock.add(time.Second)
				if flush {
					must(t, db.Flush())
				}
				if err := c.then(db); !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				if flush {
					must(t, db.Flush())
				}
				checkDeadline(t, db, c.want, clock.ms())
				clock.add(time.Millisecond)
				must(t, db.Close())
				db = openTest(t, manualOptions(mem, clock, SyncNever))
				if c.want == 1 {
					content{db}.lacks(t, "k")
					return
				}
				checkDeadline(t, db, c.want, clock.ms()-1)
			})
		}
	}
}

func checkDeadline(t *testing.T, db *DB, want, since int64) {
	t.Helper()
	if want < 0 {
		content{db}.lacks(t, "k")
		return
	}
	if want > 0 {
		want += since
	}
	if e, err := db.GetEntry([]byte("k")); err != nil || string(e.Value) != "v" || e.Deadline != want {
		t.Errorf("%q until %d, %v, want until %d", e.Value, e.Deadline, err, want)
	}
}

// The last deadline that there is goes through every format.
func TestDeadlineSaturates(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	clock.now.Store(math.MaxInt64) // 2262: with the longest TTL beyond a Duration, though not beyond an int64 of ms
	at := time.UnixMilli(math.MaxInt64).Add(-time.Millisecond)
	db := openTest(t, manualOptions(mem, newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), []byte("v"), ExpireAt(at)))
	var b Batch
	must(t, b.Put([]byte("b"), []byte("v"), ExpireAt(time.UnixMilli(math.MaxInt64))))
	must(t, db.Apply(&b))
	check := func() {
		t.Helper()
		for key, want := range map[string]int64{"k": math.MaxInt64 - 1, "b": math.MaxInt64} {
			if e, err := db.GetEntry([]byte(key)); err != nil || e.Deadline != want {
				t.Errorf("%s: until %d, %v, want %d", key, e.Deadline, err, want)
			}
		}
	}
	check()
	for _, s := range []func() error{func() error { return nil }, db.Flush, func() error { return compactStep.run(db) }} {
		must(t, s())
		check()
		db2, err := Open("db", manualOptions(mem.Clone(), clock, SyncNever))
		must(t, err)
		db, db2 = db2, db
		check()
		db, db2 = db2, db
		must(t, db2.Close())
	}
}

// One batch, one snapshot and one iterator each know one time.
func TestOneNow(t *testing.T) {
	mem := vfstest.NewMem()
	running := newFakeClock()
	o := manualOptions(mem, running, SyncNever)
	o.Clock = func() time.Time { // a clock that moves with each look
		running.add(time.Millisecond)
		return running.Now()
	}
	db := openTest(t, o)
	var b Batch
	for i := range 50 {
		must(t, b.Put(fmt.Appendf(nil, "k%02d", i), nil, TTL(200*time.Millisecond)))
	}
	must(t, db.Apply(&b))
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	it, err := db.NewIterator(nil)
	must(t, err)
	defer it.Close()
	deadlines := map[int64]bool{}
	for e, err := range s.Range(nil) {
		must(t, err)
		deadlines[e.Deadline] = true
	}
	if len(deadlines) != 1 {
		t.Errorf("a batch has given %d deadlines", len(deadlines))
	}
	running.add(time.Hour)
	content{db}.lacks(t, "k00")
	must(t, db.Compact(context.Background()))
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if n != 50 || it.Err() != nil {
		t.Errorf("an old iterator shows %d: %v", n, it.Err())
	}
	if has, err := s.Has([]byte("k07")); !has || err != nil {
		t.Errorf("an old snapshot: %v, %v", has, err)
	}
}
