package ebb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// recorder keeps the events that it is told.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) onEvent(e Event) {
	if m, ok := e.(marker); ok {
		close(m)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// marker is an event of the tests': when it is told, so are all before it.
type marker chan struct{}

func (marker) event() (slog.Level, string) { return slog.LevelDebug - 1, "marker" }
func (marker) LogValue() slog.Value        { return slog.GroupValue() }

// take returns what has been told since the last call, without the durations, which are real time.
func (r *recorder) take(t *testing.T, db *DB) []Event {
	t.Helper()
	if !db.health.closed.Load() {
		m := make(marker)
		db.events.emit(m)
		<-m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Event
	for _, e := range r.events {
		v := reflect.New(reflect.TypeOf(e)).Elem()
		v.Set(reflect.ValueOf(e))
		if d := v.FieldByName("Duration"); d.IsValid() {
			if d.Int() < 0 {
				t.Errorf("%T has taken %v", e, time.Duration(d.Int()))
			}
			d.SetInt(0)
		}
		list = append(list, v.Interface().(Event))
	}
	r.events = nil
	return list
}

// expect holds that exactly these events have been told since the last call.
func (r *recorder) expect(t *testing.T, db *DB, want ...Event) {
	t.Helper()
	got := r.take(t, db)
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d:\n%+v", len(got), len(want), got)
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("event %d:\n%T %+v, want\n%T %+v", i, got[i], got[i], want[i], want[i])
		}
	}
}

// openRecorded opens a database that does nothing by itself, and a recorder of its events.
func openRecorded(t *testing.T, fs vfs.FS, clock *fakeClock) (*DB, *recorder) {
	t.Helper()
	r := new(recorder)
	o := roomyOptions(fs, clock)
	o.OnEvent = r.onEvent
	return openTest(t, o), r
}

func tableSize(t *testing.T, db *DB, file uint64) int64 {
	t.Helper()
	size, err := db.fs.Size(db.dir.Table(file))
	must(t, err)
	return size
}

func TestEventsOfALife(t *testing.T) {
	clock := newFakeClock()
	db, r := openRecorded(t, vfstest.NewMem(), clock)
	r.expect(t, db, Recovered{Clean: true})

	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Put([]byte("b"), []byte("1")))
	must(t, db.Flush())
	first := tableSize(t, db, 1)
	r.expect(t, db, Flushed{Table: 1, Bytes: first, Entries: 2})

	must(t, db.Put([]byte("a"), []byte("2"), TTL(time.Second)))
	must(t, db.Flush())
	second := tableSize(t, db, 2)
	clock.add(3 * time.Second)
	db.sweep()
	must(t, db.Compact(context.Background()))
	r.expect(t, db, Flushed{Table: 2, Bytes: second, Entries: 1},
		Swept{ExpiredBytes: 2, Lag: 2 * time.Second},
		Compacted{Reason: "compact all", Level: 6, Inputs: 2, InputBytes: first + second,
			Outputs: 1, OutputBytes: tableSize(t, db, 3), Expired: 1})

	for i := range 3 {
		must(t, db.Put(fmt.Appendf(nil, "x%d", i), nil, TTL(time.Duration(i+1)*time.Second)))
	}
	must(t, db.Flush())
	fourth := tableSize(t, db, 4)
	clock.add(4 * time.Second)
	compact(t, db)
	r.expect(t, db, Flushed{Table: 4, Bytes: fourth, Entries: 3},
		TableExpired{Table: 4, Bytes: fourth, Entries: 3, Overdue: time.Second})

	must(t, db.Put([]byte("y"), nil, TTL(time.Second))) // nothing is left of it to be flushed
	clock.add(time.Second)
	must(t, db.Flush())
	r.expect(t, db, Flushed{Entries: 1, Expired: 1})

	must(t, db.Put([]byte("z"), make([]byte, 2*sweepMin), TTL(time.Second))) // worth a flush
	clock.add(time.Second)
	db.sweep()
	r.expect(t, db, Swept{Frozen: true})
	must(t, db.Close())
	r.expect(t, db, Flushed{Entries: 1, Expired: 1})
}

func TestMoveEvent(t *testing.T) {
	db, r := openRecorded(t, vfstest.NewMem(), newFakeClock())
	const full = 32 // tables of level 0
	for i := range full {
		must(t, db.Put(fmt.Appendf(nil, "key%02d", i), nil))
		must(t, db.Flush())
	}
	r.take(t, db)
	compact(t, db)
	r.expect(t, db, Compacted{Reason: "level 0 is full", Level: 6, Moved: true, Inputs: full, Outputs: full})
	if s := db.Stats(); s.Compactions != 0 || s.CompactedBytes != 0 {
		t.Errorf("moving counts: %+v", s)
	}
}

func logSegment(p wal.Position) string { return fmt.Sprintf("db/wal/%06d.wal", p.Segment) }

// tornLog returns what a crash has left of a database with a table, an entry in the log, and nine bytes after that.
func tornLog(t *testing.T) (killed *vfstest.Mem, clock *fakeClock, end wal.Position) {
	t.Helper()
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, roomyOptions(mem, clock))
	must(t, db.Put([]byte("a"), nil))
	must(t, db.Flush())
	must(t, db.Put([]byte("b"), nil))
	end = db.log.End()
	killed = mem.Clone()
	data, err := killed.ReadFile(logSegment(end))
	must(t, err)
	must(t, killed.WriteFile(logSegment(end), append(bytes.Clone(data[:end.Offset]), "torn tail"...)))
	return killed, clock, end
}

// What a crash leaves of an unfinished write is told with its size and where it is kept.
func TestRecoveredEvents(t *testing.T) {
	killed, clock, end := tornLog(t)
	recovered := Recovered{Segments: 1, Bytes: int64(end.Offset), Entries: 1, Tables: 1, CutBytes: 9}
	looks := new(recorder)
	o := roomyOptions(killed, clock)
	o.ReadOnly, o.OnEvent = true, looks.onEvent
	look := openTest(t, o)
	looks.expect(t, look, TailCut{File: logSegment(end), Offset: int64(end.Offset), Bytes: 9}, recovered)
	db, r := openRecorded(t, killed, clock)
	for _, db := range []*DB{db, look} {
		if n := db.Stats().LogCutBytes; n != 9 {
			t.Errorf("%d bytes cut", n)
		}
	}
	events := r.take(t, db)
	if len(events) != 2 {
		t.Fatalf("%+v", events)
	}
	cut := events[0].(TailCut)
	if kept, err := killed.ReadFile(cut.Quarantine); err != nil || string(kept) != "torn tail" {
		t.Errorf("quarantined: %q, %v", kept, err)
	}
	if want := (TailCut{logSegment(end), int64(end.Offset), 9, cut.Quarantine}); cut != want {
		t.Errorf("%+v, want %+v", cut, want)
	}
	if events[1] != recovered {
		t.Errorf("%+v, want %+v", events[1], recovered)
	}
}

func TestClockEvents(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db, _ := openRecorded(t, mem, clock)
	must(t, db.Close()) // which marks the clock
	clock.add(-2 * time.Minute)
	o, r := roomyOptions(mem, clock), new(recorder)
	now := clock.Now()
	o.Clock, o.OnEvent = func() time.Time { return now }, r.onEvent
	db = openTest(t, o)
	events := r.take(t, db)
	if want := (ClockSetBack{2 * time.Minute}); len(events) != 2 || events[1] != want {
		t.Errorf("%+v, want %+v", events, want)
	}
	// Farther than a Duration can tell, so that not all of it counts as time that has passed.
	now = now.AddDate(400, 0, 0)
	db.sweep()
	leap, ok := r.take(t, db)[0].(ClockJumped)
	if !ok || leap.By < 100*365*24*time.Hour || leap.By != db.clock.Jumped() {
		t.Errorf("%+v", leap)
	}
	db.sweep()
	r.expect(t, db)
}

// A full disk is told of once, and again only after a while.
func TestDiskFullEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFault(vfstest.NewMem())
		db, r := openRecorded(t, fault, newFakeClock())
		r.take(t, db)
		fault.SetRoom(0)
		for range 5 {
			if err := db.Put([]byte("k"), make([]byte, 1<<20)); !errors.Is(err, ErrNoSpace) {
				t.Fatal(err)
			}
		}
		events := r.take(t, db)
		if full, ok := events[0].(DiskFull); len(events) != 1 || !ok || !errors.Is(full.Err, ErrNoSpace) {
			t.Errorf("%+v", events)
		}
		if n := db.Stats().DiskFull; n != 5 {
			t.Errorf("counted %d times", n)
		}
		time.Sleep(diskFullEvery) // of the bubble
		db.Put([]byte("k"), make([]byte, 1<<20))
		if events = r.take(t, db); len(events) != 1 {
			t.Errorf("after a while: %+v", events)
		}
		fault.SetRoom(-1)
		must(t, db.Put([]byte("k"), make([]byte, 1<<20)))
		must(t, db.Close())
	})
}

// A flush that fails in the background is told of each time, with when it is tried again.
func TestBackgroundErrorEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFault(vfstest.NewMem())
		r := new(recorder)
		o := tinyOptions(fault, newFakeClock())
		o.OnEvent = r.onEvent
		db := openTest(t, o)
		synctest.Wait()
		r.take(t, db)
		fault.Inject(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpCreate && strings.HasSuffix(op.Name, dir.TableSuffix) {
				return syscall.EIO
			}
			return nil
		})
		must(t, db.Put([]byte("k"), make([]byte, 10<<10))) // fills the memtable
		time.Sleep(retryFirst + 2*retryFirst - 1)          // of the bubble
		events := r.take(t, db)
		for i, retry := range []time.Duration{retryFirst, 2 * retryFirst} {
			e, ok := events[i].(BackgroundError)
			if !ok || e.Task != "flush" || e.Retry != retry || !errors.Is(e.Err, syscall.EIO) {
				t.Errorf("%+v", events[i])
			}
		}
		if s := db.Stats(); len(events) != 2 || s.BackgroundErrors != 2 || !errors.Is(s.Background, syscall.EIO) || s.Failure != nil {
			t.Errorf("%+v, %+v", events, s)
		}
		fault.Inject(nil)
		time.Sleep(4 * retryFirst)
		if events = r.take(t, db); len(events) != 1 || events[0].(Flushed).Table == 0 {
			t.Errorf("%+v", events)
		}
		if s := db.Stats(); s.Background != nil {
			t.Errorf("still failing: %v", s.Background)
		}
		must(t, db.Close())
	})
}

// A flush whose log segments cannot be deleted has happened all the same. That they were not is told of, and tried again.
func TestLogTrimIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFault(vfstest.NewMem())
		r := new(recorder)
		o := tinyOptions(fault, newFakeClock())
		o.OnEvent = r.onEvent
		db := openTest(t, o)
		synctest.Wait()
		r.take(t, db)
		fault.Inject(vfstest.FailFrom(vfstest.OpRemove, ".wal", 1, syscall.EIO))
		must(t, db.Put([]byte("k"), nil))
		must(t, db.Flush())
		time.Sleep(retryFirst + 1) // of the bubble
		var retries []time.Duration
		flushes := 0
		for _, e := range r.take(t, db) {
			switch e := e.(type) {
			case BackgroundError:
				if e.Task != "delete log segments" || !errors.Is(e.Err, syscall.EIO) {
					t.Errorf("%+v", e)
				}
				retries = append(retries, e.Retry)
			case Flushed:
				flushes++
			}
		}
		if !slices.Equal(retries, []time.Duration{retryFirst, 2 * retryFirst}) || flushes != 1 {
			t.Errorf("retries %v, %d flushes", retries, flushes)
		}
		if s := db.Stats(); s.Background != nil || s.Failure != nil || s.LogObsoleteBytes == 0 {
			t.Errorf("%+v", s)
		}
		fault.Inject(nil)
		time.Sleep(2 * retryFirst)
		if s := db.Stats(); s.LogObsoleteBytes != 0 {
			t.Errorf("%d bytes of obsolete segments are left", s.LogObsoleteBytes)
		}
		must(t, db.Close())
	})
}

// A table that cannot be removed is told of. It takes nothing but room until the next Open.
func TestCloseTableEvent(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	db, r := openRecorded(t, fault, newFakeClock())
	must(t, db.Put([]byte("a"), nil))
	must(t, db.Flush())
	r.take(t, db)
	fault.Inject(vfstest.FailFrom(vfstest.OpRemove, dir.TableSuffix, 1, syscall.EIO))
	must(t, db.Put([]byte("a"), nil))
	must(t, db.Compact(context.Background()))
	db.health.workers.Wait()
	failed := 0
	for _, e := range r.take(t, db) {
		if e, ok := e.(BackgroundError); ok && e.Task == "close table" && e.Retry == 0 && errors.Is(e.Err, syscall.EIO) {
			failed++
		}
	}
	if s := db.Stats(); failed != 2 || s.BackgroundErrors != 2 || s.Background != nil {
		t.Errorf("%d were told, %+v", failed, s)
	}
}

func TestFailedEvent(t *testing.T) {
	for _, c := range []struct {
		name   string
		inject func(vfstest.Op) bool
	}{
		{"log", func(op vfstest.Op) bool { return op.Kind == vfstest.OpSync && path.Dir(op.Name) == "db/wal" }},
		{"manifest", func(op vfstest.Op) bool { return op.Kind == vfstest.OpSyncDir && path.Base(op.Name) == "db" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := vfstest.NewFault(vfstest.NewMem())
			db, r := openRecorded(t, fault, newFakeClock())
			r.take(t, db)
			fault.Inject(func(op vfstest.Op) error {
				if c.inject(op) {
					return syscall.EIO
				}
				return nil
			})
			for range 3 {
				db.Put([]byte("k"), nil)
				if err := db.Flush(); !errors.Is(err, ErrFailed) {
					t.Fatal(err)
				}
			}
			events := r.take(t, db)
			if len(events) != 1 {
				t.Fatalf("%+v", events)
			}
			if e, ok := events[0].(Failed); !ok || !errors.Is(e.Err, ErrFailed) || !errors.Is(e.Err, syscall.EIO) {
				t.Errorf("%+v", events)
			}
			if s := db.Stats(); !errors.Is(s.Failure, syscall.EIO) {
				t.Errorf("Stats say %v", s.Failure)
			}
		})
	}
}

func TestStallEvents(t *testing.T) {
	t.Run("memtables", func(t *testing.T) {
		r := new(recorder)
		o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
		o.OnEvent = r.onEvent
		db := openTest(t, o)
		r.take(t, db)
		full := make([]byte, o.memtableSize)
		for range lsm.MaxFrozen + 1 {
			must(t, db.Put([]byte("k"), full))
		}
		const reason = "memtables wait for their flush"
		r.expect(t, db, StallBegan{Stopped: true, Reason: reason})
		must(t, db.Put([]byte("k"), nil)) // which flushes, as nobody else does
		events := r.take(t, db)
		if len(events) != 1+lsm.MaxFrozen || events[0] != (StallEnded{Stopped: true, Reason: reason}) {
			t.Errorf("%+v", events)
		}
	})
	t.Run("level 0", func(t *testing.T) {
		db, r := openRecorded(t, vfstest.NewMem(), newFakeClock())
		var events []Event
		for i := range stopAt {
			must(t, db.Put(fmt.Appendf(nil, "key%d", i), nil))
			must(t, db.Flush())
		}
		if p := db.stall.pressure.Load(); p != pressureCompact {
			t.Errorf("pressure %d", p)
		}
		must(t, db.Compact(context.Background()))
		for _, e := range r.take(t, db) {
			switch e.(type) {
			case StallBegan, StallEnded:
				events = append(events, e)
			}
		}
		const reason = "level 0 waits for its compaction"
		want := []Event{StallBegan{false, reason}, StallEnded{Stopped: false, Reason: reason}, StallBegan{true, reason},
			StallEnded{Stopped: true, Reason: reason}}
		if !reflect.DeepEqual(events, want) {
			t.Errorf("%+v, want %+v", events, want)
		}
	})
}

// Who is told may use the database, whatever it is that has happened, and even if more happens by that. A deadlock would end
// the test by its timeout.
func TestOnEventUsesTheDatabase(t *testing.T) {
	mem, clock, _ := tornLog(t)
	clock.add(-2 * time.Minute)
	fault := vfstest.NewFault(mem)
	var now atomic.Pointer[time.Time]
	set := func(t time.Time) { now.Store(&t) }
	set(clock.Now())
	var db atomic.Pointer[DB]
	told := make(map[string]int)
	o := manualOptions(fault, clock, SyncAlways)
	o.Clock = func() time.Time { return *now.Load() }
	o.OnEvent = func(e Event) {
		if m, ok := e.(marker); ok {
			close(m)
			return
		}
		for db.Load() == nil {
			runtime.Gosched() // Open has not returned
		}
		kind := fmt.Sprintf("%T", e)
		told[kind]++
		if err := useDatabase(db.Load(), told[kind] == 1); err != nil {
			t.Errorf("told of %s: %v", kind, err)
		}
	}
	db.Store(openTest(t, o))
	do := func(steps ...func(*DB) error) {
		t.Helper()
		for _, step := range steps {
			must(t, step(db.Load()))
		}
		m := make(marker)
		db.Load().events.emit(m)
		<-m
	}
	put := func(size int, d time.Duration) func(*DB) error {
		return func(db *DB) error { return db.Put([]byte("key"), make([]byte, size), TTL(d)) }
	}
	later := func(d time.Duration) func(*DB) error {
		return func(*DB) error { set(now.Load().Add(d)); return nil }
	}
	sweep := func(db *DB) error { db.sweep(); return nil }
	settle := func(db *DB) error { return db.compacter.runPlans(db.health.work, compaction.Pick) }

	do(func(db *DB) error { return db.DeleteRange(nil, []byte{0xff}) }, compactStep.run)
	do(func(db *DB) error {
		tx, err := db.Begin(true)
		if err == nil {
			tx.s.leak.Stop()
			tx.s.begun.leaked()
		}
		return err
	})
	do(put(1, time.Second), (*DB).Flush)
	do(later(time.Hour), sweep, settle) // dropped
	do(put(1, time.Hour), (*DB).Flush)
	do(func(db *DB) error { return db.evicter.evict(now.Load().Add(2 * time.Hour).UnixMilli()) }, settle)
	full := put(int(o.memtableSize), 0)
	do(full, full, full) // the writers are stopped,
	do(put(1, 0))        // and go on
	do((*DB).Flush, put(1, 0), compactStep.run)
	fault.SetRoom(0)
	do(func(db *DB) error {
		if err := put(16<<20, 0)(db); !errors.Is(err, ErrNoSpace) { // more than the log has zeros for
			return fmt.Errorf("a full disk takes it: %w", err)
		}
		fault.SetRoom(-1)
		return nil
	})
	do((*DB).Flush, func(db *DB) error {
		for _, tables := range db.live.View().Version.Levels {
			for _, table := range tables {
				db.compacter.damage.setApart(table, syscall.EIO)
			}
		}
		return nil
	})
	do((*DB).Flush, deleteRangeStep("a", "z").run, (*DB).Flush, settle)
	leap := now.Load().AddDate(400, 0, 0)
	set(leap)
	do(sweep)
	do((*DB).Flush, func(db *DB) error { return db.Put([]byte("key"), make([]byte, 2<<20)) })
	fault.Inject(vfstest.FailFrom(vfstest.OpCreate, dir.TableSuffix, 1, syscall.EIO))
	must(t, db.Load().Close()) // whose flush fails
	fault.Inject(nil)

	db.Store(openTest(t, o))
	fault.Inject(vfstest.FailFrom(vfstest.OpSync, ".wal", 1, syscall.EIO))
	if err := db.Load().Put([]byte("key"), nil); !errors.Is(err, ErrFailed) {
		t.Errorf("put: %v", err)
	}
	db.Load().Close()
	for _, e := range allEvents {
		if kind := fmt.Sprintf("%T", e); told[kind] == 0 {
			t.Errorf("%s was not told", kind)
		}
	}
}

// useDatabase does what somebody who is told of an event may do, and more of it the first time: a flush is an event too.
func useDatabase(db *DB, first bool) error {
	errs := []error{db.Put([]byte("told"), nil, TTL(time.Second)), db.Sync()}
	_, err := db.Get([]byte("told"))
	errs = append(errs, err)
	for _, err := range db.Range(nil) {
		errs = append(errs, err)
	}
	db.Stats()
	if first {
		errs = append(errs, db.Flush(), db.Compact(context.Background()))
	}
	for _, err := range errs {
		ok := false
		for _, allowed := range []error{nil, ErrClosed, ErrNotFound, ErrNoSpace, ErrFailed, syscall.ENOSPC, syscall.EIO} {
			ok = ok || errors.Is(err, allowed)
		}
		if !ok {
			return err
		}
	}
	return nil
}

// allEvents has one of each kind.
var allEvents = []Event{
	Recovered{Segments: 1, Bytes: 2, Entries: 3, Tables: 4, CutBytes: 5, Duration: 6}, TailCut{"f", 1, 2, "q"}, Flushed{1, 2, 3, 4, 5, 6},
	Compacted{"why", 1, true, 2, 3, 4, 5, 6, 7, 8}, TableExpired{1, 2, 3, 4}, Swept{true, 1, 2, 3}, TableDeleted{1, 2, 3}, TableEvicted{1, 2, 3}, Evicted{1, time.UnixMilli(2), 3, 4}, TableDamaged{1, 2, 3, syscall.EIO}, StallBegan{true, "why"},
	StallEnded{true, "why", 1}, BackgroundError{"flush", syscall.EIO, 1}, DiskFull{syscall.ENOSPC}, Failed{syscall.EIO},
	ClockJumped{1}, ClockSetBack{1}, TransactionLeaked{"a.go:1", true, 1},
}

// Each event is one line of the log, with its fields beside the directory's name, and OnEvent gets it too.
func TestEventsAreLogged(t *testing.T) {
	var out bytes.Buffer
	r := new(recorder)
	o := Options{Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), OnEvent: r.onEvent}
	opts, err := o.withDefaults()
	must(t, err)
	db := &DB{dir: "db", opts: opts}
	db.events.start(&db.opts, string(db.dir), &db.stats)
	for _, e := range allEvents {
		db.events.emit(e)
	}
	db.events.stop()
	db.events.emit(Failed{}) // too late
	if len(db.events.mu.queue) != 0 {
		t.Error("kept for nobody")
	}
	if !reflect.DeepEqual(r.events, allEvents) {
		t.Errorf("%+v", r.events)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(allEvents) {
		t.Fatalf("%d lines for %d events", len(lines), len(allEvents))
	}
	for i, line := range lines {
		var got map[string]any
		must(t, json.Unmarshal([]byte(line), &got))
		level, message := allEvents[i].event()
		fields := reflect.TypeOf(allEvents[i]).NumField()
		if got["dir"] != "db" || got["msg"] != "ebb: "+message || got["level"] != level.String() || len(got) != 4+fields {
			t.Errorf("%T: %s", allEvents[i], line)
		}
		for name, v := range got {
			if v == nil || v == 0. || v == "" {
				t.Errorf("%T: %s is %v", allEvents[i], name, v)
			}
		}
	}
}

// The logger alone hears what it wants to hear, and where nobody listens there is no goroutine and nothing is kept.
func TestLoggerAlone(t *testing.T) {
	var out bytes.Buffer
	o := roomyOptions(vfstest.NewMem(), newFakeClock())
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	db := openTest(t, o)
	must(t, db.Put([]byte("k"), nil))
	must(t, db.Flush())
	_ = db.health.fail(syscall.EIO)
	must(t, db.Close())
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "level=ERROR") {
		t.Error(out.String())
	}
	db = openTest(t, roomyOptions(vfstest.NewMem(), newFakeClock()))
	if db.events.mu.started || len(db.events.mu.queue) != 0 {
		t.Error("told to nobody")
	}
}

// Somebody who is slow holds nothing up but Close, before which all is told, in order.
func TestSlowListener(t *testing.T) {
	o := roomyOptions(vfstest.NewMem(), newFakeClock())
	hold := make(chan struct{})
	r := new(recorder)
	o.OnEvent = func(e Event) {
		<-hold
		r.onEvent(e)
	}
	db := openTest(t, o)
	const flushes = 50
	for i := range flushes {
		must(t, db.Put(fmt.Appendf(nil, "key%d", i), nil))
		must(t, db.Flush())
	}
	close(hold)
	must(t, db.Close())
	next := uint64(1)
	for _, e := range r.take(t, db) {
		if f, ok := e.(Flushed); ok {
			if f.Table != next {
				t.Errorf("table %d, want %d", f.Table, next)
			}
			next++
		}
	}
	if next != flushes+1 {
		t.Errorf("%d flushes were told", next-1)
	}
}
