package judges

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tclUnits are those of Redis's own suite that are about what ebbd has. Each has a port for the suite itself.
var tclUnits = []string{
	"unit/type/string", "unit/scan", "unit/expire", "unit/other", "unit/multi", // the slow ones first
	"unit/pubsub", "unit/protocol", "unit/keyspace", "unit/type/incr",
}

// tclDenied are the tags of tests that a server of this kind cannot be asked, whatever it does.
const tclDenied = "-needs:debug -needs:repl -needs:config-maxmemory"

// A tclSkip is a line of testdata/tcl-skipped.tsv: a test that is not run, and why.
type tclSkip struct{ unit, test, why string }

const (
	slow = "slow"    // begins the reason of a test that passes, and is run with -long
	luck = "by luck" // begins the reason of a test that passes or not
)

func tclSkips(t *testing.T) []tclSkip {
	t.Helper()
	data, err := os.ReadFile("testdata/tcl-skipped.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var skips []tclSkip
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 3 || !slices.Contains(tclUnits, f[0]) || f[2] == "" {
			t.Fatalf("tcl-skipped.tsv:%d: not a unit, a test and a reason: %q", i+1, line)
		}
		skips = append(skips, tclSkip{f[0], f[1], f[2]})
	}
	return skips
}

// TestTcl runs units of the suite that comes with Redis's source. What is not run is in testdata/tcl-skipped.tsv, with the
// reason, and would fail: TestTclSkipped.
func TestTcl(t *testing.T) {
	archive := tclArchive(t)
	skips := tclSkips(t)
	for i, unit := range tclUnits {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			var names []string
			for _, s := range skips {
				isSlow := strings.HasPrefix(s.why, slow)
				if s.unit == unit && (isSlow && !*long || !isSlow && judgesEbb()) {
					names = append(names, s.test)
				}
			}
			out, err := runTcl(t, archive, i, unit, "--skipfile", names)
			if err != nil {
				t.Errorf("%v\n%s", err, out.text)
			}
			for _, name := range names {
				if !slices.Contains(out.skipped, name) {
					t.Errorf("there is no test %q to be skipped", name)
				}
			}
			for _, e := range out.failed {
				t.Error(e)
			}
			if len(out.failed) > 0 {
				t.Log(out.said)
			}
			t.Logf("%d passed, %d failed, %d skipped by name, %d cannot be asked", len(out.passed), len(out.failed), len(out.skipped), len(out.ignored))
			for _, why := range out.ignored {
				t.Logf("cannot be asked: %s", why)
			}
		})
	}
}

// TestTclSkipped shows that what is skipped would fail, so that the list says what is not there and no more.
func TestTclSkipped(t *testing.T) {
	if !judgesEbb() {
		t.Skip("nothing is skipped where Redis is judged")
	}
	archive := tclArchive(t)
	skips := tclSkips(t)
	for i, unit := range tclUnits {
		var names []string
		for _, s := range skips {
			if s.unit == unit && !strings.HasPrefix(s.why, slow) && !strings.HasPrefix(s.why, luck) {
				names = append(names, s.test)
			}
		}
		if len(names) == 0 {
			continue
		}
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			out, _ := runTcl(t, archive, len(tclUnits)+i, unit, "--only", names)
			for _, name := range out.passed {
				if slices.Contains(names, name) {
					t.Errorf("%q is skipped, and would pass", name)
				}
			}
			t.Logf("%d of %d fail", len(out.failed), len(names))
		})
	}
}

// A tclRun is what the suite said of a unit.
type tclRun struct {
	passed, failed, skipped, ignored []string
	text, said                       string // all of it, and its end, which has what failures say
}

var (
	ansi    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	tclLine = regexp.MustCompile(`^\[(ok|err|skip|ignore|exception)\]: (.*)$`)
	tclTook = regexp.MustCompile(` \([0-9]+ ms\)$`)
)

// runTcl runs one unit, with a server of its own and with names in a list that the option names.
func runTcl(t *testing.T, archive string, lane int, unit, option string, names []string) (tclRun, error) {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "tar", "-xzf", archive, "--strip-components=1", "--wildcards", "*/tests")
	s := start(t)
	limit := 3 * time.Minute
	if *long {
		limit = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []string{
		"tests/test_helper.tcl", "--host", "127.0.0.1", "--port", s.port(), "--singledb", "--ignore-encoding", "--durable",
		"--tags", tclDenied, "--baseport", strconv.Itoa(23000 + 300*lane), "--portcount", "300", "--single", unit,
	}
	if option == "--skipfile" {
		list := filepath.Join(dir, "skip")
		if err := os.WriteFile(list, []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, option, list)
	} else {
		for _, name := range names {
			args = append(args, option, name)
		}
	}
	cmd := exec.CommandContext(ctx, "tclsh", args...)
	cmd.Dir = dir
	// The suite starts a process of its own, which has to go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	r := parseTcl(out)
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("%s hangs, after %v", unit, limit)
	case !strings.Contains(r.text, "The End"):
		return r, errors.Join(fmt.Errorf("%s did not come to its end", unit), err)
	}
	return r, nil
}

func parseTcl(out []byte) tclRun {
	out = ansi.ReplaceAll(out, nil)
	r := tclRun{text: string(out)}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		m := tclLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		switch m[1] {
		case "ok":
			r.passed = append(r.passed, tclTook.ReplaceAllString(m[2], ""))
		case "skip":
			r.skipped = append(r.skipped, m[2])
		case "ignore":
			r.ignored = append(r.ignored, m[2])
		default:
			r.failed = append(r.failed, m[2])
		}
	}
	_, r.said, _ = strings.Cut(r.text, "The End")
	return r
}

// tclArchive returns the source archive of the distribution's Redis. It is fetched by apt with a configuration of its own, which
// leaves the machine's as it is, is checked by apt's signatures, and stays in the user's cache.
func tclArchive(t *testing.T) string {
	t.Helper()
	need(t, "tclsh", "apt-get", "tar")
	codename := debian()
	if codename == "" {
		absent(t, "the source of Redis comes from Debian, which this is not")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "ebb-judges", "redis-"+codename)
	if found, _ := filepath.Glob(filepath.Join(dir, "redis_*.orig.tar.gz")); len(found) == 1 {
		return found[0]
	}
	apt := t.TempDir()
	for _, d := range []string{dir, filepath.Join(apt, "lists", "partial"), filepath.Join(apt, "cache", "archives", "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
	list := fmt.Sprintf("deb-src [signed-by=%s] http://deb.debian.org/debian %s main\n"+
		"deb-src [signed-by=%s] http://deb.debian.org/debian-security %s-security main\n", keys, codename, keys, codename)
	if err := os.WriteFile(filepath.Join(apt, "sources.list"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	options := []string{
		"-q", "-o", "Dir::Etc::SourceList=" + filepath.Join(apt, "sources.list"), "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + filepath.Join(apt, "cache"),
		"-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3",
	}
	run(t, dir, "apt-get", append(options, "update")...)
	run(t, dir, "apt-get", append(options, "source", "--download-only", "redis")...)
	found, _ := filepath.Glob(filepath.Join(dir, "redis_*.orig.tar.gz"))
	if len(found) != 1 {
		t.Fatalf("apt-get source redis left no archive, but %q", found)
	}
	return found[0]
}

// debian returns the name of the release, if the system is Debian.
func debian() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains(string(data), "\nID=debian\n") {
		return ""
	}
	_, name, _ := strings.Cut(string(data), "VERSION_CODENAME=")
	name, _, _ = strings.Cut(name, "\n")
	return name
}
