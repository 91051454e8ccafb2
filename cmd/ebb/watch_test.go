package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// Beside an owner watch goes on with what that writes, and past the next flush.
func TestWatchBesideOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, &ebb.Options{Sync: ebb.SyncNever, RetainLog: 1 << 30})
	check(t, err)
	defer db.Close()
	check(t, db.Put([]byte("past"), []byte("v")))
	runArgs("watch", dir, "-from", "1", "-past").want(t, exitOK, "1\tput\tpast\tv\n", "")
	const n = 50
	done := make(chan result)
	go func() { done <- runArgs("watch", dir, "-limit", fmt.Sprint(n)) }()
	seen := result{code: -1}
	for i := 0; seen.code < 0; i++ {
		check(t, db.Put(fmt.Appendf(nil, "k%06d", i), nil))
		if i%1000 == 999 {
			check(t, db.Flush())
		}
		select {
		case seen = <-done:
		default:
		}
	}
	lines := strings.Split(strings.TrimSuffix(seen.stdout, "\n"), "\n")
	var first int
	if _, err := fmt.Sscanf(lines[0], "%d\tput\tk", &first); err != nil || len(lines) != n || seen.code != exitOK {
		t.Fatalf("%+v, %v", seen, err)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("%d\tput\tk%06d\t\"\"", first+i, first+i-2); line != want {
			t.Fatalf("%s, want %s", line, want)
		}
	}
}

func TestWatchPast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put a 1\nput b \"\\xff\"\ndel a\nbegin\nput a 2\nput c 3\ncommit\ndelrange c d\n"+
		"watch -past -from 1\nwatch -past -from 1 a\nwatch -from 2 -limit 1\nwatch -past -from 99\nwatch -from 8\n", exitNo,
		"committed 2 operations\n"+
			"1\tput\ta\t1\n2\tput\tb\t\"\\xff\"\n3\tdelete\ta\n4\tput\ta\t2\n5\tput\tc\t3\n6\tdelete range\tc\td\n"+
			"1\tput\ta\t1\n3\tdelete\ta\n4\tput\ta\t2\n"+
			"2\tput\tb\t\"\\xff\"\n", "nothing has the sequence 99 yet: the newest is 6\nline 13: nothing has the sequence 8 yet")
	script(t, dir, "watch -past\n", exitUsage, "", "that -from has to tell")
	runArgs("-json", dir, "watch", "-from", "2", "-limit", "1").want(t, exitOK, `{"seq":2,"change":"put","key":"b","value64":"/w=="}`, "")
	script(t, dir, "flush\nwatch -from 1 -limit 1\n", exitFailed, "", "watch from 1")
}
