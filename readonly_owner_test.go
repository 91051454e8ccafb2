package ebb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// ownerStep returns the i-th thing that the owner of a database does. Its writes tell how many have been made.
func ownerStep(i int) step {
	key := func(n int) string { return fmt.Sprintf("key%03d", n%200) }
	value := fmt.Sprintf("%d %0100d", i, i)
	switch i % 10 {
	case 0:
		return putStep("first", strconv.Itoa(i/10), 0)
	case 1:
		return putStep("second", strconv.Itoa(i/10), 0)
	case 4:
		return deleteStep(key(i * 7))
	case 5:
		return deleteRangeStep(key(i*3%190), key(i*3%190+8))
	case 7:
		return batchStep(value, 0, key(i), key(i+50), key(i+100), key(i+150))
	}
	return putStep(key(i*3), value, newFakeClock().ms()+1_000_000)
}

// owner writes to a database while others look at it.
type owner struct {
	db    *DB
	acked atomic.Int64 // steps that have returned
	done  atomic.Bool
}

// run makes so many steps, with a flush or a compaction between some.
func (o *owner) run(steps int) error {
	defer o.done.Store(true)
	for i := range steps {
		s := ownerStep(i)
		if i%500 == 250 {
			s = otherStep("compact", compactStep.run)
			if err := s.run(o.db); err != nil {
				return err
			}
			s = ownerStep(i)
		}
		if err := s.run(o.db); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		o.acked.Store(int64(i + 1))
	}
	return nil
}

// follower holds what a read-only database shows, time after time, against a model that follows the owner.
type follower struct {
	model *model
	steps int
	seq   uint64
}

func newFollower() *follower { return &follower{model: newModel(newFakeClock())} }

// check compares a snapshot, which must be of the end of some step, and not of one before least.
func (f *follower) check(s *Snapshot, least int) error {
	if s.Seq() < f.seq {
		return fmt.Errorf("sequence %d after %d", s.Seq(), f.seq)
	}
	for f.seq < s.Seq() {
		step := ownerStep(f.steps)
		step.apply(f.model)
		f.seq += step.ops
		f.steps++
	}
	if f.seq != s.Seq() {
		return fmt.Errorf("sequence %d is in the middle of a batch", s.Seq())
	}
	if f.steps < least {
		return fmt.Errorf("%d steps are there, %d had returned", f.steps, least)
	}
	if err := f.model.compare(s, f.model.clock.ms()); err != nil {
		return fmt.Errorf("after %d steps: %w", f.steps, err)
	}
	return nil
}

// look is check for what a database shows now.
func (f *follower) look(db *DB, least int) error {
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer s.Close()
	return f.check(s, least)
}

// follow refreshes a database until the owner is done, and checks each view, a snapshot that has become old, and the log.
func (o *owner) follow(db *DB) (views int, err error) {
	f := newFollower()
	var old *Snapshot
	var oldModel *model
	for last := false; ; views++ {
		last = o.done.Load()
		least := int(o.acked.Load())
		if err := db.Refresh(); err != nil {
			return views, err
		}
		if err := f.look(db, least); err != nil {
			return views, err
		}
		if old != nil {
			if err := oldModel.compare(old, f.model.clock.ms()); err != nil {
				return views, fmt.Errorf("a snapshot that has become old: %w", err)
			}
		}
		if views%5 == 0 || last {
			if old != nil {
				old.Close()
			}
			if old, err = db.Snapshot(); err != nil {
				return views, err
			}
			oldModel = f.model.clone()
			if err := db.Verify(context.Background()); err != nil {
				return views, fmt.Errorf("verify: %w", err)
			}
		}
		if last {
			old.Close()
			return views, nil
		}
	}
}

// visit opens and closes read-only databases until the owner is done.
func (o *owner) visit(dir string, opts *Options) (visits int, err error) {
	f := newFollower()
	for ; !o.done.Load(); visits++ {
		least := int(o.acked.Load())
		db, err := Open(dir, opts)
		if err != nil {
			return visits, err
		}
		if err := errors.Join(f.look(db, least), db.Close()); err != nil {
			return visits, err
		}
	}
	return visits, nil
}

// race reads the two counters, the one that is written later first, while the view is replaced.
func (o *owner) race(db *DB) (reads int, err error) {
	counter := func(key string) (int, error) {
		value, err := db.Get([]byte(key))
		if errors.Is(err, ErrNotFound) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(value))
	}
	for ; !o.done.Load(); reads++ {
		second, err := counter("second")
		if err != nil {
			return reads, err
		}
		first, err := counter("first")
		if err != nil {
			return reads, err
		}
		if first < second {
			return reads, fmt.Errorf("%d after %d", first, second)
		}
	}
	return reads, nil
}

// Beside an owner that writes, flushes and compacts, each view is the database at a moment, with everything that had been
// acknowledged, and the owner goes on undisturbed.
func TestReadOnlyBesideItsOwner(t *testing.T) {
	for _, c := range []struct {
		name   string
		fs     func() vfs.FS
		policy SyncPolicy
	}{
		{"memory, synced", func() vfs.FS { return vfstest.NewMem() }, SyncAlways},
		{"memory", func() vfs.FS { return vfstest.NewMem() }, SyncNever},
		{"disk", func() vfs.FS { return vfs.OS }, SyncNever},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, clock := filepath.ToSlash(filepath.Join(t.TempDir(), "db")), newFakeClock()
			opts := tinyOptions(c.fs(), clock)
			opts.Sync = c.policy
			db, err := Open(dir, opts)
			must(t, err)
			steps := 3000 / vfstest.Step(3)
			beside(t, &owner{db: db}, dir, readOnly(opts), steps)
			must(t, db.Verify(t.Context()))
			must(t, newFollower().look(db, steps))
			must(t, db.Close())
		})
	}
}

// beside lets the owner run, with readers of every kind beside it.
func beside(t *testing.T, o *owner, dir string, opts *Options, steps int) {
	t.Helper()
	var wg sync.WaitGroup
	db, err := Open(dir, opts)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	defer wg.Wait()
	wg.Go(func() { told(t, "follow", func() (int, error) { return o.follow(db) }) })
	wg.Go(func() { told(t, "visit", func() (int, error) { return o.visit(dir, opts) }) })
	wg.Go(func() { told(t, "race", func() (int, error) { return o.race(db) }) })
	if err := o.run(steps); err != nil {
		t.Error(err)
	}
}

// told runs a reader and reports how far it came.
func told(t *testing.T, name string, read func() (int, error)) {
	n, err := read()
	if err != nil {
		t.Errorf("%s, after %d: %v", name, n, err)
	}
	t.Logf("%s: %d", name, n)
}

// ownedDB returns a database in memory, killed after so many steps, with tables in levels and several log segments.
func ownedDB(t *testing.T, steps int) *vfstest.Mem {
	t.Helper()
	mem := vfstest.NewMem()
	db, err := Open("db", manualOptions(mem, newFakeClock(), SyncNever))
	must(t, err)
	for i := range steps {
		must(t, ownerStep(i).run(db))
		if i%60 == 59 {
			must(t, db.Flush())
		}
	}
	db.health.workers.Wait()
	killed := mem.Clone()
	must(t, db.Close())
	return killed
}

// on returns a Fault that calls fn before each operation of a reader. The operation may not change anything.
func on(fs vfs.FS, fn func(n int, op vfstest.Op)) vfs.FS {
	fault := sealed(fs)
	forbid, n := fault.injector, 0
	fault.Inject(func(op vfstest.Op) error {
		n++
		fn(n, op)
		return forbid(op)
	})
	return fault
}

// Whatever the owner does between any two operations of Open or Refresh, the view is whole, and has all that was written
// before.
func TestReadOnlyWhileFilesGo(t *testing.T) {
	const steps, more = 200, 30
	killed := ownedDB(t, steps)
	for _, c := range []struct {
		name string
		act  func(*DB) error
	}{
		{"flush", (*DB).Flush},
		{"compact", compactStep.run},
		{"flushes", func(db *DB) error {
			for i := range 4 {
				if err := errors.Join(db.Put([]byte("again"), []byte(strconv.Itoa(i))), db.Flush()); err != nil {
					return err
				}
			}
			return nil
		}},
		{"close", (*DB).Close},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n, reached := 1, true; reached; n++ {
				mem := killed.Clone()
				o := &owner{}
				var err error
				o.db, err = Open("db", manualOptions(mem, newFakeClock(), SyncNever))
				must(t, err)
				reached = false
				opts := readOnlyOptions(manualOptions(mem, newFakeClock(), SyncNever))
				opts.fs = on(mem, func(i int, _ vfstest.Op) {
					if i != n {
						return
					}
					reached = true
					for i := range more {
						must(t, ownerStep(steps+i).run(o.db))
					}
					must(t, c.act(o.db))
					o.db.health.workers.Wait()
				})
				db, err := Open("db", opts)
				if err != nil {
					t.Fatalf("%s before operation %d: %v", c.name, n, err)
				}
				f := newFollower()
				if c.name != "flushes" {
					err = f.look(db, steps)
				}
				if err == nil && reached {
					if err = db.Refresh(); err == nil && c.name != "flushes" {
						err = f.look(db, steps+more)
					}
				}
				if err != nil {
					t.Fatalf("%s before operation %d: %v", c.name, n, err)
				}
				must(t, db.Verify(t.Context()))
				must(t, db.Close())
				must(t, o.db.Close())
				if !reached {
					t.Logf("%d operations", n-1)
				}
			}
		})
	}
}

// An owner that replaces files faster than they can be read is told from damage, and leaves a reader what it has.
func TestReadOnlyLosesPatience(t *testing.T) {
	const steps = 200
	mem := ownedDB(t, steps)
	owner, err := Open("db", manualOptions(mem, newFakeClock(), SyncNever))
	must(t, err)
	defer func() { must(t, owner.Close()) }()
	busy := false
	opened := 0
	opts := readOnlyOptions(manualOptions(mem, newFakeClock(), SyncNever))
	opts.fs = on(mem, func(_ int, op vfstest.Op) {
		if op.Kind != vfstest.OpOpen || !strings.Contains(op.Name, dir.TablesName) {
			return
		}
		if opened++; busy {
			must(t, owner.Put([]byte("key"), nil))
			must(t, compactStep.run(owner))
			owner.health.workers.Wait()
		}
	})
	db := openTest(t, opts)
	must(t, newFollower().look(db, steps))
	opened = 0
	must(t, db.Refresh())
	if opened != 0 {
		t.Errorf("%d tables opened that were open", opened)
	}
	must(t, owner.Put([]byte("key"), nil))
	must(t, owner.Flush())
	busy = true
	err = db.Refresh()
	if err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "changed 100 times") {
		t.Errorf("refresh: %v", err)
	}
	if _, err := Open("db", opts); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	must(t, newFollower().look(db, steps))
	busy = false
	must(t, db.Refresh())
	content{db}.has(t, "key", "")
}

// What a Refresh replaces counts as replaced as long as a snapshot holds it, and no longer.
func TestReadOnlyStatsOfReplacedTables(t *testing.T) {
	mem := ownedDB(t, 200)
	owner := openTest(t, manualOptions(mem, newFakeClock(), SyncNever))
	db := openTest(t, readOnly(manualOptions(mem, newFakeClock(), SyncNever)))
	s, err := db.Snapshot()
	must(t, err)
	before := db.Stats()
	must(t, owner.Put([]byte("key"), nil))
	must(t, compactStep.run(owner))
	must(t, db.Refresh())
	if got := db.Stats(); got.ReplacedTables == 0 || got.ReplacedBytes != before.TableBytes || got.Pins != 1 {
		t.Errorf("held: %d tables of %d bytes replaced, %d pins; %d bytes were live", got.ReplacedTables, got.ReplacedBytes,
			got.Pins, before.TableBytes)
	}
	s.Close()
	if got := db.Stats(); got.ReplacedTables != 0 || got.ReplacedBytes != 0 || got.Pins != 0 || got.OldestPin != 0 {
		t.Errorf("let go: %d tables of %d bytes replaced, %d pins", got.ReplacedTables, got.ReplacedBytes, got.Pins)
	}
}
