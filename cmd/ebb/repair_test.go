package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// damagedDB makes a database with three tables and a log: values, overwritten values, deletes, a range delete, deadlines.
func damagedDB(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	want = make(map[string]string)
	db, err := ebb.Open(dir, nil)
	check(t, err)
	for round := range 3 {
		for i := range 400 {
			key := fmt.Sprintf("key%04d", i+round*100)
			want[key] = strings.Repeat(fmt.Sprint(round, " "), 100)
			check(t, db.Put([]byte(key), []byte(want[key]), ebb.NoSync, ebb.TTL(time.Duration(round)*time.Hour)))
		}
		check(t, db.Delete([]byte("key0000")))
		delete(want, "key0000")
		if round == 1 {
			check(t, db.DeleteRange([]byte("key0010"), []byte("key0020")))
			for i := range 10 {
				delete(want, fmt.Sprintf("key%04d", i+10))
			}
		}
		check(t, db.Flush())
	}
	var b ebb.Batch
	check(t, b.Put([]byte("log1"), []byte{0, 0xff}))
	check(t, b.Delete([]byte("key0300")))
	check(t, db.Apply(&b))
	check(t, db.Put([]byte("key0301"), nil))
	delete(want, "key0300")
	want["log1"], want["key0301"] = "\x00\xff", ""
	check(t, db.Close())
	return dir, want
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents returns what a database holds.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	db, err := ebb.Open(dir, nil)
	check(t, err)
	defer db.Close()
	all := make(map[string]string)
	for e, err := range db.Range(nil) {
		check(t, err)
		all[string(e.Key)] = string(e.Value)
	}
	return all
}

func diff(got, want map[string]string) (missing, wrong, extra int) {
	for k, v := range want {
		if g, ok := got[k]; !ok {
			missing++
		} else if g != v {
			wrong++
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			extra++
		}
	}
	return missing, wrong, extra
}

// files returns the content of every file below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	check(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all[name] = string(b)
		return err
	}))
	return all
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names[0]
}

func change(t *testing.T, name string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	check(t, err)
	check(t, os.WriteFile(name, edit(b), 0o600))
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at%len(b)] ^= 0x10; return b }
}

func TestRepair(t *testing.T) {
	for _, c := range []struct {
		name    string
		damage  func(t *testing.T, dir string)
		code    int
		stdout  string
		missing int // at most
		wrong   int // at most, as older values come back
		extra   int
	}{
		{"nothing wrong", func(*testing.T, string) {}, exitOK, "saved ", 0, 0, 0},
		{"no manifest", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "MANIFEST"))) },
			exitFailed, "lost: ", 0, 0, 0},
		{"a damaged manifest", func(t *testing.T, dir string) { change(t, filepath.Join(dir, "MANIFEST"), flip(70)) },
			exitFailed, "manifest", 0, 0, 0},
		{"a damaged block", func(t *testing.T, dir string) { change(t, one(t, dir+"/tables/*.tbl"), flip(5000)) },
			exitFailed, "lost: ", 40, 40, 40},
		{"a table cut short", func(t *testing.T, dir string) {
			change(t, one(t, dir+"/tables/*.tbl"), func(b []byte) []byte { return b[:len(b)/2] })
		}, exitFailed, "footer", 500, 500, 500},
		{"a damaged table header", func(t *testing.T, dir string) { change(t, one(t, dir+"/tables/*.tbl"), flip(10)) },
			exitFailed, "table header", 700, 700, 700},
		{"a missing table", func(t *testing.T, dir string) { check(t, os.Remove(one(t, dir+"/tables/*.tbl"))) },
			exitFailed, "lost: ", 700, 700, 700},
		{"no log", func(t *testing.T, dir string) { check(t, os.RemoveAll(dir+"/wal")) }, exitFailed, "lost: ", 1, 1, 1},
		{"a segment of another database", func(t *testing.T, dir string) {
			other, _ := damagedDB(t)
			b, err := os.ReadFile(one(t, other+"/wal/*.wal"))
			check(t, err)
			check(t, os.WriteFile(one(t, dir+"/wal/*.wal"), b, 0o600))
		}, exitFailed, "another database", 1, 1, 1},
		{"a table of another database", func(t *testing.T, dir string) {
			other, _ := damagedDB(t)
			b, err := os.ReadFile(one(t, other+"/tables/*.tbl"))
			check(t, err)
			check(t, os.WriteFile(one(t, dir+"/tables/*.tbl"), b, 0o600))
		}, exitFailed, "another database", 700, 700, 700},
		{"a damaged segment header", func(t *testing.T, dir string) { change(t, one(t, dir+"/wal/*.wal"), flip(20)) },
			exitFailed, "segment header", 1, 1, 1},
		{"a log that ends early", func(t *testing.T, dir string) {
			change(t, one(t, dir+"/wal/*.wal"), func(b []byte) []byte { return b[:61] }) // behind its header
			runArgs("verify", dir).want(t, exitFailed, "", "end of log")
		}, exitFailed, "the log ends in segment", 1, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, want := damagedDB(t)
			c.damage(t, dir)
			before := files(t, dir)
			dest := filepath.Join(t.TempDir(), "new")
			r := runArgs("repair", dir, dest)
			if r.code != c.code || !strings.Contains(r.stdout, c.stdout) {
				t.Errorf("exit code %d, %s\n%s", r.code, r.stdout, r.stderr)
			}
			missing, wrong, extra := diff(contents(t, dest), want)
			if missing > c.missing || wrong > c.wrong || extra > c.extra {
				t.Errorf("%d missing, %d wrong, %d extra; want at most %d, %d, %d\n%s", missing, wrong, extra, c.missing, c.wrong, c.extra, r.stdout)
			}
			if after := files(t, dir); len(after) != len(before) {
				t.Errorf("%d files have become %d", len(before), len(after))
			} else if m, w, _ := diff(after, before); m+w > 0 {
				t.Errorf("%d files of the source are gone, and %d have changed", m, w)
			}
			runArgs("verify", dest).want(t, exitOK, "no damage", "")
		})
	}
}

// retainedDB makes a database of one key whose log is kept from the beginning: also the deletes of 18 keys that tables no longer
// know, as they were compacted away. It returns the obsolete segments.
func retainedDB(t *testing.T) (dir string, obsolete []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, &ebb.Options{RetainLog: 1 << 30})
	check(t, err)
	for _, write := range []func(key []byte) error{
		func(key []byte) error { return db.Put(key, []byte("old"), ebb.NoSync) },
		func(key []byte) error { return db.Put(key, []byte("newer"), ebb.NoSync) },
		func(key []byte) error { return db.Delete(key, ebb.NoSync) },
	} {
		for i := range 18 {
			check(t, write(fmt.Appendf(nil, "key%02d", i)))
		}
		check(t, db.Flush())
	}
	check(t, db.Compact(t.Context()))
	check(t, db.Put([]byte("live"), []byte("1")))
	check(t, db.Close())
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	check(t, err)
	if len(segments) < 4 {
		t.Fatalf("segments %q", segments)
	}
	return dir, segments[:len(segments)-1]
}

// What is obsolete is no data, whether it is whole or not, as long as the manifest says what is.
func TestRepairObsoleteSegments(t *testing.T) {
	live := map[string]string{"live": "1"}
	repaired := func(t *testing.T, dir string, code int, stdout string) (got map[string]string, output string) {
		t.Helper()
		dest := filepath.Join(t.TempDir(), "new")
		r := runArgs("repair", dir, dest)
		if r.code != code || !strings.Contains(r.stdout, stdout) {
			t.Errorf("exit code %d, %s%s, want %d and %q", r.code, r.stdout, r.stderr, code, stdout)
		}
		return contents(t, dest), r.stdout
	}
	same := func(t *testing.T, got map[string]string) {
		t.Helper()
		if missing, wrong, extra := diff(got, live); missing+wrong+extra > 0 {
			t.Errorf("%d missing, %d wrong, %d extra", missing, wrong, extra)
		}
	}
	_, obsolete := retainedDB(t)
	for i := range obsolete {
		for what, damage := range map[string]func(t *testing.T, name string){
			"missing": func(t *testing.T, name string) { check(t, os.Remove(name)) },
			"damaged": func(t *testing.T, name string) { change(t, name, flip(80)) },
			"header":  func(t *testing.T, name string) { change(t, name, flip(20)) },
		} {
			t.Run(fmt.Sprintf("%d %s", i+1, what), func(t *testing.T) {
				dir, obsolete := retainedDB(t)
				damage(t, obsolete[i])
				got, output := repaired(t, dir, exitOK, "saved 1 keys")
				same(t, got)
				if strings.Contains(output, "lost") || strings.Contains(output, "assumed") {
					t.Error(output)
				}
			})
		}
	}
	t.Run("under a live name", func(t *testing.T) {
		dir, obsolete := retainedDB(t)
		b, err := os.ReadFile(obsolete[0])
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, "wal", "000099.wal"), b, 0o600))
		got, _ := repaired(t, dir, exitFailed, "it is segment 1, which is obsolete")
		same(t, got)
	})
	t.Run("the live one missing", func(t *testing.T) {
		dir, obsolete := retainedDB(t)
		check(t, os.Remove(filepath.Join(dir, "wal", fmt.Sprintf("%06d.wal", len(obsolete)+1))))
		got, _ := repaired(t, dir, exitFailed, "lost: ")
		if len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
	t.Run("no manifest", func(t *testing.T) {
		dir, _ := retainedDB(t)
		check(t, os.Remove(filepath.Join(dir, "MANIFEST")))
		got, _ := repaired(t, dir, exitFailed, "assumed: every table and every log segment counts")
		same(t, got)
	})
	t.Run("no manifest and a segment missing", func(t *testing.T) {
		dir, obsolete := retainedDB(t)
		check(t, os.Remove(filepath.Join(dir, "MANIFEST")))
		check(t, os.Remove(obsolete[2]))
		_, output := repaired(t, dir, exitFailed, "what it continues is not what is left of the segment before")
		if !strings.Contains(output, "may be back") {
			t.Error(output)
		}
	})
}

// Whatever byte is damaged, repair ends, tells, and makes a whole database.
func TestRepairAnyByte(t *testing.T) {
	dir, want := damagedDB(t)
	for name, content := range files(t, dir) {
		step := len(content)/12 + 1
		for at := 0; at < len(content); at += step {
			damaged := []byte(content)
			damaged[at] ^= 0x40
			check(t, os.WriteFile(name, damaged, 0o600))
			dest := filepath.Join(t.TempDir(), "new")
			r := runArgs("repair", dir, dest)
			got := contents(t, dest)
			if missing, wrong, extra := diff(got, want); missing+wrong+extra > 0 && r.code != exitFailed {
				t.Errorf("%s, byte %d: %d missing, %d wrong, %d extra, and exit code %d\n%s", name, at, missing, wrong, extra, r.code, r.stdout)
			}
		}
		check(t, os.WriteFile(name, []byte(content), 0o600))
	}
}

func TestRepairRefuses(t *testing.T) {
	dir, _ := damagedDB(t)
	empty, missing := t.TempDir(), filepath.Join(t.TempDir(), "missing")
	runArgs("repair", missing, empty).want(t, exitFailed, "", "missing")
	runArgs("repair", empty, missing).want(t, exitFailed, "", "not a database")
	runArgs("repair", dir, dir).want(t, exitFailed, "", "target exists")
	runArgs("repair", dir, filepath.Join(dir, "new")).want(t, exitFailed, "", "lies in")
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a refused repair has made a directory in the source")
	}
}

func TestDump(t *testing.T) {
	dir, _ := damagedDB(t)
	for pattern, wants := range map[string][]string{
		"MANIFEST":     {"manifest header", "table level=", "end tables="},
		"wal/*.wal":    {"segment header", "batch seq=", "  put key=log1 value=\"\\x00\\xff\"", "delete key=key0300", "put seq=", "close segment="},
		"tables/*.tbl": {"table header", "data block", "tombstone", "hash page page=0", "properties entries=", "footer index="},
	} {
		name := one(t, filepath.Join(dir, pattern))
		for _, args := range [][]string{{"dump", name}, {"dump", "-json", name}} {
			r := runArgs(args...)
			if r.code != exitOK || r.stderr != "" {
				t.Errorf("%v: %d, %s", args, r.code, r.stderr)
			}
			for _, w := range wants {
				if len(args) == 2 && !strings.Contains(r.stdout, w) {
					t.Errorf("%v does not show %q", args, w)
				}
			}
		}
		change(t, name, func(b []byte) []byte { return append(b, "torn"...) })
		r := runArgs("dump", name)
		if r.code != exitFailed || !strings.Contains(r.stderr, "4 bytes before the end") {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.stderr)
		}
	}
	runArgs("dump", filepath.Join(dir, "none")).want(t, exitFailed, "", "none")
	junk := filepath.Join(dir, "junk")
	check(t, os.WriteFile(junk, bytes.Repeat([]byte("junk"), 100), 0o600))
	runArgs("dump", junk).want(t, exitFailed, "", "no record at offset 0")
}
