package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ebbdb/ebb"
)

// crashed returns a copy of a database that nobody has closed.
func crashed(t *testing.T) string {
	t.Helper()
	dir, copied := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "copy")
	db, err := ebb.Open(dir, nil)
	check(t, err)
	defer db.Close()
	check(t, db.Put([]byte("k"), make([]byte, 1_500_000)))
	check(t, os.CopyFS(copied, os.DirFS(dir)))
	return copied
}

// fileBytes returns the size of the log's segments.
func fileBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	check(t, err)
	for _, name := range names {
		info, err := os.Stat(name)
		check(t, err)
		n += info.Size()
	}
	return n
}

// The first line is the verdict, the log is counted, and it all fits.
func TestStats(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put a 1 -ttl 1h\nflush\nput b 2\n", exitOK, "", "")
	r := runArgs("stats", dir)
	if !strings.HasPrefix(r.stdout, "healthy\n\n") || !strings.Contains(r.stdout, "owner:                       none (the last was process ") {
		t.Error(r.stdout)
	}
	r = runArgs("stats", "-json", dir)
	var s map[string]any
	check(t, json.Unmarshal([]byte(r.stdout), &s))
	bytes := float64(fileBytes(t, dir))
	if s["log_size_bytes"] != bytes || s["disk_bytes"] != bytes+s["tables_size_bytes"].(float64) || s["verdict"] != "healthy" || s["owner"] != nil ||
		s["sequence"] != 2.0 || len(s["database_id"].(string)) != 32 || s["format"] != 1.0 || s["directory"] != dir {
		t.Errorf("%v of log, %v", bytes, s)
	}

	dir = crashed(t)
	r = runArgs("stats", dir)
	if !strings.HasPrefix(r.stdout, "healthy: it was not closed, so whoever opens it to write first replays 1.5 MB of") ||
		!strings.Contains(r.stdout, "disk:                        "+size(fileBytes(t, dir))+"\n") {
		t.Error(r.stdout)
	}
	fits(t, r.stdout, "directory:")
	script(t, dir, "count\n", exitOK, "1\n", "") // an owner that closes it
	r = runInput("put a 1\nstats\n", dir)
	if !strings.HasPrefix(r.stdout, "healthy\n\n") || !strings.Contains(r.stdout, "this process\n") || !strings.Contains(r.stdout, "\nsyncs: ") {
		t.Error(r.stdout)
	}
	fits(t, r.stdout, "directory:")
	check(t, os.Remove(filepath.Join(dir, "LOCK")))
	runArgs("stats", dir).want(t, exitOK, "owner:                       none\n", "")
}

// fits holds that no line is wider than a terminal, but for those that begin with what a user has named.
func fits(t *testing.T, text string, but ...string) {
	t.Helper()
lines:
	for line := range strings.Lines(text) {
		for _, b := range but {
			if strings.HasPrefix(line, b) {
				continue lines
			}
		}
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > helpWidth {
			t.Errorf("wider than %d columns: %s", helpWidth, line)
		}
	}
}

// The worst comes first, and each says what to do.
func TestVerdict(t *testing.T) {
	levels := make([]ebb.LevelStats, 7)
	full := append([]ebb.LevelStats{{Tables: manyTables}}, levels...)
	broken := errors.New("input/output error")
	dirty := ebb.Recovered{Bytes: 2_000_000}
	for _, c := range []struct {
		name  string
		stats ebb.Stats
		found ebb.Recovered
		owned bool
		want  string
	}{
		{"nothing", ebb.Stats{}, ebb.Recovered{Clean: true}, false, "healthy"},
		{"failed", ebb.Stats{Failure: broken, DamagedTables: 1}, dirty, true, "failed: no write is taken any more: input/output error"},
		{"damaged", ebb.Stats{DamagedTables: 2, DamagedBytes: 3000, Background: broken}, dirty, true,
			"damaged: 2 tables (3.0 KB) cannot be read whole. Restore a backup, or: 'ebb verify \"a b\"' reads every byte, 'ebb repair \"a b\" NEWDIR'"},
		{"background", ebb.Stats{Background: broken, Levels: full}, dirty, true, "behind: a flush or a compaction has failed"},
		{"level 0", ebb.Stats{Levels: full}, dirty, true, "behind: 40 tables wait"},
		{"not closed", ebb.Stats{}, dirty, false, "healthy: it was not closed, so whoever opens it to write first replays 2.0 MB of log."},
		{"not closed yet", ebb.Stats{}, dirty, true, "healthy"},
		{"torn", ebb.Stats{LogCutBytes: 1}, dirty, true, "healthy: the log ends in 1 byte that"},
		{"expired", ebb.Stats{ExpiredBytes: muchExpired}, ebb.Recovered{Clean: true}, false, "healthy: 16.8 MB have expired"},
		{"expired, and somebody sees to it", ebb.Stats{ExpiredBytes: muchExpired}, ebb.Recovered{Clean: true}, true, "healthy"},
	} {
		s := newSession(globals{}, nil, nil, nil)
		s.dir, s.opened.found = "a b", c.found
		if c.stats.Levels == nil {
			c.stats.Levels = levels
		}
		v := s.judge(c.stats, c.owned)
		if got := v.text(); !strings.HasPrefix(got, c.want) || v.about == "" && got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 KB", 4444: "4.4 KB", 999_949: "999.9 KB", 999_950: "1.0 MB", 1_800_000: "1.8 MB",
		2_500_000_000: "2.5 GB", 1<<63 - 1: "9.2 EB", -1500: "-1.5 KB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
