package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A value that is no string is its JSON text, and no number of milliseconds is too large, or wraps around.
func TestImportValues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runInput(`{"key":"object","value":{"a": [1, "x"]}}
{"key":"number","value":1.50}
{"key":"far","value":"1","ttl_ms":1e300}
{"key":"past","value":"1","ttl_ms":-1e300}
`, "import", dir, "-").want(t, exitOK, "imported 4 keys", "")
	runArgs("get", dir, "object").want(t, exitOK, `{"a": [1, "x"]}`, "")
	runArgs("get", dir, "number").want(t, exitOK, "1.50", "")
	runArgs("ttl", dir, "far").want(t, exitOK, "days", "")
	runArgs("get", dir, "past").want(t, exitNo, "", "there is no key")
	want := runArgs("export", dir).stdout
	if got := runArgs("export", dir, "-").stdout; got != want {
		t.Errorf("to - it exports\n%s, not\n%s", got, want)
	}
}

// What a name stands for stays what it is: a link a link, a pipe a pipe, a file that is there what it was without -f.
func TestTargets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no named pipes in the file system")
	}
	tmp := t.TempDir()
	at := func(name string) string { return filepath.Join(tmp, name) }
	dir := at("db")
	runArgs("put", dir, "k", "v").want(t, exitOK, "", "")
	want := runArgs("export", dir).stdout

	check(t, os.Symlink("real", at("link"))) // to nothing yet
	for range 2 {
		runArgs("export", dir, at("link")).want(t, exitOK, "exported 1 key", "")
		if got, err := os.ReadFile(at("real")); string(got) != want {
			t.Errorf("behind the link is %q, %v", got, err)
		}
		if info, err := os.Lstat(at("link")); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("the link has become %v, %v", info, err)
		}
	}
	check(t, os.Symlink("loop", at("loop")))
	runArgs("export", dir, at("loop")).want(t, exitFailed, "", "too many symbolic links")
	runArgs("export", dir, tmp).want(t, exitFailed, "", "is a directory")

	check(t, mkfifo(at("pipe")))
	read := make(chan string)
	go func() {
		f, err := os.Open(at("pipe"))
		if err != nil {
			read <- err.Error()
			return
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		read <- string(text) + errorText(err)
	}()
	runArgs("export", dir, at("pipe")).want(t, exitOK, "exported 1 key", "")
	if got := <-read; got != want {
		t.Errorf("through the pipe came %q", got)
	}
	if info, err := os.Lstat(at("pipe")); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe has become %v, %v", info, err)
	}

	check(t, os.WriteFile(at("backup"), []byte("precious"), 0o600))
	runArgs("backup", dir, at("backup")).want(t, exitFailed, "", "-f replaces it")
	if got, _ := os.ReadFile(at("backup")); string(got) != "precious" {
		t.Errorf("a backup without -f has replaced the file: %q", got)
	}
	runArgs("backup", "-f", dir, at("backup")).want(t, exitOK, "1 entry", "")
}

func errorText(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return ""
	}
	return err.Error()
}

// A file name is bytes, and so is a key.
func TestTreeNames(t *testing.T) {
	tmp := t.TempDir()
	dir, src := filepath.Join(tmp, "db"), filepath.Join(tmp, "src")
	writeTree(t, src, map[string]string{"a": "1", "d/b": "2"})
	if err := os.WriteFile(filepath.Join(src, "d", "no\xffutf8"), []byte("3"), 0o600); err != nil {
		t.Skip("names have to be UTF-8 here:", err)
	}
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 3 files", "")
	runArgs("verify-tree", dir, src).want(t, exitOK, "3 same, 0 changed, 0 missing, 0 extra", "")
	runArgs("get", dir, `"d/no\xffutf8"`).want(t, exitOK, "3", "")
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 7 * day, "1w2d": 9 * day, "1.5d12h": 2 * day, "-2w": -14 * day, "0": 0, "0d": 0, "+1d": day,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%s is %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "1", "1d2w3", "--1d", "1h1d", "1e9w", "999999999w", "1d-2h"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestTimes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runArgs("put", "-at", "2999-01-02T03:04:05Z", dir, "k", "v").want(t, exitOK, "", "")
	r := runArgs("-json", "ttl", dir, "k")
	r.want(t, exitOK, `"deadline":32472241445000`, "")
	runArgs("expire", dir, "-at", "2100-01-01", "k").want(t, exitOK, "", "")
	runArgs("ttl", dir, "k").want(t, exitOK, "2100-01-01 00:00:0", "")
	runArgs("expire", dir, "k").want(t, exitUsage, "", "it takes a duration or -at")
	runArgs("expire", dir, "-at", "2100-01-01", "k", "1h").want(t, exitUsage, "", "it takes a duration or -at")
	runArgs("expire", dir, "-at", "tomorrow", "k").want(t, exitUsage, "", "no time such as")
	runArgs("expire", dir, "-at", "2001-01-01", "k").want(t, exitOK, "", "")
	runArgs("get", dir, "k").want(t, exitNo, "", "there is no key")
}

// Errors are objects where the output is.
func TestErrorsAsJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runArgs("put", dir, "k", "v").want(t, exitOK, "", "")
	runArgs("-json", "get", dir, "none").want(t, exitNo, "", `{"error":"there is no key none","exit":3,"command":"get"}`)
	runArgs("get", "-json", dir, "none").want(t, exitNo, "", `{"error":"there is no key none","exit":3,"command":"get"}`)
	runArgs("-json", dir, "qqqqqqq").want(t, exitUsage, "", `{"error":"unknown command`)
}

// The version is told to a flag, too, and help fits the narrowest terminal.
func TestHelpFits(t *testing.T) {
	runArgs("--version").want(t, exitOK, "ebb ", "")
	pages := []result{runArgs("help"), runArgs("-h")}
	for _, c := range commands() {
		pages = append(pages, runArgs("help", c.name))
	}
	for _, p := range pages {
		for line := range strings.Lines(p.stdout) {
			line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "    \t", "        ")
			if n := utf8.RuneCountInString(line); n > helpWidth {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}
