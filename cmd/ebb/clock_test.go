package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// TestClock shows and resets the time of a database that a clock a year ahead has had.
func TestClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, nil)
	check(t, err)
	check(t, db.Put([]byte("session"), []byte("1"), ebb.TTL(24*time.Hour)))
	check(t, db.Close())
	runArgs("clock", dir).want(t, exitOK, "nothing to reset", "")
	runArgs("clock", dir, "-reset", "now", "-yes").want(t, exitOK, "nothing to reset", "")

	db, err = ebb.Open(dir, &ebb.Options{Clock: func() time.Time { return time.Now().Add(365 * 24 * time.Hour) }})
	check(t, err)
	check(t, db.Put([]byte("late"), []byte("1"), ebb.TTL(time.Minute)))
	runArgs("clock", dir, "-reset", "now", "-yes").want(t, exitFailed, "1 key come", "locked")
	check(t, db.Close())

	runArgs("get", dir, "session").want(t, exitNo, "", "no key session")
	runArgs("clock", dir).want(t, exitOK, "ahead", "")
	runArgs("clock", dir, "-reset", "now").want(t, exitFailed, "1 key come back", "-yes does it")
	runArgs("get", dir, "session").want(t, exitNo, "", "no key session")
	runArgs("clock", dir, "-reset", "now", "-yes").want(t, exitOK, "time goes on at", "")
	runArgs("get", dir, "session").want(t, exitOK, "1", "")
	if r := runArgs("clock", "-json", dir); !strings.Contains(r.stdout, `"ahead_ms":0`) {
		t.Errorf("%q", r.stdout)
	}

	runArgs("clock", dir, "-yes").want(t, exitUsage, "", "-yes is for -reset")
	runArgs("clock", dir, "-reset", "soon").want(t, exitUsage, "", "no time such as")
	runArgs("clock", filepath.Join(dir, "none")).want(t, exitFailed, "", "none")
}
