package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A connection of calls carries frames, both ways, in any order:
//
//	Length  u32  bytes after it
//	ID      u64  of the request; the answer has the same
//	Method  u8   of a request; of an answer its status: 0, or a failure whose text the rest is
//	Wait    u32  of a request: ms that the caller waits; of an answer 0
//	Payload
const (
	frameHead = 4 + 8 + 1 + 4
	maxFrame  = maxEntrySize + 1<<20
)

type method uint8

const (
	methodPropose method = iota + 1
	methodReadIndex
	methodJoin
	methodStatus
	methodMember
	methodDigest
	methodTime
	methodAdmin
	methodCalls
)

// failure is a status of an answer.
type failure uint8

const (
	failNone       failure = iota
	failNotLeader          // nothing was done
	failUnknown            // the outcome is unknown
	failRefused            // nothing was done, and it is no use to ask again
	failNodeExists         // as failRefused: ErrNodeExists
	failStopped            // as failRefused: ErrStopped
)

// callError is a failure that a node has answered.
type callError struct {
	failure failure
	text    string
}

func (e *callError) Error() string { return e.text }

// Is makes the error match what the node had.
func (e *callError) Is(target error) bool {
	return target == ErrNodeExists && e.failure == failNodeExists || target == ErrStopped && e.failure == failStopped
}

// errUnsent says that a call was not sent.
var errUnsent = errors.New("not sent")

// caller calls another node, over one connection for all that goes on.
type caller struct {
	connect func(ctx context.Context) (net.Conn, error)

	mu struct {
		sync.Mutex
		conn    *callConn
		closed  bool
		dialing chan struct{} // closed when the dial under way has ended; nil: none is
	}
	work sync.WaitGroup
}

type callConn struct {
	conn    net.Conn
	writing sync.Mutex

	mu struct {
		sync.Mutex
		next    uint64
		waiting map[uint64]chan answer
		err     error
	}
}

type answer struct {
	payload []byte
	err     error
}

// call makes a call. An error that is neither a *callError nor errUnsent leaves open whether the node has done it.
func (c *caller) call(ctx context.Context, m method, payload ...[]byte) ([]byte, error) {
	conn, err := c.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsent, err)
	}
	id, ch, err := conn.begin()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsent, err)
	}
	wait := uint32(0)
	if deadline, ok := ctx.Deadline(); ok {
		wait = uint32(max(time.Until(deadline).Milliseconds(), 1))
	}
	if err := conn.send(id, byte(m), wait, payload...); err != nil {
		c.drop(conn, err)
	}
	select {
	case a := <-ch:
		return a.payload, a.err
	case <-ctx.Done():
		conn.forget(id)
		return nil, ctx.Err()
	}
}

// get returns the connection, or makes one.
func (c *caller) get(ctx context.Context) (*callConn, error) {
	for {
		c.mu.Lock()
		switch {
		case c.mu.closed:
			c.mu.Unlock()
			return nil, ErrClosed
		case c.mu.conn != nil:
			conn := c.mu.conn
			c.mu.Unlock()
			return conn, nil
		case c.mu.dialing != nil:
			wait := c.mu.dialing
			c.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			continue
		}
		done := make(chan struct{})
		c.mu.dialing = done
		c.mu.Unlock()
		raw, err := c.connect(ctx)
		c.mu.Lock()
		c.mu.dialing = nil
		close(done)
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		if c.mu.closed {
			c.mu.Unlock()
			return nil, errors.Join(ErrClosed, raw.Close())
		}
		conn := &callConn{conn: raw}
		conn.mu.waiting = make(map[uint64]chan answer)
		c.mu.conn = conn
		c.work.Go(func() { c.drop(conn, conn.read()) })
		c.mu.Unlock()
		return conn, nil
	}
}

// drop ends a connection: whoever waits is told.
func (c *caller) drop(conn *callConn, err error) {
	c.mu.Lock()
	if c.mu.conn == conn {
		c.mu.conn = nil
	}
	c.mu.Unlock()
	conn.fail(err)
}

// close ends the connection, for ever.
func (c *caller) close() {
	c.mu.Lock()
	conn := c.mu.conn
	c.mu.closed, c.mu.conn = true, nil
	c.mu.Unlock()
	if conn != nil {
		conn.fail(ErrClosed)
	}
	c.work.Wait()
}

func (c *callConn) begin() (uint64, chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return 0, nil, c.mu.err
	}
	c.mu.next++
	ch := make(chan answer, 1)
	c.mu.waiting[c.mu.next] = ch
	return c.mu.next, ch, nil
}

func (c *callConn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.waiting, id)
}

func (c *callConn) fail(err error) {
	c.mu.Lock()
	waiting := c.mu.waiting
	c.mu.waiting = nil
	if c.mu.err == nil {
		c.mu.err = fmt.Errorf("connection lost: %w", err)
	}
	err = c.mu.err
	c.mu.Unlock()
	c.conn.Close()
	for _, ch := range waiting {
		ch <- answer{err: err}
	}
}

// sendTimeout bounds a write to a connection: whoever reads nothing for so long is gone.
const sendTimeout = 10 * time.Second

// send writes a frame.
func (c *callConn) send(id uint64, kind byte, wait uint32, payload ...[]byte) error {
	n := frameHead - 4
	for _, p := range payload {
		n += len(p)
	}
	if n > maxFrame {
		return ErrTooLarge
	}
	b := make([]byte, 0, 4+n)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint64(b, id)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, wait)
	for _, p := range payload {
		b = append(b, p...)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

// read hands answers out until the connection ends.
func (c *callConn) read() error {
	in := bufio.NewReader(c.conn)
	for {
		f, err := readFrame(in)
		if err != nil {
			return err
		}
		a := answer{payload: f.payload}
		if f.kind != 0 {
			a = answer{err: &callError{failure(f.kind), string(f.payload)}}
		}
		c.mu.Lock()
		ch := c.mu.waiting[f.id]
		delete(c.mu.waiting, f.id)
		c.mu.Unlock()
		if ch != nil {
			ch <- a
		}
	}
}

type frame struct {
	id      uint64
	kind    byte
	wait    uint32
	payload []byte
}

func readFrame(in io.Reader) (f frame, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < frameHead-4 || n > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes", n)
	}
	f = frame{id: binary.LittleEndian.Uint64(head[4:]), kind: head[12], wait: binary.LittleEndian.Uint32(head[13:])}
	// A frame that is cut short allocates no more than it has, and a bit.
	const step = 1 << 20
	for left := int(n) - (frameHead - 4); left > 0; {
		m := min(left, step)
		at := len(f.payload)
		f.payload = append(f.payload, make([]byte, m)...)
		if _, err := io.ReadFull(in, f.payload[at:]); err != nil {
			return frame{}, err
		}
		left -= m
	}
	return f, nil
}

// serveCalls answers the calls of a connection, each in a goroutine, until it ends.
func serveCalls(conn net.Conn, handle func(ctx context.Context, m method, payload []byte) ([]byte, error)) {
	c := &callConn{conn: conn}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	in := bufio.NewReader(conn)
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		work.Go(func() {
			ctx := ctx
			if f.wait > 0 {
				c, cancel := context.WithTimeout(ctx, time.Duration(f.wait)*time.Millisecond)
				defer cancel()
				ctx = c
			}
			out, err := handle(ctx, method(f.kind), f.payload)
			status := failNone
			if err != nil {
				status, out = failureOf(err), []byte(err.Error())
			}
			if c.send(f.id, byte(status), 0, out) != nil {
				conn.Close()
			}
		})
	}
}

// failureOf returns how an error goes over the wire.
func failureOf(err error) failure {
	var e *callError
	var n *NotLeaderError
	var sent *sentError
	switch {
	case errors.As(err, &sent):
		return failUnknown
	case errors.As(err, &e):
		return e.failure
	case errors.As(err, &n), errors.Is(err, errUnsent):
		return failNotLeader
	case errors.Is(err, ErrNodeExists):
		return failNodeExists
	case errors.Is(err, ErrStopped):
		return failStopped
	case errors.Is(err, errRefused):
		return failRefused
	}
	return failUnknown
}

// errRefused says that nothing was done, and that it is no use to ask again.
var errRefused = errors.New("refused")
