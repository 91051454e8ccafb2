package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// Rows count all that expires before their end, up to the first that has it all, and what has no deadline is told.
func TestExpiring(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put never 1\nput a 1 -ttl 30m\nput b 1 -ttl 90m\nput c 1 -ttl 91m\nput far 1 -ttl 9000h\n", exitOK, "", "")
	const none = `{"within":"no deadline","within_ms":null,"keys":1,"size_bytes":6}` + "\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-json", dir, "expiring", "2h", "-steps", "2"}, `{"within":"1 hour","within_ms":3600000,"keys":1,"size_bytes":2}` + "\n" +
			`{"within":"2 hours","within_ms":7200000,"keys":3,"size_bytes":6}` + "\n" + `{"within":"any time","within_ms":null,"keys":4,"size_bytes":10}` + "\n" + none},
		{[]string{"-json", dir, "expiring", "90m", "-prefix", "a"}, `{"within":"1 minute","within_ms":60000,"keys":0,"size_bytes":0}` + "\n" +
			`{"within":"10 minutes","within_ms":600000,"keys":0,"size_bytes":0}` + "\n" + `{"within":"1 hour","within_ms":3600000,"keys":1,"size_bytes":2}` + "\n" +
			`{"within":"90 minutes","within_ms":5400000,"keys":1,"size_bytes":2}` + "\n" + `{"within":"any time","within_ms":null,"keys":1,"size_bytes":2}` + "\n" +
			`{"within":"no deadline","within_ms":null,"keys":0,"size_bytes":0}` + "\n"},
		{[]string{dir, "expiring", "-prefix", "never"}, "within       keys  size\nany time     0     0 B\nno deadline  1     6 B\n"},
		{[]string{dir, "expiring"}, "within       keys  size\n1 minute     0     0 B\n10 minutes   0     0 B\n1 hour       1     2 B\n6 hours      3     6 B\n" +
			"1 day        3     6 B\n1 week       3     6 B\n30 days      3     6 B\n1 year       3     6 B\nany time     4     10 B\nno deadline  1     6 B\n"},
	} {
		if r := runArgs(c.args...); r.stdout != c.want || r.code != exitOK {
			t.Errorf("%q: %d, %s\n%s", c.args, r.code, r.stderr, r.stdout)
		}
	}
	fits(t, runArgs(dir, "expiring").stdout)
	runArgs("-json", dir, "expiring", "-steps", "1").want(t, exitOK, `"keys":4,"size_bytes":10}`, "")
	runArgs(dir, "expiring", "soon").want(t, exitUsage, "", "no duration")
	runArgs(dir, "expiring", "-steps", "-1").want(t, exitUsage, "", "-steps is")
}

// The end of a step belongs to it, whatever the steps.
func TestDeadlineCount(t *testing.T) {
	for _, c := range []struct {
		within time.Duration
		steps  int
		edges  []time.Duration
	}{
		{0, 0, roundSteps},
		{time.Hour, 0, []time.Duration{time.Minute, 10 * time.Minute, time.Hour}},
		{time.Second, 0, []time.Duration{time.Second}},
		{1<<63 - 1, 0, append(roundSteps[:len(roundSteps):len(roundSteps)], 1<<63-1)},
		{time.Hour, 3, []time.Duration{20 * time.Minute, 40 * time.Minute, time.Hour}},
		{10, 3, []time.Duration{3, 6, 10}},
		{1, 3, []time.Duration{0, 0, 1}},
	} {
		got := newDeadlineCount(c.within, c.steps)
		if len(got.edges) != len(c.edges) || len(got.cells) != len(c.edges)+1 {
			t.Errorf("%+v: %v", c, got.edges)
			continue
		}
		for i, e := range c.edges {
			if got.edges[i] != e {
				t.Errorf("%+v: %v", c, got.edges)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "db")
	now := time.UnixMilli(1_700_000_000_000)
	db, err := ebb.Open(dir, &ebb.Options{Clock: func() time.Time { return now }})
	check(t, err)
	defer db.Close()
	for i, d := range []time.Duration{time.Millisecond, time.Minute, time.Minute + time.Millisecond, 1<<63 - 1} {
		check(t, db.Put([]byte{byte(i)}, nil, ebb.TTL(d)))
	}
	at, err := db.Snapshot()
	check(t, err)
	defer at.Close()
	count := newDeadlineCount(10*time.Minute, 0)
	check(t, count.read(t.Context(), at, nil))
	if c := count.cells; c[0].keys != 2 || c[1].keys != 1 || c[2].keys != 1 {
		t.Errorf("%+v", c)
	}
}
