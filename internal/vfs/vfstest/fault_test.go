package vfstest

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

// faultScript does every kind of operation and returns the first error.
func faultScript(fsys vfs.FS) (err error) {
	try := func(e error) bool {
		err = e
		return e == nil
	}
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	lock, e := fsys.Lock("LOCK")
	if !try(e) {
		return err
	}
	defer closing(lock)
	if !try(fsys.MkdirAll("d")) {
		return err
	}
	f, e := fsys.Create("d/a")
	if !try(e) {
		return err
	}
	defer closing(f)
	ok := try(second(f.WriteAt([]byte("hello"), 0))) && try(f.Sync()) && try(f.MapWrites(100)) &&
		try(second(f.WriteAt([]byte("J"), 0))) && try(f.SyncData()) && try(f.Truncate(4)) &&
		try(second(f.Size())) && try(second(f.ReadAt(make([]byte, 4), 0))) && try(second(f.Map())) &&
		try(fsys.Link("d/a", "d/b")) && try(fsys.Rename("d/b", "d/c")) && try(fsys.SyncDir("d")) &&
		try(second(fsys.ReadDir("d"))) && try(second(fsys.Size("d/c"))) && try(fsys.Remove("d/c"))
	if !ok {
		return err
	}
	g, e := fsys.Open("d/a")
	if !try(e) {
		return err
	}
	defer closing(g)
	return nil
}

// One run learns how many operations there are; then each of them fails, alone and with all that follow.
func TestFaultAtEveryOperation(t *testing.T) {
	count := NewFault(NewMem())
	must(t, faultScript(count))
	counts := map[OpKind]int{
		OpLock: 1, OpMkdir: 1, OpCreate: 1, OpOpen: 1, OpClose: 2, OpRead: 1, OpWrite: 2, OpTruncate: 1, OpSync: 2,
		OpSyncDir: 1, OpRename: 1, OpLink: 1, OpRemove: 1, OpReadDir: 1, OpSize: 2, OpMap: 1, OpMapWrites: 1, OpAny: 21,
	}
	for kind := range opSyncFailed {
		if got := count.Count(kind); got != counts[kind] {
			t.Errorf("%d operations %q, want %d", got, kind, counts[kind])
		}
	}
	for kind, n := range counts {
		for i := 1; i <= n; i++ {
			for _, from := range []bool{false, true} {
				f := NewFault(NewMem())
				if from {
					f.Inject(FailFrom(kind, "", i, syscall.EIO))
				} else {
					f.Inject(FailNth(kind, "", i, syscall.EIO))
				}
				if err := faultScript(f); !errors.Is(err, syscall.EIO) {
					t.Errorf("operation %d of %q was to fail: %v", i, kind, err)
				}
				f.Inject(nil)
				if err := f.MkdirAll("x"); err != nil {
					t.Errorf("no more faults: %v", err)
				}
			}
		}
		f := NewFault(NewMem())
		f.Inject(FailNth(kind, "", n+1, syscall.EIO))
		if err := faultScript(f); err != nil {
			t.Errorf("operation %d of %q, which there is not, was to fail: %v", n+1, kind, err)
		}
	}
}

func TestFaultOnceOrForEver(t *testing.T) {
	for _, tc := range []struct {
		name   string
		inject Injector
		want   string // one letter for each of five writes to a.log and b.tab in turn
	}{
		{"the second", FailNth(OpWrite, "", 2, syscall.EIO), ".x..."},
		{"from the second on", FailFrom(OpWrite, "", 2, syscall.EIO), ".xxxx"},
		{"the second of a suffix", FailNth(OpWrite, ".log", 2, syscall.EIO), "..x.."},
		{"from the first of a suffix on", FailFrom(OpWrite, ".tab", 1, syscall.EIO), ".x.x."},
		{"another kind", FailFrom(OpSync, "", 1, syscall.EIO), "....."},
		{"none", nil, "....."},
	} {
		f := NewFault(NewMem())
		var files []vfs.File
		for _, name := range []string{"a.log", "b.tab"} {
			file, err := f.Create(name)
			must(t, err)
			files = append(files, file)
		}
		f.Inject(tc.inject)
		var got strings.Builder
		for i := range 5 {
			switch n, err := files[i%2].WriteAt([]byte("x"), int64(i)); {
			case err == nil && n == 1:
				got.WriteByte('.')
			case errors.Is(err, syscall.EIO) && n == 0:
				got.WriteByte('x')
			default:
				t.Fatalf("%s: write %d: %d, %v", tc.name, i, n, err)
			}
		}
		if got.String() != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got.String(), tc.want)
		}
	}
}

func TestFaultSeesOperations(t *testing.T) {
	f := NewFault(NewMem())
	var got []Op
	f.Inject(func(op Op) error {
		got = append(got, op)
		return nil
	})
	file, err := f.Create("a")
	must(t, err)
	write(t, file, "hello", 7)
	write(t, file, "x", 0)
	must(t, file.Truncate(9))
	must(t, file.SyncData())
	must(t, f.Rename("a", "b"))
	want := []Op{
		{Kind: OpCreate, Name: "a", N: 1},
		{Kind: OpWrite, Name: "a", Off: 7, Len: 5, N: 1},
		{Kind: OpWrite, Name: "a", Len: 1, N: 2},
		{Kind: OpTruncate, Name: "a", Off: 9, N: 1},
		{Kind: OpSync, Name: "a", N: 1},
		{Kind: OpRename, Name: "a", To: "b", N: 1},
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("operations %+v, want %+v", got, want)
		}
	}
}

func TestFaultShortWrite(t *testing.T) {
	for _, tc := range []struct {
		n       int
		written string
	}{{0, ""}, {3, "hel"}, {5, "hello"}, {9, "hello"}} {
		f := NewFault(NewMem())
		file, err := f.Create("a")
		must(t, err)
		f.Inject(func(op Op) error { return Short(tc.n, syscall.ENOSPC) })
		n, err := file.WriteAt([]byte("hello"), 0)
		if n != len(tc.written) || !errors.Is(err, syscall.ENOSPC) || !vfs.NoSpace(err) {
			t.Errorf("short of %d: %d, %v", tc.n, n, err)
		}
		if err := file.Sync(); err != syscall.ENOSPC {
			t.Errorf("short sync: %v", err)
		}
		f.Inject(nil)
		wantContent(t, f, "a", tc.written)
	}
}

// An operation that fails is not done, but for a close.
func TestFaultDoesNotDo(t *testing.T) {
	m := memWith(t, map[string]string{"a": "hello"})
	f := NewFault(m)
	file, err := f.OpenWrite("a")
	must(t, err)
	before := m.Clone()
	f.Inject(FailFrom(OpAny, "", 1, syscall.EIO))
	_, lockErr := f.Lock("LOCK")
	_, createErr := f.Create("b")
	_, writeErr := file.WriteAt([]byte("x"), 0)
	for name, err := range map[string]error{
		"create": createErr, "lock": lockErr, "write": writeErr, "remove": f.Remove("a"), "rename": f.Rename("a", "b"),
		"link": f.Link("a", "b"), "mkdir": f.MkdirAll("d"), "truncate": file.Truncate(0), "close": file.Close(),
	} {
		wantErr(t, name, err, syscall.EIO)
	}
	if d := before.Diff(m); len(d) != 0 {
		t.Errorf("failed operations changed %q", d)
	}
	f.Inject(nil)
	wantErr(t, "second close", file.Close(), fs.ErrClosed)
}

func TestFaultRoom(t *testing.T) {
	m := memWith(t, map[string]string{"old": rep("o", 50)})
	f := NewFault(m)
	if f.Room() != math.MaxInt64 {
		t.Errorf("room %d at first", f.Room())
	}
	wantRoom := func(what string, want int64) {
		t.Helper()
		if got := f.Room(); got != want {
			t.Errorf("%s: room for %d, want %d", what, got, want)
		}
	}
	f.SetRoom(100)
	a, err := f.Create("a")
	must(t, err)
	write(t, a, rep("a", 60), 0)
	write(t, a, rep("A", 60), 0)
	wantRoom("after a write and an overwrite", 40)
	n, err := a.WriteAt([]byte(rep("b", 60)), 50)
	if n != 50 || !vfs.NoSpace(err) {
		t.Errorf("write that does not fit: %d, %v", n, err)
	}
	wantRoom("full", 0)
	n, err = a.WriteAt([]byte("c"), 100)
	if n != 0 || !vfs.NoSpace(err) {
		t.Errorf("write to a full disk: %d, %v", n, err)
	}
	write(t, a, "overwriting goes", 0)
	if err := a.Truncate(101); !vfs.NoSpace(err) {
		t.Errorf("growth of a file on a full disk: %v", err)
	}
	must(t, a.Truncate(70))
	wantRoom("after truncation", 30)
	must(t, f.Link("a", "b"))
	must(t, f.Remove("a"))
	must(t, f.Remove("b"))
	wantRoom("removed but open", 30)
	must(t, a.Close())
	wantErr(t, "second close", a.Close(), fs.ErrClosed)
	wantRoom("closed", 100)
	must(t, f.Remove("old"))
	wantRoom("after removal of an older file", 150)
	put(t, f, "c", rep("c", 20))
	put(t, f, "d", rep("d", 30))
	must(t, f.Rename("c", "d"))
	wantRoom("one file replaced another", 130)
	must(t, f.Link("d", "e"))
	must(t, f.Rename("d", "e")) // does nothing
	must(t, f.Remove("d"))
	wantRoom("one of two names removed", 130)
	must(t, f.MkdirAll("dir"))
	must(t, f.Rename("e", "dir/e"))
	must(t, f.Rename("dir", "moved"))
	must(t, f.MkdirAll("dir"))
	put(t, f, "dir/e", "") // another, which must not be taken for the one that moved
	wantRoom("a new file where one was moved away", 130)
	must(t, f.Remove("moved/e"))
	wantRoom("moved with its directory and removed", 150)
	must(t, f.Remove("moved"))
	wantErr(t, "remove of nothing", f.Remove("none"), fs.ErrNotExist)
	f.SetRoom(-1)
	put(t, f, "big", rep("x", 1000))
}

func TestFaultRoomIgnoresDirectories(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	for _, c := range []struct {
		name  string
		under vfs.FS
	}{{"OS", vfs.OS}, {"Mem", NewMem()}} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFault(c.under)
			must(t, f.MkdirAll(dir+"/d"))
			f.SetRoom(10)
			must(t, f.Remove(dir+"/d"))
			if got := f.Room(); got != 10 {
				t.Errorf("room for %d after removal of a directory, want 10", got)
			}
		})
	}
}

// Writers that share the last bytes of a disk get exactly those.
func TestFaultRoomShared(t *testing.T) {
	m := NewMem()
	f := NewFault(m)
	const room, writers, step = 10_000, 4, 7
	f.SetRoom(room)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"}[:writers] {
		wg.Go(func() {
			file, err := f.Create(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			for off := int64(0); ; off += step {
				if _, err := file.WriteAt(make([]byte, step), off); err != nil {
					if !vfs.NoSpace(err) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	var sum int64
	names, err := m.ReadDir(".")
	must(t, err)
	for _, name := range names {
		size, err := m.Size(path.Join(".", name))
		must(t, err)
		sum += size
	}
	if sum != room || f.Room() != 0 {
		t.Errorf("%d bytes written and room for %d, want %d and 0", sum, f.Room(), room)
	}
}

// An injector that blocks holds up its own operation only.
func TestFaultBlockingInjector(t *testing.T) {
	f := NewFault(NewMem())
	put(t, f, "a", "hello")
	reached, release := make(chan struct{}), make(chan struct{})
	f.Inject(func(op Op) error {
		if op.Kind == OpSyncDir {
			close(reached)
			<-release
		}
		return nil
	})
	done := make(chan error)
	go func() { done <- f.SyncDir(".") }()
	<-reached
	wantContent(t, f, "a", "hello")
	close(release)
	must(t, <-done)
}
