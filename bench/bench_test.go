package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/report"
	"github.com/ebbdb/ebb/bench/store"
)

// TestMain lets this test's binary be the processes that are measured.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		main()
		return
	}
	os.Exit(m.Run())
}

// bench runs the command and returns its report.
func bench(t *testing.T, args ...string) *report.Report {
	t.Helper()
	out := t.TempDir()
	if err := run(append([]string{"-short", "-out", out}, args...), io.Discard, io.Discard); err != nil {
		text, _ := os.ReadFile(filepath.Join(out, "report.md"))
		t.Fatalf("%v\n%s", err, text)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 3 {
		t.Errorf("what is left is %v, %v", entries, err)
	}
	text, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := new(report.Report)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestShort runs everything that there is with every store, small. It checks answers, never times.
func TestShort(t *testing.T) {
	for _, info := range store.All() {
		t.Run(info.Name, func(t *testing.T) {
			t.Parallel()
			checkRuns(t, info, bench(t, "-stores", info.Name, "-duration", "150ms"))
		})
	}
}

func checkRuns(t *testing.T, info store.Info, r *report.Report) {
	t.Helper()
	want := map[string]int{"core": 9, "ttl": 3, "queue": 2, "large": 2, "crash": 0}
	switch {
	case info.WriteOnly:
		want = map[string]int{"core": 1}
	case info.Idle():
		want = map[string]int{"core": 9}
	case info.Volatile:
		delete(want, "crash")
	}
	for _, run := range r.Runs {
		if n, ok := want[run.Group]; !ok || len(run.Phases) != n {
			t.Errorf("%s: %d phases, not %d", run.Group, len(run.Phases), n)
		}
		delete(want, run.Group)
		for _, p := range run.Phases {
			if p.Name != "expiry" && (p.Ops == 0 || p.Latency[measure.All].Count != p.Ops) {
				t.Errorf("%s: %d operations, and %d latencies", p.Name, p.Ops, p.Latency[measure.All].Count)
			}
		}
		if run.Group == "core" && !info.Volatile && (run.OpenTime <= 0 || run.UserBytes <= 0) {
			t.Errorf("opened in %v s, after %d bytes", run.OpenTime, run.UserBytes)
		}
		if c := run.Crash; c != nil && (c.Acknowledged == 0 || c.OpenTime <= 0) {
			t.Errorf("killed: %+v", c)
		}
	}
	if len(want) > 0 {
		t.Errorf("no runs of %v", want)
	}
}

// TestCommit has every write synced, in several runs that take turns, with profiles.
func TestCommit(t *testing.T) {
	t.Parallel()
	profiles := t.TempDir()
	r := bench(t, "-stores", "ebb,bbolt,raw", "-workloads", "load,a,batch,crash", "-sync", "commit", "-records", "300", "-ops", "100",
		"-runs", "2", "-loadbatch", "10", "-values", "random", "-profile", profiles)
	var order []string
	for _, run := range r.Runs {
		order = append(order, run.Store)
		if run.Crash != nil && (run.Crash.Lost > 0 || !run.Crash.Promised) {
			t.Errorf("%s: %+v", run.Store, run.Crash)
		}
	}
	if got, want := strings.Join(order, " "), "ebb bbolt raw ebb bbolt bbolt raw ebb bbolt ebb"; got != want {
		t.Errorf("the order is %s, not %s", got, want)
	}
	for _, name := range []string{"ebb-a-0.cpu", "ebb-a-1.heap", "bbolt-load-0.mutex", "raw-load-1.trace"} {
		if info, err := os.Stat(filepath.Join(profiles, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBounded writes at a pace, and reads what is newest.
func TestBounded(t *testing.T) {
	t.Parallel()
	r := bench(t, "-stores", "ebb,ebb-bounded", "-workloads", "bounded", "-pace", "2000000")
	for _, run := range r.Runs {
		p := run.Phases[0]
		if p.Latency["insert"].Count == 0 || p.Latency["read"].Count == 0 || p.UserBytes > 2_000_000 {
			t.Errorf("%s: %d bytes in %v s, %v", run.Store, p.UserBytes, p.Seconds, p.Latency)
		}
	}
	if len(r.Runs) != 2 {
		t.Errorf("%d runs", len(r.Runs))
	}
}

// TestFailuresAreReported runs against a store that cannot be opened a second time: the profile's place is taken by a file.
func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-short", "-out", out, "-stores", "ebb,btree", "-workloads", "load", "-profile", taken}
	if err := run(args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "2 problems") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "report.md")); err != nil || strings.Count(string(text), "failure: ") != 2 {
		t.Errorf("%s %v", text, err)
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range []string{
		"-stores nothing", "-workloads z", "-sync sometimes", "-values zero", "-records 0", "-value 8", "-threads 0", "-runs 0",
		"-duration 0s", "-ttlmin 1ms", "-ttlmin 9s -ttlmax 8s", "-loadbatch 0", "-threads 100 -loadbatch 1000", "more", "-unknown",
	} {
		if _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	p, err := parse(strings.Fields("-short -records 7 -sync commit -values random"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if p.config.Records != 7 || p.runs != 1 || !p.config.Commit || !p.config.Random || len(p.stores) != 4 || len(p.groups) != 5 {
		t.Errorf("%+v", p)
	}
}

// TestExpected counts the turns by hand: two stores do everything, the one that does nothing only the core, once.
func TestExpected(t *testing.T) {
	p, err := parse(strings.Fields("-stores ebb,bbolt,none -workloads load,a,ttl -duration 2s -runs 2 -ttlmax 5s -linger 3s"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	const each = 2 + 2 + 5 + 3 // seconds: a, ttl, the longest life, the linger
	if turns, least := p.expected(); turns != 2*2*2+1 || least.Seconds() != 2*2*each+1 {
		t.Errorf("%d turns, %v", turns, least)
	}
}
