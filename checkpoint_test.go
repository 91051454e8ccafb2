package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// noLinks is a file system that cannot link.
func noLinks(mem vfs.FS) *vfstest.Fault {
	fault := vfstest.NewFault(mem)
	fault.Inject(vfstest.FailFrom(vfstest.OpLink, "", 1, syscall.EXDEV))
	return fault
}

// At every point of a database's life a checkpoint opens as the same database, and neither harms the other.
func TestCheckpoint(t *testing.T) {
	for _, linked := range []bool{true, false} {
		mem, clock := vfstest.NewMem(), newFakeClock()
		var fs vfs.FS = mem
		if !linked {
			fs = noLinks(mem)
		}
		db := openTest(t, manualOptions(fs, clock, SyncNever))
		m := newModel(clock)
		type taken struct {
			dir   string
			model *model
			at    int64
		}
		var all []taken
		for i, s := range lifeScript(clock) {
			must(t, s.run(db))
			if s.apply != nil {
				s.apply(m)
			}
			dir := fmt.Sprintf("copies/%d", i)
			info, err := db.Checkpoint(context.Background(), dir, nil)
			must(t, err)
			if info.Through != lastSeq(db) || info.Tables > 0 && (info.Copied == 0) != linked || info.Copied > info.Bytes {
				t.Fatalf("after %s: %+v", s.name, info)
			}
			want, err := entriesOf(db)
			must(t, err)
			must(t, vfs.RemoveAll(mem, "other"))
			_, err = db.Checkpoint(context.Background(), "other", nil)
			must(t, err)
			checkRestored(t, "after "+s.name, mem, clock, "other", want, info.Through, m)
			all = append(all, taken{dir, m.clone(), clock.ms()})
			must(t, m.compare(db, clock.ms()))
		}
		must(t, db.Verify(context.Background()))
		must(t, db.Close())
		for _, c := range all { // whatever the database has compacted since
			copied, err := Open(c.dir, manualOptions(mem, newClockAt(c.at), SyncNever))
			must(t, err)
			if err := c.model.compare(copied, c.at); err != nil {
				t.Fatalf("%s: %v", c.dir, err)
			}
			must(t, copied.Verify(context.Background()))
			must(t, copied.Close())
		}
	}
}

// A compaction that replaces tables while they are linked takes their names only when the checkpoint is done.
func TestCheckpointWhileCompacting(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	m := newModel(clock)
	for i := range 3 {
		for _, key := range []string{"a", "b", string(rune('c' + i))} {
			s := putStep(key, fmt.Sprint(i), 0)
			must(t, s.run(db))
			s.apply(m)
		}
		must(t, db.Flush())
	}
	_, err := db.Checkpoint(context.Background(), "copy", &CheckpointOptions{Progress: func(p Progress) {
		if p.Entries == 1 {
			must(t, db.Compact(context.Background()))
			must(t, db.Put([]byte("later"), nil))
		}
	}})
	must(t, err)
	db.health.workers.Wait()
	if names := files(t, mem, "db/tables"); len(names) != 1 {
		t.Errorf("%q is left", names)
	}
	copied, err := Open("copy", manualOptions(mem, clock, SyncAlways))
	must(t, err)
	defer copied.Close()
	must(t, m.compare(copied, clock.ms()))
	content{copied}.lacks(t, "later")
}

func TestCheckpointRefuses(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	must(t, putStep("a", "1", 0).run(db))
	check := func(ctx context.Context, dir string) error {
		_, err := db.Checkpoint(ctx, dir, nil)
		return err
	}
	must(t, check(context.Background(), "taken"))
	for _, dir := range []string{"taken", "db", "db/MANIFEST", "."} {
		if err := check(context.Background(), dir); !errors.Is(err, ErrTargetExists) {
			t.Errorf("to %q: %v", dir, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := check(ctx, "cancelled"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wantNothing(t, "cancelled", mem, "db", "taken")
	must(t, db.Close())
	if err := check(context.Background(), "closed"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// On the operating system's files, and on two of its file systems.
func TestCheckpointOnDisk(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(path.Join(dir, "db"), nil)
	must(t, err)
	defer db.Close()
	fill(t, db, 500)
	data, _ := takeBackup(t, db, nil)
	info, err := db.Checkpoint(context.Background(), path.Join(dir, "copy"), nil)
	must(t, err)
	must(t, Restore(context.Background(), path.Join(dir, "restored"), nil, bytes.NewReader(data)))
	want, err := entriesOf(db)
	must(t, err)
	for _, name := range []string{"copy", "restored"} {
		copied, err := Open(path.Join(dir, name), nil)
		must(t, err)
		got, err := entriesOf(copied)
		must(t, err)
		sameEntries(t, name, got, want)
		must(t, copied.Close())
	}
	if info.Tables != 1 || info.Bytes < 500*1000 {
		t.Errorf("%+v", info)
	}
}

// newDirCase is a way to make a database beside another.
type newDirCase struct {
	name string
	make func(fs vfs.FS, db *DB) error
}

// newDirSource returns a database with tables and a log, what it holds, and the ways to make a copy of it as "copy".
func newDirSource(t *testing.T, mem *vfstest.Mem, fs vfs.FS, clock *fakeClock) (*DB, *model, []newDirCase) {
	t.Helper()
	db := openTest(t, keepLog(fs, clock))
	m := newModel(clock)
	var files [][]byte
	start := clock.ms()
	steps := []step{
		putStep("a", strings.Repeat("1", 300), 0), putStep("b", "1", start+5000), putStep("d", "1", 0), flushStep,
		putStep("b", "2", start+9000), batchStep("3", 0, "d", "e", "a"), deleteRangeStep("d", "da"),
	}
	through := uint64(0)
	for _, s := range steps {
		must(t, s.run(db))
		if s.apply == nil {
			continue
		}
		s.apply(m)
		data, info := takeBackup(t, db, &BackupOptions{Since: through})
		files, through = append(files, data), info.Through
	}
	return db, m, []newDirCase{
		{"restore", func(fs vfs.FS, _ *DB) error { return restoreTo(fs, clock, "copy", files...) }},
		{"checkpoint", func(_ vfs.FS, db *DB) error {
			_, err := db.Checkpoint(context.Background(), "copy", nil)
			return err
		}},
	}
}

// checkCopy holds that there is all of a copy in fs, or no database under its name. It reports which.
func checkCopy(fs *vfstest.Mem, clock *fakeClock, m *model) (there bool, err error) {
	names, err := fs.ReadDir("copy")
	if err != nil || len(names) == 0 {
		return false, nil // none, or the empty directory that was there before
	}
	db, err := Open("copy", manualOptions(fs, clock, SyncAlways))
	if errors.Is(err, ErrNotDatabase) && !slices.Contains(names, "MANIFEST") {
		return false, nil // a crash has left a part in the directory
	}
	if err != nil {
		return true, err
	}
	defer db.Close()
	if err := errors.Join(m.compare(db, clock.ms()), db.Verify(context.Background())); err != nil {
		return true, err
	}
	return true, errors.Join(db.Put([]byte("use"), nil), db.Flush())
}

// checkOriginal holds that what a copy was made of is whole.
func checkOriginal(fs *vfstest.Mem, clock *fakeClock, m *model) error {
	db, err := Open("db", keepLog(fs, clock))
	if err != nil {
		return err
	}
	return errors.Join(m.compare(db, clock.ms()), db.Close())
}

// Every crash during a Restore or a Checkpoint leaves all of the copy or nothing, and the original whole.
func TestCrashStatesOfNewDir(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  int  // of newDirSource
		inside  bool // an empty directory is in the place
		noLinks bool
	}{
		{"restore", 0, false, false}, {"restore into a directory", 0, true, false},
		{"checkpoint", 1, false, false}, {"checkpoint into a directory, without links", 1, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, clock := vfstest.NewMem(), newFakeClock()
			var fs vfs.FS = mem
			if c.noLinks {
				fs = noLinks(mem)
			}
			db, m, cases := newDirSource(t, mem, fs, clock)
			if c.inside {
				must(t, mem.MkdirAll("copy"))
			}
			mem.Record()
			must(t, cases[c.source].make(fs, db))
			copies := 0
			var tried vfstest.Tried
			vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
				if tried.Before(c, c.Last) {
					return nil
				}
				there, err := checkCopy(c.FS.Clone(), newClockAt(clock.ms()), m)
				switch {
				case err != nil:
					return fmt.Errorf("copy: %w", err)
				case there:
					copies++
				case c.Last:
					return errors.New("the copy is not there")
				}
				if err := checkOriginal(c.FS, newClockAt(clock.ms()), m); err != nil {
					return fmt.Errorf("original: %w", err)
				}
				return nil
			})
			t.Logf("%d states with the copy", copies)
		})
	}
}

// An I/O error or a full disk at every operation of a Restore or a Checkpoint: it is reported, nothing of a copy is left
// unless that is whole, the original goes on, and with the cause gone it can be done again.
func TestErrorAtEveryOperationOfNewDir(t *testing.T) {
	for i := range 4 {
		mem, clock := vfstest.NewMem(), newFakeClock()
		counter := vfstest.NewFault(mem)
		db, _, cases := newDirSource(t, mem, counter, clock)
		inside := i%2 == 1
		if inside {
			must(t, mem.MkdirAll("copy"))
		}
		before := counter.Count(vfstest.OpAny)
		must(t, cases[i/2].make(counter, db))
		count := counter.Count(vfstest.OpAny) - before
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfstest.Short(7, syscall.ENOSPC)} {
			for n := 1; n <= count; n += vfstest.Step(7) {
				what := fmt.Sprintf("%s, inside %v, %v at operation %d", cases[i/2].name, inside, cause, n)
				tryNewDir(t, what, i/2, n, cause, inside)
			}
		}
	}
}

func tryNewDir(t *testing.T, what string, i, n int, cause error, inside bool) {
	t.Helper()
	mem, clock := vfstest.NewMem(), newFakeClock()
	fault := vfstest.NewFault(mem)
	db, m, cases := newDirSource(t, mem, fault, clock)
	defer db.Close()
	if inside {
		must(t, mem.MkdirAll("copy"))
	}
	fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
	err := cases[i].make(fault, db)
	fault.Inject(nil)
	there, cerr := checkCopy(mem.Clone(), newClockAt(clock.ms()), m)
	if cerr != nil {
		t.Fatalf("%s: %v, and then the copy: %v", what, err, cerr)
	}
	if err == nil && !there {
		t.Fatalf("%s: no error and no copy", what)
	}
	left := files(t, mem, ".")
	if inside && !there {
		left = append(left, files(t, mem, "copy")...)
	}
	for _, name := range left {
		if name != "db" && name != "copy" {
			t.Fatalf("%s: %v, and %s is left", what, err, name)
		}
	}
	if err := m.compare(db, clock.ms()); err != nil {
		t.Fatalf("%s: original: %v", what, err)
	}
	if errors.Is(err, ErrFailed) {
		return // an fsync of the original's own has failed, as it does without a copy
	}
	if err != nil && errors.Is(cause, syscall.ENOSPC) && errors.Is(err, cause) && !errors.Is(err, ErrNoSpace) {
		t.Fatalf("%s: %v is not ErrNoSpace", what, err)
	}
	must(t, vfs.RemoveAll(mem, "copy"))
	if err := cases[i].make(fault, db); err != nil {
		t.Fatalf("%s: again: %v", what, err)
	}
	if there, err := checkCopy(mem, newClockAt(clock.ms()), m); !there || err != nil {
		t.Fatalf("%s: again: %v", what, err)
	}
}

// TestSwap: a restored database takes the place of one that is closed, and gives it back; what a crash leaves in between is
// found by Open.
func TestSwap(t *testing.T) {
	home := t.TempDir()
	old, restored := filepath.Join(home, "db"), filepath.Join(home, "restored")
	for _, dir := range []string{old, restored} {
		db, err := Open(dir, nil)
		must(t, err)
		must(t, errors.Join(db.Put([]byte("dir"), []byte(filepath.Base(dir))), db.Close()))
	}
	holds := func(dir, want string) {
		t.Helper()
		db, err := Open(dir, nil)
		must(t, err)
		content{db}.has(t, "dir", want)
		if err := Swap(old, restored); !errors.Is(err, ErrLocked) {
			t.Errorf("while one is open: %v", err)
		}
		must(t, db.Close())
	}
	aside, err := Open(old, &Options{ReadOnly: true})
	must(t, err)
	if runtime.GOOS == "windows" { // where a directory with open files keeps its name
		must(t, aside.Close())
	}
	must(t, Swap(old, restored))
	holds(old, "restored")
	holds(restored, "db")
	if runtime.GOOS != "windows" {
		content{aside}.has(t, "dir", "db")
		if err := aside.Refresh(); !errors.Is(err, ErrNotDatabase) {
			t.Errorf("refresh of another: %v", err)
		}
		must(t, aside.Close())
	}
	must(t, Swap(old, restored))
	holds(old, "db")
	must(t, os.Rename(old, old+".swap.restored"))
	holds(old, "db")
	if err := Swap(old, filepath.Join(home, "none")); !errors.Is(err, ErrNotDatabase) {
		t.Error(err)
	}
	if err := Swap(old, filepath.Join(t.TempDir(), "elsewhere")); !errors.Is(err, ErrNotBeside) {
		t.Error(err)
	}
}
