package dir

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNames holds the layout still: these names exist on disks.
func TestNames(t *testing.T) {
	d := Dir("a/db")
	for _, c := range []struct{ got, want string }{
		{d.Lock(), "a/db/LOCK"},
		{d.Manifest(), "a/db/MANIFEST"},
		{d.Log(), "a/db/wal"},
		{d.Tables(), "a/db/tables"},
		{d.Table(7), "a/db/tables/000007.tbl"},
		{d.Table(12345678), "a/db/tables/12345678.tbl"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestTableNumber(t *testing.T) {
	for _, c := range []struct {
		name string
		file uint64
		ok   bool
	}{
		{TableName(7), 7, true}, {TableName(1 << 63), 1 << 63, true}, {"7.tbl", 7, true},
		{"000007.wal", 0, false}, {"000007.tbl.old", 0, false}, {".tbl", 0, false}, {"-7.tbl", 0, false}, {"x.tbl", 0, false},
		{"99999999999999999999999.tbl", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if file, ok := TableNumber(c.name); ok != c.ok || ok && file != c.file {
				t.Errorf("%d, %v", file, ok)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		dirs []string
		ok   bool
	}{
		{"empty", nil, true},
		{"a lock file", []string{"LOCK"}, true},
		{"a manifest without its name", []string{"LOCK", "MANIFEST.tmp"}, true},
		{"what the system puts there", []string{"lost+found"}, true},
		{"a database", []string{"LOCK", "MANIFEST", "tables", "wal", "whatever"}, true},
		{"no manifest", []string{"LOCK", "tables", "wal"}, false},
		{"something else", []string{"photos"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			must(t, mem.MkdirAll("db"))
			for _, name := range c.dirs {
				must(t, mem.MkdirAll("db/"+name))
			}
			if err := Dir("db").Check(mem); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNotDatabase) {
				t.Error(err)
			}
		})
	}
	if err := Dir("none").Check(vfstest.NewMem()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory at all: %v", err)
	}
}
