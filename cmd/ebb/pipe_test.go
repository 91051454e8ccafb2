package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// syncsOf returns how many syncs a line of stats tells.
func syncsOf(t *testing.T, line string) int {
	t.Helper()
	var s struct{ Syncs int }
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return s.Syncs
}

// The writes of a pipe that are there together share a sync, unless each is to have its own, or none is wanted.
func TestPipeSync(t *testing.T) {
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "put key%d %s\n", i, strings.Repeat("v", 100))
	}
	lines.WriteString("stats -json\n")
	for sync, most := range map[string][2]int{"": {1, 5}, "-sync=always": {1000, 1 << 30}, "-sync=never": {0, 0}} {
		dir := filepath.Join(t.TempDir(), "db")
		args := []string{"-create", dir}
		if sync != "" {
			args = append([]string{sync}, args...)
		}
		r := runInput(lines.String(), args...)
		if n := syncsOf(t, r.stdout); r.code != exitOK || n < most[0] || n > most[1] {
			t.Errorf("%q: %d, %d syncs, want %v", sync, r.code, n, most)
		}
		runArgs("count", dir).want(t, exitOK, "1000\n", "")
	}
	runArgs("-sync", "maybe", "x").want(t, exitUsage, "", "it is always or never")
}

// What does not fit into the buffer of the output is read before its group has ended, and the sync comes before that, too.
func TestPipeLongAnswer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	long := strings.Repeat("v", 10_000)
	r := runInput("put a "+long+"\nget a -full\nstats -json\n", "-create", dir)
	answer, stats, _ := strings.Cut(r.stdout, "\n")
	if n := syncsOf(t, stats); answer != long || n != 1 {
		t.Errorf("%d syncs before an answer of %d bytes", n, len(answer))
	}
}

// An answer that can be read comes after the sync of what was written before, and is not kept back for lines to come.
func TestPipeAnswers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run(context.Background(), []string{"-create", dir}, stdin, stdout, io.Discard)
	}()
	answers := bufio.NewReader(out)
	ask := func(lines string) string {
		t.Helper()
		_, err := io.WriteString(in, lines)
		check(t, err)
		answer, err := answers.ReadString('\n')
		check(t, err)
		return answer
	}
	if got := ask("put a 1\nput b 2\nincr n 5\nput c"); got != "5\n" {
		t.Errorf("answer %q", got)
	}
	before := syncsOf(t, ask(" 3\nstats -json\n"))
	ask("put d 4\nput e 5\nget c\n")
	if after := syncsOf(t, ask("stats -json\n")); before < 1 || after <= before {
		t.Errorf("%d syncs, and after another answer %d", before, after)
	}
	check(t, in.Close())
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}
