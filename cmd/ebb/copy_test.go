package main

import (
	"path/filepath"
	"testing"

	"github.com/ebbdb/ebb"
)

func TestBackupRestore(t *testing.T) {
	tmp := t.TempDir()
	at := func(name string) string { return filepath.Join(tmp, name) }
	dir := at("db")
	script(t, dir, "put a 1\nput \"\\x00\\xff\" \"\\xfe\" -ttl 1h\nput gone 1\n", exitOK, "", "")
	runArgs("backup", dir, at("full")).want(t, exitOK, "3 entries up to sequence 3", "")
	script(t, dir, "put b 2\ndel gone\n", exitOK, "", "")
	want := runArgs("export", dir).stdout
	r := runArgs("-json", dir, "backup", "-since", "3", at("more"))
	r.want(t, exitOK, `"since":3,"through":5,`, "")
	runArgs("restore", at("copy"), at("full"), at("more")).want(t, exitOK, "restored ", "")
	if got := runArgs("export", at("copy")).stdout; got != want {
		t.Errorf("restored\n%swant\n%s", got, want)
	}

	// Through pipes, too.
	file := runArgs("backup", "-zstd", dir, "-")
	file.want(t, exitOK, "ebb snap", "")
	runInput(file.stdout, "restore", at("piped"), "-").want(t, exitOK, "restored ", "")
	if got := runArgs("export", at("piped")).stdout; got != want {
		t.Errorf("restored from a pipe\n%swant\n%s", got, want)
	}
	script(t, at("other"), "put a old\nput other 1\n", exitOK, "", "")
	runInput(file.stdout, "ingest", at("other"), "-").want(t, exitOK, "ingested ", "")
	runArgs("get", at("other"), "a").want(t, exitOK, "1", "")
	runArgs("get", at("other"), "other").want(t, exitOK, "1", "")
	script(t, at("other"), "put later 1\n", exitOK, "", "")
	runArgs("repair", at("other"), at("repaired")).want(t, exitOK, "saved 5 keys", "") // the log has skipped sequences, and is whole
	if got := runArgs("export", at("repaired")).stdout; got != runArgs("export", at("other")).stdout {
		t.Errorf("repaired\n%s", got)
	}
	runArgs("checkpoint", dir, at("checkpoint")).want(t, exitOK, "1 table, ", "")
	if got := runArgs("export", at("checkpoint")).stdout; got != want {
		t.Errorf("the checkpoint holds\n%swant\n%s", got, want)
	}

	runArgs("restore", at("copy"), at("full")).want(t, exitFailed, "", "ebb restore: ")
	runArgs("restore", at("wrong"), at("more")).want(t, exitFailed, "", "ebb restore: ")
	runArgs("restore", at("wrong"), at("none")).want(t, exitFailed, "", "none")
	change(t, at("full"), flip(100))
	runArgs("restore", at("wrong"), at("full")).want(t, exitFailed, "", "corrupt")
	runArgs("ingest", dir, at("full")).want(t, exitFailed, "", "corrupt")
	runArgs("checkpoint", dir, dir).want(t, exitFailed, "", "ebb checkpoint: ")
	runArgs("backup", "-since", "99", dir, at("future")).want(t, exitFailed, "", "since 99")
	for _, name := range []string{"wrong", "future"} {
		if exists(at(name)) {
			t.Errorf("what failed has left %s", name)
		}
	}
	if left, _ := filepath.Glob(at(".ebb-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := runArgs("export", dir).stdout; got != want {
		t.Errorf("the database has become\n%swant\n%s", got, want)
	}
}

// A backup can be taken beside an owner, and shown.
func TestBackupBesideOwner(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "file")
	db, err := ebb.Open(dir, nil)
	check(t, err)
	defer db.Close()
	check(t, db.Put([]byte("a key"), []byte("v")))
	var b ebb.Batch
	check(t, b.SetWriter(7, 0))
	check(t, b.Delete([]byte("nothing")))
	check(t, db.Apply(&b))
	runArgs("backup", dir, file).want(t, exitOK, "1 entry", "")
	dump := runArgs("dump", file)
	for _, part := range []string{" snapshot header format=2 file=", " put seq=1 key=\"a key\" value=v", " writer writer=7 ", " end entries=1 "} {
		dump.want(t, exitOK, part, "")
	}
}
