package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// writeTree makes the given files below dir.
func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// testTree has what an import has to get right: an empty file, one that is larger than a batch, more small ones than a
// batch takes, and names whose order as keys is not that of a walk.
func testTree() map[string]string {
	files := map[string]string{
		"empty":       "",
		"large":       strings.Repeat("0123456789abcdef", batchSize/16) + "!",
		"a/b":         "in a directory",
		"a.txt":       "before it as a key, after it in a walk",
		"a/deep/down": "further below",
	}
	for i := range 20 {
		files[fmt.Sprintf("many/%02d", i)] = strings.Repeat(fmt.Sprint(i), batchSize/16)
	}
	return files
}

func TestTree(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	files := testTree()
	writeTree(t, src, files)
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 25 files, ", "")
	runArgs("verify-tree", dir, src).want(t, exitOK, ": 25 same, 0 changed, 0 missing, 0 extra; skipped 0 ", "")
	runArgs("verify", dir).want(t, exitOK, "no damage", "")
	runArgs("get", dir, "a/deep/down").want(t, exitOK, "further below", "")
	runArgs("stats", dir).want(t, exitOK, "memtables:                   0 B\n", "") // all is in tables

	scanned := runArgs("keys", "-l", dir, "a")
	want := fmt.Sprintf("%d\ta.txt\n%d\ta/b\n%d\ta/deep/down\n", len(files["a.txt"]), len(files["a/b"]), len(files["a/deep/down"]))
	if scanned.stdout != want {
		t.Errorf("scan:\n%swant\n%s", scanned.stdout, want)
	}
	if r := runArgs("get", dir, "large"); r.stdout != files["large"] {
		t.Errorf("large has come back with %d bytes, want %d as they were", len(r.stdout), len(files["large"]))
	}
}

func TestVerifyTreeFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, src string)
		lines  string
		counts string
	}{
		{"another content", func(t *testing.T, src string) {
			writeTree(t, src, map[string]string{"a/b": "IN A DIRECTORY"})
		}, "changed a/b\n", "2 same, 1 changed, 0 missing, 0 extra"},
		{"another size", func(t *testing.T, src string) {
			writeTree(t, src, map[string]string{"a/b": ""})
		}, "changed a/b\n", "2 same, 1 changed, 0 missing, 0 extra"},
		{"a file without a key in the middle", func(t *testing.T, src string) {
			writeTree(t, src, map[string]string{"b": "new"})
		}, "missing b\n", "3 same, 0 changed, 1 missing, 0 extra"},
		{"files without keys at the end", func(t *testing.T, src string) {
			writeTree(t, src, map[string]string{"z/1": "", "z/2": ""})
		}, "missing z/1\nmissing z/2\n", "3 same, 0 changed, 2 missing, 0 extra"},
		{"a key without a file", func(t *testing.T, src string) {
			remove(t, filepath.Join(src, "a.txt"))
		}, "extra a.txt\n", "2 same, 0 changed, 0 missing, 1 extra"},
		{"no files at all", func(t *testing.T, src string) {
			remove(t, src)
			writeTree(t, src, map[string]string{"only": ""})
		}, "extra a.txt\nextra a/b\nextra c\nmissing only\n", "0 same, 0 changed, 1 missing, 3 extra"},
		{"a directory in place of a file", func(t *testing.T, src string) {
			remove(t, filepath.Join(src, "c"))
			writeTree(t, src, map[string]string{"c/d": ""})
		}, "extra c\nmissing c/d\n", "2 same, 0 changed, 1 missing, 1 extra"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmp := t.TempDir()
			dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
			writeTree(t, src, map[string]string{"a.txt": "text", "a/b": "in a directory", "c": "last"})
			runArgs("import-tree", dir, src).want(t, exitOK, "imported 3 files", "")
			c.change(t, src)
			r := runArgs("verify-tree", dir, src)
			r.want(t, exitFailed, c.counts, "the database and the files differ")
			if !strings.HasPrefix(r.stdout, c.lines+"compared ") {
				t.Errorf("listed:\n%swant\n%s", r.stdout, c.lines)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func TestTreeSkips(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"file": "content"})
	if err := os.Symlink("file", filepath.Join(src, "link")); err != nil {
		t.Skip("no symbolic links:", err)
	}
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 1 file, 7 B in ", "")
	r := runArgs("verify-tree", dir, src)
	r.want(t, exitOK, "1 same, 0 changed, 0 missing, 0 extra; skipped 1 that are not regular files\n", "")

	// The source itself may be reached through a link.
	link := filepath.Join(tmp, "link")
	if err := os.Symlink(src, link); err != nil {
		t.Fatal(err)
	}
	runArgs("verify-tree", dir, link).want(t, exitOK, "1 same", "")
}

func TestImportRefuses(t *testing.T) {
	tmp := t.TempDir()
	src := filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"a": "1"})
	file := filepath.Join(src, "a")
	for _, c := range []struct {
		name, dir, src, message string
	}{
		{"no source", filepath.Join(tmp, "db"), filepath.Join(tmp, "none"), filepath.Join(tmp, "none")},
		{"a file for a source", filepath.Join(tmp, "db"), file, "is not a directory"},
		{"a database below the source", filepath.Join(src, "deep", "db"), src, "lies in"},
		{"the source itself", src, src, "lies in"},
	} {
		t.Run(c.name, func(t *testing.T) { runArgs("import-tree", c.dir, c.src).want(t, exitFailed, "", c.message) })
	}
	if names, err := os.ReadDir(src); err != nil || len(names) != 1 {
		t.Errorf("a refused import has left %v in the source: %v", names, err)
	}
}

func TestImportTooLarge(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"b": ""})
	if err := os.Truncate(filepath.Join(src, "b"), ebb.MaxValueSize+1); err != nil { // a hole
		t.Skip("no room for a large file:", err)
	}
	want := fmt.Sprintf("b has %d bytes, and a value can have %d", ebb.MaxValueSize+1, ebb.MaxValueSize)
	runArgs("import-tree", dir, src).want(t, exitFailed, "", want)
}
