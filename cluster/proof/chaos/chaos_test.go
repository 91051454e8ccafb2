package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestMain makes the test the node, where it has started itself as one.
func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		if err := runNode(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "chaos node:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Short runs, one of five nodes. The long form is the command.
func TestChaos(t *testing.T) {
	plans := []struct {
		nodes int
		seed  uint64
	}{{3, 1}, {5, 2}, {3, 3}}
	length := 5 * time.Second
	if testing.Short() {
		plans, length = plans[:1], 2*time.Second
	}
	for _, c := range plans {
		t.Run(fmt.Sprintf("nodes=%d/seed=%d", c.nodes, c.seed), func(t *testing.T) {
			p := &plan{
				nodes: c.nodes, clients: 6, length: length, seed: c.seed, dir: t.TempDir(), verdict: time.Minute,
				log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			}
			r, err := p.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			for _, problem := range r.problems {
				t.Error(problem)
			}
			if t.Failed() {
				logs(t, r.dir)
			}
		})
	}
}

// logs shows what the nodes have said, the end of it.
func logs(t *testing.T, dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Log(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(dir + "/" + f.Name()); err == nil {
			t.Logf("%s:\n%s", f.Name(), b[max(0, len(b)-8<<10):])
		}
	}
}

// at returns a call that was under way for a time.
func at(from, to int64, c call, a answer) porcupine.Operation {
	if a.Outcome == "" {
		a.Outcome = done
	}
	return porcupine.Operation{Input: c, Output: a, Call: from, Return: to}
}

// The models know what must not be seen.
func TestModels(t *testing.T) {
	put := func(v string) call { return call{Op: "put", Key: "r", Value: v} }
	get := call{Op: "get", Key: "r"}
	add := call{Op: "add", Key: "c", Delta: 2}
	lost := answer{Outcome: unknown}
	txn := func(m ...micro) call { return call{Op: "txn", Micro: m} }
	read, other := micro{List: "l.0"}, micro{List: "l.1"}
	app, appOther := micro{List: "l.0", Append: "x"}, micro{List: "l.1", Append: "y"}
	tests := []struct {
		name string
		ops  []porcupine.Operation
		good bool
	}{
		{"r nothing at first", []porcupine.Operation{at(1, 2, get, answer{})}, true},
		{"r what was put", []porcupine.Operation{at(1, 2, put("a"), answer{}), at(3, 4, get, answer{Found: true, Value: "a"})}, true},
		{"r stale", []porcupine.Operation{at(1, 2, put("a"), answer{}), at(3, 4, get, answer{})}, false},
		{"r unknown, seen", []porcupine.Operation{at(1, forever, put("a"), lost), at(3, 4, get, answer{Found: true, Value: "a"})}, true},
		{"r unknown, not seen", []porcupine.Operation{at(1, forever, put("a"), lost), at(3, 4, get, answer{})}, true},
		{"r seen and gone", []porcupine.Operation{
			at(1, forever, put("a"), lost), at(3, 4, get, answer{Found: true, Value: "a"}), at(5, 6, get, answer{})}, false},
		{"r swapped from another", []porcupine.Operation{
			at(1, 2, put("a"), answer{}), at(3, 4, call{Op: "cas", Old: "b", Value: "c"}, answer{Found: true})}, false},
		{"c counted twice", []porcupine.Operation{at(1, 2, add, answer{N: 2}), at(3, 4, add, answer{N: 6})}, false},
		{"c counted", []porcupine.Operation{at(1, 4, add, answer{N: 4}), at(2, 3, add, answer{N: 2})}, true},
		{"l write skew", []porcupine.Operation{
			at(1, 4, txn(other, app), answer{Lists: [][]string{{}}}), at(1, 4, txn(read, appOther), answer{Lists: [][]string{{}}})}, false},
		{"l one after the other", []porcupine.Operation{
			at(1, 4, txn(other, app), answer{Lists: [][]string{{}}}), at(1, 4, txn(read, appOther), answer{Lists: [][]string{{"x"}}})}, true},
		{"l lost", []porcupine.Operation{at(1, 2, txn(app), answer{}), at(3, 4, txn(read), answer{Lists: [][]string{{}}})}, false},
		{"l unknown, never seen", []porcupine.Operation{at(1, forever, txn(app), lost), at(3, 4, txn(read), answer{Lists: [][]string{{}}})}, true},
		{"l unknown, half seen", []porcupine.Operation{
			at(1, forever, txn(app, appOther), lost), at(3, 4, txn(read, other), answer{Lists: [][]string{{"x"}, {}}})}, false},
		{"l unknown, seen and gone", []porcupine.Operation{at(1, forever, txn(app), lost),
			at(3, 4, txn(read), answer{Lists: [][]string{{"x"}}}), at(5, 6, txn(read), answer{Lists: [][]string{{}}})}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &history{}
			for _, op := range test.ops {
				c := op.Input.(call)
				if c.Op != "txn" {
					c.Key = test.name[:1]
				}
				op.Input = c
				h.ops = append(h.ops, op)
			}
			problems, parts, open := h.check(time.Minute)
			if parts != 1 || open != 0 || (len(problems) == 0) != test.good {
				t.Errorf("%d parts, %d open, %v", parts, open, problems)
			}
		})
	}
}
