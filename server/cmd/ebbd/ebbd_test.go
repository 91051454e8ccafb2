package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/internal/page"
	"github.com/ebbdb/ebb/wal"
)

// A life: it serves, shows figures, ends, and what was written is there. No log has the password, nor has a message.
func TestLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	c := start(t, []string{"EBBD_REQUIREPASS=hunter2"}, "-dir", dir, "-log-level", "debug")
	client := c.dial()
	if got := client.do("GET k"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("without a password: %q", got)
	}
	if got := client.do("AUTH hunter2") + client.do("SET k v EX 1000") + client.do("GET k") + client.do("FROB"); !strings.HasPrefix(got, "+OK+OKv-ERR") {
		t.Errorf("%q", got)
	}
	for _, row := range []struct {
		path, password string
		code           int
		want           string
	}{
		{"/healthz", "", 200, "ok"},
		{"/readyz", "", 200, "ok"},
		{"/", "", 401, ""},
		{"/metrics", "wrong", 401, ""},
		{"/metrics", "hunter2", 200, `ebbd_command_duration_seconds_count{command="set"} 1`},
		{"/metrics", "hunter2", 200, "ebb_user_bytes_total 2"},
		{"/metrics", "hunter2", 200, "go_goroutines"},
		{"/live.json", "hunter2", 200, `"state":"serving"`},
		{"/debug/pprof/", "hunter2", 404, ""},
	} {
		if code, text := c.get(row.path, row.password); code != row.code || !strings.Contains(text, row.want) {
			t.Errorf("%s with %q: %d %.2000s, want %d with %s", row.path, row.password, code, text, row.code, row.want)
		}
	}
	// HTTP asks for the password that AUTH asks for, and for that of the start when there is none any more.
	for _, row := range []struct{ set, good, bad string }{{"hunter3", "hunter3", "hunter2"}, {"''", "hunter2", "hunter3"}} {
		if got := client.do("CONFIG SET requirepass %s", row.set); got != "+OK" {
			t.Errorf("%s: %s", row.set, got)
		}
		good, _ := c.get("/metrics", row.good)
		if bad, _ := c.get("/metrics", row.bad); good != 200 || bad != 401 {
			t.Errorf("password %s: %d, %d", row.set, good, bad)
		}
	}
	c.stop()
	if strings.Contains(c.text(), "hunter2") || strings.Contains(c.text(), "hunter3") {
		t.Error("the password is in the log")
	}
	db, err := ebb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if value, err := db.Get([]byte("k")); string(value) != "v" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
	if left, err := db.TTL([]byte("k")); left <= 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

// A client in the middle of a pipeline gets replies until the connection ends, and each write that was replied to is there.
func TestDrain(t *testing.T) {
	const writes = 20_000
	dir := t.TempDir()
	c := start(t, nil, "-dir", dir)
	client := c.dial()
	var pipeline bytes.Buffer
	for i := range writes {
		fmt.Fprintf(&pipeline, "SET key%d %d\r\n", i, i)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(pipeline.Bytes())
		sent <- err
	}()
	replies := 0
	for {
		text, err := client.reply()
		if err != nil {
			break
		}
		if text != "+OK" {
			t.Fatalf("%q", text)
		}
		if replies++; replies == 1 {
			c.signal(syscall.SIGTERM)
		}
	}
	<-sent // an error, if the connection ended before all was sent
	if code := c.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	db, err := ebb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	there := 0
	for i := range writes {
		value, err := db.Get(fmt.Appendf(nil, "key%d", i))
		if i < replies && (err != nil || string(value) != fmt.Sprint(i)) {
			t.Fatalf("key%d was acknowledged: %q, %v", i, value, err)
		}
		if err == nil {
			there++
		}
	}
	t.Logf("%d of %d acknowledged, %d there", replies, writes, there)
	if replies == 0 || replies != there {
		t.Errorf("%d replies, but %d writes are there", replies, there)
	}
	if s := db.Stats(); s.LogCutBytes != 0 {
		t.Errorf("the database was not closed: %+v", s)
	}
}

// blocked returns a client that takes no reply: it keeps the server from ending.
func blocked(t *testing.T, c *child) *conn {
	t.Helper()
	client := c.dial()
	if got := client.do("SET large %s", strings.Repeat("x", 40<<10)); got != "+OK" {
		t.Fatalf("%.100s", got)
	}
	go io.Copy(client, strings.NewReader(strings.Repeat("GET large\r\n", 2000))) // 80 MB of replies
	if _, err := client.r.Peek(1 << 10); err != nil {                            // they come
		t.Fatal(err)
	}
	return client
}

// While clients drain /readyz says so; a second signal ends it at once, and what was acknowledged is there.
func TestSecondSignal(t *testing.T) {
	dir := t.TempDir()
	c := start(t, nil, "-dir", dir, "-drain", "1h")
	if got := c.dial().do("SET k v"); got != "+OK" {
		t.Fatal(got)
	}
	blocked(t, c)
	c.signal(syscall.SIGINT)
	c.await("ending")
	if code, text := c.get("/readyz", ""); code != 503 || text != "draining\n" {
		t.Errorf("ready: %d %s", code, text)
	}
	if code, text := c.get("/healthz", ""); code != 200 {
		t.Errorf("healthy: %d %s", code, text)
	}
	if code, text := c.get("/live.json", ""); code != 200 || !strings.Contains(text, `"state":"draining"`) {
		t.Errorf("%d %s", code, text)
	}
	c.signal(syscall.SIGTERM)
	if code := c.exit(); code != exitFailed || !strings.Contains(c.text(), errSecondSignal.Error()) {
		t.Errorf("exit code %d:\n%s", code, c.text())
	}
	db, err := ebb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if value, err := db.Get([]byte("k")); string(value) != "v" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

// Who takes no reply is closed when the time is over.
func TestDrainEnds(t *testing.T) {
	c := start(t, nil, "-dir", t.TempDir(), "-drain", "50ms")
	blocked(t, c)
	c.stop()
	if !strings.Contains(c.text(), "clients were closed that had not ended") {
		t.Error(c.text())
	}
}

// What is wrong is told, with the exit code, and nothing is changed.
func TestRefusals(t *testing.T) {
	temp := t.TempDir()
	path := func(name string) string { return filepath.Join(temp, name) }
	for _, err := range []error{os.WriteFile(path("file"), []byte("x"), 0o600), os.Mkdir(path("other"), 0o700), os.Mkdir(path("empty"), 0o700),
		os.WriteFile(path("other/thing"), []byte("x"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	locked, err := ebb.Open(path("locked"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	newer(t, path("newer"))
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().String()
	for _, row := range []struct {
		name string
		args string
		code int
		want string
	}{
		{"locked", "-dir locked", exitFailed, "only one process"},
		{"newer", "-dir newer", exitFailed, "a newer ebb has written it"},
		{"something else", "-dir other", exitFailed, "holds something else"},
		{"a file", "-dir file", exitUsage, "no directory"},
		{"below a file", "-dir file/db", exitUsage, "no directory"},
		{"not there", "-dir none -create=false", exitFailed, "there is no database"},
		{"empty", "-dir empty -create=false", exitFailed, "there is no database"},
		{"busy", "-dir new -listen " + taken, exitFailed, "another process listens there"},
		{"busy metrics", "-dir new -metrics " + taken, exitFailed, "another process listens there"},
		{"certificate", "-dir new -tls-cert file -tls-key file", exitUsage, "file, file"},
		{"exposed", "-dir new -listen 0.0.0.0:0", exitUsage, "neither a password nor TLS"},
		{"unknown flag", "-dir new -frob", exitUsage, "-frob"},
		{"events", "-dir new -notify-keyspace-events ?", exitUsage, "notify-keyspace-events"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := contents(t, temp)
			cmd := command(nil, append([]string{"-listen", "127.0.0.1:0", "-metrics", ""}, strings.Fields(row.args)...)...)
			cmd.Dir = temp
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(string(out), row.want) {
				t.Errorf("exit code %d, %v, want %d and %q:\n%s", code, err, row.code, row.want, out)
			}
			after := contents(t, temp)
			delete(before, path("newer/LOCK"))
			delete(after, path("newer/LOCK")) // which says who has tried
			if !maps.Equal(before, after) {
				t.Errorf("changed: %v, %v", before, after)
			}
			if _, err := os.Stat(path("new")); !errors.Is(err, os.ErrNotExist) {
				t.Error("the directory was made")
			}
		})
	}
}

// newer makes a database whose manifest is of a newer release.
func newer(t *testing.T, dir string) {
	t.Helper()
	db, err := ebb.Open(dir, nil)
	if err == nil {
		err = errors.Join(db.Put([]byte("k"), []byte("v")), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "MANIFEST")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	record, n, err := wal.DecodeStored(data)
	if err != nil {
		t.Fatal(err)
	}
	header := bytes.Clone(record.Value)
	header[1]++ // the version
	out, err := wal.AppendRecord(nil, &wal.Record{Value: header})
	if err == nil {
		err = os.WriteFile(name, append(out, data[n:]...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// -check, -h and -version start nothing.
func TestOnlyTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-check", "-dir", dir}, exitDone, "ok\n"},
		{[]string{"-check", "-dir", dir, "-listen", ":0", "-insecure"}, exitDone, "warning: whoever"},
		{[]string{"-check", "-dir", dir, "-sync", "often"}, exitUsage, "often"},
		{[]string{"-check", "-dir", dir, "-tls-cert", "/nowhere", "-tls-key", "/nowhere"}, exitUsage, "/nowhere"},
		{[]string{"-check"}, exitUsage, "no directory"},
		{[]string{"-h"}, exitDone, "usage: ebbd -dir DIR"},
		{[]string{"-version"}, exitDone, "ebbd "},
	} {
		cmd := command(nil, row.args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(string(out), row.want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", row.args, code, row.code, row.want, out)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the directory was made")
	}
}

// systemd is told when it serves, and when it ends.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := start(t, []string{"NOTIFY_SOCKET=" + socket}, "-dir", t.TempDir())
	told := func() string {
		_ = l.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := told(); got != "READY=1" {
		t.Errorf("%q", got)
	}
	c.stop()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
	if err := notify("@nobody-listens-here", "x"); err == nil {
		t.Error("nobody listens, and was told")
	}
}

// A signal that comes before the database is open ends it in order, too.
func TestSignalWhileOpening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGHUP // which changes nothing
	signals <- syscall.SIGTERM
	var stderr bytes.Buffer
	code := run(process{[]string{"-dir", dir, "-listen", "127.0.0.1:0", "-metrics", "127.0.0.1:0"}, nil, io.Discard, &stderr, signals})
	if code != exitDone || !strings.Contains(stderr.String(), "msg=ended") {
		t.Errorf("exit code %d:\n%s", code, stderr.String())
	}
	db, err := ebb.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// failed is a database that takes no more writes.
type failed struct{ page.Database }

func (failed) Stats() ebb.Stats { return ebb.Stats{Failure: errors.New("fsync failed")} }

// What probes say before the database is open and when it has failed.
func TestProbes(t *testing.T) {
	d := new(daemon)
	if err := d.ready(); err == nil || err.Error() != "opening" {
		t.Errorf("before: %v", err)
	}
	if err := d.healthy(); err != nil {
		t.Errorf("before: %v", err)
	}
	if err := failure(failed{}); err == nil || !strings.Contains(err.Error(), "fsync failed") {
		t.Errorf("failed: %v", err)
	}
}
