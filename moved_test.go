package ebb

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
)

// content of every file below a directory of the operating system.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all[name] = string(b)
		return err
	}))
	return all
}

// movedDB is a database whose directory is about to be renamed, with something to do for every kind of work.
type movedDB struct {
	*DB
	model  *model
	dir    string
	snap   *Snapshot // holds tables that are no longer live
	backup bytes.Buffer
}

// fillMoved gives a database tables, some of them replaced, two segments of log, and a memtable.
func fillMoved(t *testing.T, db *movedDB, value string) {
	t.Helper()
	run := func(steps ...step) {
		for _, s := range steps {
			must(t, s.run(db.DB))
			if s.apply != nil {
				s.apply(db.model)
			}
		}
	}
	run(putStep("a", value, 0), flushStep, putStep("b", value, 0), flushStep)
	snap, err := db.Snapshot()
	must(t, err)
	db.snap = snap
	run(putStep("a", value+"2", 0), compactStep, putStep("c", value, 0), flushStep, putStep("d", value, 0))
	must(t, db.log.Rotate())
	run(putStep("e", value, 0))
	db.health.workers.Wait()
}

func openMoved(t *testing.T, dir string) *movedDB {
	t.Helper()
	clock := newFakeClock()
	db, err := Open(dir, manualOptions(vfs.OS, clock, SyncNever))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return &movedDB{DB: db, model: newModel(clock), dir: dir}
}

// Whatever a database does after its directory was renamed, it does nothing to the one that has taken the name, says so
// where there is anything to be said, and keeps what it has acknowledged.
func TestMovedDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a directory with open files cannot be renamed")
	}
	quiet := errors.New("nothing to say")
	for _, c := range []struct {
		name string
		act  func(t *testing.T, db *movedDB) error
	}{
		{"rotate", func(t *testing.T, db *movedDB) error {
			for range 100 {
				if err := db.Put([]byte("large"), []byte(strings.Repeat("x", 500))); err != nil {
					return err
				}
				putStep("large", strings.Repeat("x", 500), 0).apply(db.model)
			}
			return nil
		}},
		{"flush", func(t *testing.T, db *movedDB) error { return db.Flush() }},
		{"compact", func(t *testing.T, db *movedDB) error { return db.Compact(t.Context()) }},
		{"close", func(t *testing.T, db *movedDB) error { return nil }},
		{"ingest", func(t *testing.T, db *movedDB) error { return second(db.Ingest(t.Context(), &db.backup, nil)) }},
		{"checkpoint", func(t *testing.T, db *movedDB) error {
			target := string(db.dir) + "-checkpoint"
			err := second(db.Checkpoint(t.Context(), target, nil))
			if left, _ := filepath.Glob(target + "*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			return err
		}},
		{"link tables", func(t *testing.T, db *movedDB) error {
			files, _ := db.live.PinFiles()
			defer files.Unpin()
			return second(db.checkpoint(t.Context(), string(db.dir)+"-checkpoint", &files.State, nil))
		}},
		{"delete segments", func(t *testing.T, db *movedDB) error { return db.log.DeleteBefore(db.log.End().Segment) }},
		{"store manifest", func(t *testing.T, db *movedDB) error {
			return db.live.Commit(&lsm.Edit{})
		}},
		{"let go of tables", func(t *testing.T, db *movedDB) error {
			db.snap.Close()
			return quiet
		}},
		{"read", func(t *testing.T, db *movedDB) error {
			must(t, db.model.compare(db.DB, db.model.clock.ms()))
			_, _ = db.Backup(t.Context(), new(bytes.Buffer), &BackupOptions{Since: 1})
			_ = db.Verify(t.Context())
			return quiet
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, replacement := range []string{"nothing", "another database", "its own checkpoint"} {
				t.Run("replaced by "+replacement, func(t *testing.T) {
					dir := filepath.Join(t.TempDir(), "db")
					old := openMoved(t, dir)
					fillMoved(t, old, "old")
					must(t, second(old.Backup(t.Context(), &old.backup, nil)))
					if replacement == "its own checkpoint" {
						must(t, second(old.Checkpoint(t.Context(), dir+"-copy", nil)))
						must(t, old.Put([]byte("e"), []byte("old")))
						must(t, old.log.Rotate())
						must(t, old.Put([]byte("e"), []byte("old")))
					}
					must(t, os.Rename(dir, dir+"-moved"))
					var fresh *movedDB
					switch replacement {
					case "another database":
						fresh = openMoved(t, dir)
					case "its own checkpoint":
						must(t, os.Rename(dir+"-copy", dir))
						fresh = openMoved(t, dir)
						fresh.model.entries = old.model.clone().entries
					}
					var before map[string]string
					if fresh != nil {
						fillMoved(t, fresh, "new")
						must(t, fresh.Close())
						before = treeOf(t, dir)
					}

					err := c.act(t, old)
					if c.name == "close" {
						err = old.Close()
					}
					if err != quiet && (!errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "moved or replaced")) {
						t.Error(err)
					}
					if err := old.Close(); c.name != "close" && !errors.Is(err, ErrFailed) {
						t.Errorf("close: %v", err)
					}
					if fresh == nil {
						if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("the old name is there again: %v", err)
						}
					} else {
						after := treeOf(t, dir)
						if missing, wrong, extra := differ(after, before); len(missing)+len(wrong)+len(extra) > 0 {
							t.Errorf("of the new one: missing %v, changed %v, added %v", missing, wrong, extra)
						}
						again := openMoved(t, dir)
						must(t, fresh.model.compare(again.DB, fresh.model.clock.ms()))
						must(t, again.Verify(t.Context()))
					}
					again := openMoved(t, dir+"-moved")
					must(t, old.model.compare(again.DB, old.model.clock.ms()))
				})
			}
		})
	}
}

// differ compares two trees by name.
func differ(got, want map[string]string) (missing, wrong, extra []string) {
	for name, content := range want {
		if g, ok := got[name]; !ok {
			missing = append(missing, name)
		} else if g != content {
			wrong = append(wrong, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			extra = append(extra, name)
		}
	}
	return missing, wrong, extra
}

// chdirReader changes the process's directory when it has been read up to a place.
type chdirReader struct {
	bytes.Reader
	after int
	to    string
}

func (r *chdirReader) Read(p []byte) (int, error) {
	if r.after--; r.after == 0 {
		if err := os.Chdir(r.to); err != nil {
			return 0, err
		}
	}
	return r.Reader.Read(p)
}

// A relative name means what it meant when it was given.
func TestRelativeNames(t *testing.T) {
	home, away := t.TempDir(), t.TempDir()
	t.Chdir(home)
	db := openMoved(t, "db")
	t.Chdir(away)
	fillMoved(t, db, strings.Repeat("value", 20_000))
	must(t, second(db.Backup(t.Context(), &db.backup, nil)))
	must(t, db.Close())
	r := &chdirReader{Reader: *bytes.NewReader(db.backup.Bytes()), after: 3, to: home}
	must(t, Restore(t.Context(), "restored", nil, r))
	if r.after > 0 {
		t.Error("read at once")
	}
	for _, name := range []string{filepath.Join(home, "db"), filepath.Join(away, "restored")} {
		must(t, db.model.compare(openMoved(t, name).DB, db.model.clock.ms()))
	}
	for dir, want := range map[string]string{home: "db", away: "restored"} {
		if names, err := vfs.OS.ReadDir(dir); err != nil || len(names) != 1 || names[0] != want {
			t.Errorf("%v, %v, want %s", names, err, want)
		}
	}
}
