package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/wal"
)

// newer makes a file one of the next version of its kind, with a header that is longer by so many bytes.
func newer(t *testing.T, name string, longer int) {
	t.Helper()
	change(t, name, func(data []byte) []byte {
		rec, n, err := wal.DecodeStored(data)
		check(t, err)
		h := append([]byte(nil), rec.Value...)
		h[1]++
		out, err := wal.AppendRecord(nil, &wal.Record{Value: append(h, make([]byte, longer)...)})
		check(t, err)
		return append(out, data[n:]...)
	})
}

// Each kind of file is refused by everything that reads it if a newer release has written it, with its version and ours, as no
// damage; and nothing is changed.
func TestNewerVersions(t *testing.T) {
	whole := []string{"put %s k v", "get %s k", "-readonly %s get k", "verify %s", "stats %s", "backup %s %[2]s", "checkpoint %s %[2]s",
		"compact %s", "export %s %[2]s", "repair %s %[2]s", "watch -from 1 -past %s", "clock %s", "clock %s -reset now -yes"}
	for _, kind := range []struct {
		name, file string
		known      int
		commands   []string
	}{
		{"log segment", "wal/*.wal", format.LogSegment, whole},
		{"table", "tables/*.tbl", format.Table, whole},
		{"manifest", "MANIFEST", format.Manifest, whole},
		{"snapshot file", "../backup", format.SnapshotFile, []string{"restore %[2]s %[3]s", "ingest %s %[3]s"}},
	} {
		for _, longer := range []int{0, 40} {
			t.Run(fmt.Sprint(kind.name, ", a header longer by ", longer), func(t *testing.T) {
				dir, _ := damagedDB(t)
				runArgs("backup", dir, filepath.Join(dir, "../backup")).want(t, exitOK, "entries", "")
				name := one(t, filepath.Join(dir, kind.file))
				newer(t, name, longer)
				before := files(t, dir)
				for _, command := range append(kind.commands, "dump %[3]s") {
					target := filepath.Join(t.TempDir(), "target")
					r := runArgs(strings.Fields(fmt.Sprintf(command+"%.0[1]s%.0[2]s%.0[3]s", dir, target, name))...)
					want := fmt.Sprintf("written by a newer release: %s version %d, this release knows %d", kind.name, kind.known+1, kind.known)
					if r.code != exitFailed || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "corrupt") {
						t.Errorf("%s: exit code %d, %s%s", command, r.code, r.stdout, r.stderr)
					}
					if _, err := os.Stat(target); err == nil {
						t.Errorf("%s has made its target", command)
					}
				}
				after := files(t, dir)
				delete(before, filepath.Join(dir, "LOCK"))
				delete(after, filepath.Join(dir, "LOCK"))                       // which says who has tried
				if !maps.Equal(before, after) && kind.name != "snapshot file" { // ingest opens and closes a database that is well
					t.Error("the directory has changed")
				}
			})
		}
	}
}
