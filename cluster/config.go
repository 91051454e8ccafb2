package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Peer is a member of a cluster that begins.
type Peer struct {
	ID   string
	Addr string // the address that the others reach it at
}

// Config says what a node is. ID and Listen are always needed; Peers or Join, when its directory is new.
type Config struct {
	// ID names the node among all that the cluster ever had. It cannot change.
	ID string
	// Listen is the TCP address to listen at, host:port. Port 0 is any.
	Listen string
	// Advertise is the address that other nodes reach this one at. Default: Listen, as it has become.
	Advertise string

	// Peers are the members of a new cluster, this node among them. Every one of them is opened with the same list, in any
	// order. A list of this node alone is a cluster of one, which others can join. It counts only in a new directory.
	Peers []Peer
	// Join are addresses of members of a cluster: a new node asks the first that answers to be taken in. It counts only in a
	// new directory.
	Join []string
	// ReadReplica makes a node that joins one without a vote: it has the data, and does not count for a majority.
	ReadReplica bool

	// TLS is how nodes prove to each other who they are: a certificate, and the authorities of those of the others, in RootCAs
	// and ClientCAs, either of which stands for both. Every connection is mutual TLS.
	TLS *tls.Config
	// Insecure allows a node without TLS. It may listen on the loopback only.
	Insecure bool

	// Options are those of the database. Clock is the wall clock, which only a leader follows. Sync and SyncEvery mean nothing:
	// the log of the cluster is synced. ExpiryEvents is for all nodes: what the leader has counts, and goes into the log. MaxDisk
	// and ReadOnly are refused.
	Options *ebb.Options
	// Logger is told what raft and the node do. Nil: nobody.
	Logger *slog.Logger

	// CallTimeout bounds a call whose context has no deadline. Default: 10 s.
	CallTimeout time.Duration
	// NoForward makes a node that is not the leader refuse calls with *NotLeaderError, in place of passing them on.
	NoForward bool
	// SessionIdle is how long the cluster remembers the calls of a node that makes none. Default: 1 h.
	SessionIdle time.Duration
	// Tick is how late at most the leader lets time pass in the log while something is due and nothing is written. Default:
	// 100 ms.
	Tick time.Duration

	// Heartbeat is how long a follower hears nothing before it stands for election. Default: 1 s.
	Heartbeat time.Duration
	// SnapshotThreshold is after how many entries a node makes a snapshot, and SnapshotInterval how often it looks. An entry is a
	// call, or several that have come together: with many clients, dozens. Default: 64 Ki entries, 2 min.
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	// TrailingLogs is how many entries are kept behind a snapshot, for followers that lag. What is written while a node is sent a
	// snapshot is kept for it besides. Default: 16 Ki.
	TrailingLogs uint64
	// SnapshotRate bounds the bytes a second at which this node, if it leads, sends snapshots, to all nodes together. Less than 0:
	// no bound. Default: 32 MiB.
	SnapshotRate int64

	// Dial connects to an address. Default: a net.Dialer.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// FS is for the tests of this repository: the file system of the raft log, of snapshots and of the state.
	FS vfs.FS

	listener net.Listener // of a test; nil: Listen
}

// withDefaults returns a copy with every field set that has a default, or what is wrong.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
		name  string
	}{
		{&c.CallTimeout, 10 * time.Second, "CallTimeout"},
		{&c.SessionIdle, time.Hour, "SessionIdle"},
		{&c.Tick, 100 * time.Millisecond, "Tick"},
		{&c.Heartbeat, time.Second, "Heartbeat"},
		{&c.SnapshotInterval, 2 * time.Minute, "SnapshotInterval"},
	} {
		if *d.field < 0 {
			return c, fmt.Errorf("%w: %s is %v", ErrConfig, d.name, *d.field)
		}
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 64 << 10
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 16 << 10
	}
	if c.SnapshotRate == 0 {
		c.SnapshotRate = 32 << 20
	}
	if c.Options == nil {
		c.Options = &ebb.Options{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.ID == "" || len(c.ID) > maxID:
		return fmt.Errorf("%w: ID has %d bytes, allowed: 1 to %d", ErrConfig, len(c.ID), maxID)
	case c.Listen == "":
		return fmt.Errorf("%w: Listen is empty", ErrConfig)
	case c.TLS == nil && !c.Insecure:
		return fmt.Errorf("%w: neither TLS nor Insecure", ErrConfig)
	case c.TLS != nil && c.Insecure:
		return fmt.Errorf("%w: both TLS and Insecure", ErrConfig)
	case c.Insecure && !isLoopback(c.Listen):
		return fmt.Errorf("%w: Insecure, and Listen is %s, which is not the loopback", ErrConfig, c.Listen)
	case c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil:
		return fmt.Errorf("%w: TLS has no certificate", ErrConfig)
	case c.TLS != nil && c.TLS.RootCAs == nil && c.TLS.ClientCAs == nil:
		return fmt.Errorf("%w: TLS has no authorities: RootCAs or ClientCAs", ErrConfig)
	case c.Options.MaxDisk != 0:
		return fmt.Errorf("%w: Options.MaxDisk is not for a cluster: each node would evict by itself", ErrConfig)
	case c.Options.ReadOnly:
		return fmt.Errorf("%w: Options.ReadOnly is not for a cluster", ErrConfig)
	case c.Heartbeat < 10*time.Millisecond:
		return fmt.Errorf("%w: Heartbeat is %v, allowed: 10ms and more", ErrConfig, c.Heartbeat)
	case len(c.Peers) > 0 && len(c.Join) > 0:
		return fmt.Errorf("%w: both Peers and Join", ErrConfig)
	case len(c.Peers) > 0 && c.ReadReplica:
		return fmt.Errorf("%w: a cluster does not begin with a ReadReplica", ErrConfig)
	}
	seen := make(map[string]bool)
	for _, p := range c.Peers {
		if p.ID == "" || len(p.ID) > maxID || p.Addr == "" || seen[p.ID] || seen["@"+p.Addr] {
			return fmt.Errorf("%w: the peer %q at %q has no name or no address, or has one that another has", ErrConfig, p.ID, p.Addr)
		}
		seen[p.ID], seen["@"+p.Addr] = true, true
	}
	if len(c.Peers) > 0 && !seen[c.ID] {
		return fmt.Errorf("%w: Peers are without this node, %q", ErrConfig, c.ID)
	}
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
