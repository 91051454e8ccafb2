package cluster

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Every connection begins with a greeting, in TLS if there is any, and an answer:
//
//	greeting: "ebbc", version 1, kind, cluster id (16, zeros: it has none yet), the id of who dials (a byte of length, and it)
//	answer:   a byte of status, the id of who answers (a byte of length, and it), a text (a byte of length, and it)
//
// After that a connection is raft's or carries calls, by its kind.
const (
	greetingMagic   = "ebbc"
	greetingVersion = 1
	greetingTimeout = 5 * time.Second

	connRaft = 'r'
	connCall = 'c'
	connJoin = 'j' // calls of a node that has no cluster yet

	connAdmin  = 'a' // calls of who operates the cluster
	connBackup = 'b' // a backup, for the same

	statusOK           = 0
	statusOtherCluster = 1
	statusRefused      = 2
)

// transport is the listener of a node, for raft and for calls, and what dials. It is a raft.StreamLayer.
type transport struct {
	id        string
	advertise string
	ln        net.Listener
	dial      func(ctx context.Context, addr string) (net.Conn, error)
	server    *tls.Config // nil: no TLS
	client    *tls.Config

	raftConns chan net.Conn
	serve     func(conn net.Conn, kind byte)
	nodeAt    func(addr string) string // the id of the member at an address; "": none is known

	mu struct {
		sync.Mutex
		cluster string // hex
		conns   map[net.Conn]struct{}
	}
	work    sync.WaitGroup
	closed  chan struct{}
	closing sync.Once
}

// listen begins to listen.
func listen(c *Config) (*transport, error) {
	ln := c.listener
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", c.Listen); err != nil {
			return nil, err
		}
	}
	t := &transport{
		id: c.ID, advertise: c.Advertise, ln: ln, dial: c.Dial,
		raftConns: make(chan net.Conn), closed: make(chan struct{}),
	}
	t.mu.conns = make(map[net.Conn]struct{})
	if t.advertise == "" {
		t.advertise = ln.Addr().String()
	}
	t.secure(c.TLS)
	return t, nil
}

// secure makes connections mutual TLS, unless c is nil.
func (t *transport) secure(c *tls.Config) {
	if c == nil {
		return
	}
	t.server, t.client = c.Clone(), c.Clone()
	t.server.ClientAuth = tls.RequireAndVerifyClientCert
	if t.server.ClientCAs == nil {
		t.server.ClientCAs = c.RootCAs
	}
	if t.client.RootCAs == nil {
		t.client.RootCAs = c.ClientCAs
	}
}

// start begins to accept connections.
func (t *transport) start() { t.work.Go(t.accept) }

func (t *transport) accept() {
	for {
		conn, err := t.ln.Accept()
		if err != nil {
			select {
			case <-t.closed:
				return
			case <-time.After(10 * time.Millisecond): // too many open files, for one
				continue
			}
		}
		if !t.keep(conn) {
			conn.Close()
			return
		}
		t.work.Go(func() { t.greeted(conn) })
	}
}

// keep remembers a connection, for close.
func (t *transport) keep(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		return false
	default:
	}
	t.mu.conns[conn] = struct{}{}
	return true
}

func (t *transport) forget(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.conns, conn)
}

func (t *transport) clusterID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.cluster
}

func (t *transport) setClusterID(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.cluster = id
}

// greeted serves a connection that was accepted.
func (t *transport) greeted(raw net.Conn) {
	conn := raw
	if t.server != nil {
		conn = tls.Server(raw, t.server)
	}
	kind, err := t.greet(conn)
	if err != nil {
		conn.Close()
		t.forget(raw)
		return
	}
	kept := &keptConn{Conn: conn, close: func() { t.forget(raw) }}
	if kind == connRaft {
		select {
		case t.raftConns <- kept:
		case <-t.closed:
			kept.Close()
		}
		return
	}
	defer kept.Close()
	t.serve(kept, kind)
}

// keptConn is a connection that is forgotten when it is closed.
type keptConn struct {
	net.Conn
	once  sync.Once
	close func()
}

// Close closes the connection.
func (c *keptConn) Close() error {
	c.once.Do(c.close)
	return c.Conn.Close()
}

// isStranger reports whether a connection is of who need not know which cluster it is.
func isStranger(kind byte) bool { return kind == connJoin || kind == connAdmin || kind == connBackup }

// greet reads the greeting of a connection, and answers.
func (t *transport) greet(conn net.Conn) (kind byte, err error) {
	if err := conn.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return 0, err
	}
	var b [len(greetingMagic) + 2 + clusterIDSize + 1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, err
	}
	if string(b[:4]) != greetingMagic {
		return 0, errors.New("no greeting")
	}
	id := make([]byte, b[len(b)-1])
	if _, err := io.ReadFull(conn, id); err != nil {
		return 0, err
	}
	kind = b[5]
	status, text := byte(statusOK), ""
	mine := t.clusterID()
	switch {
	case b[4] != greetingVersion:
		status, text = statusRefused, fmt.Sprintf("a greeting of version %d: this release knows %d", b[4], greetingVersion)
	case kind != connRaft && kind != connCall && !isStranger(kind):
		status, text = statusRefused, "a connection of an unknown kind"
	case mine == "":
		status, text = statusRefused, "this node is not in a cluster yet"
	case !isStranger(kind) && hex.EncodeToString(b[6:6+clusterIDSize]) != mine:
		status, text = statusOtherCluster, "this node is of the cluster "+mine
	}
	out := append([]byte{status, byte(len(t.id))}, t.id...)
	out = append(append(out, byte(len(text))), text...)
	if _, err := conn.Write(out); err != nil {
		return 0, err
	}
	if status != statusOK {
		return 0, errors.New(text)
	}
	return kind, conn.SetDeadline(time.Time{})
}

// connect dials an address, and greets. want is who is to answer; "": anybody.
func (t *transport) connect(ctx context.Context, addr string, kind byte, want string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	raw, err := t.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn := raw
	if t.client != nil {
		config := t.client
		if config.ServerName == "" && !config.InsecureSkipVerify {
			config = config.Clone()
			if config.ServerName, _, err = net.SplitHostPort(addr); err != nil {
				return nil, errors.Join(err, raw.Close())
			}
		}
		conn = tls.Client(raw, config)
	}
	if err := t.hello(ctx, conn, addr, kind, want); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", addr, err), conn.Close())
	}
	return conn, nil
}

// hello sends the greeting, and reads the answer.
func (t *transport) hello(ctx context.Context, conn net.Conn, addr string, kind byte, want string) error {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	cluster := make([]byte, clusterIDSize)
	if _, err := hex.Decode(cluster, []byte(t.clusterID())); err != nil {
		return err
	}
	b := append([]byte(greetingMagic), greetingVersion, kind)
	b = append(append(append(b, cluster...), byte(len(t.id))), t.id...)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return fmt.Errorf("no answer to the greeting: %w", err)
	}
	id := make([]byte, int(head[1])+1)
	if _, err := io.ReadFull(conn, id); err != nil {
		return err
	}
	text := make([]byte, id[len(id)-1])
	if _, err := io.ReadFull(conn, text); err != nil {
		return err
	}
	id = id[:len(id)-1]
	switch {
	case head[0] == statusOtherCluster:
		return fmt.Errorf("%w: %s", ErrOtherCluster, text)
	case head[0] != statusOK:
		return fmt.Errorf("refused: %s", text)
	case want != "" && string(id) != want:
		return fmt.Errorf("%w: %s is %s, not %s", ErrOtherNode, addr, id, want)
	}
	return conn.SetDeadline(time.Time{})
}

// Accept returns the next connection of raft.
func (t *transport) Accept() (net.Conn, error) {
	select {
	case conn := <-t.raftConns:
		return conn, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects to the raft of a member.
func (t *transport) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if timeout > 0 {
		c, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = c
	}
	return t.connect(ctx, string(addr), connRaft, t.nodeAt(string(addr)))
}

// Addr is the address that others reach the node at.
func (t *transport) Addr() net.Addr { return address(t.advertise) }

type address string

// Network and String are those of a TCP address.
func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// Close stops listening, and closes every connection that was accepted.
func (t *transport) Close() error {
	err := net.ErrClosed
	t.closing.Do(func() {
		t.mu.Lock()
		close(t.closed)
		conns := t.mu.conns
		t.mu.conns = make(map[net.Conn]struct{})
		t.mu.Unlock()
		err = t.ln.Close()
		for c := range conns {
			c.Close()
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// wait waits for the goroutines of connections.
func (t *transport) wait() { t.work.Wait() }
