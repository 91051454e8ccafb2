package ebb

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// openCount is a file system that knows how many of its files are open.
type openCount struct {
	vfs.FS
	open atomic.Int64
}

type countedFile struct {
	vfs.File
	fs *openCount
}

func (c *openCount) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countedFile{f, c}, nil
}

func (f *countedFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// faultsOf are the ways in which a file system fails from its n-th operation on.
var faultsOf = map[string]func(n int) vfstest.Injector{
	"once":  func(n int) vfstest.Injector { return vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO) },
	"stays": func(n int) vfstest.Injector { return vfstest.FailFrom(vfstest.OpAny, "", n, syscall.EIO) },
}

// readThroughFaults returns a file system over mem, with options to read it.
func readThroughFaults(mem *vfstest.Mem) (*vfstest.Fault, *openCount, *Options) {
	fault := vfstest.NewFault(mem)
	files := &openCount{FS: fault}
	o := readOnlyOptions(manualOptions(files, newFakeClock(), SyncNever))
	return fault, files, o
}

// A read-only Open on a file system that fails returns its error, if it fails for more than a moment, and leaves no file
// open.
func TestReadOnlyOpenFaults(t *testing.T) {
	const steps = 200
	mem := ownedDB(t, steps)
	for name, inject := range faultsOf {
		for n, reached := 1, true; reached; n++ {
			fault, files, o := readThroughFaults(mem)
			fault.Inject(inject(n))
			db, err := Open("db", o)
			reached = fault.Count(vfstest.OpAny) >= n
			fault.Inject(nil)
			switch {
			case err == nil && reached && name == "stays":
				t.Errorf("operation %d: no error", n)
				fallthrough
			case err == nil:
				must(t, newFollower().look(db, steps))
				must(t, db.Close())
			case !errors.Is(err, syscall.EIO):
				t.Errorf("%s, operation %d: %v", name, n, err)
			}
			if open := files.open.Load(); open != 0 {
				t.Errorf("%s, operation %d: %d files are open", name, n, open)
			}
		}
	}
}

// A Refresh that fails leaves the view as it was, and no file open that the view does not need; a later one succeeds.
func TestReadOnlyRefreshFaults(t *testing.T) {
	const steps, more = 200, 100
	for name, inject := range faultsOf {
		for n, reached := 1, true; reached; n++ {
			mem := ownedDB(t, steps)
			fault, files, o := readThroughFaults(mem)
			db, err := Open("db", o)
			must(t, err)
			open := files.open.Load()
			owner, err := Open("db", manualOptions(mem, newFakeClock(), SyncNever))
			must(t, err)
			for i := range more {
				must(t, ownerStep(steps+i).run(owner))
			}
			must(t, owner.Flush())
			ops := fault.Count(vfstest.OpAny)
			fault.Inject(inject(n))
			err = db.Refresh()
			reached = fault.Count(vfstest.OpAny)-ops >= n
			fault.Inject(nil)
			least := steps + more
			if err != nil {
				least = steps
				if !errors.Is(err, syscall.EIO) || files.open.Load() != open {
					t.Errorf("%s, operation %d: %v; %d files open, before %d", name, n, err, files.open.Load(), open)
				}
			}
			f := newFollower()
			must(t, f.look(db, least))
			if f.steps != least {
				t.Errorf("%s, operation %d: %v, but it shows %d steps", name, n, err, f.steps)
			}
			must(t, db.Refresh())
			must(t, newFollower().look(db, steps+more))
			must(t, db.Close())
			if open := files.open.Load(); open != 0 {
				t.Errorf("%s, operation %d: %d files are open", name, n, open)
			}
			must(t, owner.Close())
		}
	}
}

// Close ends what runs on a read-only database, a Refresh among it; whatever comes later is ErrClosed.
func TestReadOnlyCloseAgainstEverything(t *testing.T) {
	const steps = 200
	mem := ownedDB(t, steps)
	for range 30 {
		db, err := Open("db", readOnly(manualOptions(mem, newFakeClock(), SyncNever)))
		must(t, err)
		var wg sync.WaitGroup
		for _, do := range []func() error{
			db.Refresh, db.Refresh,
			func() error { return second(dump(db)) },
			func() error { return db.Verify(t.Context()) },
			func() error { return second(db.Get([]byte("first"))) },
		} {
			wg.Go(func() {
				for {
					if err := do(); errors.Is(err, ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		runtime.Gosched()
		must(t, db.Close())
		wg.Wait()
	}
}

// A read-only Open that has to begin again, because its owner compacts meanwhile, leaves no table open that it does not show.
func TestReadOnlyBeginsAgainClosesTables(t *testing.T) {
	mem := vfstest.NewMem()
	owner, err := Open("db", manualOptions(mem, newFakeClock(), SyncNever))
	must(t, err)
	for i := range 200 {
		must(t, ownerStep(i).run(owner))
		if i%60 == 59 {
			must(t, owner.Flush())
		}
	}
	for _, refresh := range []bool{false, true} {
		fault, files, o := readThroughFaults(mem)
		moved := false
		inject := func(op vfstest.Op) error {
			if !moved && op.Kind == vfstest.OpReadDir && strings.HasSuffix(op.Name, "wal") { // the tables are open, the log is not
				moved = true
				for i := range 100 {
					must(t, ownerStep(200+i).run(owner))
				}
				must(t, owner.Compact(t.Context()))
				owner.health.workers.Wait()
			}
			return nil
		}
		if !refresh {
			fault.Inject(inject)
		}
		db, err := Open("db", o)
		must(t, err)
		if refresh {
			must(t, owner.Put([]byte("x"), []byte("y")))
			must(t, owner.Flush())
			fault.Inject(inject)
			must(t, db.Refresh())
		}
		if !moved {
			t.Fatal("nothing happened")
		}
		must(t, db.Close())
		if n := files.open.Load(); n != 0 {
			t.Errorf("refresh %v: %d files are open after Close", refresh, n)
		}
	}
	must(t, owner.Close())
}
