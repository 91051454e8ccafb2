package judges

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	judged = flag.String("judge", "ebbd", "what is judged: ebbd, redis (which has to pass), or the address of a server that runs, which is emptied")
	long   = flag.Bool("long", false, "run the long forms, for minutes")
)

// need skips the test where a tool is absent, and fails it where it has to be there, which is in CI.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		absent(t, "%s is not installed", tool)
	}
}

func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this is CI, and "+format, args...)
	}
	t.Skipf("NOT JUDGED: "+format, args...)
}

// A server is a process that listens on the loopback interface.
type server struct {
	addr string
	cmd  *exec.Cmd // nil if it was there before
	out  *output
	gone chan struct{} // closed when the process is
}

// output keeps the end of what a process prints.
type output struct {
	mu struct {
		sync.Mutex
		last []byte
	}
}

const keptOutput = 16 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.last = append(o.mu.last, p...)
	if n := len(o.mu.last); n > keptOutput {
		o.mu.last = append([]byte(nil), o.mu.last[n-keptOutput:]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.mu.last)
}

// launch starts a server, and waits until it answers. What the arguments have as PORT is replaced by the port.
func launch(t testing.TB, name string, args ...string) *server {
	t.Helper()
	var s *server
	var err error
	for range 3 { // another process may take the port between our asking for one and the server's
		if s, err = tryLaunch(name, args...); err == nil {
			t.Cleanup(func() { s.stop(t) })
			return s
		}
	}
	t.Fatal(err)
	return nil
}

func tryLaunch(name string, args ...string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{addr: "127.0.0.1:" + port, out: new(output), gone: make(chan struct{})}
	filled := make([]string, len(args))
	for i, a := range args {
		filled[i] = strings.ReplaceAll(a, "PORT", port)
	}
	s.cmd = exec.Command(name, filled...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.gone)
	}()
	for range 500 {
		select {
		case <-s.gone:
			return nil, fmt.Errorf("%s ended at once:\n%s", name, s.out)
		case <-time.After(20 * time.Millisecond):
		}
		if c, err := dialAddr(s.addr); err == nil {
			r, err := c.do("PING")
			c.Close()
			if err == nil && r.text == "PONG" {
				return s, nil
			}
		}
	}
	s.cmd.Process.Kill()
	<-s.gone
	return nil, fmt.Errorf("%s does not answer:\n%s", name, s.out)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// stop ends the process as an operator does, and says if it does not end well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	select {
	case <-s.gone:
		return
	default:
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		<-s.gone
		t.Errorf("the server did not stop on SIGTERM:\n%s", s.out)
		return
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ended with %d:\n%s", code, s.out)
	}
}

func (s *server) port() string { return s.addr[strings.LastIndexByte(s.addr, ':')+1:] }

// startRedis starts Debian's redis-server, which keeps nothing unless it is told to.
func startRedis(t testing.TB, args ...string) *server {
	t.Helper()
	need(t, "redis-server")
	return launch(t, "redis-server", append([]string{
		"--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(), "--loglevel", "warning",
	}, args...)...)
}

var ebbd struct {
	once sync.Once
	path string
	err  error
}

// buildEbbd builds the command once, as it is in this tree.
func buildEbbd(t testing.TB) string {
	t.Helper()
	ebbd.once.Do(func() {
		dir, err := os.MkdirTemp("", "ebbd")
		if err != nil {
			ebbd.err = err
			return
		}
		ebbd.path = filepath.Join(dir, "ebbd")
		cmd := exec.Command("go", "build", "-o", ebbd.path, "./cmd/ebbd")
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			ebbd.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if ebbd.err != nil {
		t.Fatal(ebbd.err)
	}
	return ebbd.path
}

// startEbbd starts ebbd on a directory; further arguments are its flags.
func startEbbd(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	return launch(t, buildEbbd(t), append([]string{"-dir", dir, "-listen", "127.0.0.1:PORT", "-metrics", "", "-expiry-events"}, args...)...)
}

// start starts what is to be judged, empty.
func start(t testing.TB) *server {
	t.Helper()
	switch *judged {
	case "ebbd":
		return startEbbd(t, filepath.Join(t.TempDir(), "db"), "-sync", "never")
	case "redis":
		return startRedis(t, "--databases", "1")
	}
	s := &server{addr: *judged}
	if r := dial(t, s.addr).must(t, "FLUSHALL"); r.text != "OK" {
		t.Fatalf("FLUSHALL of %s: %s", s.addr, r)
	}
	return s
}

func judgesEbb() bool { return *judged != "redis" }

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "500") // unless told otherwise
	flag.Parse()
	code := m.Run()
	if ebbd.path != "" {
		os.RemoveAll(filepath.Dir(ebbd.path))
	}
	os.Exit(code)
}

// run runs a program to its end, and fails the test with what it printed if it does not end well, or not in time.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	limit := 3 * time.Minute
	if *long {
		limit = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v, %v\n%s", name, strings.Join(args, " "), err, ctx.Err(), out)
	}
	return string(out)
}
