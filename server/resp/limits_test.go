package resp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

func TestAuth(t *testing.T) {
	f := serve(t, Options{Password: "secret"}, ebb.Options{})
	p := f.dial()
	p.expect(`
		GET a -> -NOAUTH Authentication required.
		PING -> -NOAUTH Authentication required.
		HELLO 3 -> -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
		AUTH wrong -> -WRONGPASS invalid username-password pair or user is disabled.
		AUTH other secret -> -WRONGPASS invalid username-password pair or user is disabled.
		AUTH secret -> OK
		GET a -> nil
		RESET -> RESET
		GET a -> -NOAUTH Authentication required.
		AUTH default secret -> OK
	`)
	if got := f.dial().do("HELLO 3 AUTH default secret SETNAME x"); !strings.HasPrefix(got, "%[") {
		t.Error(got)
	}
	p = f.dial()
	p.send("*2\r\n$4\r\nAUTH\r\n$20000\r\n")
	if got := p.read(); got != "-ERR Protocol error: unauthenticated bulk length" {
		t.Error(got)
	}
}

func TestMaxClients(t *testing.T) {
	f := serve(t, Options{MaxClients: 2}, ebb.Options{})
	first, second := f.dial(), f.dial()
	first.expect("PING -> PONG")
	second.expect("PING -> PONG")
	third := f.dial()
	if got := third.read(); got != "-ERR max number of clients reached" {
		t.Error(got)
	}
	if _, err := third.r.ReadByte(); err == nil {
		t.Error("the third is open")
	}
	second.expect("QUIT -> OK")
	if _, err := second.r.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	first.expect("CONFIG SET maxclients 3 -> OK")
	f.dial().expect("PING -> PONG")
	if st := f.srv.Stats(); st.Rejected != 1 {
		t.Errorf("%d rejected", st.Rejected)
	}
}

func TestRequestLimit(t *testing.T) {
	f := serve(t, Options{MaxRequest: 10_000}, ebb.Options{})
	for _, c := range []struct{ in, want string }{
		{"*2\r\n$3\r\nGET\r\n$10001\r\n", "-ERR Protocol error: invalid bulk length"},
		{words(strings.Split("DEL"+strings.Repeat(" "+strings.Repeat("k", 9000), 12), " ")...), "-ERR Protocol error: request over the limit"},
		{"*3\r\n$3\r\nSET\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1000000000000\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"GET \"\r\n", "-ERR Protocol error: unbalanced quotes in request"},
	} {
		p := f.dial()
		go func() { _, _ = io.WriteString(p.nc, c.in) }() // which the server may close under it
		if got := p.read(); got != c.want {
			t.Errorf("%.30q: got %s, want %s", c.in, got, c.want)
		}
		if _, err := p.r.ReadByte(); err == nil {
			t.Errorf("%.30q: still open", c.in)
		}
	}
	p := f.dial()
	p.expect(`
		SET a 1 -> OK
		SETRANGE a 10000 x -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
		SETRANGE a 9999 x -> 10000
		APPEND a x -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
		STRLEN a -> 10000
		MULTI -> OK
	`)
	for range 10 {
		p.call("SET", "a", strings.Repeat("x", 1000))
	}
	p.expect("EXEC -> -EXECABORT Transaction discarded because of previous errors.")
}

func TestReplyLimit(t *testing.T) {
	f := serve(t, Options{MaxReplyBuffer: 20_000}, ebb.Options{})
	p := f.dial()
	for i := range 10 {
		p.call("SET", fmt.Sprint("k", i), strings.Repeat("x", 5000))
	}
	const refused = "-ERR reply exceeds the limit of 20000 bytes"
	p.expect(`
		STRLEN k1 -> 5000
		MGET k0 k1 k2 k3 k4 k5 k6 k7 -> ` + refused + `
		EBB.RANGE - + WITHVALUES -> ` + refused + `
		MULTI -> OK
		MGET k0 k1 -> QUEUED
		MGET k2 k3 -> QUEUED
		MGET k4 k5 -> QUEUED
		EXEC -> ` + refused + `
		PING -> PONG
	`)
	if n := f.srv.Stats().LargeReplies; n != 3 {
		t.Errorf("%d large replies", n)
	}
}

// A client that reads nothing is not read from, and is closed in time.
func TestClientThatReadsNothing(t *testing.T) {
	f := serve(t, Options{WriteTimeout: 100 * time.Millisecond}, ebb.Options{})
	if err := f.db.Put([]byte("a"), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe() // which holds nothing
	f.srv.ServeConn(server)
	ask := strings.Repeat(words("GET", "a"), 50)
	for sent := 0; ; sent++ {
		if _, err := io.WriteString(client, ask); err != nil {
			break
		}
		if sent > 1 {
			t.Fatal("the server goes on reading")
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	sub := f.dial()
	sub.expect(`SUBSCRIBE a -> ["subscribe" "a" 1]`)
	f.srv.settings.setIdle(50 * time.Millisecond)
	sub.expect(`PING -> ["pong" ""]`)
	if _, err := f.dial().r.ReadByte(); err != io.EOF {
		t.Errorf("an idle client: %v", err)
	}
	if n := f.srv.publish("a", "x"); n != 1 {
		t.Error("an idle subscriber was closed")
	}
}

// Shutdown lets a client finish what it has sent.
func TestShutdown(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p, idle, sub := f.dial(), f.dial(), f.dial()
	idle.expect("PING -> PONG")
	sub.expect(`SUBSCRIBE a -> ["subscribe" "a" 1]`)
	p.send(strings.Repeat(words("INCR", "n"), 100))
	if got := p.read(); got != "1" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	replies := 1
	for {
		if _, err := readReply(p.r); err != nil {
			break
		}
		replies++
	}
	n, err := f.db.Get([]byte("n"))
	if err != nil || string(n) != fmt.Sprint(replies) {
		t.Errorf("%s increments, %v, and %d replies", n, err, replies)
	}
	for _, c := range []*peer{idle, sub} {
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("a client is open: %v", err)
		}
	}
	if err := f.srv.ListenAndServe("127.0.0.1:0"); !errors.Is(err, ErrServerClosed) {
		t.Error(err)
	}
}

func TestClientKillAndReply(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p, other := f.dial(), f.dial()
	other.expect("CLIENT ID -> 2")
	p.expect(`
		CLIENT KILL ID 2 -> 1
		CLIENT KILL ID 2 -> 0
		CLIENT KILL 1.2.3.4:5 -> -ERR No such client
	`)
	if _, err := other.r.ReadByte(); err == nil {
		t.Error("open")
	}
	p.send(words("CLIENT", "REPLY", "OFF") + words("SET", "a", "1") + words("CLIENT", "REPLY", "ON"))
	if got := p.read(); got != "OK" {
		t.Error(got)
	}
	p.send(words("CLIENT", "REPLY", "SKIP") + words("GET", "a") + words("GET", "a"))
	if got := p.read(); got != `"1"` {
		t.Error(got)
	}
	p.expect("GET b -> nil")
}
