package vfs

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRemoveAll(t *testing.T) {
	for name, fsys := range map[string]FS{"OS": OS, "Mem": NewMem()} {
		dir := filepath.ToSlash(t.TempDir())
		must(t, fsys.MkdirAll(path.Join(dir, "a/b/c")))
		must(t, fsys.MkdirAll(path.Join(dir, "a/d")))
		for _, base := range []string{"a/1", "a/b/2", "a/b/c/3", "keep"} {
			f, err := fsys.Create(path.Join(dir, base))
			must(t, err)
			must(t, f.Close())
		}
		must(t, RemoveAll(fsys, path.Join(dir, "a")))
		must(t, RemoveAll(fsys, path.Join(dir, "a")))
		if _, err := fsys.ReadDir(path.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if names, err := fsys.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("%s: %q, %v", name, names, err)
		}
		must(t, RemoveAll(fsys, path.Join(dir, "keep")))
	}
}

func TestRemoveAllFails(t *testing.T) {
	mem := NewMem()
	must(t, mem.MkdirAll("a/b"))
	fault := NewFault(mem)
	fault.Inject(FailNth(OpRemove, "", 1, syscall.EIO))
	wantErr(t, "remove", RemoveAll(fault, "a"), syscall.EIO)
	must(t, RemoveAll(fault, "a"))
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
		if got := CannotLink(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}
