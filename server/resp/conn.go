package resp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
)

const (
	// flushAt is the size of the replies from which on they leave before the next command runs.
	flushAt = 64 << 10
	// maxIdleReply is the largest buffer of replies that outlives them.
	maxIdleReply = 64 << 10
	// writeChunk is how many bytes the client has Options.WriteTimeout to take.
	writeChunk = 256 << 10
)

// client is a connection. What has no other comment is for its own goroutine.
type client struct {
	srv *Server
	id  int64
	nc  net.Conn
	rd  *reader
	out reply
	err error // what ends the connection after the replies have left

	authed  bool
	multi   *queue            // after MULTI
	watched map[string]uint64 // versions of keys, by WATCH
	subs    subscriptions
	mail    *mailbox // once there was a subscription: what leaves goes through it
	muted   replyMode
	noTouch bool

	// Of the pipeline under way: whether a write waits for a sync, whether the command that runs is the last that may write, and
	// the events to publish when it is synced.
	dirty     bool
	lastWrite bool
	events    []event
	version   uint64 // where a write tells its version
	opts      [6]ebb.WriteOption
	batch     ebb.Batch // of a run of SETs
	exec      exec
	began     time.Time // of the command that runs
	deadline  time.Time // of the next write to the connection, as it was set last

	about about // what others may ask
}

// about is what CLIENT LIST tells of a client.
type about struct {
	addr, laddr string
	created     time.Time
	active      atomic.Int64 // Unix ms of the last command
	last        atomic.Pointer[command]
	resp        atomic.Int32
	subs, psubs atomic.Int32
	queued      atomic.Int32 // commands of a MULTI; -1: there is none
	watching    atomic.Int32
	read        atomic.Int64 // bytes of the buffer for requests
	replies     atomic.Int64 // bytes of the buffer for replies
	noEvict     atomic.Bool
	killed      atomic.Bool

	mu               sync.Mutex
	name             string // guarded by mu
	libName, libVers string // guarded by mu
}

type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkip     // the reply of the command that runs
	replySkipNext // and of the one after it
)

func newClient(s *Server, nc net.Conn) *client {
	c := &client{srv: s, id: s.clients.lastID.Add(1), nc: nc}
	c.rd = newReader(&countingReader{nc, &s.counts.bytesIn}, s.opts.MaxRequest)
	c.authed = s.settings.password() == ""
	c.rd.open = c.authed
	c.about.created = s.opts.Clock()
	c.about.active.Store(c.about.created.UnixMilli())
	c.about.addr, c.about.laddr = addrOf(nc.RemoteAddr()), addrOf(nc.LocalAddr())
	c.about.resp.Store(2)
	c.about.queued.Store(-1)
	return c
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// serve runs the connection to its end.
func (c *client) serve() {
	defer c.end()
	s := c.srv
	s.counts.accepted.Add(1)
	if !s.clients.add(c, s.settings.maxClients()) {
		s.counts.rejected.Add(1)
		c.out.err("ERR max number of clients reached")
		_ = c.write()
		c.err = errFull
		return
	}
	for c.err == nil {
		if c.err = c.awaitRequest(); c.err != nil {
			break
		}
		err := c.rd.next()
		c.about.read.Store(int64(len(c.rd.buf)))
		c.pipeline()
		if c.err != nil {
			break
		}
		c.err = c.complain(err)
	}
	if c.err == errQuit {
		c.err = nil
	}
	if c.err != nil && !isDisconnect(c.err) {
		s.opts.Logger.Info("connection closed", "client", c.about.addr, "err", c.err)
	}
}

var (
	errQuit  = errors.New("resp: quit")
	errFull  = errors.New("resp: too many clients")
	errDrain = errors.New("resp: server is shutting down")
	errSync  = errors.New("resp: sync failed, replies are withheld")
)

// isDisconnect reports whether a connection has ended as connections do.
func isDisconnect(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errDrain)
}

// complain tells the client of an error of its protocol, and returns what ends the connection.
func (c *client) complain(err error) error {
	var protocol protocolError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &protocol):
		c.srv.counts.protocolErrors.Add(1)
		c.out.err("ERR " + protocol.Error())
		_ = c.flush()
	case errors.Is(err, errRequestTooLarge):
		c.srv.counts.protocolErrors.Add(1)
		c.out.err("ERR Protocol error: request over the limit")
		_ = c.flush()
	case errors.Is(err, os.ErrDeadlineExceeded) && c.srv.draining.Load():
		return errDrain
	}
	return err
}

// awaitRequest sets the deadline of the next read.
func (c *client) awaitRequest() error {
	idle := c.srv.settings.idleTimeout()
	if idle > 0 && c.mail == nil {
		if err := c.nc.SetReadDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
	} else if c.srv.settings.idleWasSet() {
		if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	if c.srv.draining.Load() {
		return errDrain // after the deadline was set: drain may have set its own before that
	}
	return nil
}

// pipeline runs the commands of the batch and lets their replies leave.
func (c *client) pipeline() {
	n := len(c.rd.cmds)
	if n == 0 {
		return
	}
	c.about.active.Store(c.srv.opts.Clock().UnixMilli())
	last := c.lastWriteOf(n)
	c.began = time.Now()
	for i, ran := 0, 0; i < n; i += ran {
		if ran = c.setRun(i, n, last); ran == 0 {
			c.lastWrite = i >= last
			c.dispatch(c.rd.command(i))
			ran = 1
		}
		if c.err != nil {
			break
		}
		if len(c.out.b) >= flushAt {
			if c.err = c.flush(); c.err != nil {
				return
			}
		}
	}
	if err := c.flush(); err != nil {
		c.err = err
	}
}

// lastWriteOf returns which command of n is the last that may write; n if none is.
func (c *client) lastWriteOf(n int) int {
	for i := n - 1; i >= 0; i-- {
		if cmd := c.srv.table.lookup(c.rd.command(i)[0]); cmd != nil && cmd.flags&(flagWrite|flagCommit) != 0 {
			return i
		}
	}
	return n
}

// flush lets the replies leave.
//
//  1. What the pipeline has written is synced, unless its last write was. A crash before that leaves writes without replies.
//  2. Subscribers are told. Who writes when he has a reply is told of after this one: events of two connections are in the order
//     of their replies. A client that is a subscriber itself is told after its replies.
//  3. The replies leave: what they acknowledge is on the disk.
func (c *client) flush() error {
	if c.dirty {
		if err := c.srv.store.Sync(c.srv.ctx); err != nil {
			c.srv.opts.Logger.Error("sync failed", "client", c.about.addr, "err", err)
			c.out.b = nil
			c.events = nil
			return errors.Join(errSync, err)
		}
		c.dirty = false
	}
	if c.mail == nil {
		c.publishEvents()
		return c.write()
	}
	err := c.write()
	c.publishEvents()
	return err
}

// write sends the replies, whatever they say.
func (c *client) write() error {
	b := c.out.b
	if len(b) == 0 {
		return nil
	}
	c.out.b = b[:0]
	if cap(b) > maxIdleReply {
		c.out.b = nil
	}
	c.about.replies.Store(int64(cap(c.out.b)))
	if c.mail != nil {
		return c.mail.put(b)
	}
	return c.send(b)
}

// send writes to the connection. One goroutine at a time calls it: the client's own, or that of its mailbox.
func (c *client) send(b []byte) error {
	for len(b) > 0 {
		if timeout := c.srv.opts.WriteTimeout; time.Until(c.deadline) < timeout/2 {
			c.deadline = time.Now().Add(timeout)
			if err := c.nc.SetWriteDeadline(c.deadline); err != nil {
				return err
			}
		}
		n, err := c.nc.Write(b[:min(len(b), writeChunk)])
		c.srv.counts.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// drain lets the client finish what it has sent.
func (c *client) drain() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }

// kill closes the connection under the client.
func (c *client) kill() {
	c.about.killed.Store(true)
	_ = c.nc.Close()
}

// end lets go of what the connection has.
func (c *client) end() {
	c.unsubscribeAll()
	if c.mail != nil {
		c.mail.finish()
	}
	c.srv.clients.remove(c)
	c.srv.counts.ended.Add(1)
	c.linger()
	_ = c.nc.Close()
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// linger lets the last replies reach a client that was told goodbye. A connection that is closed with input unread is reset, and
// what is on its way to the client may be lost then: so the client is told the end first, and what it still sends is dropped for
// a moment.
func (c *client) linger() {
	var protocol protocolError
	told := c.err == nil || errors.Is(c.err, errDrain) || errors.Is(c.err, errRequestTooLarge) || errors.As(c.err, &protocol)
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !told || !ok || c.about.killed.Load() || half.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
	}
}

type countingReader struct {
	r     io.Reader
	bytes *atomic.Uint64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.bytes.Add(uint64(n))
	return n, err
}
