package main

import (
	"path/filepath"
	"testing"
)

func TestWatchPast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put a 1\nput b \"\\xff\"\ndel a\nbegin\nput a 2\nput c 3\ncommit\ndelrange c d\n"+
		"watch -past -from 1\nwatch -past -from 1 a\nwatch -from 2 -limit 1\nwatch -past\nwatch -past -from 99\n", exitOK,
		"committed 2 operations\n"+
			"1\tput\ta\t1\n2\tput\tb\t\"\\xff\"\n3\tdelete\ta\n4\tput\ta\t2\n5\tput\tc\t3\n6\tdelete range\tc\td\n"+
			"1\tput\ta\t1\n3\tdelete\ta\n4\tput\ta\t2\n"+
			"2\tput\tb\t\"\\xff\"\n", "")
	runArgs("-json", dir, "watch", "-from", "2", "-limit", "1").want(t, exitOK, `{"seq":2,"change":"put","key":"b","value64":"/w=="}`, "")
	script(t, dir, "flush\nwatch -from 1 -limit 1\n", exitFailed, "", "watch from 1")
}
