package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// When it cannot be found out where the lock is, that is the operation's error, and nobody is told that it is lost.
func TestOwnedFault(t *testing.T) {
	f := vfstest.NewFault(vfstest.NewMem())
	l, err := f.Lock("LOCK")
	must(t, err)
	o := vfs.Owned(f, l, func(err error) error { t.Errorf("told %v", err); return err })
	f.Inject(vfstest.FailNth(vfstest.OpCheck, "LOCK", 2, io.ErrUnexpectedEOF))
	must(t, o.MkdirAll("a"))
	wantErr(t, "mkdir", o.MkdirAll("b"), io.ErrUnexpectedEOF)
	_, err = f.ReadDir("b")
	wantErr(t, "read dir", err, fs.ErrNotExist)
}
