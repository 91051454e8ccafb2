package vfs_test

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestRemoveAll(t *testing.T) {
	for _, c := range []struct {
		name string
		fsys vfs.FS
	}{{"OS", vfs.OS}, {"Mem", vfstest.NewMem()}} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.ToSlash(t.TempDir())
			must(t, c.fsys.MkdirAll(path.Join(dir, "a/b/c")))
			must(t, c.fsys.MkdirAll(path.Join(dir, "a/d")))
			for _, base := range []string{"a/1", "a/b/2", "a/b/c/3", "keep"} {
				f, err := c.fsys.Create(path.Join(dir, base))
				must(t, err)
				must(t, f.Close())
			}
			must(t, vfs.RemoveAll(c.fsys, path.Join(dir, "a")))
			must(t, vfs.RemoveAll(c.fsys, path.Join(dir, "a")))
			if _, err := c.fsys.ReadDir(path.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			if names, err := c.fsys.ReadDir(dir); err != nil || len(names) != 1 {
				t.Errorf("%q, %v", names, err)
			}
			must(t, vfs.RemoveAll(c.fsys, path.Join(dir, "keep")))
		})
	}
}

func TestRemoveAllFails(t *testing.T) {
	mem := vfstest.NewMem()
	must(t, mem.MkdirAll("a/b"))
	fault := vfstest.NewFault(mem)
	fault.Inject(vfstest.FailNth(vfstest.OpRemove, "", 1, syscall.EIO))
	wantErr(t, "remove", vfs.RemoveAll(fault, "a"), syscall.EIO)
	must(t, vfs.RemoveAll(fault, "a"))
}

func TestCannotLink(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{syscall.EXDEV, true},
		{&fs.PathError{Op: "link", Err: syscall.EXDEV}, true},
		{syscall.EIO, false},
		{syscall.ENOSPC, false},
		{fs.ErrNotExist, false},
		{fs.ErrExist, false},
	} {
		if got := vfs.CannotLink(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}
