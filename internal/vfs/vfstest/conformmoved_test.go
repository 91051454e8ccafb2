package vfstest

import (
	"errors"
	"runtime"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

// conformMoved holds that a lock knows whether its name leads to it, and that nothing is done by name once it does not.
func conformMoved(t *testing.T, s system) {
	if runtime.GOOS == "windows" {
		t.Skip("a directory with an open file cannot be renamed")
	}
	dir, away := s.path("dir"), s.path("away")
	must(t, s.MkdirAll(dir))
	l, err := s.Lock(dir + "/LOCK")
	must(t, err)
	must(t, l.Check())
	lost := errors.New("lost")
	told := 0
	o := vfs.Owned(s.FS, l, func(err error) error {
		told++
		wantErr(t, "told", err, vfs.ErrMoved)
		return lost
	})
	put(t, o, dir+"/a", "a")

	must(t, s.Rename(dir, away))
	wantErr(t, "nothing there", l.Check(), vfs.ErrMoved)
	must(t, s.MkdirAll(dir))
	other, err := s.Lock(dir + "/LOCK")
	must(t, err)
	must(t, other.Check())
	wantErr(t, "another there", l.Check(), vfs.ErrMoved)
	put(t, s, dir+"/a", "another")
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"create", func() error { return second(o.Create(dir + "/b")) }},
		{"open", func() error { return second(o.Open(dir + "/a")) }},
		{"open write", func() error { return second(o.OpenWrite(dir + "/a")) }},
		{"remove", func() error { return o.Remove(dir + "/a") }},
		{"rename", func() error { return o.Rename(dir+"/a", dir+"/b") }},
		{"link", func() error { return o.Link(dir+"/a", dir+"/b") }},
		{"mkdir", func() error { return o.MkdirAll(dir + "/b") }},
		{"read dir", func() error { return second(o.ReadDir(dir)) }},
		{"size", func() error { return second(o.Size(dir + "/a")) }},
		{"sync dir", func() error { return o.SyncDir(dir) }},
		{"lock", func() error { return second(o.Lock(dir + "/b")) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			told = 0
			if wantErr(t, c.what, c.do(), lost); told != 1 {
				t.Errorf("told %d times", told)
			}
		})
	}
	wantContent(t, s, dir+"/a", "another")
	if names, err := s.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}

	must(t, other.Close())
	must(t, vfs.RemoveAll(s.FS, dir))
	must(t, s.Rename(away, dir))
	must(t, l.Check()) // it has come back
	wantContent(t, o, dir+"/a", "a")
	must(t, l.Close())
}
