package dir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func noChance([]byte) {}

// parts are the files of a directory that is whole.
func parts(d Dir) []string {
	return []string{d.Table(1), d.Table(2), d.Log() + "/000001.wal", d.Manifest()}
}

// makeWhole makes a directory, the manifest last, and publishes it. What it leaves when it fails is removed.
func makeWhole(fsys vfs.FS, target string) (err error) {
	n, err := Make(fsys, target, "copy", noChance)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Remove())
		}
	}()
	if err := fsys.MkdirAll(n.Log()); err != nil {
		return err
	}
	for _, name := range parts(n.Dir) {
		f, err := fsys.Create(name)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(name[len(n.Dir):]), 0)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	for _, name := range []string{n.Tables(), n.Log(), string(n.Dir)} {
		if err := fsys.SyncDir(name); err != nil {
			return err
		}
	}
	return n.Publish()
}

// whole reports whether a target has a manifest; then it must have all the rest.
func whole(fsys *vfstest.Mem, target Dir) (bool, error) {
	if _, err := fsys.Size(target.Manifest()); err != nil {
		return false, nil
	}
	for _, name := range parts(target) {
		if b, err := fsys.ReadFile(name); err != nil || !bytes.Equal(b, []byte(name[len(target):])) {
			return true, fmt.Errorf("%s is %q, %v", name, b, err)
		}
	}
	return true, nil
}

// targets are the places where a directory can be made.
var targets = []struct {
	name string
	make bool // an empty directory
	in   string
}{
	{"beside", false, ""}, {"inside", true, ""}, {"beside something of the system", true, "/lost+found"},
}

// Every crash leaves no manifest in the target, or everything; once Publish has returned, everything.
func TestCrashStates(t *testing.T) {
	for _, c := range targets {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			if c.make {
				must(t, mem.MkdirAll("new"+c.in))
			}
			mem.Record()
			must(t, makeWhole(mem, "new"))
			vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
				there, err := whole(c.FS, "new")
				if err == nil && c.Last && !there {
					err = errors.New("it is not there")
				}
				return err
			})
		})
	}
}

// An error of any operation is reported, and leaves nothing behind unless it came after the manifest had its name.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, c := range targets {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; ; n++ {
				mem := vfstest.NewMem()
				if c.make {
					must(t, mem.MkdirAll("new"+c.in))
				}
				before := mem.Clone()
				fault := vfstest.NewFault(mem)
				fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO))
				err := makeWhole(fault, "new")
				fault.Inject(nil)
				if n > fault.Count(vfstest.OpAny) {
					must(t, err)
					if n < 30 {
						t.Errorf("only %d operations", n)
					}
					return
				}
				there, werr := whole(mem, "new")
				must(t, werr)
				left := before.Diff(mem)
				// Removing the empty directory inside may fail, and whether the parent of the target may be synced.
				if err == nil && !there || err != nil && !there && len(left) != 0 {
					t.Fatalf("operation %d: %v, %q is left", n, err, left)
				}
			}
		})
	}
}

func TestRefusedTargets(t *testing.T) {
	mem := vfstest.NewMem()
	must(t, mem.MkdirAll("full/of"))
	must(t, mem.MkdirAll("empty"))
	must(t, mem.WriteFile("file", []byte("x")))
	before := mem.Clone()
	for _, c := range []struct {
		name, target string
		want         error
	}{
		{"no name", "", ErrTargetExists}, {"not empty", "full", ErrTargetExists}, {"a file", "file", ErrTargetExists},
		{"below a file", "file/new", syscall.ENOTDIR},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Make(mem, c.target, "copy", noChance); !errors.Is(err, c.want) {
				t.Error(err)
			}
			if left := before.Diff(mem); len(left) != 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
	for target, ok := range map[string]bool{"full": false, "file": false, "empty": true, "none": true} {
		if err := CheckTarget(mem, target); (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := mem.ReadDir("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("looking has made it")
	}
}

// Whoever puts something into the target meanwhile keeps it.
func TestTargetTakenMeanwhile(t *testing.T) {
	for _, inside := range []bool{false, true} {
		t.Run(fmt.Sprint("inside ", inside), func(t *testing.T) {
			mem := vfstest.NewMem()
			if inside {
				must(t, mem.MkdirAll("new"))
			}
			n, err := Make(mem, "new", "copy", noChance)
			must(t, err)
			must(t, mem.MkdirAll("new/of another"))
			if err := n.Publish(); !errors.Is(err, ErrTargetExists) {
				t.Error(err)
			}
			must(t, n.Remove())
			if names, err := mem.ReadDir("."); err != nil || !slices.Equal(names, []string{"new"}) {
				t.Errorf("%q, %v", names, err)
			}
			if names, err := mem.ReadDir("new"); err != nil || !slices.Equal(names, []string{"of another"}) {
				t.Errorf("%q, %v", names, err)
			}
		})
	}
}

// The directory that is built has a name that nobody else's has.
func TestChance(t *testing.T) {
	mem := vfstest.NewMem()
	n, err := Make(mem, "a/new", "restore", func(b []byte) { copy(b, "\x01\xab\x00\xff") })
	must(t, err)
	if n.Dir != "a/new.restore-01ab00ff" {
		t.Error(n.Dir)
	}
	must(t, mem.MkdirAll("b"))
	if n, err = Make(mem, "b", "restore", noChance); err != nil || n.Dir != "b/restore-00000000" {
		t.Error(n.Dir, err)
	}
}
