package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// nemesis does to a group what machines and networks do. All that it decides comes from its seed.
type nemesis struct {
	g      *group
	random *rand.Rand
	log    *slog.Logger
	made   map[string]int // faults, by kind
	next   int            // number of the next node
	more   []string       // arguments of nodes
	faults []fault        // that it makes
	clocks int            // calls that set a clock
}

func newNemesis(g *group, p *plan) *nemesis {
	n := &nemesis{g: g, log: p.log, made: map[string]int{}, next: p.nodes + 1, more: p.more}
	n.random = rand.New(rand.NewPCG(p.seed, 1<<63))
	for _, f := range faults {
		if strings.Contains(f.name, p.only) {
			n.faults = append(n.faults, f)
		}
	}
	return n
}

// fault is one kind of fault: it happens, and is taken back after a while unless it says that there is nothing to take back.
type fault struct {
	name string
	do   func(n *nemesis, p *proc) (undo func())
	at   string // "leader", "follower" or "any"
	mild bool   // the node goes on meanwhile: a clock
}

var faults = []fault{
	{"kill leader", kill, "leader", false},
	{"kill leader", kill, "leader", false},
	{"kill follower", kill, "follower", false},
	{"stop leader", stop, "leader", false},
	{"stop follower", stop, "follower", false},
	{"cut off leader", isolate, "leader", false},
	{"cut off", isolate, "any", false},
	{"cut pair", cutPair, "any", false},
	{"cut pair of leader", cutPair, "leader", false},
	{"clock ahead", clock(time.Hour), "any", true},
	{"clock behind", clock(-time.Hour), "any", true},
	{"clock of leader ahead", clock(time.Hour), "leader", true},
	{"clock of leader behind", clock(-time.Hour), "leader", true},
	{"disk full", fill, "any", false},
	{"disk of leader full", fill, "leader", false},
	{"transfer", transfer, "leader", false},
	{"replace", replace, "any", false},
}

// run makes faults until ctx is done: of those that keep a node from its work as many at a time as there are nodes in a minority,
// and one more now and then, and beside them as many clocks that are wrong: where a majority of the clocks is, time is.
func (n *nemesis) run(ctx context.Context) {
	type pending struct {
		undo func()
		at   time.Time
		mild bool

		victim *proc
	}
	var open []pending
	defer func() {
		for _, p := range open {
			p.undo()
		}
	}()
	for len(n.faults) > 0 && sleep(ctx, time.Duration(100+n.random.IntN(900))*time.Millisecond) {
		kept := open[:0]
		for _, p := range open {
			if time.Now().After(p.at) {
				p.undo()
			}
			if !time.Now().After(p.at) || p.mild && p.victim.wrong { // it may be stopped, and has to be told again
				kept = append(kept, p)
			}
		}
		open = kept
		f := n.faults[n.random.IntN(len(n.faults))]
		after := time.Duration(300+n.random.IntN(3500)) * time.Millisecond
		victim, limit, same := n.victim(f.at), (len(n.g.members())-1)/2, 0
		if !f.mild && n.random.IntN(8) == 0 {
			limit++
		}
		for _, p := range open {
			if p.mild == f.mild {
				same++
			}
		}
		if victim == nil || same >= limit {
			continue
		}
		n.log.Info("fault", "kind", f.name, "node", victim.id, "for", after)
		n.made[f.name]++
		if undo := f.do(n, victim); undo != nil {
			open = append(open, pending{undo, time.Now().Add(after), f.mild, victim})
		}
	}
}

// sleep waits. It is false if ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// victim returns a node of a kind, nil if there is none now.
func (n *nemesis) victim(kind string) *proc {
	members := n.g.members()
	some := members[n.random.IntN(len(members))]
	if kind == "any" {
		return some
	}
	leader := n.g.leader()
	if kind == "leader" {
		return leader
	}
	if some == leader {
		return nil
	}
	return some
}

func kill(n *nemesis, p *proc) func() {
	p.kill()
	return func() {
		if !p.removed && !p.running() {
			n.told("start", n.g.start(p))
		}
	}
}

func (n *nemesis) told(what string, err error) {
	if err != nil {
		n.log.Warn("fault", "what", what, "err", err)
	}
}

func stop(n *nemesis, p *proc) func() {
	p.stop()
	return p.resume
}

func isolate(n *nemesis, p *proc) func() {
	others := n.g.members()
	for _, q := range others {
		n.g.setLink(p, q, true, false)
	}
	drop := n.random.IntN(2) == 0
	return func() {
		for _, q := range others {
			n.g.setLink(p, q, false, drop)
		}
	}
}

func cutPair(n *nemesis, p *proc) func() {
	members := n.g.members()
	q := members[n.random.IntN(len(members))]
	n.g.setLink(p, q, true, n.random.IntN(2) == 0)
	drop := n.random.IntN(2) == 0
	return func() { n.g.setLink(p, q, false, drop) }
}

func clock(by time.Duration) func(n *nemesis, p *proc) func() {
	return func(n *nemesis, p *proc) func() {
		set := func(by time.Duration) bool {
			n.clocks++ // a call that a node which was stopped comes to late must not undo a later one
			a := n.g.ask(p, time.Second, call{Op: "clock", Delta: int64(by), Value: strconv.Itoa(n.clocks)})
			return a.Outcome == done || !p.running()
		}
		set(by)
		p.wrong = true
		return func() { p.wrong = !set(0) }
	}
}

func fill(n *nemesis, p *proc) func() {
	n.g.ask(p, time.Second, call{Op: "room", Delta: n.random.Int64N(30_000)})
	return func() { n.g.ask(p, time.Second, call{Op: "room", Delta: -1}) }
}

func transfer(n *nemesis, p *proc) func() {
	members := n.g.members()
	n.g.ask(p, 2*time.Second, call{Op: "transfer", Key: members[n.random.IntN(len(members))].id})
	return nil
}

// replace adds a new node, and removes an old one once the new one has joined.
func replace(n *nemesis, p *proc) func() {
	if len(n.g.procs) > 9 {
		return nil // of one run
	}
	id := fmt.Sprintf("n%d", n.next)
	n.next++
	var join []string
	for _, q := range n.g.members() {
		join = append(join, q.listen)
	}
	q, err := n.g.add(id)
	if err != nil {
		n.told("add", err)
		return nil
	}
	for _, other := range n.g.members() {
		if other.running() && !other.stopped {
			n.g.ask(other, time.Second, call{Op: "via", Via: n.g.via(other.id)})
		}
	}
	if err := n.g.start(q, append([]string{"-join", strings.Join(join, ",")}, n.more...)...); err != nil {
		n.told("join", err)
		return nil
	}
	return func() {
		self := n.g.ask(q, time.Second, call{Op: "self"})
		if self.Outcome != done {
			n.log.Warn("fault", "what", "a new node is not there yet", "node", q.id, "err", self.Err)
			return
		}
		for _, through := range n.g.members() {
			if through == p || !through.running() || through.stopped {
				continue
			}
			if a := n.g.ask(through, callTimeout+time.Second, call{Op: "remove", Key: p.id}); a.Outcome == done {
				n.g.mu.Lock()
				p.removed = true
				n.g.mu.Unlock()
				p.kill()
				return
			} else {
				n.log.Warn("fault", "what", "remove", "node", p.id, "err", a.Err)
			}
		}
	}
}
