//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/ebbdb/ebb"
)

// terminal is a command that runs in one, as a person would have it.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	more chan struct{}

	mu     sync.Mutex
	output bytes.Buffer // guarded by mu; what expect has not passed yet
	closed bool         // guarded by mu
}

// commandProcess returns the command as a process of its own.
func commandProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "TERM=xterm", "EBB_HISTORY="+filepath.Join(t.TempDir(), "history"))
	return cmd
}

func startTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	check(t, err)
	term := &terminal{t: t, cmd: cmd, tty: tty, more: make(chan struct{}, 1)}
	go term.read()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		tty.Close()
	})
	return term
}

func (term *terminal) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := term.tty.Read(buf)
		term.mu.Lock()
		term.output.Write(buf[:n])
		term.closed = err != nil
		term.mu.Unlock()
		select {
		case term.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// typed types text.
func (term *terminal) typed(text string) *terminal {
	term.t.Helper()
	_, err := io.WriteString(term.tty, text)
	check(term.t, err)
	return term
}

// expect waits until the terminal shows text, and passes over what is up to its end.
func (term *terminal) expect(text string) *terminal {
	term.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		term.mu.Lock()
		out := term.output.Bytes()
		i, closed := bytes.Index(out, []byte(text)), term.closed
		if i >= 0 {
			term.output.Next(i + len(text))
			term.mu.Unlock()
			return term
		}
		shown := string(out[max(0, len(out)-2000):])
		term.mu.Unlock()
		if closed {
			term.t.Fatalf("the command has ended without showing %q, but %q", text, shown)
		}
		select {
		case <-term.more:
		case <-deadline:
			term.t.Fatalf("the terminal does not show %q, but %q", text, shown)
		}
	}
}

// ends waits for the end of the command.
func (term *terminal) ends(code int) {
	term.t.Helper()
	err := term.cmd.Wait()
	if got := term.cmd.ProcessState.ExitCode(); got != code {
		term.t.Fatalf("exit code %d (%v), want %d", got, err, code)
	}
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	up    = "\x1b[A"
)

func TestTerminalSession(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	cmd := commandProcess(t, "-create", dir)
	term := startTerminal(t, cmd)
	term.expect("ebb> ").typed("put user:1 one\r").expect("ebb> ").typed("put user:22 two -ttl 1h\r").expect("ebb> ")
	term.typed("put \"a key\" \"\\x00\\xff\"\r").expect("ebb> ")

	term.typed("ge\t").expect("get ").typed("us\t").expect("user:").typed("1\r").expect("\none\r\n").expect("ebb> ")
	term.typed("get user:\t\t").expect("user:1 ").expect("user:22").typed("22\r").expect("\ntwo\r\n").expect("ebb> ")
	term.typed("get \"a\t").expect(`"a key" `).typed("\r").expect(`"\x00\xff"`).expect("ebb> ")
	term.typed("put -n\t").expect("-nx ").typed("user:1 x\r").expect("the condition on user:1 does not hold").expect("ebb> ")
	term.typed("ttl user:22\r").expect(", until 2").expect("ebb> ")

	term.typed("exprie x\r").expect(`did you mean "expire"?`).expect("ebb> ")
	term.typed("get\r").expect("arguments are missing").expect("usage: get [flags] KEY; 'help get' tells more\r\nebb> ")
	term.typed("get \"open\r").expect("...> ").typed(ctrlC).expect("ebb> ").typed("get 'open\r").expect("...> ").typed(ctrlD).expect("ebb> ")
	term.typed("help put\r").expect("usage: put [flags] KEY [VALUE]").expect("ebb> ")

	term.typed("begin\r").expect("ebb+0> ").typed("del user:1\r").expect("ebb+1> ").typed("get user:1\r").expect("\none\r\n")
	term.expect("ebb+1> ").typed("commit\r").expect("committed 1").expect("ebb> ")
	term.typed("snapshot before\r").expect("ebb> ").typed("put later x\r").expect("ebb> ").typed("use be\t").expect("before ").typed("\r")
	term.expect("ebb@before> ").typed("get later\r").expect("there is no key later").expect("ebb@before> ")
	term.typed("use now\r").expect("ebb> ").typed("get later\r").expect("\nx\r\n").expect("ebb> ")
	term.typed("levels\r").expect("no tables").expect("ebb> ").typed("release before\r").expect("ebb> ").typed("use\r").expect("no snapshots")
	term.expect("ebb> ").typed("export\r").expect("export\r\n{\"key\":\"a key\"").expect("ebb> ")
	term.typed("timing on\r").expect("ebb> ").typed("count\r").expect("\n3\r\n").expect("took ").expect("ebb> ")

	runArgs("put", dir, "later", "y").want(t, exitFailed, "", fmt.Sprintf("locked by process %d", cmd.Process.Pid))
	beside := startTerminal(t, commandProcess(t, dir))
	beside.expect("reading only").expect("ebb> ").typed("get later\r").expect("\nx\r\n").expect("ebb> ")
	term.typed("put later y\r").expect("ebb> ")
	beside.typed("get later\r").expect("\nx\r\n").expect("ebb> ").typed("refresh\r").expect("ebb> ").typed("get later\r").expect("\ny\r\n")
	beside.expect("ebb> ").typed("put later z\r").expect("only reads").expect("ebb> ").typed(ctrlD).ends(exitOK)
	term.typed("put later x\r").expect("ebb> ").typed("get later\r").expect("\nx\r\n").expect("ebb> ")
	term.typed("half a line").expect("half a line").typed(ctrlC).expect("ebb> ").typed("get later\r").expect("\nx\r\n").expect("ebb> ")
	term.typed(ctrlD).ends(exitOK)
	runArgs("get", dir, "user:1").want(t, exitNo, "", "no key")
	runArgs("get", dir, "user:22").want(t, exitOK, "two", "")

	again := commandProcess(t, dir)
	again.Env = cmd.Env
	term = startTerminal(t, again)
	term.expect("ebb> ").typed(up + "\r").expect("get later").expect("\nx\r\n").expect("ebb> ").typed("exit\r").ends(exitOK)
}

// manyKeys makes a database that takes long to scan.
func manyKeys(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, nil)
	check(t, err)
	var b ebb.Batch
	for i := range 300_000 {
		check(t, b.Put(fmt.Appendf(nil, "key/%06d", i), []byte(strings.Repeat("value ", 10))))
	}
	check(t, db.Apply(&b, ebb.NoSync))
	check(t, db.Close())
	return dir
}

// Ctrl-C stops the command that runs, not the session. Nothing but a scan of millions of bytes can fill the terminal's
// buffers, so that it is running for sure.
func TestTerminalInterrupt(t *testing.T) {
	dir := manyKeys(t)
	term := startTerminal(t, commandProcess(t, dir))
	term.expect("ebb> ").typed("scan -limit 0\r").expect("key/000100").typed(ctrlC).expect("^C").expect("interrupt").expect("ebb> ")
	term.typed("get key/0\t").expect("key/0").typed("00007 \r").expect("value value").expect("ebb> ").typed(ctrlD).ends(exitOK)

	term = startTerminal(t, commandProcess(t, dir, "scan"))
	term.expect("key/000100").typed(ctrlC).expect("interrupt").ends(exitFailed)
	runArgs("count", dir).want(t, exitOK, "300000\n", "")
}

// A Ctrl-C as soon as a prompt shows is followed by another prompt, and so are Ctrl-Cs typed ahead of it.
func TestTerminalInterruptPrompt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	term := startTerminal(t, commandProcess(t, "-create", dir))
	term.expect("ebb> ").typed("put k v\r").expect("ebb> ")
	for range 300 {
		term.typed(ctrlC).expect("^C\r\nebb> ").typed("'\r").expect("\r\n...> ").typed(ctrlC).expect("^C\r\nebb> ")
	}
	term.typed("get k\r").expect("\nv\r\nebb> ").typed(strings.Repeat(ctrlC, 50) + "get k\r").expect("\nv\r\nebb> ").typed(ctrlD).ends(exitOK)

	dumb := commandProcess(t, dir)
	dumb.Env = append(dumb.Env, "TERM=dumb")
	term = startTerminal(t, dumb)
	term.expect("ebb> ").typed("half a line").expect("half a line").typed(ctrlC).expect("^C").typed("get k\r").expect("\nv\r\n")
	term.expect("ebb> ").typed(ctrlD).ends(exitOK)
}

// A list for a person ends with the screen, and says how to go on; with a limit, in a pipe and by one command it does not.
func TestTerminalPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "put %03d %s\n", i, strings.Repeat("v", i+1))
	}
	script(t, dir, lines.String(), exitOK, "", "")
	term := startTerminal(t, commandProcess(t, dir)) // of 50 rows and 200 columns
	term.expect("ebb> ").typed("keys\r").expect("\n046\r\n... there is more: -start 047 goes on, -limit 0 shows all").expect("ebb> ")
	term.typed("keys -start 047\r").expect("\n093\r\n... there is more: -start 094").expect("ebb> ").typed("keys -start 094\r").expect("\n099\r\nebb> ")
	term.typed("keys -reverse\r").expect("\n053\r\n... there is more: -end 053").expect("ebb> ").typed("keys -reverse -end 053\r").expect("\n052\r\n")
	term.expect("006\r\n... there is more: -end 006").expect("ebb> ").typed("keys -limit 60\r").expect("\n059\r\nebb> ")
	term.typed("keys -limit 0 -json\r").expect(`{"key":"099"}`).expect("ebb> ").typed("keys -json\r").expect(`{"key":"046"}`).expect("more: -start 047")
	check(t, pty.Setsize(term.tty, &pty.Winsize{Rows: 5, Cols: 20}))
	term.expect("ebb> ").typed("scan -start 050\r").expect("more: -start 052").expect("ebb> ").typed(ctrlD).ends(exitOK) // four rows each, of ten

	one := startTerminal(t, commandProcess(t, dir, "keys"))
	one.expect("\n099\r\n").ends(exitOK)
	if r := runInput("keys\n", dir); strings.Count(r.stdout, "\n") != 100 || r.stderr != "" {
		t.Errorf("%d lines in a pipe, %s", strings.Count(r.stdout, "\n"), r.stderr)
	}
}

// What is typed over several lines is one command, and one line of the history.
func TestTerminalLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	term := startTerminal(t, commandProcess(t, "-create", dir))
	term.expect("ebb> ").typed("put a '{\r").expect("...> ").typed("  \"x\": 1\r").expect("...> ").typed("}'\r").expect("ebb> ")
	term.typed("get a\r").expect(`"{\n  \"x\": 1\n}"`).expect("ebb> ")
	term.typed("put b \\\r").expect("...> ").typed("-ttl 1h two\r").expect("ebb> ").typed("get b\r").expect("\ntwo\r\n").expect("ebb> ")
	term.typed("put c C:\\\r").expect("ebb> ").typed("get c\r").expect("\nC:\\\r\n").expect("ebb> ") // no blank before it
	term.typed("put d \"one \\\r").expect("...> ").typed("line\"\r").expect("ebb> ").typed("get d\r").expect("\n\"one line\"\r\n").expect("ebb> ")
	term.typed(up + up + up + up + up + up + up + up).expect(`put a "{\n`).typed("\r").expect("ebb> ").typed("count\r").expect("\n4\r\n").expect("ebb> ")
	term.typed(ctrlD).ends(exitOK)
}

// Completion goes on behind escapes, also where what keys have in common ends in the middle of one, and in single quotes.
func TestTerminalCompletion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "put \"bin\\x00one\" 1\nput \"bin\\x01two\" 2\nput '{\"a\": 1}' 3\nput 'with blank' 4\n", exitOK, "", "")
	term := startTerminal(t, commandProcess(t, dir))
	term.expect("ebb> ").typed("get bi\t").expect(`"bin\x0`).typed("1\t").expect(`"bin\x01two" `).typed("\r").expect("\n2\r\n").expect("ebb> ")
	term.typed("get \"bin\\x0\t\t").expect(`"bin\x00one"`).expect(`"bin\x01two"`).typed("0\t").expect(`"bin\x00one" `).typed("\r").expect("\n1\r\n")
	term.expect("ebb> ").typed("get '{\t").expect(`'{"a":`).typed("\t").expect(`'{"a": 1}' `).typed("\r").expect("\n3\r\n").expect("ebb> ")
	term.typed("get wi\t").expect(`"with blank" `).typed("\r").expect("\n4\r\n").expect("ebb> ")
	term.typed("get 'wi\t").expect(`'with blank' `).typed("\r").expect("\n4\r\n").expect("ebb> ").typed(ctrlD).ends(exitOK)
}

// A command that waits for its input can be stopped, too.
func TestTerminalInterruptInput(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	term := startTerminal(t, commandProcess(t, dir, "import"))
	for !exists(filepath.Join(dir, "LOCK")) { // a sign that it has begun
		runtime.Gosched()
	}
	term.typed(ctrlC).expect("interrupt").ends(exitFailed)
	runArgs("count", dir).want(t, exitOK, "0\n", "")
	cmd := commandProcess(t, dir)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	_, err = io.WriteString(in, "put k v\nget k\n")
	check(t, err)
	_, err = io.ReadFull(out, make([]byte, 2))
	check(t, err)
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	runArgs("get", dir, "k").want(t, exitOK, "v", "")
}

// SIGTERM ends a session in order: the database is closed, and the terminal is as it was.
func TestTerminalTerminated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	cmd := commandProcess(t, "-create", dir)
	term := startTerminal(t, cmd)
	term.expect("ebb> ").typed("put k v\r").expect("ebb> ")
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	term.expect("terminated").ends(exitFailed)
	runArgs("get", dir, "k").want(t, exitOK, "v", "")
}

// Long work shows how far it is, in a terminal and nowhere else.
func TestTerminalProgress(t *testing.T) {
	src, dir := t.TempDir(), filepath.Join(t.TempDir(), "db")
	writeTree(t, src, testTree())
	term := startTerminal(t, commandProcess(t, dir, "import-tree", src))
	term.expect("importing").expect("imported 25 files").ends(exitOK)
	cmd := commandProcess(t, dir, "verify-tree", src)
	out, err := cmd.CombinedOutput()
	check(t, err)
	if bytes.ContainsAny(out, "\r\x1b") || bytes.Contains(out, []byte("comparing")) {
		t.Errorf("a progress bar in a pipe: %q", out)
	}
}

// A reader that leaves ends the command without a word.
func TestBrokenPipeProcess(t *testing.T) {
	dir := manyKeys(t)
	cmd := commandProcess(t, dir, "scan")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, 10))
	check(t, err)
	check(t, out.Close())
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || stderr.Len() > 0 {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
	runArgs("count", dir).want(t, exitOK, "300000\n", "")
}
