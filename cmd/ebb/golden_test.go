package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Golden databases, of every format that a release has written (see golden_test.go of ebb), are verified, dumped and repaired.
func TestGoldenDatabases(t *testing.T) {
	sets, err := filepath.Glob("../../testdata/format/*/*")
	check(t, err)
	if len(sets) == 0 {
		t.Error("there are none")
	}
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			dir, repaired := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "repaired")
			check(t, os.CopyFS(dir, os.DirFS(filepath.Join(set, "db"))))
			text, err := os.ReadFile(filepath.Join(set, "content"))
			check(t, err)
			want := make(map[string]string)
			for line := range strings.Lines(string(text)) {
				var key, value string
				var version, deadline int64
				n, _ := fmt.Sscanf(line, "entry %q %q version %d deadline %d", &key, &value, &version, &deadline)
				if n == 4 && (deadline == 0 || deadline > time.Now().UnixMilli()) {
					want[key] = value
				}
			}
			runArgs("verify", dir).want(t, exitOK, "no damage", "")
			runArgs("repair", dir, repaired).want(t, exitOK, fmt.Sprintf("saved %d keys", len(want)), "")
			if got := contents(t, repaired); !maps.Equal(got, want) || len(want) == 0 {
				t.Errorf("repaired\n%v, want\n%v", got, want)
			}
			names := []string{filepath.Join(set, "full"), filepath.Join(set, "next")}
			for name := range files(t, dir) {
				if filepath.Base(name) != "LOCK" {
					names = append(names, name)
				}
			}
			for _, name := range names {
				if r := runArgs("dump", name); r.code != exitOK || strings.Contains(r.stdout, " error=") || r.stdout == "" {
					t.Errorf("dump %s: exit code %d, %s%s", name, r.code, r.stdout, r.stderr)
				}
			}
		})
	}
}
