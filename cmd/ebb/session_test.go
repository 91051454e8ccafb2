package main

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// script runs lines through a pipe and fails the test unless the streams are as wanted.
func script(t *testing.T, dir, lines string, code int, stdout, stderr string) {
	t.Helper()
	r := runInput(lines, "-create", dir)
	if r.code != code || r.stdout != stdout || !strings.Contains(r.stderr, stderr) || stderr == "" && r.stderr != "" {
		t.Errorf("%s\nexit code %d\n%s\nstderr: %s\nwant %d\n%s\nstderr: %s", lines, r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

func TestPipe(t *testing.T) {
	for _, c := range []struct {
		name, lines    string
		code           int
		stdout, stderr string
	}{
		{"nothing", "", exitOK, "", ""},
		{"comments and blanks", "# one\n\n   \nput a 1\nget a", exitOK, "1\n", ""},
		{"values that are no text", "put \"\\x00\" 'a \"b\"'\nget \"\\x00\"\nscan\n", exitOK, "'a \"b\"'\n\"\\x00\"\t'a \"b\"'\n", ""},
		{"conditions", "put a 1 -nx\nput a 2 -nx\nput b 1 -xx\nget a\n", exitNo, "1\n", "line 2: nothing written"},
		{"no is no end", "get zz\nput a 1\nget a\n", exitNo, "1\n", "line 1: there is no key zz"},
		{"an error is", "put a 1\nputt b 2\nput c 3\n", exitUsage, "", `line 2: unknown command "putt": did you mean "put"?`},
		{"wrong argument", "expire a soon\nput c 3\n", exitUsage, "", `"soon" is no duration`},
		{"wrong flag", "get a -x\n", exitUsage, "", "usage: get [flags] KEY"},
		{"missing value", "put a\n", exitUsage, "", "the value is missing"},
		{"exit", "put a 1\nexit\nget a\n", exitOK, "", ""},
		{"counters", "incr n\nincr n 41\nincr n -50\nget n\nput n x\nincr n\n", exitFailed, "1\n42\n-8\n-8\n", "not a counter"},
		{"overflow", "put n 9223372036854775807\nincr n\n", exitFailed, "", "overflow"},
		{"cas", "put a 1\ncas a 2 3\ncas a 1 3\nget a\n", exitNo, "3\n", "line 2: nothing written: a has another value"},
		{"deadlines", "put a 1 -ttl 1h\npersist a\nttl a\nexpire a 1h -nx\nexpire a 2h -nx\nexpire a -1s\nget a\npersist a\n", exitNo,
			"no deadline\n", "line 7: there is no key a"},
		{"versions", "put a 1\nput a 2 -version 9\nput a 2 -version 1\nget a\nput b 1 -version x\n", exitUsage, "2\n", "invalid value \"x\" for flag -version"},
		{"del and delrange", "put a 1\nput b 1\nput c 1\nput d 1\ndel a nothing\ndelrange b d\nkeys\ndelrange z a\n", exitFailed, "d\n", "no key lies from z up to a"},
		{"ranges", "put a 1\nput aa 2\nput b 3\nput c 4\nkeys a\nkeys -start aa -end c\nkeys -reverse -limit 2\ncount\ncount a\nkeys -prefix=\"a\" -start \"aa\"\n", exitOK,
			"a\naa\naa\nb\nc\nb\n4\n2\naa\n", ""},
		{"estimates", "put a 1\nput aa 2\nput b 3\ncount a -estimate\ncount -estimate -start b\ncount -estimate -limit 3\n", exitUsage,
			"about 2, 5 bytes\nabout 1, 2 bytes\n", "-estimate is without -limit"},
		{"long values", "put a " + strings.Repeat("x", 200) + "\nscan\nscan -full\n", exitOK,
			"a\t" + strings.Repeat("x", 120) + "… (200 bytes)\na\t" + strings.Repeat("x", 200) + "\n", ""},
		{"a batch", "begin\nput a 1\nput b 2 -ttl 1h\ndel a\nget a\ncommit\nkeys\n", exitNo, "committed 3 operations\nb\n", "line 5"},
		{"a batch discarded", "begin\nput a 1\ndiscard\nkeys\n", exitOK, "discarded 1 operation\n", ""},
		{"a batch left open", "begin\nput a 1\n", exitFailed, "", "a batch of 1 operation was not committed"},
		{"a batch takes conditions", "begin\nput a 1 -nx\ncommit\nget a\n", exitOK, "committed 1 operation\n1\n", ""},
		{"a condition of a batch fails", "put a 0\nbegin\nput a 1 -nx\nput b 1\ncommit\ndiscard\nget a\n", exitNo,
			"discarded 2 operations\n0\n", "nothing written: the condition on a does not hold"},
		{"a batch takes no counter", "begin\nincr a\n", exitFailed, "", "incr does not go into a batch"},
		{"no batch", "commit\n", exitFailed, "", "there is no batch"},
		{"two batches", "begin\nbegin\n", exitFailed, "", "there is a batch of 0 operations already"},
		{"snapshots", "put a 1\nsnapshot\nput a 2\nuse s1\nget a\nuse now\nget a\nrelease s1\nuse s1\n", exitNo,
			"snapshot s1: 'use s1' reads from it\n1\n2\n", "there is no snapshot s1"},
		{"nothing writes to a snapshot", "snapshot x\nuse x\nput a 1\n", exitFailed, "snapshot x: 'use x' reads from it\n", "which nothing can write to"},
		{"snapshots have names", "snapshot now\n", exitUsage, "", "cannot be the name"},
		{"snapshots have one name each", "snapshot x\nsnapshot x\n", exitFailed, "snapshot x: 'use x' reads from it\n", "there is a snapshot x already"},
		{"release the one in use", "snapshot x\nuse x\nrelease x\nput a 1\nget a\n", exitOK, "snapshot x: 'use x' reads from it\n1\n", ""},
		{"maintenance", "put a 1\nflush\nsync\ncount\n", exitOK, "1\n", ""},
		{"timing", "timing on\nput a 1\ntiming maybe\n", exitUsage, "", "timing is on or off"},
		{"tools stay outside", "bench\n", exitUsage, "", `unknown command "bench"`},
		{"nothing to import", "import\n", exitUsage, "", "the file is missing"},
		{"keys that cannot be", "put \"\" 1\n", exitFailed, "", ebb.ErrKeyEmpty.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			script(t, dir, c.lines, c.code, c.stdout, c.stderr)
			runArgs("verify", dir).want(t, exitOK, "no damage", "") // whatever was typed
		})
	}
}

func TestPipeNeedsDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	runInput("put a 1\n", dir).want(t, exitUsage, "", "is neither a command nor a directory")
	runInput("put a 1\n", t.TempDir()).want(t, exitFailed, "", "the directory is empty")
	runArgs("-create", dir, "keys").want(t, exitOK, "", "")
	runInput("put a 1\n", dir).want(t, exitOK, "", "")
	runArgs(dir, "get", "a").want(t, exitOK, "1", "")
	runArgs(dir, "gte", "a").want(t, exitUsage, "", `did you mean "get"?`)
	runArgs(dir, "begin").want(t, exitUsage, "", `unknown command "begin"`)
	runArgs("-x", dir).want(t, exitUsage, "", "not defined: -x")
	runArgs("help", "gte").want(t, exitUsage, "", `did you mean "get"?`)
}

func TestJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put a <1>\nput \"\\xff\" \"\\xfe\" -ttl 1h\nput n 1\nflush", exitOK, "", "")
	for _, c := range []struct {
		args []string
		want string // exactly, or with … up to there
	}{
		{[]string{"-json", dir, "get", "a"}, `{"key":"a","value":"<1>","version":1}`},
		{[]string{"get", dir, "a", "-json"}, `{"key":"a","value":"<1>","version":1}`},
		{[]string{"-json", dir, "get", `"\xff"`}, `{"key64":"/w==","value64":"/g==","version":2,"deadline":…`},
		{[]string{"-json", dir, "scan", "a"}, `{"key":"a","value":"<1>","version":1}`},
		{[]string{"-json", dir, "keys", "a"}, `{"key":"a"}`},
		{[]string{"-json", dir, "keys", "-l", "a"}, `{"key":"a","size":3}`},
		{[]string{"-json", dir, "count"}, `{"count":3}`},
		{[]string{"-json", dir, "count", "-estimate"}, `{"count":3,"bytes":8}`},
		{[]string{"-json", dir, "ttl", "a"}, `{"deadline":null}`},
		{[]string{"-json", dir, "ttl", `"\xff"`}, `{"deadline":…`},
		{[]string{"-json", dir, "incr", "n", "9"}, `{"value":10}`},
		{[]string{"-json", dir, "levels"}, `{"level":…`},
		{[]string{"-json", dir, "stats"}, `{"verdict":"healthy","about":"",…`},
		{[]string{"-json", dir, "verify"}, `{"tables":1,"table_bytes":…`},
		{[]string{"-json", dir, "compact"}, `{"before_bytes":…`},
		{[]string{"-json", "version"}, `{"version":"…`},
	} {
		r := runArgs(c.args...)
		start, open := strings.CutSuffix(c.want, "…")
		if r.code != exitOK || r.stderr != "" || open && !strings.HasPrefix(r.stdout, start) || !open && r.stdout != c.want+"\n" {
			t.Errorf("%q: %d, %s%s", c.args, r.code, r.stdout, r.stderr)
		}
		for line := range strings.Lines(r.stdout) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%q: not JSON: %s", c.args, line)
			}
		}
	}
	r := runInput("get a\ncount\nget zz\n", "-json", dir)
	r.want(t, exitNo, `{"key":"a","value":"<1>","version":1}`+"\n"+`{"count":3}`+"\n", "line 3")
}

func TestExportImport(t *testing.T) {
	tmp := t.TempDir()
	dir, copied, file := filepath.Join(tmp, "db"), filepath.Join(tmp, "copy"), filepath.Join(tmp, "all.json")
	script(t, dir, "put a 1\nput \"\\x00\\xff\" \"\\xfe\"\nput e ''\nput t 1 -ttl 1h\n"+
		"put long "+strings.Repeat("x", 3*batchSize)+"\nput z 1\n", exitOK, "", "")
	out := runArgs("export", dir)
	runArgs("export", dir, file).want(t, exitOK, "exported 6 keys\n", "")
	b, err := os.ReadFile(file)
	check(t, err)
	if string(b) != out.stdout || out.code != exitOK {
		t.Error("an export to a file and one to standard output differ")
	}
	runArgs("import", copied, file).want(t, exitOK, "imported 6 keys\n", "")
	if got := runArgs("export", copied); got.stdout != out.stdout {
		t.Error("a copy differs")
	}
	again := filepath.Join(tmp, "again")
	runInput(out.stdout, "import", again).want(t, exitOK, "imported 6 keys\n", "")
	if got := runArgs("export", again); got.stdout != out.stdout {
		t.Error("a copy through a pipe differs")
	}
	runArgs("export", dir, filepath.Join(tmp, "none", "x")).want(t, exitFailed, "", "none")
	if left, _ := filepath.Glob(filepath.Join(tmp, ".ebb-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestImportLines(t *testing.T) {
	for line, message := range map[string]string{
		`{"key":"a","value":"1"}`:                    "",
		`{"key64":"/w==","value64":"","deadline":1}`: "",
		`{"key":"a","value":"1","ttl_ms":100000}`:    "",
		`{"key":"a","value":"1","version":7}`:        "",
		`{"key":"a"}`:                                "line 2: it needs one of",
		`{"key":"a","key64":"YQ==","value":""}`:      "line 2: it needs one of",
		`{"key":"a","value":"1"} {}`:                 "line 2: something follows",
		`{"key":"a","value":"1","other":1}`:          "line 2: json: unknown field",
		`{"key":"","value":"1"}`:                     "line 2: " + ebb.ErrKeyEmpty.Error(),
		`{"key":"a","value64":"%"}`:                  "line 2: illegal base64",
		`{"key":"a","value":1}`:                      "",
		`{"key":"a","value":null}`:                   "line 2: it needs one of",
		`{"key":1,"value":"1"}`:                      "line 2: json: cannot unmarshal",
		"{\"key\":\"\xff\",\"value\":\"1\"}":         "line 2: it is no UTF-8",
		`{"key":"\ud800","value":"1"}`:               "line 2: it has half a surrogate pair",
		`{"key":"a","value":"\udfff"}`:               "line 2: it has half a surrogate pair",
		`{"key":"\ufffd\ud83d\ude00","value":"1"}`:   "",
		"{":  "line 2: unexpected EOF",
		`[]`: "line 2: json: cannot unmarshal",
		`{"key":"` + strings.Repeat("k", 70_000) + `","value":""}`: "line 2: " + ebb.ErrKeyTooLarge.Error(),
	} {
		dir := filepath.Join(t.TempDir(), "db")
		r := runInput(`{"key":"first","value":"1"}`+"\n"+line+"\n\n"+`{"key":"last","value":"1"}`, "import", dir)
		if message == "" {
			r.want(t, exitOK, "imported 3 keys\n", "")
		} else {
			r.want(t, exitFailed, "", message)
		}
		runArgs("get", dir, "first").want(t, exitOK, "1", "")
	}
}

func TestExportTree(t *testing.T) {
	tmp := t.TempDir()
	dir, src, dest := filepath.Join(tmp, "db"), filepath.Join(tmp, "src"), filepath.Join(tmp, "dest")
	writeTree(t, src, testTree())
	runArgs("import-tree", dir, src).want(t, exitOK, "imported 25 files", "")
	runArgs("export-tree", dir, dest).want(t, exitOK, "exported 25 files", "")
	runArgs("verify-tree", dir, dest).want(t, exitOK, "25 same, 0 changed, 0 missing, 0 extra", "")
	runArgs("export-tree", dir, dest).want(t, exitFailed, "", "is not empty")
	for _, key := range []string{"../up", "/abs", "a//b", ".", "a/.", "x/", "large/under", "nul\x00"} {
		bad := filepath.Join(t.TempDir(), "db")
		runArgs("put", bad, "large", "a file").want(t, exitOK, "", "")
		runArgs("put", bad, quoteAlways(key), "x").want(t, exitOK, "", "")
		runArgs("export-tree", bad, filepath.Join(tmp, "bad")).want(t, exitFailed, "", "the key ")
	}
	if _, err := os.Stat(filepath.Join(tmp, "bad")); err == nil {
		t.Error("a refused export has made its directory")
	}
}

func TestBench(t *testing.T) {
	tmp := t.TempDir()
	r := runArgs("bench", "-json", "-records", "1000", "-for", "1ms", "-clients", "2", "-in", tmp)
	for _, w := range []string{`{"workload":"load","operations":1000,`, `{"workload":"A",`, `{"workload":"B",`, `{"workload":"C",`} {
		r.want(t, exitOK, w, "")
	}
	runArgs("bench", "-records", "1", "-for", "1ms", "-clients", "1", "-sync", "-in", tmp).want(t, exitOK, "workload", "")
	runArgs("bench", "-records", "0").want(t, exitUsage, "", "1 to 1e8 records")
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLatencies(t *testing.T) {
	for _, v := range []uint64{0, 1, 15, 16, 17, 31, 32, 33, 1000, 1 << 40, 1<<62 + 12345} {
		c := cellOf(v)
		if end := cellEnd(c); end < v || end-v > v/16 || c > 0 && cellEnd(c-1) >= v {
			t.Errorf("%d is in cell %d, which ends at %d", v, c, end)
		}
	}
	var l latencies
	for range 100 {
		l.add(1000)
	}
	l.add(1 << 30)
	if p := l.quantile(0.5); p < 1000 || p > 1063 {
		t.Errorf("p50 %v", p)
	}
	if p := l.quantile(1); p != 1<<30 {
		t.Errorf("p100 %v", p)
	}
}

// Nothing that is typed does harm: whatever the words, the database is whole after.
func TestAnythingTyped(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	words := []string{"a", "b", `"\x00"`, "''", "-5", "1", "9223372036854775807", "1h", "-1s", "-nx", "-xx", "-ttl", "-limit", "-l", "-reverse",
		"--", "-json", "s1", "now", "#", `"`, "é", strings.Repeat("k", 70_000)}
	names := names((*command).inSession)
	dir := filepath.Join(t.TempDir(), "db")
	s := newSession(globals{create: true}, strings.NewReader(""), io.Discard, io.Discard)
	s.dir, s.piped = dir, true
	for range 500 {
		name := names[r.IntN(len(names))]
		if strings.Contains(name, "port") || strings.Contains(name, "tree") || name == "compact" || name == "verify" || slices.Contains([]string{"backup", "checkpoint", "ingest", "watch"}, name) {
			continue // they take file names, or long, or wait
		}
		line := name
		for range r.IntN(4) {
			line += " " + words[r.IntN(len(words))]
		}
		if err := s.runLine(t.Context(), line); errors.Is(err, ebb.ErrCorrupt) || errors.Is(err, ebb.ErrFailed) {
			t.Fatalf("%.200s: %v", line, err)
		}
	}
	s.batch = nil
	check(t, s.close())
	runArgs("verify", dir).want(t, exitOK, "no damage", "")
}
