// Command reach measures what a cluster of three nodes on this machine reaches, beside one database:
//
//	go run ./reach -state 1024
//
// All nodes are in this process, on the loopback, with their directories on one disk, and everything is synced. Writes are
// measured in turns with those of a single database, so that whatever else the machine does strikes both alike. Failover needs
// processes to kill: command chaos reports it as the longest pause of writes.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/cluster"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reach:", err)
		os.Exit(1)
	}
}

func run() error {
	clients := flag.Int("clients", 64, "clients")
	size := flag.Int("value", 100, "bytes of a value")
	rounds := flag.Int("rounds", 5, "rounds of writes; 0: no writes and reads")
	length := flag.Duration("length", 2*time.Second, "of a round")
	state := flag.Int64("state", 256, "MiB of state to install on a new follower; 0: none")
	at := flag.String("dir", "", "where to make directories (default: a temporary one)")
	flag.Parse()
	dir, err := os.MkdirTemp(*at, "ebb-reach-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	c, err := begin(ctx, dir, 3)
	if err != nil {
		return err
	}
	defer c.close()
	single, err := ebb.Open(filepath.Join(dir, "single"), nil)
	if err != nil {
		return err
	}
	defer single.Close()
	if *rounds > 0 {
		if err := c.writes(ctx, single, *clients, *size, *rounds, *length); err != nil {
			return err
		}
		if err := c.reads(ctx); err != nil {
			return err
		}
	}
	if *state == 0 {
		return nil
	}
	return c.install(ctx, *state<<20, *clients/8, *size, *length)
}

// group is the nodes of a cluster.
type group struct {
	dir   string
	peers []cluster.Peer
	nodes []*cluster.DB
}

func begin(ctx context.Context, dir string, n int) (*group, error) {
	c := &group{dir: dir}
	for i := range n {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.2.%d:0", i+1))
		if err != nil {
			return nil, err
		}
		c.peers = append(c.peers, cluster.Peer{ID: fmt.Sprintf("n%d", i+1), Addr: ln.Addr().String()})
		if err := ln.Close(); err != nil {
			return nil, err
		}
	}
	return c, c.open(ctx, cluster.Config{})
}

// open opens the nodes, with what a configuration has beside addresses.
func (c *group) open(ctx context.Context, config cluster.Config) error {
	for _, p := range c.peers {
		config.ID, config.Listen, config.Insecure, config.Peers = p.ID, p.Addr, true, c.peers
		db, err := cluster.Open(ctx, filepath.Join(c.dir, p.ID), config)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, db)
	}
	return c.nodes[0].Put(ctx, []byte("settled"), nil)
}

func (c *group) close() {
	for _, db := range c.nodes {
		if err := db.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "reach:", err)
		}
	}
	c.nodes = nil
}

// leader returns the node that leads, and one that does not.
func (c *group) leader() (leader, other *cluster.DB) {
	for leader == nil {
		for _, db := range c.nodes {
			if db.Stats().Node.State == "Leader" {
				leader = db
			} else {
				other = db
			}
		}
	}
	return leader, other
}

// putter puts a value under a key.
type putter func(key, value []byte) error

// rate makes clients put for a time, and returns how many a second were acknowledged.
func rate(clients, size int, length time.Duration, put putter) (float64, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var work sync.WaitGroup
	began := time.Now()
	for i := range clients {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), uint64(began.UnixNano())))
			value := make([]byte, size)
			for time.Since(began) < length {
				if err := put(fmt.Appendf(nil, "key %016x", random.Uint64N(1<<20)), value); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}

// writes compares the cluster with one database, in turns.
func (c *group) writes(ctx context.Context, single *ebb.DB, clients, size, rounds int, length time.Duration) error {
	leader, follower := c.leader()
	kinds := []struct {
		name string
		put  putter
	}{
		{"one database", func(k, v []byte) error { return single.Put(k, v) }},
		{"the leader", func(k, v []byte) error { return leader.Put(ctx, k, v) }},
		{"a follower", func(k, v []byte) error { return follower.Put(ctx, k, v) }},
	}
	rates := make([][]float64, len(kinds))
	for range rounds {
		for i, kind := range kinds {
			r, err := rate(clients, size, length, kind.put)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			rates[i] = append(rates[i], r)
		}
	}
	for i, kind := range kinds {
		var ratios []float64
		for k := range rates[i] {
			ratios = append(ratios, rates[i][k]/rates[0][k])
		}
		slices.Sort(ratios)
		fmt.Printf("%d clients write %d bytes to %s: %.0f/s at best, %.2f of one database at the median (%.2f to %.2f)\n", clients, size,
			kind.name, slices.Max(rates[i]), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
	}
	return nil
}

// reads measures single reads, one after another.
func (c *group) reads(ctx context.Context) error {
	leader, follower := c.leader()
	for _, kind := range []struct {
		name  string
		db    *cluster.DB
		level cluster.ReadOption
	}{
		{"linearizable on the leader", leader, cluster.Linearizable},
		{"linearizable on a follower", follower, cluster.Linearizable},
		{"of the leader's on the leader", leader, cluster.Leader},
		{"of the leader's on a follower", follower, cluster.Leader},
		{"stale on a follower", follower, cluster.Stale(0)},
	} {
		var took []time.Duration
		for range 2000 {
			began := time.Now()
			if _, err := kind.db.Get(ctx, []byte("settled"), kind.level); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		fmt.Printf("a read, %s: %v at the median, %v at 99 %%\n", kind.name, took[len(took)/2].Round(100*time.Nanosecond),
			took[len(took)*99/100].Round(time.Microsecond))
	}
	return nil
}

// fill brings the state to a size, and has the log forget it: a new node can get it as a snapshot only. It leaves the nodes as
// they are by default.
func (c *group) fill(ctx context.Context, state int64, size int) error {
	c.close()
	if err := c.open(ctx, cluster.Config{SnapshotThreshold: 1000, SnapshotInterval: time.Second, TrailingLogs: 100}); err != nil {
		return err
	}
	leader, _ := c.leader()
	const each, keys = 64 << 10, 32
	value := make([]byte, each)
	random := rand.NewChaCha8([32]byte{1})
	for i := int64(0); i*each < state; i += keys {
		var b ebb.Batch
		for k := range int64(keys) {
			random.Read(value) // never fails
			if err := b.Put(fmt.Appendf(nil, "state %08d", i+k), value); err != nil {
				return err
			}
		}
		if err := leader.Apply(ctx, &b); err != nil {
			return err
		}
	}
	for _, db := range c.nodes {
		for !c.snapshotOf(db, state) { // small writes push the state out of the log
			_, err := rate(64, size, time.Second, func(k, v []byte) error { return leader.Put(ctx, k, v) })
			if err != nil {
				return err
			}
		}
	}
	c.close()
	return c.open(ctx, cluster.Config{})
}

// install has a new node join that is to be sent a large state, while clients write.
func (c *group) install(ctx context.Context, state int64, clients, size int, length time.Duration) error {
	if err := c.fill(ctx, state, size); err != nil {
		return err
	}
	leader, _ := c.leader()
	put := func(k, v []byte) error { return leader.Put(ctx, k, v) }
	var before []float64
	for range 5 {
		r, err := rate(clients, size, length, put)
		if err != nil {
			return err
		}
		before = append(before, r)
	}
	joined := make(chan error, 1)
	began := time.Now()
	go func() { joined <- c.join(ctx, leader) }()
	var during []float64
	for {
		r, err := rate(clients, size, 500*time.Millisecond, put)
		if err != nil {
			return err
		}
		during = append(during, r)
		select {
		case err := <-joined:
			if err != nil {
				return err
			}
			took := time.Since(began)
			mean, old := sum(during)/float64(len(during)), sum(before)/float64(len(before))
			slices.Sort(before)
			slices.Sort(during)
			middle, oldMiddle := during[len(during)/2], before[len(before)/2]
			fmt.Printf("%d MiB on a new node in %v: %d clients write %.0f/s meanwhile, %.0f/s before: %.2f (means), %.2f (medians)\n",
				state>>20, took.Round(time.Millisecond), clients, mean, old, mean/old, middle/oldMiddle)
			return nil
		default:
		}
	}
}

func sum(list []float64) (s float64) {
	for _, x := range list {
		s += x
	}
	return s
}

// snapshotOf reports whether the newest snapshot of a node has the state.
func (c *group) snapshotOf(db *cluster.DB, state int64) bool {
	names, _ := filepath.Glob(filepath.Join(c.dir, db.ID(), "snapshots", "*.snap"))
	slices.Sort(names) // by index
	if len(names) == 0 {
		return false
	}
	info, err := os.Stat(names[len(names)-1])
	return err == nil && info.Size() >= state
}

// join adds a node and waits until it has come to where the leader was.
func (c *group) join(ctx context.Context, leader *cluster.DB) error {
	target := leader.Stats().Node.Applied
	db, err := cluster.Open(ctx, filepath.Join(c.dir, "new"), cluster.Config{
		ID: "new", Listen: "127.0.2.9:0", Insecure: true, Join: []string{leader.Addr().String()}, ReadReplica: true,
	})
	if err != nil {
		return err
	}
	c.nodes = append(c.nodes, db)
	for db.Stats().Node.Applied < target {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
