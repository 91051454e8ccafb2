package copies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const from = dir.Dir("db")

// tables are the files that a test links, one of them large; no table is opened for that.
func tables(t *testing.T, large int) (*vfstest.Mem, *manifest.State) {
	mem := vfstest.NewMem()
	state := manifest.New(func([]byte) {}, 1000)
	must(t, mem.MkdirAll(from.Tables()))
	for file, size := range map[uint64]int{3: 10, 7: large, 12: 0} {
		must(t, mem.WriteFile(from.Table(file), bytes.Repeat([]byte{byte(file)}, size)))
		state.Tables = append(state.Tables, manifest.Table{Level: 0, File: file, Size: int64(size)})
	}
	state.LastSeq, state.NextFile = 500, 13
	return mem, state
}

func linkOptions(fs vfs.FS) *LinkOptions {
	return &LinkOptions{FS: fs, Owned: fs, From: from, Random: func([]byte) {}, Now: func() int64 { return 2000 }}
}

// noLinks is a file system that has none.
func noLinks(fs vfs.FS) vfs.FS {
	fault := vfstest.NewFault(fs)
	fault.Inject(vfstest.FailFrom(vfstest.OpLink, "", 1, syscall.EXDEV))
	return fault
}

// linked holds that a directory is none of a database's, which it reports, or has all of the original.
func linked(fs *vfstest.Mem, target dir.Dir, want *manifest.State) (there bool, err error) {
	if _, err := fs.Size(target.Manifest()); err != nil {
		return false, nil
	}
	got, err := manifest.Load(fs, string(target))
	if err != nil {
		return true, err
	}
	if got.Database != want.Database || got.LastSeq != 500 || got.Clock != 2000 || got.FirstSegment != 1 || got.Log.Segment != 1 ||
		len(got.Tables) != len(want.Tables) {
		return true, fmt.Errorf("%+v", got)
	}
	for _, t := range got.Tables {
		a, aerr := fs.ReadFile(target.Table(t.File))
		b, berr := fs.ReadFile(from.Table(t.File))
		if err := errors.Join(aerr, berr); err != nil || !bytes.Equal(a, b) {
			return true, fmt.Errorf("table %d differs: %v", t.File, err)
		}
	}
	return true, nil
}

func TestLinkCrashStates(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   func(vfs.FS) vfs.FS
		want int64 // bytes that are copied
	}{
		{"links", func(fs vfs.FS) vfs.FS { return fs }, 0},
		{"copies", noLinks, 1010},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, state := tables(t, 1000)
			original := *state
			mem.Record()
			var told []int64
			o := linkOptions(c.fs(mem))
			o.Report = func(tables uint64, bytes int64) { told = append(told, int64(tables), bytes) }
			done, err := Link(t.Context(), "copy", state, o)
			must(t, err)
			if want := (Linked{Tables: 3, Bytes: 1010, Copied: c.want}); done != want {
				t.Errorf("%+v, want %+v", done, want)
			}
			if len(told) != 6 || told[4] != 3 || told[5] != 1010 {
				t.Errorf("told %v", told)
			}
			vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
				there, err := linked(c.FS, "copy", &original)
				if err == nil && c.Last && !there {
					err = errors.New("it is not there")
				}
				return err
			})
		})
	}
}

// A file is copied in pieces.
func TestLinkCopiesLargeFiles(t *testing.T) {
	for _, size := range []int{copyChunk - 1, copyChunk, copyChunk + 1, 3 * copyChunk} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			mem, state := tables(t, size)
			original := *state
			_, err := Link(t.Context(), "copy", state, linkOptions(noLinks(mem)))
			must(t, err)
			if there, err := linked(mem, "copy", &original); !there || err != nil {
				t.Errorf("%v, %v", there, err)
			}
		})
	}
}

// What is refused, or ends in the middle, leaves nothing and says why.
func TestLinkFails(t *testing.T) {
	lost := errors.New("lost")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		set  func(*LinkOptions, vfs.FS)
		want error
	}{
		{"cancelled", done, func(*LinkOptions, vfs.FS) {}, context.Canceled},
		{"a directory that has moved", t.Context(),
			func(o *LinkOptions, fs vfs.FS) { o.Owned = failing(fs, vfstest.OpLink, lost) }, lost},
		{"one that moves at the end", t.Context(),
			func(o *LinkOptions, fs vfs.FS) { o.Owned = failing(fs, vfstest.OpSyncDir, lost) }, lost},
		{"a full disk", t.Context(), func(o *LinkOptions, fs vfs.FS) {
			full := vfstest.NewFault(fs)
			full.SetRoom(100)
			o.FS, o.Owned = full, noLinks(full)
		}, syscall.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, state := tables(t, 1000)
			before := mem.Clone()
			o := linkOptions(mem)
			c.set(o, mem)
			if _, err := Link(c.ctx, "copy", state, o); !errors.Is(err, c.want) {
				t.Error(err)
			}
			if left := before.Diff(mem); len(left) != 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

func failing(fs vfs.FS, kind vfstest.OpKind, err error) vfs.FS {
	fault := vfstest.NewFault(fs)
	fault.Inject(vfstest.FailFrom(kind, "", 1, err))
	return fault
}
