package ebb

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// faultHistory is what a script got done on a disk that may fail.
type faultHistory struct {
	acked    *model   // all that was acknowledged
	doubtful []*model // with the first write that failed, with the first two, and so on
	errs     []error
	killed   *vfstest.Mem // the disk before Close
}

// roomyOptions is manualOptions with memtables that only Flush freezes: nobody would flush for a writer who waits.
func roomyOptions(fs vfs.FS, clock *fakeClock) *Options {
	o := manualOptions(fs, clock, SyncAlways)
	o.memtableSize = 1 << 20
	return o
}

// faultScript runs the script as far as it goes. What is read at its end must be what was acknowledged. heal, if not nil,
// is called then, after which everything must work again.
func faultScript(mem *vfstest.Mem, fs vfs.FS, clock *fakeClock, heal func()) (*faultHistory, error) {
	h := &faultHistory{acked: newModel(clock), killed: mem}
	db, err := Open("db", roomyOptions(fs, clock))
	if err != nil {
		h.errs = append(h.errs, err)
		return h, nil
	}
	for _, s := range lifeScript(clock) {
		err := s.run(db)
		if err != nil {
			h.errs = append(h.errs, fmt.Errorf("%s: %w", s.name, err))
		}
		if s.apply == nil || errors.Is(err, ErrNoSpace) {
			continue
		}
		if err != nil {
			h.doubt(s)
		} else if s.apply(h.acked); len(h.doubtful) > 0 {
			return nil, fmt.Errorf("%s was acknowledged after a failure", s.name)
		}
	}
	if err := h.acked.compare(db, db.clock.Now()); err != nil {
		return nil, fmt.Errorf("reading in the end: %w", err)
	}
	if heal != nil {
		heal()
		if err := h.healed(db); err != nil {
			return nil, fmt.Errorf("healed: %w", err)
		}
	}
	h.killed = mem.Clone()
	if err := db.Close(); err != nil {
		h.errs = append(h.errs, fmt.Errorf("close: %w", err))
	}
	return h, nil
}

// doubt notes a write that failed and may have happened.
func (h *faultHistory) doubt(s step) {
	m := h.acked
	if len(h.doubtful) > 0 {
		m = h.doubtful[len(h.doubtful)-1]
	}
	m = m.clone()
	s.apply(m)
	h.doubtful = append(h.doubtful, m)
}

// healed runs what must work once there is room.
func (h *faultHistory) healed(db *DB) error {
	s := putStep("healed", "1", 0)
	for _, s := range []step{s, flushStep, compactStep, syncStep} {
		if err := s.run(db); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	s.apply(h.acked)
	return h.acked.compare(db, db.clock.Now())
}

// check opens the database on a disk that works and holds it against the history.
func (h *faultHistory) check(fs *vfstest.Mem, clock *fakeClock) error {
	o := roomyOptions(fs, clock)
	db, err := Open("db", o)
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	defer db.Close()
	err = h.acked.compare(db, db.clock.Now())
	m := h.acked
	for i := 0; err != nil && i < len(h.doubtful); i++ {
		if h.doubtful[i].compare(db, db.clock.Now()) == nil {
			m, err = h.doubtful[i], nil
		}
	}
	if err != nil {
		return fmt.Errorf("reopened: %w", err)
	}
	return reopenAndWrite(db, o, m.clone())
}

// countOps returns a file system on which the script has run without a fault.
func countOps(t *testing.T) *vfstest.Fault {
	t.Helper()
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	h, err := faultScript(mem, fault, newFakeClock(), nil)
	must(t, errors.Join(append(h.errs, err)...))
	return fault
}

// An I/O error at every single operation of a database's life, once or from there on, or a short write: nothing panics or
// hangs, reads go on, nothing is acknowledged after a write that failed, and after a restart what was acknowledged is there.
func TestErrorAtEveryOperation(t *testing.T) {
	type injector = func(kind vfstest.OpKind, suffix string, n int, err error) vfstest.Injector
	count := countOps(t).Count(vfstest.OpAny)
	for _, c := range []struct {
		name   string
		inject injector
		cause  error
	}{
		{"EIO once", vfstest.FailNth, syscall.EIO},
		{"EIO from there on", vfstest.FailFrom, syscall.EIO},
		{"short write", vfstest.FailNth, vfstest.Short(3, syscall.EIO)},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := 0
			for n := 1; n <= count; n += vfstest.Step(7) {
				mem, clock := vfstest.NewMem(), newFakeClock()
				fault := vfstest.NewFault(mem)
				fault.Inject(c.inject(vfstest.OpAny, "", n, c.cause))
				h, err := faultScript(mem, fault, clock, nil)
				if err != nil {
					t.Fatalf("operation %d: %v", n, err)
				}
				for _, err := range h.errs {
					failed++
					if !errors.Is(err, syscall.EIO) {
						t.Fatalf("operation %d: %v", n, err)
					}
				}
				for _, row := range []struct {
					name string
					fs   *vfstest.Mem
				}{{"closed", mem}, {"killed", h.killed.Clone()}} {
					if err := h.check(row.fs, clock); err != nil {
						t.Fatalf("operation %d, %s: %v", n, row.name, err)
					}
				}
			}
			t.Logf("%d operations, %d calls failed", count, failed)
		})
	}
}

// A full disk at every operation that takes room, for a while: what fails never happened, the rest goes on, and with room
// everything works without opening the database again.
func TestFullDiskHeals(t *testing.T) {
	counter := countOps(t)
	full := 0
	for _, kind := range []vfstest.OpKind{vfstest.OpCreate, vfstest.OpWrite, vfstest.OpRename} {
		for n := 1; n <= counter.Count(kind); n += vfstest.Step(5) {
			for _, length := range []int{1, 6, 1 << 30} {
				mem, clock := vfstest.NewMem(), newFakeClock()
				fault := vfstest.NewFault(mem)
				fault.Inject(func(op vfstest.Op) error {
					if op.Kind == kind && op.N >= n && op.N < n+length {
						return vfstest.Short(5, syscall.ENOSPC)
					}
					return nil
				})
				h, err := faultScript(mem, fault, clock, func() { fault.Inject(nil) })
				if err != nil {
					t.Fatalf("%d x %v from %d: %v", length, kind, n, err)
				}
				full += len(h.errs)
				for _, err := range h.errs {
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("%d x %v from %d: %v", length, kind, n, err)
					}
				}
				if err := h.check(h.killed.Clone(), clock); err != nil {
					t.Fatalf("%d x %v from %d, killed: %v", length, kind, n, err)
				}
			}
		}
	}
	t.Logf("%d calls failed", full)
}

// A disk that fills up under a running database: writes fail with ErrNoSpace, and go on when there is room; the background
// tries again by itself.
func TestBackgroundHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFault(vfstest.NewMem())
		o := tinyOptions(fault, newFakeClock())
		o.Clock = time.Now
		db, err := Open("db", o)
		must(t, err)
		defer db.Close()
		fault.SetRoom(60 << 10)
		value := make([]byte, 1000)
		acked := 0
		for ; err == nil && acked < 1000; acked++ {
			err = db.Put(fmt.Appendf(nil, "key%04d", acked), value)
		}
		acked--
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("put %d on a full disk: %v", acked, err)
		}
		fault.SetRoom(-1)
		time.Sleep(2 * retryLast) // of the bubble
		if s := db.Stats(); s.Frozen != 0 {
			t.Errorf("%d memtables still wait for their flush", s.Frozen)
		}
		must(t, db.Put([]byte("after"), nil))
		for i := range acked {
			if has, err := db.Has(fmt.Appendf(nil, "key%04d", i)); !has || err != nil {
				t.Errorf("key%04d: %v, %v", i, has, err)
			}
		}
	})
}

// When it is unknown whether the manifest was replaced, no write is taken any more, and no flush, which could let go of the
// log that only one of the two manifests still needs.
func TestUncertainManifest(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	fault := vfstest.NewFault(mem)
	open := &openCount{FS: fault}
	db := openTest(t, manualOptions(open, clock, SyncAlways))
	must(t, db.Put([]byte("a"), []byte("1")))
	uncertain := false
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSyncDir && path.Base(op.Name) == "db" && !uncertain {
			uncertain = true
			return syscall.EIO
		}
		return nil
	})
	for name, err := range map[string]error{
		"flush": db.Flush(), "put": db.Put([]byte("b"), nil), "flush again": db.Flush(), "compact": compactStep.run(db),
	} {
		if !uncertain || !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	content{db}.has(t, "a", "1")
	must(t, db.Close())
	if n := open.open.Load(); n != 0 {
		t.Errorf("%d files are left open", n)
	}
	db = openTest(t, manualOptions(mem, clock, SyncAlways))
	content{db}.has(t, "a", "1")
}

// An error at every operation of Open leaves every file as it was, and the next Open finds everything.
func TestErrorWhileOpening(t *testing.T) {
	closed, clock, _ := damagable(t)
	killed := closed.Clone()
	db, err := Open("db", manualOptions(killed, clock, SyncAlways))
	must(t, err)
	must(t, db.Put([]byte("log"), []byte("only")))
	running := killed.Clone()
	must(t, db.Close())
	for _, c := range []struct {
		name string
		mem  *vfstest.Mem
	}{{"closed", closed}, {"killed", running}} {
		t.Run(c.name, func(t *testing.T) {
			for n, failed := 1, true; failed; n++ {
				fs := c.mem.Clone()
				fault := vfstest.NewFault(fs)
				fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO))
				db, err := Open("db", manualOptions(fault, clock, SyncAlways))
				if failed = fault.Count(vfstest.OpAny) >= n; err == nil {
					err = db.Close()
				}
				if err != nil && !errors.Is(err, syscall.EIO) {
					t.Fatalf("%s, operation %d: %v", c.name, n, err)
				}
				db, err = Open("db", manualOptions(fs, clock, SyncAlways))
				if err != nil {
					t.Fatalf("%s, operation %d: reopen: %v", c.name, n, err)
				}
				if err := compareDamagable(db); err != nil {
					t.Fatalf("%s, operation %d: %v", c.name, n, err)
				}
				must(t, db.Close())
			}
		})
	}
}

// compareDamagable holds that everything is there that damagable writes.
func compareDamagable(db *DB) error {
	n := 0
	for _, err := range db.Range(nil) {
		if err != nil {
			return err
		}
		n++
	}
	if n != 3*40+1 {
		return fmt.Errorf("%d keys", n)
	}
	return nil
}

// damagable returns a closed database with some tables and a log.
func damagable(t *testing.T) (*vfstest.Mem, *fakeClock, []string) {
	t.Helper()
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := roomyOptions(mem, clock)
	db := openTest(t, o)
	for i := range 3 {
		for j := range 40 {
			must(t, db.Put(fmt.Appendf(nil, "key%d-%02d", i, j), []byte(strings.Repeat("v", 100))))
		}
		must(t, db.Flush())
	}
	must(t, db.Put([]byte("log"), []byte("only")))
	must(t, db.Close())
	tables := files(t, mem, "db/tables")
	if len(tables) != 3 {
		t.Fatalf("%d tables", len(tables))
	}
	return mem, clock, tables
}

// Damage is an error that names the file, and nothing is changed.
func TestDamagedFiles(t *testing.T) {
	mem, clock, tables := damagable(t)
	refuses := func(t *testing.T, name, file string, damage func(*vfstest.Mem) error) {
		t.Helper()
		fs := mem.Clone()
		must(t, damage(fs))
		before := fs.Clone()
		db, err := Open("db", manualOptions(fs, clock, SyncAlways))
		if err == nil {
			db.Close()
		}
		var c *CorruptError
		if !errors.Is(err, ErrCorrupt) || !errors.As(err, &c) || c.File != file {
			t.Fatalf("%s: %v, want one that names %s", name, err, file)
		}
		if diff := fs.Diff(before); len(diff) != 0 {
			t.Fatalf("%s: Open has changed %v", name, diff)
		}
	}
	t.Run("missing", func(t *testing.T) {
		for _, name := range tables {
			refuses(t, name, name, func(fs *vfstest.Mem) error { return fs.Remove(name) })
		}
	})
	t.Run("swapped", func(t *testing.T) {
		refuses(t, "swap", tables[1], func(fs *vfstest.Mem) error { // the newest is opened first
			return errors.Join(fs.Rename(tables[0], "db/x"), fs.Rename(tables[1], tables[0]), fs.Rename("db/x", tables[1]))
		})
	})
	t.Run("truncated", func(t *testing.T) {
		for _, name := range tables {
			data, err := mem.ReadFile(name)
			must(t, err)
			for n := 0; n < len(data); n += 1 + len(data)/100 {
				refuses(t, fmt.Sprintf("%s at %d", name, n), name, func(fs *vfstest.Mem) error { return fs.WriteFile(name, data[:n]) })
			}
		}
	})
	t.Run("manifest", func(t *testing.T) {
		name := path.Join("db", manifest.Name)
		data, err := mem.ReadFile(name)
		must(t, err)
		for bit := range 8 * len(data) {
			refuses(t, fmt.Sprintf("bit %d", bit), name, func(fs *vfstest.Mem) error {
				return fs.Corrupt(name, int64(bit/8), 1<<(bit%8))
			})
		}
		for n := range data {
			refuses(t, fmt.Sprintf("cut at %d", n), name, func(fs *vfstest.Mem) error { return fs.WriteFile(name, data[:n]) })
		}
	})
}

// A manifest in doubt is no full disk that one can make room on.
func TestUncertainManifestIsNoFullDisk(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	db, err := Open("db", manualOptions(fault, newFakeClock(), SyncNever))
	must(t, err)
	must(t, db.Put([]byte("x"), []byte("y")))
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSyncDir && (op.Name == string(db.dir)) {
			return syscall.ENOSPC
		}
		return nil
	})
	err = db.Flush()
	fault.Inject(nil)
	if !errors.Is(err, ErrFailed) || errors.Is(err, ErrNoSpace) {
		t.Errorf("%v: failed %v, no space %v", err, errors.Is(err, ErrFailed), errors.Is(err, ErrNoSpace))
	}
	_ = db.Close()
}
