package dir

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// twoDatabases returns a file system with the databases a, created at 1, and b, created at 2, all on the disk.
func twoDatabases(t *testing.T) *vfstest.Mem {
	t.Helper()
	mem := vfstest.NewMem()
	for i, d := range []Dir{"/home/a", "/home/b"} {
		must(t, vfs.MkdirAllSync(mem, d.Tables()))
		must(t, manifest.Store(mem, string(d), manifest.New(func([]byte) {}, int64(i+1))))
	}
	return mem
}

// created returns when a database was created, 0 if there is none.
func created(fsys vfs.FS, d Dir) int64 {
	state, err := manifest.Load(fsys, string(d))
	if err != nil {
		return 0
	}
	return state.Created
}

// swapped says what a swap has left, once a is opened.
func swapped(fsys vfs.FS) (string, error) {
	if err := Dir("/home/a").Recover(fsys); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d %d", created(fsys, "/home/a"), created(fsys, "/home/b"), created(fsys, "/home/a.swap.b")), nil
}

func TestSwap(t *testing.T) {
	mem := twoDatabases(t)
	for _, want := range []string{"2 1 0", "1 2 0"} {
		must(t, Swap(mem, "/home/a", "/home/b"))
		if got, err := swapped(mem); got != want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		for _, d := range []Dir{"/home/a", "/home/b"} { // and nobody has them
			l, err := mem.Lock(d.Lock())
			must(t, err)
			must(t, l.Close())
		}
	}
}

func TestSwapRefuses(t *testing.T) {
	lock := func(d Dir) func(*testing.T, *vfstest.Mem) {
		return func(t *testing.T, mem *vfstest.Mem) {
			_, err := mem.Lock(d.Lock())
			must(t, err)
		}
	}
	for _, row := range []struct {
		name  string
		other Dir
		make  func(*testing.T, *vfstest.Mem)
		want  error
	}{
		{"the first is open", "/home/b", lock("/home/a"), vfs.ErrLocked},
		{"the second is open", "/home/b", lock("/home/b"), vfs.ErrLocked},
		{"elsewhere", "/b", func(t *testing.T, mem *vfstest.Mem) { must(t, mem.Rename("/home/b", "/b")) }, ErrNotBeside},
		{"the same", "/home/a", func(*testing.T, *vfstest.Mem) {}, ErrNotBeside},
		{"no database", "/home/b", func(t *testing.T, mem *vfstest.Mem) { must(t, mem.Remove("/home/b/MANIFEST")) }, ErrNotDatabase},
		{"none", "/home/c", func(*testing.T, *vfstest.Mem) {}, ErrNotDatabase},
		{"a swap has not ended", "/home/b", func(t *testing.T, mem *vfstest.Mem) { must(t, mem.MkdirAll("/home/a.swap.b")) },
			ErrTargetExists},
	} {
		t.Run(row.name, func(t *testing.T) {
			mem := twoDatabases(t)
			row.make(t, mem)
			if err := Swap(mem, "/home/a", row.other); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
			if created(mem, "/home/a") != 1 {
				t.Error("something has been renamed")
			}
		})
	}
}

// A crash leaves the one database under the name or the other, and loses neither.
func TestSwapCrashStates(t *testing.T) {
	mem := twoDatabases(t)
	mem.Record()
	must(t, Swap(mem, "/home/a", "/home/b"))
	seen := map[string]bool{}
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 8}, func(c *vfstest.Crash) error {
		got, err := swapped(c.FS)
		seen[got] = true
		switch {
		case err != nil:
			return err
		case c.Op == 0 && got != "1 2 0", c.Last && got != "2 1 0":
			return fmt.Errorf("it leaves %s", got)
		case got != "1 2 0" && got != "2 0 1" && got != "2 1 0":
			return fmt.Errorf("it leaves %s", got)
		}
		return nil
	})
	if len(seen) != 3 {
		t.Errorf("seen: %v", seen)
	}
}

// A failure leaves the old state or the new, or what a crash may.
func TestSwapFails(t *testing.T) {
	counter := vfstest.NewFault(twoDatabases(t))
	must(t, Swap(counter, "/home/a", "/home/b"))
	for n := 1; n <= counter.Count(vfstest.OpAny); n++ {
		mem := twoDatabases(t)
		fault := vfstest.NewFault(mem)
		fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO))
		err := Swap(fault, "/home/a", "/home/b")
		got, rerr := swapped(mem)
		if rerr != nil || err == nil && got != "2 1 0" || got != "1 2 0" && got != "2 0 1" && got != "2 1 0" {
			t.Errorf("operation %d fails: %v, it leaves %s, %v", n, err, got, rerr)
		}
	}
}

// What a swap has left beside a database that was removed since does not take its place.
func TestSwapRevivesNothing(t *testing.T) {
	mem := twoDatabases(t)
	must(t, mem.Rename("/home/a", "/home/a.swap.b")) // steps 2 and 3, and then a crash
	must(t, mem.Rename("/home/b", "/home/a"))
	must(t, mem.Rename("/home/a", "/elsewhere"))
	if got, err := swapped(mem); got != "0 1 0" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// A database that is away for a swap which still runs is not taken back.
func TestSwapRuns(t *testing.T) {
	mem := twoDatabases(t)
	l, err := mem.Lock(Dir("/home/a").Lock())
	must(t, err)
	must(t, mem.Rename("/home/a", "/home/a.swap.b"))
	if err := Dir("/home/a").Recover(mem); !errors.Is(err, vfs.ErrLocked) || created(mem, "/home/a.swap.b") != 1 {
		t.Errorf("%v, %d", err, created(mem, "/home/a.swap.b"))
	}
	l.Close()
}
