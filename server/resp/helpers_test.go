package resp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// clock is a test's own.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// fixture is a server of a database in memory, under a clock of its own.
type fixture struct {
	t     testing.TB
	srv   *Server
	db    *ebb.DB
	clock *clock
	ln    net.Listener
}

func serve(t testing.TB, o Options, db ebb.Options) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: newClock()}
	db.Clock = f.clock.now
	if db.Memory == 0 {
		db.Memory = 8 << 20
	}
	var err error
	if f.db, err = ebb.OpenMemory(&db); err != nil {
		t.Fatal(err)
	}
	o.Clock = f.clock.now
	f.start(NewStore(f.db), o)
	t.Cleanup(func() {
		if err := f.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// start serves a store.
func (f *fixture) start(s Store, o Options) {
	f.t.Helper()
	var err error
	if f.srv, err = NewServer(s, o); err != nil {
		f.t.Fatal(err)
	}
	if f.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.srv.Serve(f.ln) }()
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.srv.Shutdown(ctx); err != nil {
			f.t.Error(err)
		}
		if err := <-ended; err != ErrServerClosed {
			f.t.Errorf("Serve: %v", err)
		}
	})
}

// peer is a client that a test holds.
type peer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func (f *fixture) dial() *peer {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.ln.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	return &peer{f.t, nc, bufio.NewReader(nc)}
}

// send sends bytes as they are.
func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, s); err != nil {
		p.t.Fatal(err)
	}
}

// words encodes a command.
func words(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// do runs a command that is given as a line of words and returns its reply: see read.
func (p *peer) do(line string) string {
	p.t.Helper()
	return p.call(strings.Fields(line)...)
}

func (p *peer) call(args ...string) string {
	p.t.Helper()
	p.send(words(args...))
	return p.read()
}

// read reads a reply as text: strings in quotes if they are not simple, errors as they are, arrays in brackets.
func (p *peer) read() string {
	p.t.Helper()
	s, err := readReply(p.r)
	if err != nil {
		p.t.Fatalf("reading a reply: %v", err)
	}
	return s
}

func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	rest := line[1:]
	switch line[0] {
	case '+', '-', ':', '_', ',', '#':
		if line[0] == '_' {
			return "nil", nil
		}
		if line[0] == '-' {
			return "-" + rest, nil
		}
		return rest, nil
	case '$', '=':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "nil", err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		return strconv.Quote(string(b[:n])), nil
	case '*', '~', '>', '%':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "nil", err
		}
		if line[0] == '%' {
			n *= 2
		}
		list := make([]string, n)
		for i := range list {
			if list[i], err = readReply(r); err != nil {
				return "", err
			}
		}
		open := map[byte]string{'*': "[", '~': "~[", '>': ">[", '%': "%["}[line[0]]
		return open + strings.Join(list, " ") + "]", nil
	}
	return "", fmt.Errorf("a reply begins with %q", line)
}

// expect runs lines of the form "command -> reply".
func (p *peer) expect(lines string) {
	p.t.Helper()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cmd, want, ok := strings.Cut(line, " -> ")
		if !ok {
			p.t.Fatalf("no arrow in %q", line)
		}
		if got := strings.TrimRight(p.do(cmd), " "); got != want {
			p.t.Errorf("%s: got %s, want %s", cmd, got, want)
		}
	}
}
