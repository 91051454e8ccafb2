//go:build unix

package ebb

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

const ownerEnv = "EBB_OWNER_DIR"

// TestReadOnlyBesideAnotherProcess starts this test's binary again as a process that owns a database, looks at that while
// it writes, kills it in the middle, and looks at what it has left, which stays as it is.
func TestReadOnlyBesideAnotherProcess(t *testing.T) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		ownerChild(dir)
	}
	const steps = 3000
	dir := filepath.Join(t.TempDir(), "db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestReadOnlyBesideAnotherProcess$")
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	o, opts := &owner{}, readOnly(tinyOptions(vfs.OS, newFakeClock()))
	var wg sync.WaitGroup
	var db *DB
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "acked "))
		if err != nil {
			break // the child says something else, or the line was cut by the kill
		}
		if o.acked.Store(int64(n)); n == 100 {
			if db, err = Open(dir, opts); err != nil {
				t.Error(err)
				break
			}
			wg.Go(func() { told(t, "follow", func() (int, error) { return o.follow(db) }) })
			wg.Go(func() { told(t, "visit", func() (int, error) { return o.visit(dir, opts) }) })
			wg.Go(func() { told(t, "race", func() (int, error) { return o.race(db) }) })
		}
		if n == steps {
			must(t, cmd.Process.Kill())
		}
	}
	cmd.Process.Kill() // if it has not come so far
	err = cmd.Wait()
	acked := int(o.acked.Load())
	left := tree(t, dir)
	o.done.Store(true)
	wg.Wait()
	if acked < steps || db == nil {
		t.Fatalf("the child ended by itself after %d: %v", acked, err)
	}
	must(t, newFollower().look(db, acked))
	must(t, db.Close())
	if !maps.Equal(left, tree(t, dir)) {
		t.Error("reading has changed what the owner has left")
	}
	db, err = Open(dir, tinyOptions(vfs.OS, newFakeClock()))
	must(t, err)
	must(t, newFollower().look(db, acked))
	must(t, db.Close())
}

// tree returns the content of all files under a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[name] = "directory"
			return err
		}
		data, err := os.ReadFile(name)
		info, ierr := d.Info()
		if ierr == nil {
			all[name] = fmt.Sprint(info.ModTime(), info.Mode(), string(data))
		}
		return errors.Join(err, ierr)
	}))
	return all
}

// ownerChild owns a database and writes until it is killed.
func ownerChild(dir string) {
	opts := tinyOptions(vfs.OS, newFakeClock())
	opts.Sync = SyncNever
	db, err := Open(dir, opts)
	for i := 0; err == nil; i++ {
		if err = ownerStep(i).run(db); err == nil {
			_, err = fmt.Printf("acked %d\n", i+1)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}
