package ebb

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// clockMarksIn returns the times that are marked in the log of a database that keeps all of it.
func clockMarksIn(t *testing.T, db *DB) (times []int64) {
	t.Helper()
	r, err := db.log.NewReaderAt(1)
	must(t, err)
	defer r.Close()
	var e wal.Entry
	for {
		err := r.Next(&e)
		if err == io.EOF {
			return times
		}
		must(t, err)
		if e.Kind == wal.KindClock {
			times = append(times, e.Time)
		}
	}
}

// checkMarks holds that from one time to another no mark is more than a second after the one before.
func checkMarks(t *testing.T, times []int64, from, to int64) {
	t.Helper()
	last, n := from, 0
	for _, at := range append(times, to) {
		if at < from || at > to {
			continue
		}
		if at-last > clockEvery {
			t.Errorf("no mark from %d to %d ms", last-from, at-from)
		}
		last = at
		n++
	}
	if most := (to-from)/clockEvery + 2; int64(n) > most {
		t.Errorf("%d marks in %d ms, want at most %d", n, to-from, most)
	}
}

// Who writes makes the marks, whatever becomes of the sweeper, and only while something has a deadline.
func TestClockMarksByWrites(t *testing.T) {
	clock := newFakeClock()
	o := manualOptions(vfstest.NewMem(), clock, SyncNever)
	o.RetainLog = 1 << 30
	db := openTest(t, o)
	write := func(seconds int, opts ...WriteOption) (from int64) {
		from = clock.ms()
		for i := range seconds * 8 {
			must(t, db.Put(fmt.Appendf(nil, "k%03d", i%100), make([]byte, 50), opts...))
			clock.add(125 * time.Millisecond)
		}
		return from
	}
	write(30)
	db.pipeline.tickClock()
	if times := clockMarksIn(t, db); len(times) != 0 {
		t.Errorf("without any deadline there are %d marks", len(times))
	}
	from := write(30, TTL(time.Hour))
	checkMarks(t, clockMarksIn(t, db), from, clock.ms())
	write(30) // overwrites all that have one; flushed tables may still have it
	must(t, db.Flush())
	must(t, compactStep.run(db))
	db.pipeline.tickClock()
	n := len(clockMarksIn(t, db))
	write(30)
	if more := len(clockMarksIn(t, db)) - n; more != 0 {
		t.Errorf("with no deadline left there are %d more marks", more)
	}
}

// While nothing is written the marks are made by a timer of their own: no sweeper runs here.
func TestClockMarksByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
		o.RetainLog, o.Clock = 1<<30, nil
		db := openTest(t, o)
		defer db.Close()
		db.health.workers.Go(func() { db.pipeline.marks.loop(db.health.work, db.pipeline.tickClock) })
		now := func() int64 { return time.Now().UnixMilli() }
		time.Sleep(time.Minute)
		if times := clockMarksIn(t, db); len(times) != 0 {
			t.Errorf("without any deadline there are %d marks", len(times))
		}
		must(t, db.Put([]byte("k"), nil, TTL(time.Hour)))
		from := now()
		time.Sleep(time.Minute + 500*time.Millisecond)
		checkMarks(t, clockMarksIn(t, db), from, now())
		must(t, db.Flush())
		from = now()
		time.Sleep(time.Minute + 300*time.Millisecond)
		checkMarks(t, clockMarksIn(t, db), from, now())

		must(t, db.Delete([]byte("k")))
		must(t, db.Flush())
		must(t, compactStep.run(db))
		time.Sleep(2 * time.Second)
		n := len(clockMarksIn(t, db))
		time.Sleep(time.Minute)
		if more := len(clockMarksIn(t, db)) - n; more != 0 {
			t.Errorf("with no deadline left there are %d more marks", more)
		}
	})
}

// After a crash anywhere, with the clock set back by an hour, nothing is there that had expired a second before the last
// write that must be there.
func TestClockSetBackCrashStates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem, clock := vfstest.NewMem(), newFakeClock()
		mem.Record()
		db := openTest(t, manualOptions(mem, clock, policy))
		times := []int64{clock.ms()} // of each write, behind that of the beginning
		promises := vfstest.NewPromises(mem)
		deadlines := map[string]int64{}
		for i := range 90 {
			key := fmt.Sprintf("k%03d", i)
			deadlines[key] = clock.ms() + 100 + int64(i*37%900)
			promises.Begin()
			must(t, db.Put([]byte(key), make([]byte, 200), ExpireAt(time.UnixMilli(deadlines[key]))))
			promises.Done()
			times = append(times, clock.ms())
			clock.add(170 * time.Millisecond)
			if i%20 == 19 {
				must(t, db.Flush())
				db.health.workers.Wait()
			}
			if i%20 == 19 || policy == SyncAlways {
				promises.Synced()
			}
		}
		back := 0
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{Step: 3}, func(c *vfstest.Crash) error {
			least, _ := promises.At(c)
			if tried.Before(c, least) {
				return nil
			}
			n, err := checkExpired(c.FS, newClockAt(times[0]-time.Hour.Milliseconds()), deadlines, times[least])
			back = max(back, n)
			return err
		})
		t.Logf("%d keys at most came back, all of the last second", back)
	})
}

// checkExpired opens a database after a crash and holds that what had expired a second before a time is not there. It
// returns how many keys are there that had expired by then.
func checkExpired(fs vfs.FS, clock *fakeClock, deadlines map[string]int64, at int64) (back int, err error) {
	db, err := Open("db", manualOptions(fs, clock, SyncNever))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	for key, deadline := range deadlines {
		_, err := db.Get([]byte(key))
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return 0, err
		case deadline <= at-clockEvery:
			return 0, fmt.Errorf("%s, which had expired %d ms before the last write, is back", key, at-deadline)
		case deadline <= at:
			back++
		}
	}
	return back, nil
}

// wrongClock makes a database that a wrong clock has had, a year ahead, and was closed or killed; and returns it with the
// right time. What flushed is in a table, the rest in the log.
func wrongClock(t *testing.T, flushed, killed bool) (*vfstest.Mem, *fakeClock) {
	t.Helper()
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	db := openTest(t, o)
	for i := range 10 {
		must(t, db.Put(fmt.Appendf(nil, "hour%d", i), []byte("1"), TTL(time.Hour)))
	}
	must(t, db.Put([]byte("stays"), []byte("1")))
	if flushed {
		must(t, db.Flush())
	}
	clock.add(365 * 24 * time.Hour)
	if !flushed {
		must(t, db.Put([]byte("late"), []byte("1"), TTL(time.Minute))) // with a mark before it
	}
	must(t, db.pipeline.markClock())
	content{db}.lacks(t, "hour3")
	left := mem
	if killed {
		left = mem.Clone()
	}
	must(t, db.Close())
	clock.add(-365 * 24 * time.Hour)
	return left, clock
}

// TestResetClock: what a wrong clock has hidden comes back, counted before, and time goes on from there.
func TestResetClock(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("flushed %v, killed %v", flushed, killed), func(t *testing.T) {
				mem, clock := wrongClock(t, flushed, killed)
				o := &ResetClockOptions{Options: manualOptions(mem, clock, SyncAlways), DryRun: true}
				before := mem.Clone()
				dry, err := ResetClock("db", clock.Now(), o)
				must(t, err)
				if ahead := dry.Mark.Sub(dry.To); dry.Back != 10 || ahead < 364*24*time.Hour || !dry.To.Equal(clock.Now()) {
					t.Errorf("%+v", dry)
				}
				if len(mem.Diff(before)) > 0 {
					t.Error("a dry run has changed something")
				}
				o.DryRun = false
				wet, err := ResetClock("db", clock.Now(), o)
				if err != nil || wet != dry {
					t.Errorf("%+v, %v, want %+v", wet, err, dry)
				}
				again, err := ResetClock("db", clock.Now(), o)
				if err != nil || again.Back != 0 || again.Mark.After(clock.Now()) {
					t.Errorf("again: %+v, %v", again, err)
				}
				db := openTest(t, o.Options)
				content{db}.has(t, "hour3", "1")
				content{db}.has(t, "stays", "1")
				must(t, db.pipeline.markClock())
				clock.add(-time.Hour)
				if _, err := ResetClock("db", clock.Now(), o); !errors.Is(err, ErrLocked) {
					t.Errorf("of an open database: %v", err)
				}
				clock.add(time.Hour)
				clock.add(time.Hour)
				content{db}.lacks(t, "hour3")
				must(t, db.Verify(t.Context()))
				must(t, db.Close())
			})
		}
	}
}

// TestResetClockCrashStates: a crash leaves the old time, with all there was, or the new.
func TestResetClockCrashStates(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		mem, clock := wrongClock(t, flushed, true)
		wrong := clock.ms() + (364 * 24 * time.Hour).Milliseconds()
		o := &ResetClockOptions{Options: manualOptions(mem, clock, SyncAlways)}
		mem.Record()
		_, err := ResetClock("db", clock.Now(), o)
		must(t, err)
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 1}, func(c *vfstest.Crash) error {
			db, err := Open("db", manualOptions(c.FS, clock, SyncAlways))
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.Get([]byte("hour3"))
			old := db.clock.Now() > wrong
			if old && err != ErrNotFound || !old && err != nil || c.Last && old {
				return fmt.Errorf("the time is %d, hour3: %w", db.clock.Now(), err)
			}
			_, err = db.Get([]byte("stays"))
			return err
		})
	}
}

// TestResetClockWriters: a writer that was used while the clock was ahead is forgotten after as long as any other, and one that
// was not used is not forgotten by ResetClock, whatever Options.WriterIdle is.
func TestResetClockWriters(t *testing.T) {
	const day = 24 * time.Hour
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	o.WriterIdle = 30 * day
	db := openTest(t, o)
	must(t, errors.Join(applyAs(db, 1, 0, "k", "v"), db.Flush()))
	clock.add(20 * day)
	must(t, errors.Join(applyAs(db, 2, 0, "k", "v"), db.Flush()))
	clock.add(9 * day)
	must(t, errors.Join(applyAs(db, 3, 0, "k", "v"), db.Flush(), db.Close()))
	clock.add(-9 * day)
	_, err := ResetClock("db", clock.Now(), &ResetClockOptions{Options: o})
	must(t, err)
	db = openTest(t, o)
	known := func(want ...int64) {
		t.Helper()
		var got []int64
		for id := range int64(4) {
			if _, err := db.WriterSequence(id); err == nil {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("writers %v are known, want %v", got, want)
		}
	}
	known(1, 2, 3)
	clock.add(31 * day)
	known()
}
