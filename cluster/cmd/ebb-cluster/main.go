// Command ebb-cluster starts a node of a cluster, and operates one: see docs/CLUSTER.md.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/cluster"
)

const usage = `ebb-cluster COMMAND [flags] ...

  start   -id NAME -listen ADDR (-peers NAME=ADDR,... | -join ADDR,...) DIR   run a node until SIGINT or SIGTERM
  status  ADDR               who leads, and how far each node has come
  digest  ADDR               whether all nodes have the same after one entry: exit status 1 if not
  add     [-replica] ADDR NAME=ADDR    add a node that is not opened with -join
  promote ADDR NAME          give a read replica a vote
  remove  ADDR NAME          take a node from the members
  transfer ADDR [NAME]       make another node the leader
  backup  ADDR FILE          write a snapshot file, which "ebb restore" reads
  recover -id NAME -peers NAME=ADDR,... DIR    on a closed node: make these the members, when a majority is lost for good

ADDR is that of any node. All commands but recover take -cert, -key and -ca, PEM files, for mutual TLS, or -insecure, on the
loopback; -timeout bounds those that ask.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "ebb-cluster:", err)
		os.Exit(1)
	}
}

// flags are those of all commands.
type flags struct {
	*flag.FlagSet
	id, listen, advertise, peers, join, metrics string
	cert, key, ca                               string
	insecure, replica, events                   bool
	timeout                                     time.Duration
	memory, rate                                int64
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command: see ebb-cluster help")
	}
	f := &flags{FlagSet: flag.NewFlagSet(args[0], flag.ContinueOnError)}
	f.SetOutput(log)
	f.Usage = func() { fmt.Fprint(log, usage); f.PrintDefaults() }
	f.StringVar(&f.id, "id", "", "the name of the node")
	f.StringVar(&f.listen, "listen", "", "host:port to listen at")
	f.StringVar(&f.advertise, "advertise", "", "host:port that others reach the node at; default: -listen")
	f.StringVar(&f.peers, "peers", "", "the members of a new cluster: NAME=ADDR,...")
	f.StringVar(&f.join, "join", "", "members of a cluster to join: ADDR,...")
	f.StringVar(&f.metrics, "metrics", "", "host:port to serve /metrics at, for Prometheus")
	f.StringVar(&f.cert, "cert", "", "certificate of the node, or of who operates")
	f.StringVar(&f.key, "key", "", "its key")
	f.StringVar(&f.ca, "ca", "", "certificates of the authorities of all")
	f.BoolVar(&f.events, "expiry-events", false, "report what expires to watchers; on all nodes: what the leader has counts")
	f.BoolVar(&f.insecure, "insecure", false, "no TLS, on the loopback")
	f.BoolVar(&f.replica, "replica", false, "without a vote")
	f.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
	f.Int64Var(&f.memory, "memory", 0, "bytes of Options.Memory; 0: 256 MiB")
	f.Int64Var(&f.rate, "snapshot-rate", 0, "bytes a second at which snapshots are sent; 0: 32 MiB; -1: no bound")
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch args[0] {
	case "start":
		return f.start(ctx, log)
	case "recover":
		return f.recover()
	case "help":
		_, err := fmt.Fprint(out, usage)
		return err
	}
	return f.ask(ctx, args[0], out)
}

// tls returns the config of the files, nil without any.
func (f *flags) tls() (*tls.Config, error) {
	if f.cert == "" && f.key == "" && f.ca == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", f.ca)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}

// parsePeers parses NAME=ADDR,...
func parsePeers(s string) (peers []cluster.Peer, err error) {
	for p := range strings.SplitSeq(s, ",") {
		id, addr, ok := strings.Cut(p, "=")
		if !ok || id == "" || addr == "" {
			return nil, fmt.Errorf("%q is not NAME=ADDR", p)
		}
		peers = append(peers, cluster.Peer{ID: id, Addr: addr})
	}
	return peers, nil
}

func (f *flags) start(ctx context.Context, log io.Writer) error {
	if f.NArg() != 1 {
		return errors.New("start takes a directory")
	}
	config, err := f.tls()
	if err != nil {
		return err
	}
	c := cluster.Config{
		ID: f.id, Listen: f.listen, Advertise: f.advertise, ReadReplica: f.replica, TLS: config, Insecure: f.insecure,
		SnapshotRate: f.rate,
		Options:      &ebb.Options{Memory: f.memory}, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if f.peers != "" {
		if c.Peers, err = parsePeers(f.peers); err != nil {
			return err
		}
	}
	if f.join != "" {
		c.Join = strings.Split(f.join, ",")
	}
	c.Options.ExpiryEvents = f.events
	db, err := cluster.Open(ctx, f.Arg(0), c)
	if err != nil {
		return err
	}
	if f.metrics != "" {
		ln, err := net.Listen("tcp", f.metrics)
		if err != nil {
			return errors.Join(err, db.Close())
		}
		server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metrics" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			writeMetrics(w, db.Stats())
		})}
		go func() { _ = server.Serve(ln) }()
		defer server.Close()
	}
	fmt.Fprintf(log, "%s listens at %s\n", db.ID(), db.Addr())
	<-ctx.Done()
	return db.Close()
}

func (f *flags) recover() error {
	peers, err := parsePeers(f.peers)
	if err != nil {
		return err
	}
	if f.NArg() != 1 {
		return errors.New("recover takes a directory")
	}
	return cluster.Recover(f.Arg(0), f.id, peers, &ebb.Options{Memory: f.memory})
}

// ask runs a command that asks a node.
func (f *flags) ask(ctx context.Context, command string, out io.Writer) error {
	if f.NArg() == 0 {
		return fmt.Errorf("%s: no address, or no such command: see ebb-cluster help", command)
	}
	config, err := f.tls()
	if err != nil {
		return err
	}
	a, err := cluster.Connect(f.Arg(0), cluster.AdminConfig{TLS: config, Insecure: f.insecure})
	if err != nil {
		return err
	}
	defer a.Close()
	if command == "backup" {
		return f.backup(ctx, a)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	name := f.Arg(1)
	switch {
	case command == "status":
		return status(ctx, a, out)
	case command == "digest":
		return digest(ctx, a, out)
	case command == "transfer":
		return a.TransferLeadership(ctx, name)
	case name == "":
		return fmt.Errorf("%s: no name, or no such command: see ebb-cluster help", command)
	case command == "promote":
		return a.Promote(ctx, name)
	case command == "remove":
		return a.Remove(ctx, name)
	case command == "add":
		peers, err := parsePeers(name)
		if err != nil {
			return err
		}
		if f.replica {
			return a.AddNonvoter(ctx, peers[0].ID, peers[0].Addr)
		}
		return a.AddVoter(ctx, peers[0].ID, peers[0].Addr)
	}
	return fmt.Errorf("no such command: %s; see ebb-cluster help", command)
}

// backup writes a snapshot file, which is there once it is whole.
func (f *flags) backup(ctx context.Context, a *cluster.Admin) error {
	if f.NArg() != 2 {
		return errors.New("backup takes an address and a file")
	}
	file, err := os.OpenFile(f.Arg(1)+".tmp", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = a.Backup(ctx, file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), f.Arg(1))
}

func status(ctx context.Context, a *cluster.Admin, out io.Writer) error {
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	most := uint64(0)
	for _, n := range s.Nodes {
		most = max(most, n.Commit)
	}
	fmt.Fprintf(out, "cluster %s, leader %s\n", s.Cluster, s.Leader)
	for _, n := range s.Nodes {
		kind := "voter"
		if !n.Voter {
			kind = "replica"
		}
		if n.Err != "" {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", n.ID, n.Addr, kind, n.Err)
			continue
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\tterm %d\tapplied %d\tlag %d\tversion %d\ttime %s\n", n.ID, n.Addr, kind, n.State, n.Term,
			n.Applied, most-min(most, n.Applied), n.Version, n.Time.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func digest(ctx context.Context, a *cluster.Admin, out io.Writer) error {
	list, err := a.Digest(ctx)
	if err != nil {
		return err
	}
	same := true
	for _, n := range list {
		if n.Err != nil {
			fmt.Fprintf(out, "%s\t%v\n", n.ID, n.Err)
			continue
		}
		fmt.Fprintf(out, "%s\tentry %d\tkeys %d\t%x\n", n.ID, n.Digest.Index, n.Digest.Entries, n.Digest.Sum)
		same = same && (list[0].Err != nil || n.Digest == list[0].Digest)
	}
	if !same {
		return errors.New("the nodes differ")
	}
	return nil
}

// writeMetrics writes what Prometheus reads.
func writeMetrics(w io.Writer, s cluster.Stats) {
	leads, stopped := 0, 0
	if s.Node.State == "Leader" {
		leads = 1
	}
	if s.Node.Err != "" {
		stopped = 1
	}
	contact := 0.
	if !s.Node.Contact.IsZero() && leads == 0 {
		contact = time.Since(s.Node.Contact).Seconds()
	}
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"leader", "gauge", "1 on the node that leads", leads},
		{"stopped", "gauge", "1 on a node that applies no more entries", stopped},
		{"term", "gauge", "the term of raft", s.Node.Term},
		{"last_index", "gauge", "the last entry of the node's log", s.Node.Last},
		{"commit_index", "gauge", "the last entry that the node knows to be committed", s.Node.Commit},
		{"applied_index", "gauge", "the last entry that reads on the node see", s.Node.Applied},
		{"version", "gauge", "the newest version in the state", s.Node.Version},
		{"time_seconds", "gauge", "the time of the log, Unix", float64(s.Node.Time.UnixMilli()) / 1000},
		{"leader_contact_seconds", "gauge", "since a follower has heard of the leader", contact},
		{"disk_bytes", "gauge", "of the state", s.DB.DiskBytes},
	} {
		name := "ebb_cluster_" + m.name
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, m.help, name, m.kind, name, m.value)
	}
}
