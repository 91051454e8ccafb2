package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// result is what a run has left.
type result struct {
	code           int
	stdout, stderr string
}

// runArgs runs the command with an empty standard input.
func runArgs(args ...string) result { return runInput("", args...) }

func runInput(stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// want fails the test unless the run ended with a code and its streams contain what they should. Nothing means empty.
func (r result) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	contains := func(s, part string) bool { return part == "" && s == "" || part != "" && strings.Contains(s, part) }
	if r.code != code || !contains(r.stdout, stdout) || !contains(r.stderr, stderr) {
		t.Errorf("exit code %d, stdout %q, stderr %q\nwant %d, %q, %q", r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"nothing", nil, exitUsage, "", "usage: ebb [flags] DIR"},
		{"help", []string{"help"}, exitOK, "usage: ebb [flags] DIR", ""},
		{"help flag", []string{"-h"}, exitOK, "usage: ebb [flags] DIR", ""},
		{"unknown command", []string{"gte", "x"}, exitUsage, "", `ebb: "gte" is neither a command nor a directory: did you mean "get"?`},
		{"help of a command", []string{"put", "-h"}, exitOK, "-ttl duration", ""},
		{"too few", []string{"get", missing}, exitUsage, "", "ebb get: arguments are missing\nusage: ebb DIR get"},
		{"too many", []string{"get", missing, "a", "b"}, exitUsage, "", "too many arguments, from \"b\" on\nusage: ebb DIR get"},
		{"unknown flag", []string{"scan", missing, "-x"}, exitUsage, "", "not defined: -x\nusage: ebb DIR scan"},
		{"flag of another command", []string{"get", "-ttl", "1s", missing, "a"}, exitUsage, "", "not defined: -ttl"},
		{"bad duration", []string{"put", missing, "a", "b", "-ttl", "soon"}, exitUsage, "", "\"soon\" for flag -ttl"},
		{"flag without its value", []string{"put", missing, "a", "b", "-ttl"}, exitUsage, "", "needs an argument: -ttl"},
		{"flag between", []string{missing, "-time"}, exitUsage, "", `"-time" comes before DIR, or after a command`},
		{"nothing after a dash dash", []string{"get", missing, "--"}, exitUsage, "", "arguments are missing"},
	} {
		t.Run(c.name, func(t *testing.T) { runArgs(c.args...).want(t, c.code, c.stdout, c.stderr) })
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused command has made a database: %v", err)
	}
}

func TestKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	for _, c := range []struct {
		name           string
		stdin          string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"put", "", []string{"put", dir, "a", "one"}, exitOK, "", ""},
		{"get", "", []string{"get", dir, "a"}, exitOK, "one", ""},
		{"put from standard input", "\x00\xff\n", []string{"put", dir, "b"}, exitOK, "", ""},
		{"get it as it is", "", []string{"get", dir, "b"}, exitOK, "\x00\xff\n", ""},
		{"flag at the end", "", []string{"put", dir, "c", "three", "-ttl", "1h"}, exitOK, "", ""},
		{"not expired yet", "", []string{"get", dir, "c"}, exitOK, "three", ""},
		{"negative value of a flag", "", []string{"put", dir, "d", "gone", "-ttl", "-1s"}, exitOK, "", ""},
		{"flag in the middle", "", []string{"put", dir, "-ttl=-1s", "c", "gone"}, exitOK, "", ""},
		{"expired", "", []string{"get", dir, "c"}, exitNo, "", "ebb get: there is no key c\n"},
		{"key like a flag", "", []string{"put", dir, "--", "-ttl", "--"}, exitOK, "", ""},
		{"get it", "", []string{"get", dir, "--", "-ttl"}, exitOK, "--", ""},
		{"unprintable key", "", []string{"put", dir, "x\ny", ""}, exitOK, "", ""},
		{"keys", "", []string{"keys", dir, "-l"}, exitOK, "2\t\"-ttl\"\n3\ta\n3\tb\n0\t\"x\\ny\"\n", ""},
		{"scan", "", []string{"scan", dir}, exitOK, "\"-ttl\"\t\"--\"\na\tone\nb\t\"\\x00\\xff\\n\"\n\"x\\ny\"\t\"\"\n", ""},
		{"scan a prefix", "", []string{"scan", dir, "a"}, exitOK, "a\tone\n", ""},
		{"scan nothing", "", []string{"scan", dir, "zz"}, exitOK, "", ""},
		{"delete", "", []string{"del", dir, "a"}, exitOK, "", ""},
		{"deleted", "", []string{"get", dir, "a"}, exitNo, "", "there is no key a"},
		{"delete again", "", []string{"del", dir, "a"}, exitOK, "", ""},
		{"empty key", "", []string{"put", dir, "", "x"}, exitFailed, "", ebb.ErrKeyEmpty.Error()},
		{"verify", "", []string{"verify", dir}, exitOK, "no damage in 0 tables (0 B) and 1 log segment (", ""},
		{"stats", "", []string{"stats", dir}, exitOK, "log segments:                1\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) { runInput(c.stdin, c.args...).want(t, c.code, c.stdout, c.stderr) })
	}
}

// What only reads, and del, must not make a database of a mistyped name.
func TestOpenRefuses(t *testing.T) {
	tmp := t.TempDir()
	missing, empty, other := filepath.Join(tmp, "missing"), filepath.Join(tmp, "empty"), filepath.Join(tmp, "other")
	if err := errors.Join(os.Mkdir(empty, 0o700), os.Mkdir(other, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"get", "", "k"}, {"scan", ""}, {"del", "", "k"}, {"verify", ""}, {"verify-tree", "", tmp}, {"stats", ""}} {
		t.Run(c[0], func(t *testing.T) {
			for dir, message := range map[string]string{missing: missing, empty: "not a database", other: "not a database"} {
				args := append([]string(nil), c...)
				args[1] = dir
				if c[0] == "verify-tree" {
					args[2] = t.TempDir()
				}
				runArgs(args...).want(t, exitFailed, "", message)
			}
		})
	}
	runArgs("put", other, "k", "v").want(t, exitFailed, "", "not a database")
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading has made a directory: %v", err)
	}
	if names, err := os.ReadDir(empty); err != nil || len(names) > 0 {
		t.Errorf("reading has made %v in an empty directory: %v", names, err)
	}
}

func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check(t, db.Put([]byte("k"), []byte("v")))
	locked := "locked by process " + strconv.Itoa(os.Getpid())
	for _, args := range [][]string{{"put", dir, "k", "w"}, {"del", dir, "k"}, {"compact", dir}, {"import", dir}} {
		runArgs(args...).want(t, exitFailed, "", locked)
	}
	runArgs("get", dir, "k").want(t, exitOK, "v", "")
	runArgs("scan", dir).want(t, exitOK, "k\tv\n", "")
	runArgs("verify", dir).want(t, exitOK, "no damage", "")
	runArgs("stats", dir).want(t, exitOK, fmt.Sprintf("process %d\n", os.Getpid()), "")
	runArgs("export", dir).want(t, exitOK, `{"key":"k","value":"v"}`, "")
	r := runInput("get k\nsnapshot\nput k w\n", dir)
	r.want(t, exitFailed, "v\nsnapshot s1", "this session only reads")
	if !strings.Contains(r.stderr, locked+"\nreading only") {
		t.Errorf("the session does not tell who has the database: %s", r.stderr)
	}
	runInput("get k\nput k w\n", "-readonly", dir).want(t, exitFailed, "v\n", ebb.ErrReadOnly.Error())
	runArgs("-readonly", "-create", dir).want(t, exitUsage, "", "exclude each other")

	check(t, db.Close())
	before := files(t, dir)
	for _, args := range [][]string{{"get", dir, "k"}, {"scan", dir}, {"verify", dir}, {"stats", dir}, {"export", dir}, {"-readonly", dir}} {
		runArgs(args...)
	}
	if m, w, e := diff(files(t, dir), before); m+w+e > 0 {
		t.Errorf("reading has removed %d files, changed %d and made %d", m, w, e)
	}
}

func TestDamaged(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"a": strings.Repeat("much the same ", 1000)})
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 1 file", "")
	tables, err := filepath.Glob(filepath.Join(dir, "tables", "*"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	data, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("much the same"))
	if at < 0 {
		t.Fatal("the table does not hold the value as it is")
	}
	data[at] ^= 1
	if err := os.WriteFile(tables[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := runArgs("verify", dir)
	r.want(t, exitFailed, "", "ebb verify: corrupt: "+tables[0])
	if strings.Count(r.stderr, "checksum mismatch") != 1 || !strings.Contains(r.stderr, "\n'ebb repair "+dir+" NEWDIR'") {
		t.Errorf("damage is told otherwise than once, or not what to do: %s", r.stderr)
	}
	for _, other := range []string{"verify\n", "get a\n"} {
		runInput(other, dir).want(t, exitFailed, "", "'ebb repair ")
	}
}

// A reader that leaves, as head does, is not reported, but what was asked has not been done.
func TestBrokenPipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runArgs("put", dir, "k", "v").want(t, exitOK, "", "")
	r, w := io.Pipe()
	r.Close()
	var stderr bytes.Buffer
	code := run(context.Background(), []string{"scan", dir}, nil, w, &stderr)
	result{code, "", stderr.String()}.want(t, exitFailed, "", "")

	osr, osw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer osw.Close()
	osr.Close()
	code = run(context.Background(), []string{"get", dir, "k"}, nil, osw, &stderr)
	result{code, "", stderr.String()}.want(t, exitFailed, "", "")
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestOutputFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runArgs("put", dir, "k", "v").want(t, exitOK, "", "")
	for _, args := range [][]string{{"scan", dir}, {"get", dir, "k"}, {"stats", dir}, {"verify", dir}} {
		var stderr bytes.Buffer
		code := run(context.Background(), args, nil, failingWriter{}, &stderr)
		result{code, "", stderr.String()}.want(t, exitFailed, "", "ebb "+args[0]+": no room\n")
	}
}

func TestCanceled(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"a": "1"})
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 1 file", "")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("told to stop"))
	for _, args := range [][]string{{"import-tree", dir, src}, {"verify-tree", dir, src}, {"scan", dir}, {"verify", dir}} {
		t.Run(args[0], func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(ctx, args, nil, &stdout, &stderr)
			result{code, stdout.String(), stderr.String()}.want(t, exitFailed, "", "told to stop\n")
		})
	}
	runArgs("verify-tree", dir, src).want(t, exitOK, "1 same", "") // the database was closed, and is whole
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
