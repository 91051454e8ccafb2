package vfstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/memfs"
)

// system is one implementation under test, with a directory of its own.
type system struct {
	vfs.FS
	root string
}

func (s system) path(name string) string { return s.root + "/" + name }

// systems calls test with each implementation.
func systems(t *testing.T, test func(t *testing.T, s system)) {
	mem := func() *Mem {
		m := NewMem()
		if err := m.MkdirAll("root"); err != nil {
			t.Fatal(err)
		}
		return m
	}
	t.Run("OS", func(t *testing.T) { test(t, system{vfs.OS, filepath.ToSlash(t.TempDir())}) })
	t.Run("Mem", func(t *testing.T) { test(t, system{mem(), "root"}) })
	t.Run("memfs", func(t *testing.T) {
		m := memfs.New()
		must(t, m.MkdirAll("root"))
		test(t, system{m, "root"})
	})
	t.Run("recording Mem", func(t *testing.T) {
		m := mem()
		m.Record()
		test(t, system{m, "root"})
	})
	t.Run("Counted on Mem", func(t *testing.T) { test(t, system{vfs.NewCounted(mem(), "root", func() {}), "root"}) })
	t.Run("Fault on OS", func(t *testing.T) { test(t, system{NewFault(vfs.OS), filepath.ToSlash(t.TempDir())}) })
	t.Run("Fault on Mem", func(t *testing.T) {
		f := NewFault(mem())
		f.SetRoom(1 << 20)
		test(t, system{f, "root"})
	})
}

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

// put makes a file with a content.
func put(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	write(t, f, content, 0)
	must(t, f.Close())
}

func write(t *testing.T, f vfs.File, content string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(content), off); n != len(content) || err != nil {
		t.Fatalf("write at %d: %d, %v", off, n, err)
	}
}

// get returns the content of a file, or "" and false if there is none.
func get(t *testing.T, fsys vfs.FS, name string) (string, bool) {
	t.Helper()
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	must(t, err)
	defer f.Close()
	return contentOf(t, f), true
}

func contentOf(t *testing.T, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); n != len(p) || err != nil && err != io.EOF {
		t.Fatalf("read of %d: %d, %v", len(p), n, err)
	}
	return string(p)
}

func wantContent(t *testing.T, fsys vfs.FS, name, want string) {
	t.Helper()
	if got, ok := get(t, fsys, name); got != want || !ok {
		t.Errorf("%s holds %q (there: %v), want %q", name, got, ok, want)
	}
}

func TestConformance(t *testing.T) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s system)
	}{
		{"create", conformCreate},
		{"open", conformOpen},
		{"read and write", conformReadWrite},
		{"truncate", conformTruncate},
		{"read only", conformReadOnly},
		{"closed", conformClosed},
		{"remove", conformRemove},
		{"removed while open", conformRemovedOpen},
		{"rename", conformRename},
		{"rename onto a second name", conformRenameSame},
		{"rename a directory", conformRenameDir},
		{"link", conformLink},
		{"directories", conformDirs},
		{"sync", conformSync},
		{"map", conformMap},
		{"mapped writes", conformMapWrites},
		{"lock", conformLock},
		{"lock in a directory that moves", conformMoved},
	} {
		t.Run(tc.name, func(t *testing.T) { systems(t, tc.test) })
	}
}

func conformCreate(t *testing.T, s system) {
	f, err := s.Create(s.path("a"))
	must(t, err)
	defer f.Close()
	write(t, f, "hello", 0)
	if got := contentOf(t, f); got != "hello" {
		t.Errorf("reading a created file: %q", got)
	}
	_, err = s.Create(s.path("a"))
	wantErr(t, "create of a name that is taken", err, fs.ErrExist)
	_, err = s.Create(s.path("none/a"))
	wantErr(t, "create in no directory", err, fs.ErrNotExist)
	if _, err = s.Create(s.path("a/b")); err == nil {
		t.Error("create below a file: no error")
	}
	wantContent(t, s, s.path("a"), "hello")
	wantContent(t, s, s.path(".//a"), "hello")
}

func conformOpen(t *testing.T, s system) {
	_, err := s.Open(s.path("a"))
	wantErr(t, "open", err, fs.ErrNotExist)
	_, err = s.OpenWrite(s.path("a"))
	wantErr(t, "open for writing", err, fs.ErrNotExist)
	_, err = s.Size(s.path("a"))
	wantErr(t, "size", err, fs.ErrNotExist)
	_, err = s.Open("")
	wantErr(t, "open of no name", err, fs.ErrNotExist)
	put(t, s, s.path("a"), "hello")
	f, err := s.OpenWrite(s.path("a"))
	must(t, err)
	write(t, f, "J", 0)
	must(t, f.Close())
	wantContent(t, s, s.path("a"), "Jello")
	if n, err := s.Size(s.path("a")); n != 5 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
}

func conformReadWrite(t *testing.T, s system) {
	f, err := s.Create(s.path("a"))
	must(t, err)
	defer f.Close()
	write(t, f, "hello", 3)
	write(t, f, "J", 3)
	write(t, f, "", 100)
	if got, want := contentOf(t, f), "\x00\x00\x00Jello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, tc := range []struct {
		name string
		off  int64
		len  int
		want string
		err  error
	}{
		{"inside", 3, 2, "Je", nil},
		{"to the end", 3, 5, "Jello", nil},
		{"past the end", 6, 5, "lo", io.EOF},
		{"at the end", 8, 1, "", io.EOF},
		{"far behind", 1 << 40, 1, "", io.EOF},
		{"nothing", 3, 0, "", nil},
	} {
		p := make([]byte, tc.len)
		if n, err := f.ReadAt(p, tc.off); string(p[:n]) != tc.want || err != tc.err {
			t.Errorf("read %s: %q, %v; want %q, %v", tc.name, p[:n], err, tc.want, tc.err)
		}
	}
	for _, off := range []int64{-1, math.MaxInt64, math.MaxInt64 - 1} {
		if n, err := f.WriteAt([]byte("ab"), off); n != 0 || err == nil {
			t.Errorf("write at %d: %d, %v", off, n, err)
		}
	}
	if n, err := f.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read before the file: %d, %v", n, err)
	}
}

func conformTruncate(t *testing.T, s system) {
	f, err := s.Create(s.path("a"))
	must(t, err)
	defer f.Close()
	write(t, f, "hello", 0)
	must(t, f.Truncate(2))
	must(t, f.Truncate(4))
	write(t, f, "!", 5)
	if got, want := contentOf(t, f), "he\x00\x00\x00!"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := f.Truncate(-1); err == nil {
		t.Error("negative length: no error")
	}
	must(t, f.Truncate(0))
	if n, err := f.Size(); n != 0 || err != nil {
		t.Errorf("size %d, %v after truncation to 0", n, err)
	}
}

func conformReadOnly(t *testing.T, s system) {
	put(t, s, s.path("a"), "hello")
	f, err := s.Open(s.path("a"))
	must(t, err)
	defer f.Close()
	_, werr := f.WriteAt([]byte("x"), 0)
	for name, err := range map[string]error{
		"write":    werr,
		"truncate": f.Truncate(0),
		"sync":     f.Sync(),
		"syncdata": f.SyncData(),
		"map":      f.MapWrites(4096),
	} {
		if err == nil {
			t.Errorf("%s of a file opened for reading: no error", name)
		}
	}
	f.WriteBack(0, 5)
	wantContent(t, s, s.path("a"), "hello")
}

func conformClosed(t *testing.T, s system) {
	put(t, s, s.path("a"), "hello")
	for _, mapped := range []bool{false, true} {
		f, err := s.OpenWrite(s.path("a"))
		must(t, err)
		if err := f.MapWrites(4096); mapped && err != nil && err != vfs.ErrNotSupported {
			t.Fatal(err)
		}
		must(t, f.Close())
		_, rerr := f.ReadAt(make([]byte, 1), 0)
		_, werr := f.WriteAt([]byte("x"), 0)
		_, serr := f.Size()
		_, merr := f.Map()
		for name, err := range map[string]error{
			"read": rerr, "write": werr, "size": serr, "map": merr, "truncate": f.Truncate(0), "sync": f.Sync(),
			"syncdata": f.SyncData(), "close": f.Close(),
		} {
			wantErr(t, name+" of a closed file", err, fs.ErrClosed)
		}
		if err := f.MapWrites(4096); err != vfs.ErrNotSupported {
			wantErr(t, "mapwrites of a closed file", err, fs.ErrClosed)
		}
		f.WriteBack(0, 5)
	}
	wantContent(t, s, s.path("a"), "hello")
}

func conformRemove(t *testing.T, s system) {
	wantErr(t, "remove of nothing", s.Remove(s.path("a")), fs.ErrNotExist)
	put(t, s, s.path("a"), "hello")
	must(t, s.Remove(s.path("a")))
	if _, ok := get(t, s, s.path("a")); ok {
		t.Error("removed file is there")
	}
	put(t, s, s.path("a"), "again")
	wantContent(t, s, s.path("a"), "again")
	must(t, s.MkdirAll(s.path("d")))
	put(t, s, s.path("d/a"), "")
	if err := s.Remove(s.path("d")); err == nil {
		t.Error("remove of a full directory: no error")
	}
	must(t, s.Remove(s.path("d/a")))
	must(t, s.Remove(s.path("d")))
	wantErr(t, "reading a removed directory", second(s.ReadDir(s.path("d"))), fs.ErrNotExist)
}

func second[T any](_ T, err error) error { return err }

func conformRemovedOpen(t *testing.T, s system) {
	put(t, s, s.path("a"), "hello")
	put(t, s, s.path("b"), "other")
	f, err := s.OpenWrite(s.path("a"))
	must(t, err)
	g, err := s.Open(s.path("b"))
	must(t, err)
	if err := s.Remove(s.path("a")); err != nil {
		must(t, f.Close())
		must(t, g.Close())
		t.Skip("this system does not remove open files")
	}
	put(t, s, s.path("a"), "new")
	must(t, s.Rename(s.path("a"), s.path("b")))
	write(t, f, "!", 5)
	if got := contentOf(t, f); got != "hello!" {
		t.Errorf("removed file holds %q", got)
	}
	if got := contentOf(t, g); got != "other" {
		t.Errorf("replaced file holds %q", got)
	}
	wantContent(t, s, s.path("b"), "new")
	must(t, f.Close())
	must(t, g.Close())
}

func conformRename(t *testing.T, s system) {
	wantErr(t, "rename of nothing", s.Rename(s.path("a"), s.path("b")), fs.ErrNotExist)
	put(t, s, s.path("a"), "one")
	put(t, s, s.path("b"), "two")
	must(t, s.MkdirAll(s.path("d")))
	must(t, s.Rename(s.path("a"), s.path("b")))
	wantContent(t, s, s.path("b"), "one")
	if _, ok := get(t, s, s.path("a")); ok {
		t.Error("the old name is there")
	}
	must(t, s.Rename(s.path("b"), s.path("d/c")))
	wantContent(t, s, s.path("d/c"), "one")
	wantErr(t, "rename into no directory", s.Rename(s.path("d/c"), s.path("none/c")), fs.ErrNotExist)
	must(t, s.Rename(s.path("d/c"), s.path("d/c")))
	wantContent(t, s, s.path("d/c"), "one")
	put(t, s, s.path("e"), "three")
	if err := s.Rename(s.path("e"), s.path("d")); err == nil {
		t.Error("rename of a file onto a directory: no error")
	}
	if err := s.Rename(s.path("d"), s.path("e")); err == nil {
		t.Error("rename of a directory onto a file: no error")
	}
	wantContent(t, s, s.path("e"), "three")
}

func conformRenameSame(t *testing.T, s system) {
	put(t, s, s.path("a"), "one")
	must(t, s.Link(s.path("a"), s.path("b")))
	if runtime.GOOS == "windows" { // POSIX says that both stay, Windows removes one
		t.Skip("not POSIX for certain")
	}
	must(t, s.Rename(s.path("a"), s.path("b")))
	wantContent(t, s, s.path("a"), "one")
	wantContent(t, s, s.path("b"), "one")
}

func conformRenameDir(t *testing.T, s system) {
	must(t, s.MkdirAll(s.path("tmp/sub")))
	put(t, s, s.path("tmp/sub/a"), "one")
	if err := s.Rename(s.path("tmp"), s.path("tmp/sub/tmp")); err == nil {
		t.Error("rename of a directory into itself: no error")
	}
	must(t, s.Rename(s.path("tmp"), s.path("db")))
	wantContent(t, s, s.path("db/sub/a"), "one")
	wantErr(t, "the old directory", second(s.ReadDir(s.path("tmp"))), fs.ErrNotExist)
}

func conformLink(t *testing.T, s system) {
	wantErr(t, "link of nothing", s.Link(s.path("a"), s.path("b")), fs.ErrNotExist)
	put(t, s, s.path("a"), "one")
	must(t, s.Link(s.path("a"), s.path("b")))
	wantErr(t, "link to a name that is taken", s.Link(s.path("a"), s.path("b")), fs.ErrExist)
	f, err := s.OpenWrite(s.path("a"))
	must(t, err)
	write(t, f, "two", 0)
	must(t, f.Close())
	wantContent(t, s, s.path("b"), "two")
	must(t, s.Remove(s.path("a")))
	wantContent(t, s, s.path("b"), "two")
	if err := s.Link(s.root, s.path("c")); err == nil {
		t.Error("link to a directory: no error")
	}
}

func conformDirs(t *testing.T, s system) {
	must(t, s.MkdirAll(s.path("d/e/f")))
	must(t, s.MkdirAll(s.path("d/e")))
	for _, name := range []string{"d/c", "d/a", "d/b"} {
		put(t, s, s.path(name), "")
	}
	names, err := s.ReadDir(s.path("d"))
	if want := []string{"a", "b", "c", "e"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("ReadDir: %q, %v; want %q", names, err, want)
	}
	if names, err := s.ReadDir(s.path("d/e/f")); err != nil || len(names) != 0 {
		t.Errorf("ReadDir of an empty directory: %q, %v", names, err)
	}
	wantErr(t, "ReadDir of nothing", second(s.ReadDir(s.path("none"))), fs.ErrNotExist)
	if _, err := s.ReadDir(s.path("d/a")); err == nil {
		t.Error("ReadDir of a file: no error")
	}
	if err := s.MkdirAll(s.path("d/a/b")); err == nil {
		t.Error("directory below a file: no error")
	}
	if err := s.MkdirAll(s.path("d/a")); err == nil {
		t.Error("directory of a file's name: no error")
	}
}

func conformSync(t *testing.T, s system) {
	f, err := s.Create(s.path("a"))
	must(t, err)
	defer f.Close()
	write(t, f, "hello", 0)
	f.WriteBack(0, 5)
	f.WriteBack(-1, 5)
	f.WriteBack(0, -1)
	must(t, f.SyncData())
	must(t, f.Sync())
	must(t, s.SyncDir(s.root))
	wantContent(t, s, s.path("a"), "hello")
	if runtime.GOOS == "windows" {
		return // Windows has no directories to sync
	}
	wantErr(t, "sync of no directory", s.SyncDir(s.path("none")), fs.ErrNotExist)
}

func conformMap(t *testing.T, s system) {
	put(t, s, s.path("a"), "hello")
	put(t, s, s.path("empty"), "")
	f, err := s.OpenWrite(s.path("a"))
	must(t, err)
	defer f.Close()
	mem, err := f.Map()
	if err == vfs.ErrNotSupported {
		t.Skip("no mappings here")
	}
	if string(mem) != "hello" || err != nil {
		t.Fatalf("mapped %q, %v", mem, err)
	}
	write(t, f, " there", 5)
	longer, err := f.Map()
	if string(longer) != "hello there" || err != nil || len(mem) != 5 {
		t.Errorf("mapped %q, %v; the first has %d bytes", longer, err, len(mem))
	}
	e, err := s.Open(s.path("empty"))
	must(t, err)
	defer e.Close()
	if mem, err := e.Map(); mem != nil || err != nil {
		t.Errorf("mapped empty file: %q, %v", mem, err)
	}
}

func conformMapWrites(t *testing.T, s system) {
	f, err := s.Create(s.path("a"))
	must(t, err)
	const size, limit = 10_000, 9_000 // neither of them whole pages
	must(t, f.Truncate(size))
	if err := f.MapWrites(0); err == nil {
		t.Error("limit 0: no error")
	}
	if err := f.MapWrites(limit); err == vfs.ErrNotSupported {
		must(t, f.Close())
		t.Skip("no mapped writes here")
	} else {
		must(t, err)
	}
	want := make([]byte, size)
	put := func(off int64, n int) {
		t.Helper()
		p := bytes.Repeat([]byte{byte(off) | 1}, n)
		write(t, f, string(p), off)
		want = append(want, make([]byte, max(0, int(off)+n-len(want)))...)
		copy(want[off:], p)
		if got := contentOf(t, f); got != string(want) {
			t.Fatalf("wrong content after write of %d at %d", n, off)
		}
	}
	for _, off := range []int64{0, 1, 4090, 4096, limit - 100} {
		put(off, 100)
	}
	put(limit-50, 100) // over the limit
	put(limit, 100)    // past it
	put(size-50, 100)  // over the end
	put(2*size, 100)   // past the end, leaving a hole
	put(size+5, 100)   // into the hole
	must(t, f.MapWrites(3*size))
	put(2*size-50, 100)  // now mapped
	put(2*size+50, 100)  // under the limit, over the end
	put(2*size+100, 100) // and again
	must(t, f.Truncate(5000))
	want = want[:5000]
	put(4950, 50)
	put(4990, 100) // over the end, in the last page
	put(100, 100)
	must(t, f.SyncData())
	must(t, f.Close())
	wantContent(t, s, s.path("a"), string(want))
}

func conformLock(t *testing.T, s system) {
	l, err := s.Lock(s.path("LOCK"))
	must(t, err)
	for _, name := range []string{"LOCK", "./x/../LOCK", "SECOND"} {
		if name == "SECOND" {
			must(t, s.Link(s.path("LOCK"), s.path("SECOND")))
		}
		if name == "./x/../LOCK" {
			must(t, s.MkdirAll(s.path("x")))
		}
		_, err := s.Lock(s.path(name))
		wantErr(t, "second lock by "+name, err, vfs.ErrLocked)
		var locked *vfs.LockedError
		if !errors.As(err, &locked) || locked.Name != s.path(name) || locked.PID != os.Getpid() {
			t.Errorf("second lock by %s: %#v, want process %d", name, err, os.Getpid())
		}
	}
	other, err := s.Lock(s.path("OTHER"))
	must(t, err)
	must(t, l.Close())
	again, err := s.Lock(s.path("LOCK"))
	must(t, err)
	must(t, l.Close()) // again: must not release the new lock
	_, err = s.Lock(s.path("LOCK"))
	wantErr(t, "lock after a double close of the one before", err, vfs.ErrLocked)
	must(t, again.Close())
	must(t, other.Close())
	if _, err := s.Size(s.path("LOCK")); err != nil {
		t.Errorf("the lock file is gone: %v", err)
	}
	wantErr(t, "lock in no directory", second(s.Lock(s.path("none/LOCK"))), fs.ErrNotExist)
}
