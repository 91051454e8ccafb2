package ebb

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

// makeBoth makes a checkpoint and a restored database in two directories, and holds that they are there.
func makeBoth(t *testing.T, db *DB, m *model, checkpoint, restored string) {
	t.Helper()
	var file bytes.Buffer
	must(t, second(db.Backup(t.Context(), &file, nil)))
	must(t, second(db.Checkpoint(t.Context(), checkpoint, nil)))
	must(t, Restore(t.Context(), restored, nil, &file))
	for _, dir := range []string{checkpoint, restored} {
		again := openMoved(t, dir)
		must(t, m.compare(again.DB, m.clock.ms()))
		must(t, again.Close())
		names, err := vfs.OS.ReadDir(dir)
		must(t, err)
		for _, name := range names {
			switch name {
			case "LOCK", "MANIFEST", "tables", "wal", "lost+found":
			default:
				t.Errorf("%s is left in %s", name, dir)
			}
		}
	}
}

// An empty directory that cannot be replaced gets the database all the same: a mount point, the end of a symbolic link, and
// one with nothing but what the system puts there. A link that leads nowhere is refused before anything is done.
func TestNewDirInAnEmptyOne(t *testing.T) {
	home := t.TempDir()
	db := openMoved(t, filepath.Join(home, "db"))
	fillMoved(t, db, "value")
	dir := func(name string) string {
		name = filepath.Join(home, name)
		must(t, os.MkdirAll(name, 0o755))
		return name
	}
	t.Run("link", func(t *testing.T) {
		var links []string
		for _, name := range []string{"a", "b"} {
			link := filepath.Join(home, "to-"+name)
			if err := os.Symlink(dir(name), link); err != nil {
				t.Skipf("no symbolic links: %v", err)
			}
			links = append(links, link)
		}
		makeBoth(t, db.DB, db.model, links[0], links[1])
		for _, link := range links {
			if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("%s is a link no more: %v", link, err)
			}
		}
	})
	t.Run("link to nowhere", func(t *testing.T) {
		link := filepath.Join(home, "nowhere")
		if err := os.Symlink(filepath.Join(home, "none"), link); err != nil {
			t.Skipf("no symbolic links: %v", err)
		}
		if err := second(db.Checkpoint(t.Context(), link, nil)); !errors.Is(err, ErrTargetExists) {
			t.Error(err)
		}
	})
	t.Run("lost+found", func(t *testing.T) {
		for _, name := range []string{"c/lost+found", "d/lost+found", "e/lost+found"} {
			dir(name)
		}
		makeBoth(t, db.DB, db.model, dir("c"), dir("d"))
		must(t, openMoved(t, dir("e")).Put([]byte("a"), nil))
	})
	t.Run("mount point", func(t *testing.T) {
		for _, name := range []string{"m", "n"} {
			if out, err := exec.Command("mount", "-t", "tmpfs", "none", dir(name)).CombinedOutput(); err != nil {
				t.Skipf("mount: %v: %s", err, out)
			}
			t.Cleanup(func() { exec.Command("umount", "-l", dir(name)).Run() })
		}
		makeBoth(t, db.DB, db.model, dir("m"), dir("n"))
	})
}

// TestDir holds that a database tells where it is, whole, and whether it may be written to, when it is closed too.
func TestDir(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	must(t, err)
	for _, readOnly := range []bool{false, true} {
		db, err := Open("./data/../db", &Options{ReadOnly: readOnly})
		must(t, err)
		for range 2 {
			if db.Dir() != filepath.Join(here, "db") || db.ReadOnly() != readOnly {
				t.Errorf("%s, read-only: %v", db.Dir(), db.ReadOnly())
			}
			must(t, db.Close())
		}
	}
}
