package judges

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	abusers = 1000
	// The limits that the server gets, and with them what it may take: what it is without a connection, what the database has, and
	// for each connection a request and a reply.
	abuseLimit  = 64 << 10
	abuseMemory = 32 << 20
	mayTake     = 64<<20 + abuseMemory + abusers*2*abuseLimit
)

// abuses are what a client may do that means no good, each with a connection of its own. The errors do not matter.
var abuses = []struct {
	name string
	do   func(r *rand.Rand, c net.Conn) error
}{
	{"garbage", func(r *rand.Rand, c net.Conn) error {
		b := make([]byte, r.IntN(4096))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return write(c, b)
	}},
	{"half a command", func(r *rand.Rand, c net.Conn) error {
		b := encode("SET", "key", strings.Repeat("v", r.IntN(1000)))
		return write(c, b[:r.IntN(len(b))])
	}},
	{"a huge count", func(r *rand.Rand, c net.Conn) error {
		b := fmt.Appendf(nil, "*%d\r\n", 1<<20-r.IntN(3))
		for range r.IntN(2000) {
			b = append(b, "$1\r\na\r\n"...)
		}
		return write(c, b)
	}},
	{"a huge length", func(r *rand.Rand, c net.Conn) error {
		return write(c, fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$%d\r\nkey", 512<<20-r.IntN(1<<20)))
	}},
	{"lengths that are none", func(r *rand.Rand, c net.Conn) error {
		return write(c, fmt.Appendf(nil, "*%d\r\n$%d\r\n", int64(r.Uint64()), int64(r.Uint64())))
	}},
	{"a request just under the limit that never ends", func(r *rand.Rand, c net.Conn) error {
		return write(c, fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s", abuseLimit-1000, strings.Repeat("x", abuseLimit-2000)))
	}},
	{"a transaction that never ends", func(r *rand.Rand, c net.Conn) error {
		b := encode("MULTI")
		for range 3000 {
			b = append(b, encode("SET", "key", strings.Repeat("x", 100))...)
		}
		return write(c, b)
	}},
	{"replies that nobody reads", func(r *rand.Rand, c net.Conn) error {
		return write(c, bytes.Repeat(encode("GET", "large"), 2000))
	}},
	{"messages that nobody reads", func(r *rand.Rand, c net.Conn) error {
		return write(c, encode("SUBSCRIBE", "channel"))
	}},
	{"an inline command without end", func(r *rand.Rand, c net.Conn) error {
		return write(c, bytes.Repeat([]byte("x"), 70_000))
	}},
	{"gone at once", func(r *rand.Rand, c net.Conn) error {
		write(c, encode("GET", "large"))
		return c.Close()
	}},
}

// write gives up soon: a server that does not read is right where nobody reads its replies.
func write(c net.Conn, b []byte) error {
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Write(b)
	return err
}

// TestAbuse lets a thousand connections do what they should not, all open at a time. A client that behaves is served meanwhile;
// memory stays under what the limits allow, and when the others are gone so is what they cost.
func TestAbuse(t *testing.T) {
	if !judgesEbb() {
		t.Skip("the limits are ebbd's")
	}
	port, err := freePort()
	ok(t, err)
	metrics := "127.0.0.1:" + port
	s := launch(t, buildEbbd(t), "-dir", filepath.Join(t.TempDir(), "db"), "-listen", "127.0.0.1:PORT", "-sync", "never", "-log-level", "error",
		"-metrics", metrics, "-max-request", "64KiB", "-max-reply", "64KiB", "-memory", strconv.Itoa(abuseMemory))
	good := dial(t, s.addr)
	good.must(t, "SET", "large", strings.Repeat("x", 10_000))
	goroutines := gauge(t, metrics, "go_goroutines")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	conns := make([]net.Conn, abusers)
	var wg sync.WaitGroup
	turns := make(chan struct{}, 50)
	for i := range conns {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			c, err := net.DialTimeout("tcp", s.addr, patience)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
			abuses[i%len(abuses)].do(rand.New(rand.NewPCG(seed, uint64(i))), c) // that it fails is fine
		})
		if i%100 == 0 {
			good.must(t, "INCR", "served")
			good.must(t, "PUBLISH", "channel", strings.Repeat("m", 10_000))
		}
	}
	wg.Wait()
	for range 100 {
		good.must(t, "PUBLISH", "channel", strings.Repeat("m", 10_000))
	}
	if r := good.must(t, "GET", "served"); r.text != strconv.Itoa(abusers/100) {
		t.Errorf("the client that behaves has counted to %s", r)
	}
	t.Logf("%d connections are left, %d MB taken at most", int(gauge(t, metrics, "go_goroutines"))-int(goroutines), peak(t, s)>>20)
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	if n := peak(t, s); n > mayTake {
		t.Errorf("%d MB were taken, with limits that allow %d", n>>20, mayTake>>20)
	}
	for range 3000 { // until the server has noticed all
		if gauge(t, metrics, "go_goroutines") <= goroutines+2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := gauge(t, metrics, "go_goroutines"); n > goroutines+2 {
		t.Errorf("%v goroutines, of %v before", n, goroutines)
	}
	if r := dial(t, s.addr).must(t, "SET", "k", "v"); r.text != "OK" {
		t.Errorf("afterwards: %s", r)
	}
	if strings.Contains(s.out.String(), "goroutine ") {
		t.Errorf("a panic:\n%s", s.out)
	}
}

// gauge returns a figure of the metrics page.
func gauge(t *testing.T, addr, name string) float64 {
	t.Helper()
	r, err := http.Get("http://" + addr + "/metrics")
	ok(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	ok(t, err)
	for line := range strings.Lines(string(body)) {
		if text, found := strings.CutPrefix(line, name+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			ok(t, err)
			return v
		}
	}
	t.Fatalf("the metrics do not have %s", name)
	return 0
}

// peak returns how much memory a process had at most, in bytes.
func peak(t *testing.T, s *server) int { return status(t, s, "VmHWM") }

func status(t *testing.T, s *server, name string) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	ok(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), name+":"); found {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			ok(t, err)
			return kb << 10
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
