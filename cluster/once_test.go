package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// TestOnce counts while leadership goes from node to node: every call is applied once, and none is undetermined.
func TestOnce(t *testing.T) {
	tc := startCluster(t, 3, nil)
	tc.leader()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const each = 40
	var work sync.WaitGroup
	for id, db := range tc.nodes {
		for range 2 {
			work.Go(func() {
				for range each {
					if _, err := db.Add(ctx, []byte("sum"), 1); err != nil {
						t.Errorf("on %s: %v", id, err)
						return
					}
					err := db.Update(ctx, func(tx *ebb.Txn) error {
						n, err := tx.Add([]byte("mirror"), 1)
						if err != nil {
							return err
						}
						return tx.Put([]byte("copy"), strconv.AppendInt(nil, n, 10))
					})
					if err != nil && !errors.Is(err, ebb.ErrConflict) {
						t.Errorf("on %s: %v", id, err)
						return
					}
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for moves := 0; ; moves++ {
		select {
		case <-done:
			t.Logf("%d transfers", moves)
			if v, err := tc.follower().Get(ctx, []byte("sum"), Linearizable); err != nil || string(v) != strconv.Itoa(6*each) {
				t.Errorf("counted %s, %v, want %d", v, err, 6*each)
			}
			a, _ := tc.leader().Get(ctx, []byte("mirror"))
			b, _ := tc.leader().Get(ctx, []byte("copy"))
			if string(a) != string(b) || len(a) == 0 {
				t.Errorf("mirror %s, copy %s", a, b)
			}
			tc.agree()
			return
		case <-time.After(300 * time.Millisecond):
			_ = tc.leader().TransferLeadership(ctx, "")
		}
	}
}

// TestTime has a node whose wall clock is an hour ahead, and one whose clock is an hour behind: keys live as long as they are
// to, whoever leads.
func TestTime(t *testing.T) {
	clocks := map[string]time.Duration{"n1": time.Hour, "n2": -time.Hour}
	tc := startCluster(t, 3, func(c *Config) {
		off := clocks[c.ID]
		c.Options.Clock = func() time.Time { return time.Now().Add(off) }
		c.Tick = 10 * time.Millisecond
	})
	ctx := t.Context()
	for _, id := range []string{"n1", "n2", "n3"} {
		l := tc.makeLeader(id)
		key := []byte("led by " + id)
		began := time.Now()
		must(t, l.Put(ctx, key, nil, ebb.TTL(150*time.Millisecond)))
		must(t, l.Put(ctx, append(key, '!'), nil, ebb.TTL(time.Minute)))
		if has, err := tc.follower().Has(ctx, key); (err != nil || !has) && time.Since(began) < 140*time.Millisecond {
			t.Errorf("%s: %v, %v after %v", key, has, err, time.Since(began))
		}
		for has := true; has; {
			var err error
			has, err = tc.follower().Has(ctx, key)
			must(t, err)
		}
		if age := time.Since(began); age < 149*time.Millisecond {
			t.Errorf("%s has lived for %v", key, age)
		}
		if has, err := l.Has(ctx, append(key, '!')); err != nil || !has {
			t.Errorf("%s! has not lived: %v, %v", key, has, err)
		}
		for _, db := range tc.nodes { // ticks come to all, though nothing is written
			for db.machine.time.Load() < l.machine.time.Load() {
				time.Sleep(time.Millisecond)
			}
			if has, err := db.Has(ctx, key, Stale(0)); err != nil || has {
				t.Errorf("%s on %s: %v, %v", key, db.ID(), has, err)
			}
		}
	}
	tc.agree()
}

// TestOptionsOfAState decides about every option of a database whether it is for the state of a node, which may take no version,
// and drop nothing, but as the log says.
func TestOptionsOfAState(t *testing.T) {
	known := map[string]string{
		"Sync": "means nothing", "SyncEvery": "means nothing", "Memory": "", "Compression": "", "WriterIdle": "no writer is remembered",
		"ReadOnly": "refused", "ExpiryEvents": "an entry says whether, see kindReport", "MaxDisk": "refused: takes versions, and evicts",
		"RetainLog": "", "Clock": "the wall clock", "OnEvent": "", "Logger": "",
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[ebb.Options]()) {
		if _, ok := known[f.Name]; f.IsExported() && !ok {
			t.Errorf("Options.%s: may a node have it?", f.Name)
		}
	}
}

// TestBadInput gives nodes what they refuse, and says why.
func TestBadInput(t *testing.T) {
	ctx := t.Context()
	base := Config{ID: "x", Listen: "127.0.0.1:0", Insecure: true, Peers: []Peer{{"x", "127.0.0.1:1"}}, CallTimeout: time.Second}
	for name, change := range map[string]func(*Config){
		"no id":           func(c *Config) { c.ID = "" },
		"no address":      func(c *Config) { c.Listen = "" },
		"no TLS":          func(c *Config) { c.Insecure = false },
		"not loopback":    func(c *Config) { c.Listen = "0.0.0.0:0" },
		"not a peer":      func(c *Config) { c.ID = "y" },
		"one peer twice":  func(c *Config) { c.Peers = append(c.Peers, c.Peers[0]) },
		"peers and join":  func(c *Config) { c.Join = []string{"127.0.0.1:1"} },
		"no way in":       func(c *Config) { c.Peers = nil },
		"a bounded disk":  func(c *Config) { c.Options = &ebb.Options{MaxDisk: 1 << 30} },
		"a negative wait": func(c *Config) { c.CallTimeout = -1 },
		"TLS of nobody":   func(c *Config) { c.Insecure, c.TLS = false, &tls.Config{} },
	} {
		c := base
		change(&c)
		dir := filepath.Join(t.TempDir(), "node")
		if _, err := Open(ctx, dir, c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a directory was made", name)
		}
	}

	single := t.TempDir()
	alone, err := ebb.Open(single, nil)
	must(t, err)
	must(t, alone.Close())
	if _, err := Open(ctx, single, base); !errors.Is(err, ErrNotCluster) {
		t.Errorf("the directory of a database: %v", err)
	}

	tc := startCluster(t, 1, nil)
	l := tc.leader()
	must(t, l.Put(ctx, []byte("a"), nil))
	join := func(change func(*Config)) error {
		c := Config{ID: "n2", Listen: "127.0.0.1:0", Insecure: true, Join: []string{l.Addr().String()}, CallTimeout: time.Second}
		change(&c)
		db, err := Open(ctx, t.TempDir(), c)
		if err == nil {
			must(t, db.Close())
		}
		return err
	}
	if err := join(func(c *Config) { c.ID = "n1" }); !errors.Is(err, ErrNodeExists) {
		t.Errorf("two nodes of one name: %v", err)
	}
	if err := join(func(c *Config) { c.Join = []string{"127.0.0.1:1"} }); err == nil {
		t.Error("joined nobody")
	}
	if err := join(func(c *Config) { c.Insecure, c.TLS = false, testTLS(t, "n2") }); err == nil {
		t.Error("joined with TLS what has none")
	}
	other := startCluster(t, 1, nil)
	other.leader()
	conn, err := other.nodes["n1"].net.connect(ctx, l.Addr().String(), connCall, "")
	if !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a node of another cluster: %v, %v", conn, err)
	}
	if conn, err = l.net.connect(ctx, l.Addr().String(), connCall, "n7"); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another node at an address: %v, %v", conn, err)
	}
	for name, err := range map[string]error{
		"a reserved key":    l.Put(ctx, reserved, nil),
		"of a batch":        l.Apply(ctx, batchOf(t, reserved)),
		"of a transaction":  l.Update(ctx, func(tx *ebb.Txn) error { return tx.Put(append(reserved[:17:17], 'm'), nil) }),
		"a reserved range":  l.DeleteRange(ctx, reserved, nil),
		"a reserved key, +": l.Delete(ctx, append(reserved[:17:17], 's')),
	} {
		if !errors.Is(err, ErrReservedKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Put(ctx, nil, nil); !errors.Is(err, ebb.ErrKeyEmpty) {
		t.Error(err)
	}
	if err := l.Put(ctx, []byte("a"), nil, ebb.IfLater); !errors.Is(err, ebb.ErrInvalidOption) {
		t.Error(err)
	}
	must(t, l.DeleteRange(ctx, nil, nil)) // all, and none of the cluster's own
	must(t, l.Put(ctx, []byte("a"), nil))
	tc.agree()

	id := l.ID()
	must(t, l.Close())
	delete(tc.nodes, id)
	c := tc.configs[id]
	c.ID, c.Peers = "n9", nil
	if _, err := Open(ctx, l.dir, c); !errors.Is(err, ErrOtherNode) {
		t.Errorf("the directory of another node: %v", err)
	}
	if err := l.Put(ctx, []byte("a"), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func batchOf(t *testing.T, key []byte) *ebb.Batch {
	var b ebb.Batch
	must(t, b.Put(key, nil))
	return &b
}

// TestNewerEntry applies an entry of a release to come: the node stops, with its version, and the state is as it was.
func TestNewerEntry(t *testing.T) {
	tc := startCluster(t, 1, nil)
	l := tc.leader()
	ctx := t.Context()
	must(t, l.Put(ctx, []byte("a"), []byte("1")))
	entry := appendHeader(nil, &header{kind: kindTick})
	entry[versionOffset]++
	if _, err := l.proposeHere(ctx, entry); !errors.Is(err, ErrStopped) {
		t.Errorf("a newer entry: %v", err)
	}
	var newer *errNewer
	if err := l.Put(ctx, []byte("a"), nil); !errors.Is(err, ErrStopped) || !errors.As(err, &newer) {
		t.Errorf("after it: %v", err)
	}
	if v, err := l.machine.db.Load().Get([]byte("a")); string(v) != "1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

// TestStoppedAfterItWasSent has a node stop by an entry that it was asked for: others may have applied that, so its outcome is
// not known. What comes after is not sent, and was not made.
func TestStoppedAfterItWasSent(t *testing.T) {
	tc := startCluster(t, 1, nil)
	l := tc.leader()
	ctx := t.Context()
	must(t, l.Put(ctx, []byte("a"), nil))
	write := one(op{kind: opPut, key: []byte("a")})
	write[versionOffset]++
	if _, _, err := l.client.propose(ctx, write); !errors.Is(err, ErrUndetermined) || !errors.Is(err, ErrStopped) {
		t.Errorf("what has stopped the node: %v", err)
	}
	if err := l.Put(ctx, []byte("a"), nil); errors.Is(err, ErrUndetermined) || !errors.Is(err, ErrStopped) {
		t.Errorf("after it: %v", err)
	}
}

// TestEntryOfANewerNode has a leader asked, by a node of a release to come, to write an entry that it does not know: it refuses
// that. In the log the entry would stop every node of this release.
func TestEntryOfANewerNode(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	f := tc.follower()
	id, addr := f.leader()
	newer := appendHeader(nil, &header{kind: kindTick})
	newer[versionOffset]++
	unknown := appendHeader(nil, &header{kind: lastKind + 1})
	for _, entry := range [][]byte{newer, unknown, appendHeader(nil, &header{}), make([]byte, headerSize-1)} {
		_, err := f.peers.get(id, addr).call(ctx, methodPropose, entry)
		var failed *callError
		if !errors.As(err, &failed) || failed.failure != failRefused {
			t.Errorf("% x: %v", entry, err)
		}
	}
	for _, db := range tc.nodes {
		must(t, db.Put(ctx, []byte(db.ID()), nil))
	}
}

var authority = sync.OnceValues(func() (*x509.Certificate, *ecdsa.PrivateKey) { return makeCertificate(nil, nil, "authority") })

func makeCertificate(parent *x509.Certificate, by *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		return nil, nil
	}
	c, _ = x509.ParseCertificate(der)
	return c, key
}

// testTLS returns the config of a node.
func testTLS(t *testing.T, name string) *tls.Config {
	ca, by := authority()
	c, key := makeCertificate(ca, by, name)
	if c == nil {
		t.Fatal("no certificate")
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}}
}

// TestTLS has a cluster with certificates, which a node with one of another authority cannot talk to.
func TestTLS(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) { c.Insecure, c.TLS = false, testTLS(t, c.ID) })
	must(t, tc.follower().Put(t.Context(), []byte("a"), []byte("1")))
	tc.agree()
	stranger, key := makeCertificate(nil, nil, "stranger")
	pool := x509.NewCertPool()
	ca, _ := authority()
	pool.AddCert(ca)
	c := Config{
		ID: "n4", Listen: "127.0.0.1:0", Join: []string{tc.leader().Addr().String()}, CallTimeout: time.Second,
		TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{stranger.Raw}, PrivateKey: key}}},
	}
	if db, err := Open(t.Context(), t.TempDir(), c); err == nil {
		t.Error("a node with a wrong certificate was taken in", db.Close())
	} else {
		t.Log(err)
	}
}

// TestSessionExpires lets the sessions of all nodes expire while a follower is away: the next call opens another, and the
// follower comes to the same.
func TestSessionExpires(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	l := tc.leader()
	for _, db := range tc.nodes {
		must(t, db.Put(ctx, []byte("of "+db.ID()), nil))
	}
	f := tc.follower()
	must(t, f.Close())
	delete(tc.nodes, f.ID())
	time.Sleep(5 * time.Millisecond)
	expire := binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindExpireSessions}), 1)
	_, _, err := l.client.propose(ctx, expire)
	must(t, err)
	for _, db := range tc.nodes {
		must(t, db.Put(ctx, []byte("then of "+db.ID()), nil))
	}
	tc.open(tc.configs[f.ID()])
	if _, err := tc.nodes[f.ID()].Get(ctx, []byte("then of "+l.ID())); err != nil {
		t.Error(err)
	}
	tc.agree()
}

// TestLevels reads on a node that is cut off from the others.
func TestLevels(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) { c.CallTimeout = 5 * time.Second; c.NoForward = c.ID == "n3" })
	ctx := t.Context()
	l := tc.makeLeader("n1")
	must(t, l.Put(ctx, []byte("a"), []byte("1")))
	n3 := tc.nodes["n3"]
	var refused *NotLeaderError
	if err := n3.Put(ctx, []byte("a"), nil); !errors.As(err, &refused) || refused.Addr == "" {
		t.Errorf("a node that does not forward: %v", err)
	}
	if _, err := n3.Get(ctx, []byte("a")); !errors.As(err, &refused) {
		t.Errorf("a node that does not forward: %v", err)
	}
	for v := ""; v != "1"; {
		b, _ := n3.Get(ctx, []byte("a"), Stale(time.Second))
		v = string(b)
	}
	for _, id := range []string{"n1", "n2"} {
		must(t, tc.nodes[id].Close())
		delete(tc.nodes, id)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := n3.Get(ctx, []byte("a"), Stale(100*time.Millisecond))
		if errors.Is(err, ErrTooStale) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("a node that is alone: %v", err)
		}
	}
	if v, err := n3.Get(ctx, []byte("a"), Stale(0)); string(v) != "1" || err != nil {
		t.Errorf("a node that is alone: %q, %v", v, err)
	}
	if _, err := n3.Get(ctx, []byte("a"), Leader, Linearizable); !errors.Is(err, ebb.ErrInvalidOptions) {
		t.Error(err)
	}
}

// TestWatch watches two nodes: calls, batches and transactions are told apart, with the same sequences.
func TestWatch(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	l := tc.leader()
	var b ebb.Batch
	must(t, b.Put([]byte("b1"), []byte("1")))
	must(t, b.Delete([]byte("x")))
	must(t, b.Put([]byte("b2"), []byte("2")))
	must(t, l.Put(ctx, []byte("a"), []byte("v")))
	must(t, l.Apply(ctx, &b))
	must(t, l.DeletePrefix(ctx, []byte("b")))
	must(t, l.Put(ctx, []byte("end"), nil))
	want := "[put a false] [put b1 true] [delete x true] [put b2 false] [delete range b false] [put end false] "
	var seqs []string
	for _, db := range []*DB{l, tc.follower()} {
		got, seq := "", ""
		for c, err := range db.Watch(ctx, &ebb.WatchOptions{From: 1}) {
			must(t, err)
			got += fmt.Sprintf("[%v %s %v] ", c.Kind, c.Key, c.More)
			seq += fmt.Sprint(c.Seq, " ")
			if string(c.Key) == "end" {
				break
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", db.ID(), got, want)
		}
		seqs = append(seqs, seq)
	}
	if seqs[0] != seqs[1] {
		t.Error(seqs)
	}
}

// TestUpdateThatWritesNothing has an Update begin on a leader, and another node lead and write before it ends: what the first had
// may have been old already when it began, so that it is read anew, whether the function is content with it or not.
func TestUpdateThatWritesNothing(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	key := []byte("k")
	for _, said := range []error{nil, errors.New("not so")} {
		l := tc.makeLeader("n1")
		must(t, l.Put(ctx, key, []byte("1")))
		calls, read := 0, ""
		err := l.Update(ctx, func(tx *ebb.Txn) error {
			v, err := tx.Get(key)
			if err != nil {
				return err
			}
			if calls, read = calls+1, string(v); calls == 1 {
				must(t, tc.makeLeader("n2").Put(ctx, key, []byte("2")))
			}
			return said
		})
		if !errors.Is(err, said) || calls != 2 || read != "2" {
			t.Errorf("read %q in %d calls, %v", read, calls, err)
		}
		calls = 0
		must(t, l.Update(ctx, func(*ebb.Txn) error { calls++; return nil }))
		if calls != 1 {
			t.Errorf("%d calls while one node leads", calls)
		}
	}
}

// TestUpdateThatWritesNothingWaitsForNothing has an Update of a follower write nothing, while that applies no entry any more: what
// was written since the Update has read is not waited for.
func TestUpdateThatWritesNothingWaitsForNothing(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) { c.Heartbeat = 2 * time.Second }) // nobody else is elected meanwhile
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, tc.leader().Put(ctx, []byte("k"), []byte("1")))
	f := tc.follower()
	var held bool
	pins := &f.machine.pins
	err := f.Update(ctx, func(tx *ebb.Txn) error {
		if !held {
			held = true
			pins.mu.Lock() // the next pin is not applied here
		}
		_, _, err := tc.leader().client.propose(ctx, appendHeader(nil, &header{kind: kindPin}))
		must(t, err)
		_, err = tx.Get([]byte("k"))
		return err
	})
	pins.mu.Unlock()
	must(t, err)
}
