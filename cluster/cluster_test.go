package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// testCluster is nodes of one process.
type testCluster struct {
	t       *testing.T
	dir     string
	configs map[string]Config
	nodes   map[string]*DB
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startCluster starts a cluster of n nodes: n1, n2, ...
func startCluster(t *testing.T, n int, change func(c *Config)) *testCluster {
	t.Helper()
	tc := &testCluster{t: t, dir: t.TempDir(), configs: make(map[string]Config), nodes: make(map[string]*DB)}
	t.Cleanup(tc.close)
	var peers []Peer
	listeners := make(map[string]net.Listener)
	for i := range n {
		id := fmt.Sprintf("n%d", i+1)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		listeners[id] = ln
		peers = append(peers, Peer{id, ln.Addr().String()})
	}
	for _, p := range peers {
		c := Config{ID: p.ID, Listen: p.Addr, Insecure: true, Peers: peers, Heartbeat: 400 * time.Millisecond}
		c.Options = &ebb.Options{Memory: 16 << 20}
		if change != nil {
			change(&c)
		}
		tc.configs[p.ID] = c
		c.listener = listeners[p.ID]
		tc.open(c)
	}
	return tc
}

func (tc *testCluster) open(c Config) *DB {
	tc.t.Helper()
	db, err := Open(tc.t.Context(), filepath.Join(tc.dir, c.ID), c)
	must(tc.t, err)
	tc.nodes[c.ID] = db
	return db
}

func (tc *testCluster) close() {
	for _, db := range tc.nodes {
		if err := db.Close(); err != nil {
			tc.t.Error(err)
		}
	}
}

// leader waits for a leader that serves reads.
func (tc *testCluster) leader() *DB {
	tc.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		for _, db := range tc.nodes {
			if db.leads() {
				return db
			}
		}
	}
	tc.t.Fatal("no leader")
	return nil
}

// makeLeader makes a node the leader: again, if another was elected meanwhile, as happens on a busy machine.
func (tc *testCluster) makeLeader(id string) *DB {
	tc.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l := tc.leader()
		if l.ID() == id {
			return l
		}
		_ = l.TransferLeadership(tc.t.Context(), id)
	}
	tc.t.Fatalf("%s does not become the leader", id)
	return nil
}

// follower returns a node that does not lead.
func (tc *testCluster) follower() *DB {
	tc.t.Helper()
	l := tc.leader()
	for _, db := range tc.nodes {
		if db != l {
			return db
		}
	}
	tc.t.Fatal("no follower")
	return nil
}

// agree checks that all nodes have the same.
func (tc *testCluster) agree() {
	tc.t.Helper()
	list, err := tc.leader().Digest(tc.t.Context())
	must(tc.t, err)
	if len(list) != len(tc.nodes) {
		tc.t.Fatalf("%d digests of %d nodes", len(list), len(tc.nodes))
	}
	for _, n := range list {
		if n.Err != nil || n.Digest != list[0].Digest {
			tc.t.Errorf("%s: %v, %v; %s: %v", n.ID, n.Digest, n.Err, list[0].ID, list[0].Digest)
		}
	}
}

func TestCluster(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			tc := startCluster(t, n, nil)
			l := tc.leader()
			for id, db := range tc.nodes {
				key := []byte("key of " + id)
				ctx := t.Context()
				var version uint64
				must(t, db.Put(ctx, key, []byte("v"), ebb.VersionTo(&version)))
				for _, level := range []ReadOption{Leader, Linearizable} {
					for other, db := range tc.nodes {
						e, err := db.GetEntry(ctx, key, level)
						if err != nil || string(e.Value) != "v" || e.Version != version {
							t.Errorf("%s of %s by %v: %+v, %v, want version %d", key, other, level, e, err, version)
						}
					}
				}
				if err := db.Put(ctx, key, nil, ebb.IfAbsent); !errors.Is(err, ebb.ErrConditionFailed) {
					t.Error(err)
				}
				if sum, err := db.Add(ctx, []byte("counter"), 2); err != nil || sum%2 != 0 {
					t.Error(sum, err)
				}
				if _, err := db.Get(ctx, []byte("absent")); !errors.Is(err, ebb.ErrNotFound) {
					t.Error(err)
				}
				must(t, db.Update(ctx, func(tx *ebb.Txn) error {
					v, err := tx.Get(key)
					if err != nil {
						return err
					}
					n := 0
					for range tx.Range(nil) {
						n++
					}
					return tx.Put([]byte("sum of "+id), append(v, byte('0'+n)))
				}))
				must(t, db.Delete(ctx, key))
				n := 0
				for _, err := range db.Range(ctx, nil) {
					must(t, err)
					n++
				}
				if n == 0 {
					t.Error("nothing there")
				}
			}
			tc.agree()
			s, err := l.Status(t.Context())
			must(t, err)
			if s.Leader != l.ID() || len(s.Nodes) != n {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestRestart closes nodes and opens them again: all at once, one after the other, and one whose state is lost.
func TestRestart(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	put := func(k string) { must(t, tc.leader().Put(ctx, []byte(k), []byte(k), ebb.TTL(time.Hour))) }
	reopen := func(id string) {
		must(t, tc.nodes[id].Close())
		delete(tc.nodes, id)
		tc.open(tc.configs[id])
	}
	put("a")
	for id := range tc.configs {
		must(t, tc.nodes[id].Close())
	}
	for id := range tc.configs {
		tc.open(tc.configs[id])
	}
	put("b")
	for _, id := range []string{"n1", "n2", "n3"} {
		reopen(id)
		put("after " + id)
	}
	f := tc.follower()
	must(t, f.Close())
	delete(tc.nodes, f.ID())
	must(t, os.RemoveAll(filepath.Join(f.dir, "state")))
	put("without it")
	tc.open(tc.configs[f.ID()])
	for id, db := range tc.nodes {
		for _, k := range []string{"a", "b", "after n1", "after n2", "after n3", "without it"} {
			if v, err := db.Get(ctx, []byte(k)); err != nil || string(v) != k {
				t.Errorf("%s of %s: %q, %v", k, id, v, err)
			}
		}
	}
	tc.agree()
}

// TestSnapshotInstall adds a node to a cluster whose log no longer has its beginning, and lets one lag behind it.
func TestSnapshotInstall(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 5
	})
	ctx := t.Context()
	f := tc.follower()
	must(t, f.Put(ctx, []byte("early"), []byte("v"), ebb.TTL(time.Hour)))
	must(t, f.Close())
	delete(tc.nodes, f.ID())
	for i := range 200 {
		_, err := tc.leader().Add(ctx, []byte("n"), int64(i))
		must(t, err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if first, err := tc.leader().stores.log.FirstIndex(); err != nil || first > 100 {
			must(t, err)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no entry was dropped")
		}
	}
	tc.open(tc.configs[f.ID()])
	c := Config{ID: "n4", Listen: "127.0.0.1:0", Insecure: true, Heartbeat: 200 * time.Millisecond, ReadReplica: true,
		Join: []string{tc.nodes[f.ID()].Addr().String()}}
	db := tc.open(c)
	for id, db := range tc.nodes {
		if v, err := db.Get(ctx, []byte("n"), Linearizable); err != nil || string(v) != "19900" {
			t.Errorf("n of %s: %s, %v", id, v, err)
		}
	}
	tc.agree()
	must(t, db.Promote(ctx, "n4"))
	tc.makeLeader("n4")
	must(t, db.Remove(ctx, f.ID()))
	must(t, tc.nodes[f.ID()].Close())
	delete(tc.nodes, f.ID())
	must(t, db.Put(ctx, []byte("late"), nil))
	tc.agree()
}
