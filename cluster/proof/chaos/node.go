package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/cluster"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// node is the process of one node. What the harness may do to it from inside: set its clock, fill its disk, and say where it
// dials other nodes.
type node struct {
	db    *cluster.DB
	clock atomic.Int64 // ns that the wall clock is ahead
	disk  *vfstest.Fault

	mu   sync.Mutex
	via  map[string]string
	turn int // of the last call that has set the clock
}

// callTimeout is how long a node tries a call of a client; the client waits a little longer.
const callTimeout = 2500 * time.Millisecond

// runNode is the main function of a node. It ends when the process is killed.
func runNode(args []string) error {
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	id := flags.String("id", "", "id of the node")
	dir := flags.String("dir", "", "its directory")
	listen := flags.String("listen", "", "address for other nodes")
	control := flags.String("control", "", "address for the harness")
	peers := flags.String("peers", "", "id=addr,... of a new cluster")
	join := flags.String("join", "", "addr,... of nodes to join")
	via := flags.String("via", "{}", "where to dial nodes, JSON by address")
	heartbeat := flags.Duration("heartbeat", 400*time.Millisecond, "of raft")
	events := flags.Bool("expiry-events", false, "report what expires")
	if err := flags.Parse(args); err != nil {
		return err
	}
	n := &node{disk: vfstest.NewFault(vfs.OS), via: map[string]string{}}
	if err := json.Unmarshal([]byte(*via), &n.via); err != nil {
		return err
	}
	c := cluster.Config{
		ID: *id, Listen: *listen, Insecure: true, Dial: n.dial, FS: n.disk, Heartbeat: *heartbeat,
		Options:           &ebb.Options{Memory: 8 << 20, Clock: n.now, ExpiryEvents: *events},
		CallTimeout:       callTimeout,
		SnapshotThreshold: 64, SnapshotInterval: 300 * time.Millisecond, TrailingLogs: 32,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	for _, p := range split(*peers) {
		name, addr, _ := strings.Cut(p, "=")
		c.Peers = append(c.Peers, cluster.Peer{ID: name, Addr: addr})
	}
	c.Join = split(*join)
	ln, err := net.Listen("tcp", *control)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if n.db, err = cluster.Open(ctx, *dir, c); err != nil {
		return err
	}
	return http.Serve(ln, n)
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (n *node) now() time.Time { return time.Now().Add(time.Duration(n.clock.Load())) }

func (n *node) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	if to := n.via[addr]; to != "" {
		addr = to
	}
	n.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// ServeHTTP answers a call.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var a answer
	if err := n.do(ctx, &c, &a); err != nil {
		a.Err = err.Error()
		a.Outcome = outcomeOf(err)
	} else {
		a.Outcome = done
	}
	json.NewEncoder(w).Encode(&a) // a client that does not get it knows nothing
}

// outcomeOf says what an error means for whether a call was done. What is promised of it is believed: that is what the
// histories check.
func outcomeOf(err error) string {
	switch {
	case errors.Is(err, cluster.ErrUndetermined):
		return unknown
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, ebb.ErrConflict), errors.Is(err, ebb.ErrConditionFailed),
		errors.Is(err, cluster.ErrTooStale):
		return refused
	}
	return unknown
}

// do does a call.
func (n *node) do(ctx context.Context, c *call, a *answer) (err error) {
	key := []byte(c.Key)
	switch c.Op {
	case "get":
		v, err := n.db.Get(ctx, key, cluster.Linearizable)
		a.Value, a.Found = string(v), err == nil
		if errors.Is(err, ebb.ErrNotFound) {
			return nil
		}
		return err
	case "put":
		return n.db.Put(ctx, key, []byte(c.Value), life(c.Delta)...)
	case "delete":
		return n.db.Delete(ctx, key)
	case "cas":
		a.Found, err = n.db.CompareAndSwap(ctx, key, []byte(c.Old), []byte(c.Value))
		return err
	case "add":
		a.N, err = n.db.Add(ctx, key, c.Delta)
		return err
	case "txn":
		return n.db.Update(ctx, func(tx *ebb.Txn) error { return transact(tx, c.Micro, a) })
	case "self":
		a.Node = n.db.Stats().Node
	case "clock":
		n.mu.Lock()
		if turn, err := strconv.Atoi(c.Value); err != nil || turn > n.turn {
			n.turn = max(turn, n.turn)
			n.clock.Store(c.Delta)
		}
		n.mu.Unlock()
	case "room":
		n.disk.SetRoom(c.Delta)
	case "via":
		n.mu.Lock()
		n.via = c.Via
		n.mu.Unlock()
	case "remove":
		return n.db.Remove(ctx, c.Key)
	case "transfer":
		return n.db.TransferLeadership(ctx, c.Key)
	case "digest":
		return n.digest(ctx, a)
	default:
		return fmt.Errorf("no such call: %q", c.Op)
	}
	return nil
}

// life returns the option of a time to live in milliseconds, none for 0.
func life(ms int64) []ebb.WriteOption {
	if ms == 0 {
		return nil
	}
	return []ebb.WriteOption{ebb.TTL(time.Duration(ms) * time.Millisecond)}
}

// transact does a transaction on lists: an element of a list is a key behind that of the one before, so to append is to read
// the range first.
func transact(tx *ebb.Txn, micros []micro, a *answer) error {
	a.Lists = a.Lists[:0]
	for _, m := range micros {
		list := []string{}
		for e, err := range tx.Range(&ebb.IterOptions{Prefix: []byte(m.List + "/")}) {
			if err != nil {
				return err
			}
			list = append(list, string(e.Value))
		}
		if m.Append == "" {
			a.Lists = append(a.Lists, list)
		} else if err := tx.Put(fmt.Appendf(nil, "%s/%08d", m.List, len(list)), []byte(m.Append)); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) digest(ctx context.Context, a *answer) error {
	list, err := n.db.Digest(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Err != nil {
			a.Digests = append(a.Digests, d.ID+"!"+d.Err.Error())
		} else {
			a.Digests = append(a.Digests, fmt.Sprintf("%s=%v:%x", d.ID, d.Digest, d.Digest.Sum))
		}
	}
	return nil
}
