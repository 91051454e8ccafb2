package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
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

// runVariable makes the test's binary an ebbd.
const runVariable = "RUN_AS_EBBD"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		os.Exit(runProcess())
	}
	os.Exit(m.Run())
}

// child is a process of ebbd.
type child struct {
	t        testing.TB
	cmd      *exec.Cmd
	clients  string // address
	figures  string // address
	ended    chan struct{}
	messages chan map[string]any // of the log

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

const patience = 2 * time.Minute // for what takes milliseconds on a machine with nothing else to do

// command is ebbd with arguments, and with more variables in its environment.
func command(environ []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), runVariable+"=1"), environ...)
	return cmd
}

// start starts ebbd at free ports, and returns when it serves.
func start(t testing.TB, environ []string, args ...string) *child {
	t.Helper()
	c := &child{t: t, ended: make(chan struct{}), messages: make(chan map[string]any, 1000)}
	c.cmd = command(environ, append([]string{"-listen", "127.0.0.1:0", "-metrics", "127.0.0.1:0", "-log-format", "json"}, args...)...)
	stderr, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go c.read(stderr)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("the log of ebbd:\n%s", c.text())
		}
	})
	c.figures, _ = c.await("metrics")["address"].(string)
	c.clients, _ = c.await("serving")["listen"].(string)
	return c
}

func (c *child) read(stderr io.Reader) {
	defer close(c.ended)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		c.mu.Lock()
		c.log.Write(append(lines.Bytes(), '\n'))
		c.mu.Unlock()
		message := make(map[string]any)
		if json.Unmarshal(lines.Bytes(), &message) == nil {
			c.messages <- message
		}
	}
	close(c.messages)
	_ = c.cmd.Wait() // the code is looked at by exit
}

func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// await waits for a message in the log.
func (c *child) await(msg string) map[string]any {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-c.messages:
			if !ok {
				c.t.Fatalf("it has ended without %q:\n%s", msg, c.text())
			}
			if m["msg"] == msg {
				return m
			}
		case <-timeout:
			c.t.Fatalf("no %q:\n%s", msg, c.text())
		}
	}
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits for the end, and returns the exit code.
func (c *child) exit() int {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("it does not end:\n%s", c.text())
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *child) stop() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	if code := c.exit(); code != exitDone {
		c.t.Errorf("exit code %d:\n%s", code, c.text())
	}
}

// conn is a client that speaks inline commands, and reads what they reply.
type conn struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (c *child) dial() *conn {
	c.t.Helper()
	nc, err := net.Dial("tcp", c.clients)
	if err != nil {
		c.t.Fatal(err)
	}
	return clientOf(c.t, nc)
}

func clientOf(t testing.TB, nc net.Conn) *conn {
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &conn{t, nc, bufio.NewReader(nc)}
}

// reply reads a simple reply or a bulk string.
func (c *conn) reply() (string, error) {
	line, err := c.r.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if err != nil || line == "" || line[0] != '$' || line == "$-1" {
		return line, err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil {
		return line, err
	}
	b := make([]byte, n+2)
	_, err = io.ReadFull(c.r, b)
	return string(b[:n]), err
}

// do sends a command and returns its reply.
func (c *conn) do(format string, args ...any) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
	text, err := c.reply()
	if err != nil {
		c.t.Fatalf("%s: %q, %v", fmt.Sprintf(format, args...), text, err)
	}
	return text
}

// get asks the address of figures.
func (c *child) get(path, password string) (int, string) {
	c.t.Helper()
	r, err := http.NewRequest("GET", "http://"+c.figures+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if password != "" {
		r.SetBasicAuth("x", password)
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// contents returns the sums of all files below a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}
