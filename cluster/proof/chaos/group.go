package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// group is the processes of a cluster and the network between them.
type group struct {
	dir  string
	http *http.Client

	mu    sync.Mutex
	procs []*proc // removed ones among them
	links map[[2]string]*link
}

// proc is the process of a node, which is started again and again.
type proc struct {
	id      string
	dir     string
	listen  string // for nodes
	control string // for clients

	args    []string
	cmd     *exec.Cmd
	gone    chan struct{} // closed when cmd has ended
	stopped bool
	removed bool
	wrong   bool // its clock was set, and not set back yet
}

func newGroup(dir string) *group {
	return &group{
		dir: dir, links: map[[2]string]*link{},
		http: &http.Client{Timeout: callTimeout + time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
}

// host returns an address of the loopback for the n-th node. It is not that which connections come from: one of those must not
// take the port of a node that is dead for a while.
func host(n int) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1" // others have but one
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%199, 1+pid/199%250, 1+n%250)
}

// freeAddr returns an address of a host that is free now.
func freeAddr(host string) (string, error) {
	ln, err := net.Listen("tcp", host+":0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// add makes a node known, with links to and from all others.
func (g *group) add(id string) (*proc, error) {
	on := host(len(g.procs))
	listen, err := freeAddr(on)
	if err != nil {
		return nil, err
	}
	control, err := freeAddr(on)
	if err != nil {
		return nil, err
	}
	p := &proc{id: id, dir: filepath.Join(g.dir, id), listen: listen, control: control}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.procs {
		for _, pair := range [][2]*proc{{p, q}, {q, p}} {
			l, err := newLink(pair[1].listen)
			if err != nil {
				return nil, err
			}
			g.links[[2]string{pair[0].id, pair[1].id}] = l
		}
	}
	g.procs = append(g.procs, p)
	return p, nil
}

// via returns where a node dials the others.
func (g *group) via(id string) map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	via := map[string]string{}
	for _, q := range g.procs {
		if l := g.links[[2]string{id, q.id}]; l != nil {
			via[q.listen] = l.addr()
		}
	}
	return via
}

// start starts the process of a node.
func (g *group) start(p *proc, more ...string) error {
	via, err := json.Marshal(g.via(p.id))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if len(more) > 0 {
		p.args = more
	}
	args := []string{"node", "-id", p.id, "-dir", p.dir, "-listen", p.listen, "-control", p.control, "-via", string(via)}
	args = append(args, p.args...)
	log, err := os.OpenFile(p.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), nodeEnv+"=1", "GOMAXPROCS=2")
	cmd.Stderr, cmd.Stdout = log, log
	bind(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	p.cmd, p.gone, p.stopped = cmd, gone, false
	return nil
}

// nodeEnv tells the program, also as a test, that it is a node.
const nodeEnv = "EBB_CHAOS_NODE"

// running reports whether the process has not ended.
func (p *proc) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does.
func (p *proc) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.gone
	p.stopped = false
}

// stop and resume are SIGSTOP and SIGCONT.
func (p *proc) stop() {
	if p.running() && p.cmd.Process.Signal(syscall.SIGSTOP) == nil {
		p.stopped = true
	}
}

func (p *proc) resume() {
	if p.running() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended
	}
	p.stopped = false
}

// members returns the nodes that were not removed.
func (g *group) members() []*proc {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.procs), func(p *proc) bool { return p.removed })
}

// ask asks a node, for not longer than a time.
func (g *group) ask(p *proc, timeout time.Duration, c call) answer {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return ask(ctx, g.http, p.control, c)
}

// leader returns the node that leads by its own account, in the newest term; nil if none does.
func (g *group) leader() (leader *proc) {
	term := uint64(0)
	for _, p := range g.members() {
		if !p.running() || p.stopped {
			continue
		}
		if a := g.ask(p, 300*time.Millisecond, call{Op: "self"}); a.Outcome == done && a.Node.State == "Leader" && a.Node.Term > term {
			leader, term = p, a.Node.Term
		}
	}
	return leader
}

// setLink cuts or heals the network between two nodes, both ways.
func (g *group) setLink(a, b *proc, cut, drop bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pair := range [][2]string{{a.id, b.id}, {b.id, a.id}} {
		if l := g.links[pair]; l != nil {
			l.set(cut, drop)
		}
	}
}

// heal takes back all faults, and starts what is not running.
func (g *group) heal() error {
	g.mu.Lock()
	for _, l := range g.links {
		l.set(false, false)
	}
	g.mu.Unlock()
	err := g.revive()
	for _, p := range g.members() {
		p.resume()
		g.ask(p, time.Second, call{Op: "room", Delta: -1})
		g.ask(p, time.Second, call{Op: "clock"})
	}
	return err
}

// revive starts the nodes that are not running. One that could not join in time has ended by itself.
func (g *group) revive() error {
	var errs []error
	for _, p := range g.members() {
		if !p.running() {
			errs = append(errs, g.start(p))
		}
	}
	return errors.Join(errs...)
}

// close ends everything.
func (g *group) close() {
	g.mu.Lock()
	procs, links := slices.Clone(g.procs), g.links
	g.mu.Unlock()
	for _, p := range procs {
		p.kill()
	}
	for _, l := range links {
		l.close()
	}
	g.http.CloseIdleConnections()
}

// begin starts a new cluster of n nodes.
func (g *group) begin(n int, more ...string) error {
	var peers []string
	for i := range n {
		p, err := g.add(fmt.Sprintf("n%d", i+1))
		if err != nil {
			return err
		}
		peers = append(peers, p.id+"="+p.listen)
	}
	for _, p := range g.members() {
		if err := g.start(p, append([]string{"-peers", strings.Join(peers, ",")}, more...)...); err != nil {
			return err
		}
	}
	return nil
}
