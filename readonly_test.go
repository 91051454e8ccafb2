package ebb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// sealedFS is a file system on which nothing opens for writing.
type sealedFS struct {
	*vfstest.Fault
	injector vfstest.Injector // what forbids the rest
}

func (sealedFS) OpenWrite(name string) (vfs.File, error) {
	panic("a read-only database opens for writing: " + name)
}

// sealed returns fs with every operation making the test panic that may change something.
func sealed(fs vfs.FS) sealedFS {
	s := sealedFS{vfstest.NewFault(fs), func(op vfstest.Op) error {
		switch op.Kind {
		case vfstest.OpOpen, vfstest.OpRead, vfstest.OpReadDir, vfstest.OpSize, vfstest.OpMap, vfstest.OpClose:
			return nil
		}
		panic(fmt.Sprintf("a read-only database does this: %v %s", op.Kind, op.Name))
	}}
	s.Inject(s.injector)
	return s
}

// readOnly makes a copy of options read-only, on a file system that nothing may be written to.
func readOnly(o *Options) *Options {
	c := readOnlyOptions(o)
	c.fs = sealed(o.fs)
	return c
}

// A read-only database shows every entry of a closed one, refuses every write, and changes nothing.
func TestReadOnly(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	db := openTest(t, o)
	m := newModel(clock)
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
		if s.apply != nil {
			s.apply(m)
		}
	}
	lastSeq := lastSeq(db)
	must(t, db.Close())
	before := mem.Clone()

	db = openTest(t, readOnly(o))
	must(t, m.compare(db, clock.ms()))
	snapshot, err := db.Snapshot()
	must(t, err)
	if snapshot.Seq() != lastSeq {
		t.Errorf("the snapshot is of sequence %d, want %d", snapshot.Seq(), lastSeq)
	}
	must(t, m.compare(snapshot, clock.ms()))
	must(t, db.Verify(t.Context()))
	must(t, db.Refresh())
	must(t, m.writerIs(db))
	must(t, db.View(func(tx *Txn) error { return m.compare(tx, clock.ms()) }))
	if s := db.Stats(); s.TableBytes == 0 || s.Log.Segments == 0 || s.MemtableBytes == 0 {
		t.Errorf("stats: %+v", s)
	}
	refusesWrites(t, db, ErrReadOnly)
	if !db.ReadOnly() {
		t.Error("it is not read-only")
	}
	if ttl, err := db.TTL([]byte("y")); err != nil || ttl <= 0 {
		t.Errorf("TTL of y: %v, %v", ttl, err)
	}
	clock.add(time.Hour)
	content{db}.lacks(t, "y")
	must(t, m.compare(db, clock.ms()))
	snapshot.Close()
	must(t, db.Close())
	refusesWrites(t, db, ErrClosed)
	if err := db.Refresh(); !errors.Is(err, ErrClosed) {
		t.Errorf("refresh after close: %v", err)
	}
	if changed := mem.Diff(before); len(changed) > 0 {
		t.Errorf("changed: %q", changed)
	}
}

// refusesWrites holds that every method that writes returns an error.
func refusesWrites(t *testing.T, db *DB, want error) {
	t.Helper()
	k := []byte("y")
	var b Batch
	must(t, b.Put(k, k))
	_, touched := db.GetTouch(k, time.Hour)
	_, taken := db.Take(k)
	_, added := db.Add([]byte("n"), 1)
	_, swapped := db.CompareAndSwap(k, []byte("2"), k)
	updated := db.Update(func(tx *Txn) error { return tx.Put(k, k) })
	for name, err := range map[string]error{
		"put": db.Put(k, k), "put, keeping the deadline": db.Put(k, k, KeepTTL), "delete": db.Delete(k),
		"delete range": db.DeleteRange(k, []byte("z")), "apply": db.Apply(&b), "expire": db.Expire(k, time.Hour),
		"expire of an absent key": db.Expire([]byte("absent"), time.Hour), "persist": db.Persist(k), "touch": touched,
		"add": added, "take": taken, "delete, found or not": db.Delete(k, FoundTo(new(bool))), "swap": swapped, "update": updated, "batch of a writer": applyAs(db, 9, 0, "y", "y"),
		"put if absent": db.Put([]byte("absent"), k, IfAbsent), "flush": db.Flush(), "compact": db.Compact(context.Background()),
		"compact range": db.CompactRange(context.Background(), k, nil), "compact an empty range": db.CompactRange(context.Background(), k, k),
		"sync": db.Sync(),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// A directory that holds no database is none after a read-only Open, and is not made.
func TestReadOnlyOfNothing(t *testing.T) {
	for _, row := range []struct {
		name    string
		prepare func(*vfstest.Mem) error
		want    error
	}{
		{"no directory", func(*vfstest.Mem) error { return nil }, fs.ErrNotExist},
		{"empty", func(m *vfstest.Mem) error { return m.MkdirAll("db") }, ErrNotDatabase},
		{"something else", func(m *vfstest.Mem) error {
			return errors.Join(m.MkdirAll("db"), m.WriteFile("db/x", nil))
		}, ErrNotDatabase},
		{"a manifest, cut", func(m *vfstest.Mem) error {
			return errors.Join(m.MkdirAll("db"), m.WriteFile("db/MANIFEST", nil))
		}, ErrCorrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			must(t, row.prepare(mem))
			before := mem.Clone()
			if _, err := Open("db", readOnly(manualOptions(mem, newFakeClock(), SyncAlways))); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
			if changed := mem.Diff(before); len(changed) > 0 {
				t.Errorf("changed: %q", changed)
			}
		})
	}
}

// dump returns all that a database shows: the sequence, the time, and the entries.
func dump(db *DB) ([]string, error) {
	s, err := db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	all := []string{fmt.Sprintf("sequence %d, time %d", s.Seq(), s.Time().UnixMilli())}
	for e, err := range s.Range(nil) {
		if err != nil {
			return nil, err
		}
		all = append(all, fmt.Sprintf("%s=%q version %d until %d", e.Key, e.Value, e.Version, e.Deadline))
	}
	return all, nil
}

// looksLikeOpen opens what is in mem read-only, and then in earnest. Both must show the same, or fail for the same reason,
// and the first must change nothing. There may be no database yet.
func looksLikeOpen(mem *vfstest.Mem, o *Options) error {
	before := mem.Clone()
	got, err := look(readOnly(o))
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDatabase)
	if changed := mem.Diff(before); len(changed) > 0 {
		return fmt.Errorf("read-only, but it changed %q", changed)
	}
	want, openErr := look(o)
	switch {
	case missing && openErr == nil && len(want) == 1: // there is one now
	case err == nil && openErr == nil && slices.Equal(got, want):
	case err != nil && openErr != nil && err.Error() == openErr.Error():
	default:
		return fmt.Errorf("read-only it shows %q, %w; then %q, %w", got, err, want, openErr)
	}
	return nil
}

// look opens a database and returns all that it shows.
func look(o *Options) ([]string, error) {
	db, err := Open("db", o)
	if err != nil {
		return nil, err
	}
	all, err := dump(db)
	if err == nil {
		err = db.Verify(context.Background())
	}
	return all, errors.Join(err, db.Close())
}

// A damaged database fails read-only as it does otherwise, and is left as it is.
func TestReadOnlyOfDamage(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
	}
	db.health.workers.Wait()
	killed := mem.Clone()
	names := append(files(t, killed, "db/tables"), "db/MANIFEST")
	for _, name := range files(t, killed, "db/wal") {
		if strings.HasSuffix(name, ".wal") {
			names = append(names, name)
		}
	}
	n := 0
	for _, name := range names {
		size, err := killed.Size(name)
		must(t, err)
		for off := int64(0); off < size; off += 1 + size/150 {
			n++
			damaged := killed.Clone()
			must(t, damaged.Corrupt(name, off, 1<<(off%8)))
			if err := looksLikeOpen(damaged, manualOptions(damaged, clock, SyncAlways)); err != nil {
				t.Fatalf("%s, byte %d: %v", name, off, err)
			}
		}
		gone := killed.Clone()
		must(t, gone.Remove(name))
		if err := looksLikeOpen(gone, manualOptions(gone, clock, SyncAlways)); err != nil {
			t.Fatalf("%s is gone: %v", name, err)
		}
	}
	t.Logf("%d bytes of %d files", n, len(names))
}

// In every state that a crash may leave, a read-only database shows what Open would, and leaves it as it is.
func TestReadOnlyCrashStates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		h := recordLife(t, mem, policy)
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
			if tried.Before(c, h.times[c.Op]) {
				return nil
			}
			return looksLikeOpen(c.FS, manualOptions(c.FS, h.clockAt(c), policy))
		})
	})
}

// The same for states in which a crash during Open may leave what a crash has left.
func TestReadOnlyCrashStatesOfRecovery(t *testing.T) {
	mem := vfstest.NewMem()
	h := recordLife(t, mem, SyncAlways)
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: 7, Step: 41, OneIn: 8, Random: -1}, func(c *vfstest.Crash) error {
		return readDuringRecovery(c.FS, &tried, int64(h.times[c.Op]))
	})
}

// readDuringRecovery opens the database in fs and checks the states that a crash during that may leave.
func readDuringRecovery(fs *vfstest.Mem, tried *vfstest.Tried, now int64) error {
	fs.Record()
	db, err := Open("db", manualOptions(fs, newClockAt(now), SyncAlways))
	if err != nil {
		return err
	}
	defer db.Close()
	return vfstest.TryCrashes(fs, vfstest.CrashPoints{Random: -1}, func(c *vfstest.Crash) error {
		if tried.Before(c, now) {
			return nil
		}
		return looksLikeOpen(c.FS, manualOptions(c.FS, newClockAt(now), SyncAlways))
	})
}

// A read-only database goes by the time that its owner has come to, when it is opened and when it is refreshed: what has
// expired for the owner has expired for it, although its own clock is behind.
func TestReadOnlyClock(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	behind := newClockAt(clock.ms())
	owner := openTest(t, manualOptions(mem, clock, SyncAlways))
	must(t, putStep("k", "v", clock.ms()+2000).run(owner))
	must(t, putStep("l", "v", clock.ms()+9000).run(owner))
	db := openTest(t, readOnly(manualOptions(mem, behind, SyncAlways)))
	content{db}.has(t, "k", "v")
	s, err := db.Snapshot()
	must(t, err)
	must(t, sweepStep(clock, 3*time.Second).run(owner)) // marks the clock in the log
	content{db}.has(t, "k", "v")
	must(t, db.Refresh())
	content{db}.lacks(t, "k")
	if _, err := s.Get([]byte("k")); err != nil {
		t.Errorf("the snapshot, for which no time passes: %v", err)
	}
	s.Close()
	clock.add(time.Hour)
	must(t, owner.Flush()) // marks it in the manifest
	must(t, db.Refresh())
	content{db}.lacks(t, "l")
	db = openTest(t, readOnly(manualOptions(mem, behind, SyncAlways)))
	content{db}.lacks(t, "l")
}

// Where another database has taken the place of the one that was opened, Refresh says so.
func TestRefreshOfAnotherDatabase(t *testing.T) {
	mem, other, clock := vfstest.NewMem(), vfstest.NewMem(), newFakeClock()
	for _, fs := range []*vfstest.Mem{mem, other} {
		db := openTest(t, manualOptions(fs, clock, SyncAlways))
		must(t, putStep("k", "v", 0).run(db))
		must(t, db.Close())
	}
	db := openTest(t, readOnly(manualOptions(mem, clock, SyncAlways)))
	manifest, err := other.ReadFile("db/MANIFEST")
	must(t, err)
	must(t, mem.WriteFile("db/MANIFEST", manifest))
	if err := db.Refresh(); !errors.Is(err, ErrNotDatabase) {
		t.Errorf("refresh: %v", err)
	}
	content{db}.has(t, "k", "v")
}

// A database that is not read-only has nothing to refresh.
func TestRefreshOfAnOwner(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncAlways))
	must(t, db.Refresh())
	must(t, db.Close())
	if err := db.Refresh(); !errors.Is(err, ErrClosed) {
		t.Errorf("refresh after close: %v", err)
	}
}

// A read-only database opens, and is read, without the permission to write.
func TestReadOnlyPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := Open(dir, nil)
	must(t, err)
	must(t, putStep("k", "v", 0).run(db))
	must(t, db.Flush())
	must(t, putStep("l", "v", 0).run(db))
	must(t, db.Close())
	chmod := func(files, dirs fs.FileMode) {
		must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(name, dirs)
			}
			return errors.Join(err, os.Chmod(name, files))
		}))
	}
	chmod(0o400, 0o500)
	defer chmod(0o600, 0o700)
	db, err = Open(dir, &Options{ReadOnly: true})
	must(t, err)
	content{db}.has(t, "k", "v")
	content{db}.has(t, "l", "v")
	must(t, db.Verify(t.Context()))
	must(t, db.Refresh())
	must(t, db.Close())
}
