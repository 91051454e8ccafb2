package judges

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A conn speaks the protocol byte by byte and hides nothing of it, as a client would.
type conn struct {
	net.Conn
	r   *bufio.Reader
	raw []byte // of the reply that is being read
}

const patience = 20 * time.Second // for one reply

func dialAddr(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReader(c)}, nil
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := dialAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A reply is one value of the protocol with the bytes it came in.
type reply struct {
	kind  byte   // the first byte: + - : $ * _ # , ( ! = % ~ >, and $ or * for a nil of RESP2
	null  bool   // a nil of either protocol
	text  string // of what has no elements
	elems []reply
	raw   string
}

func (r reply) String() string { return fmt.Sprintf("%.300q", r.raw) }

func (r reply) isError() bool { return r.kind == '-' || r.kind == '!' }

// encode returns a command as clients send it.
func encode(args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

func (c *conn) send(args ...string) error {
	c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(encode(args...))
	return err
}

func (c *conn) do(args ...string) (reply, error) {
	if err := c.send(args...); err != nil {
		return reply{}, err
	}
	return c.read()
}

// must is do, where the connection has to hold.
func (c *conn) must(t testing.TB, args ...string) reply {
	t.Helper()
	r, err := c.do(args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return r
}

func (c *conn) read() (reply, error) {
	c.raw = c.raw[:0]
	c.SetReadDeadline(time.Now().Add(patience))
	return c.value()
}

func (c *conn) line() (string, error) {
	s, err := c.r.ReadString('\n')
	c.raw = append(c.raw, s...)
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(s, "\r\n") || len(s) < 3 {
		return "", fmt.Errorf("not a line of the protocol: %q", s)
	}
	return s[:len(s)-2], nil
}

func (c *conn) value() (reply, error) {
	began := len(c.raw)
	line, err := c.line()
	if err != nil {
		return reply{}, err
	}
	r := reply{kind: line[0], text: line[1:]}
	switch r.kind {
	case '+', '-', ':', ',', '#', '(':
	case '_':
		r.null = true
	case '$', '=', '!':
		err = c.bulk(&r)
	case '*', '%', '~', '>':
		err = c.aggregate(&r)
	default:
		err = fmt.Errorf("not of the protocol: %q", line)
	}
	r.raw = string(c.raw[began:])
	return r, err
}

func (c *conn) bulk(r *reply) error {
	n, err := strconv.Atoi(r.text)
	if err != nil || n < -1 || n > 1<<30 {
		return fmt.Errorf("not a length: %q", r.text)
	}
	if r.text = ""; n == -1 {
		r.null = true
		return nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return err
	}
	c.raw = append(c.raw, b...)
	if string(b[n:]) != "\r\n" {
		return fmt.Errorf("not the end of a string: %q", b[n:])
	}
	r.text = string(b[:n])
	return nil
}

func (c *conn) aggregate(r *reply) error {
	n, err := strconv.Atoi(r.text)
	if err != nil || n < -1 || n > 1<<24 {
		return fmt.Errorf("not a length: %q", r.text)
	}
	if r.text = ""; n == -1 {
		r.null = true
		return nil
	}
	if r.kind == '%' {
		n *= 2
	}
	for range n {
		e, err := c.value()
		if err != nil {
			return err
		}
		r.elems = append(r.elems, e)
	}
	return nil
}
