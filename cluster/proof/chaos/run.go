package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// plan says what a run is.
type plan struct {
	nodes   int
	clients int
	length  time.Duration
	seed    uint64
	dir     string // in which the run makes its own
	log     *slog.Logger
	verdict time.Duration // how long porcupine may take for one part of the history
	only    string        // of faults, those with this in their name
	more    []string      // arguments of nodes
}

// report is what came of a run.
type report struct {
	problems               []string
	done, refused, unknown int
	parts                  int
	open                   int // parts without a verdict
	faults                 map[string]int
	longest                time.Duration // between two acknowledged writes
	snapshots, installed   int           // that the nodes made, and got from the leader
	index                  string        // and digest, at the end
	dir                    string
}

// String returns a line.
func (r *report) String() string {
	faults := 0
	for _, n := range r.faults {
		faults += n
	}
	return fmt.Sprintf("%d calls, %d refused, %d unknown; %d histories, %d without verdict; %d faults; %d snapshots, %d installed; "+
		"longest pause of writes %v; %s",
		r.done, r.refused, r.unknown, r.parts, r.open, faults, r.snapshots, r.installed, r.longest.Round(time.Millisecond), r.index)
}

// add adds what came of another run.
func (r *report) add(other *report) {
	r.done, r.refused, r.unknown = r.done+other.done, r.refused+other.refused, r.unknown+other.unknown
	r.parts, r.open = r.parts+other.parts, r.open+other.open
	r.snapshots, r.installed = r.snapshots+other.snapshots, r.installed+other.installed
	r.longest = max(r.longest, other.longest)
	for name, n := range other.faults {
		r.faults[name] += n
	}
}

// run does a run. An error says that it could not be done; what is wrong with the cluster is in the report.
func (p *plan) run(ctx context.Context) (r *report, err error) {
	r = &report{}
	if r.dir, err = os.MkdirTemp(p.dir, fmt.Sprintf("run-%d-%d-", p.nodes, p.seed)); err != nil {
		return r, err
	}
	if p.seed%2 == 1 {
		p.more = append(slices.Clip(p.more), "-expiry-events")
	}
	g := newGroup(r.dir)
	defer g.close()
	if err := g.begin(p.nodes, p.more...); err != nil {
		return r, err
	}
	w := &workload{g: g, h: &history{began: time.Now()}, seed: p.seed, set: map[string]string{}}
	if !w.settle(ctx, 30*time.Second) {
		return r, fmt.Errorf("no leader at the beginning: see %s", r.dir)
	}
	w.last = time.Since(w.h.began)
	n := newNemesis(g, p)
	r.faults = n.made
	timed, cancel := context.WithTimeout(ctx, p.length)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { w.run(timed, p.clients) })
	work.Go(func() { n.run(timed) })
	work.Wait()
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if err := g.heal(); err != nil {
		return r, err
	}
	if err := w.finish(ctx, r); err != nil {
		return r, err
	}
	problems, parts, open := w.h.check(p.verdict)
	r.problems, r.parts, r.open = append(append(r.problems, problems...), w.problems...), parts, open
	r.done, r.refused, r.unknown = w.h.done, w.h.refused, w.h.unknown
	r.longest = slices.Max(append(w.gaps, 0))
	w.logs(r)
	return r, nil
}

// settle waits until a write is acknowledged.
func (w *workload) settle(ctx context.Context, limit time.Duration) bool {
	random := rand.New(rand.NewPCG(w.seed, 7))
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; {
		if a, _, _ := w.ask(random, call{Op: "put", Key: "settled", Value: "x"}); a.Outcome == done {
			return true
		}
	}
	return false
}

// finish reads all that was written, once everything is healed, and compares the nodes.
func (w *workload) finish(ctx context.Context, r *report) error {
	settled := false
	for end := time.Now().Add(time.Minute); !settled && time.Now().Before(end); {
		if err := w.g.revive(); err != nil {
			return err
		}
		settled = w.settle(ctx, 5*time.Second)
	}
	if !settled {
		r.problems = append(r.problems, "no write is taken after everything was healed")
		return ctx.Err()
	}
	random := rand.New(rand.NewPCG(w.seed, 8))
	for key := range w.h.split() {
		c := call{Op: "get", Key: key}
		if key[0] == 'l' {
			c = call{Op: "txn", Micro: []micro{{List: key + ".0"}, {List: key + ".1"}, {List: key + ".2"}}}
		}
		if !w.read(random, c, func(a answer, from, to time.Duration) { w.h.note(-1, c, a, from, to) }) {
			r.problems = append(r.problems, key+": cannot be read at the end")
		}
	}
	w.readSet(random, r)
	w.readMortals(random, r)
	w.compare(r)
	return nil
}

// read makes a read until it is answered.
func (w *workload) read(random *rand.Rand, c call, seen func(a answer, from, to time.Duration)) bool {
	for range 50 {
		if a, from, to := w.ask(random, c); a.Outcome == done {
			seen(a, from, to)
			return true
		}
	}
	return false
}

// readSet checks that what was acknowledged is there, and nothing that was refused.
func (w *workload) readSet(random *rand.Rand, r *report) {
	for key, put := range w.set {
		w.read(random, call{Op: "get", Key: key}, func(a answer, _, _ time.Duration) {
			if put == done && !a.Found {
				r.problems = append(r.problems, key+": acknowledged and lost")
			}
			if put == refused && a.Found {
				r.problems = append(r.problems, key+": refused and there")
			}
		})
	}
}

// readMortals checks that what has expired is gone, and that the rest is there. Time in the cluster may lag behind a little.
func (w *workload) readMortals(random *rand.Rand, r *report) {
	var alive []*mortal
	for _, m := range w.mortal {
		w.read(random, call{Op: "get", Key: m.key}, func(a answer, from, to time.Duration) {
			w.sawMortal(m, a, from, to)
			if a.Found && m.ttl < long {
				alive = append(alive, m)
			}
		})
	}
	for _, m := range alive {
		gone := false
		for end := time.Now().Add(m.ttl + 10*time.Second); !gone && time.Now().Before(end); {
			w.read(random, call{Op: "get", Key: m.key}, func(a answer, from, to time.Duration) {
				w.sawMortal(m, a, from, to)
				gone = !a.Found
			})
		}
		if !gone {
			r.problems = append(r.problems, fmt.Sprintf("%s: still there, put at %v to live for %v", m.key, m.begun, m.ttl))
		}
	}
}

// compare checks that the digests of all nodes agree.
func (w *workload) compare(r *report) {
	var last answer
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err := w.g.revive(); err != nil {
			r.problems = append(r.problems, err.Error())
		}
		leader := w.g.leader()
		if leader == nil {
			continue
		}
		last = w.g.ask(leader, callTimeout+time.Second, call{Op: "digest"})
		if last.Outcome != done || len(last.Digests) == 0 || strings.Contains(strings.Join(last.Digests, ""), "!") {
			continue
		}
		_, want, _ := strings.Cut(last.Digests[0], "=")
		for _, d := range last.Digests {
			if id, got, _ := strings.Cut(d, "="); got != want {
				r.problems = append(r.problems, fmt.Sprintf("digest of %s: %s, and of another node %s", id, got, want))
			}
		}
		r.index = fmt.Sprintf("%d nodes agree at %s", len(last.Digests), want[:strings.LastIndexByte(want, ':')])
		return
	}
	r.problems = append(r.problems, fmt.Sprintf("no digests: %s %v", last.Err, last.Digests))
}

// logs says which nodes have ended by themselves, or panicked, and counts what raft has said of snapshots.
func (w *workload) logs(r *report) {
	for _, p := range w.g.members() {
		if !p.running() {
			r.problems = append(r.problems, p.id+": has ended by itself")
		}
	}
	logs, _ := filepath.Glob(filepath.Join(w.g.dir, "*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
			if err == nil && strings.Contains(string(b), bad) {
				r.problems = append(r.problems, fmt.Sprintf("%s has %q", name, bad))
			}
		}
		r.snapshots += strings.Count(string(b), `"snapshot complete up to"`)
		r.installed += strings.Count(string(b), `"Installed remote snapshot"`)
	}
}
