package ebb

import (
	"fmt"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// rest does what the background does in a few seconds in which nobody calls anything.
func rest(t *testing.T, db *DB, clock *fakeClock) {
	t.Helper()
	db.settler.seen = 0
	for range 4 {
		clock.add(time.Second)
		db.settler.settle()
		db.sweep()
		must(t, db.flusher.flushFrozen())
		db.flusher.last.at.Store(nil)
		compact(t, db)
	}
	db.health.workers.Wait() // replaced tables are gone
}

// Whatever overwrote, deleted or expired it, and however little that took in memory, space comes back within ten seconds in
// which nobody calls anything; what is opened meanwhile brings it back too.
func TestSpaceComesBackByItself(t *testing.T) {
	key := func(i int) []byte { return fmt.Appendf(nil, "user%06d", i) }
	each := func(part int, do func(db *DB, i int) error) func(db *DB, keys int) error {
		return func(db *DB, keys int) error {
			for i := range keys {
				if i%part == 0 {
					if err := do(db, i); err != nil {
						return err
					}
					if len(db.live.View().Frozen) > 0 {
						if err := db.flusher.flushFrozen(); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}
	}
	deletePoint := func(db *DB, i int) error { return db.Delete(key(i)) }
	rows := 0
	for _, kind := range []struct {
		name string
		do   func(db *DB, keys int) error
		live float64 // share of the keys whose values are left
	}{
		{"nothing", each(1, func(*DB, int) error { return nil }), 1},
		{"all deleted by a range", func(db *DB, _ int) error { return db.DeleteRange([]byte("u"), []byte("v")) }, 0},
		{"half deleted by a range", func(db *DB, keys int) error { return db.DeleteRange(key(keys/4), key(keys*3/4)) }, 0.5},
		{"deleted by ranges of ten", each(10, func(db *DB, i int) error { return db.DeleteRange(key(i), key(i+10)) }), 0},
		{"all deleted", each(1, deletePoint), 0},
		{"half deleted", each(2, deletePoint), 0.5},
		{"all overwritten", each(1, func(db *DB, i int) error { return db.Put(key(i), []byte("v")) }), 0},
		{"half overwritten", each(2, func(db *DB, i int) error { return db.Put(key(i), []byte("v")) }), 0.5},
		{"all made to expire", each(1, func(db *DB, i int) error { return db.Expire(key(i), time.Millisecond) }), 0},
	} {
		for _, size := range []int{20, 1000, 10_000} {
			for _, memtable := range []int64{64 << 10, 512 << 10} {
				for _, reopen := range []bool{false, true} {
					if rows++; rows%vfstest.Step(11) != 0 {
						continue
					}
					name := fmt.Sprintf("%s, %d B, memtables of %d KiB, opened again %t", kind.name, size, memtable>>10, reopen)
					t.Run(name, func(t *testing.T) {
						keys := 6_000_000 / (size + 1000)
						clock := newFakeClock()
						o := manualOptions(vfstest.NewMem(), clock, SyncNever)
						o.memtableSize, o.tableSize, o.segmentSize = memtable, 512<<10, 1<<20
						db, err := Open("db", o)
						must(t, err)
						defer func() { db.Close() }()
						for i := range keys {
							must(t, db.Put(key(i), make([]byte, size)))
							keepUp(t, db)
						}
						settle(t, db)
						must(t, kind.do(db, keys))
						if reopen {
							must(t, db.Close())
							db, err = Open("db", o)
							must(t, err)
						}
						rest(t, db, clock)
						least := kind.live*float64(keys*(size+20)) + float64(keys*10)
						limit := 1.25*1.2*least + float64(memtable) + 64<<10
						s := db.Stats()
						if got := float64(s.TableBytes + s.ReplacedBytes); got > limit {
							t.Errorf("%.0f bytes are left, at most %.0f are needed", got, limit)
						}
						if live := float64(s.LiveBytes); live > 1.2*(least+float64(memtable)) {
							t.Errorf("%.0f bytes are said to be live, %.0f are", live, least)
						}
					})
				}
			}
		}
	}
}

// A database that is written to does not settle, however long ago its last flush is, and does once little is written.
func TestSettlesOnlyIdle(t *testing.T) {
	now := time.Now()
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.sys.now = 64<<10, func() time.Time { return now }
	db := openTest(t, o)
	n := 0
	fill := func(part int64) {
		for before := db.live.View().Mem.Size(); db.live.View().Mem.Size() < before+part*o.memtableSize/100; n++ {
			must(t, db.Put(fmt.Appendf(nil, "key%05d", n), make([]byte, 100)))
		}
	}
	is := func(want bool, when string) {
		t.Helper()
		if got := db.compacter.compaction().Settle; got != want {
			t.Errorf("%s: settled %t", when, got)
		}
	}
	is(true, "before the first flush")
	fill(90)
	must(t, db.Flush())
	is(false, "right after a flush")
	fill(50)
	now = now.Add(fillsIn/2 - time.Second)
	is(false, "half a memtable in less than half the time")
	now = now.Add(time.Second * 3)
	is(true, "half a memtable in more than half the time")
	fill(20)
	is(false, "more")
	db.settler.settle()
	is(false, "the settler has looked once")
	db.settler.settle()
	is(true, "nothing was written between two looks of the settler")
	fill(1)
	db.settler.settle()
	is(false, "something was")

	turn := db.pipeline.lock()
	must(t, turn.freeze())
	turn.end()
	now = now.Add(time.Hour)
	is(false, "a memtable waits for its flush")
	fill(30)
	must(t, db.flusher.flushFrozen())
	is(false, "its flush")
	now = now.Add(settleAfter)
	is(true, "a second after, and nothing was written meanwhile")
}

// A memtable of small entries that has expired whole is flushed, and sweeps that find nothing new neither ask for a
// compaction again nor tell anything.
func TestSweepsOfWhatIsNotWorthIt(t *testing.T) {
	clock := newFakeClock()
	var told recorder
	o := manualOptions(vfstest.NewMem(), clock, SyncNever)
	o.memtableSize, o.OnEvent = 16<<20, told.onEvent
	db := openTest(t, o)
	for i := range 20_000 {
		must(t, db.Put(fmt.Appendf(nil, "%05d", i), nil, TTL(time.Second)))
	}
	clock.add(2 * time.Second)
	db.sweep()
	must(t, db.flusher.flushFrozen())
	if s := db.Stats(); s.Frozen != 0 || s.MemtableBytes > 8<<10 || s.TableBytes != 0 {
		t.Errorf("%d bytes of memtables are left, %d of tables", s.MemtableBytes, s.TableBytes)
	}
	for i := range 100 {
		o := []WriteOption{TTL(time.Hour)}
		if i == 0 {
			o[0] = TTL(time.Second)
		}
		must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 100), o...))
	}
	must(t, db.Flush())
	compact(t, db)
	told.take(t, db)
	requests, sweeps := 0, 0
	for end := clock.ms() + 60_000; clock.ms() < end; sweeps++ {
		next := db.sweep()
		select {
		case <-db.compacter.requests:
			requests++
			compact(t, db)
		default:
		}
		if next == 0 {
			break
		}
		clock.add(max(100*time.Millisecond, min(time.Second, time.Duration(next-clock.ms())*time.Millisecond)))
	}
	swept := 0
	for _, e := range told.take(t, db) {
		if _, ok := e.(Swept); ok {
			swept++
		}
	}
	if sweeps > 70 || requests > 2 || swept > 2 {
		t.Errorf("in a minute %d sweeps, %d requests of a compaction, %d events", sweeps, requests, swept)
	}
}
