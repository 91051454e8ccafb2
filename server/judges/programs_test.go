package judges

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRedisPy runs redis-py as Debian has it, with the system's own Python.
func TestRedisPy(t *testing.T) {
	python := "/usr/bin/python3" // what comes first in PATH may be another, without Debian's packages
	if err := exec.Command(python, "-c", "import redis").Run(); err != nil {
		absent(t, "python3-redis is not installed")
	}
	t.Log(run(t, "testdata", python, "redis_py.py", start(t).port()))
}

// TestNode runs ioredis and node-redis in the versions of testdata/node/package-lock.json, which npm brings into the user's cache.
func TestNode(t *testing.T) {
	need(t, "node", "npm")
	dir := nodeModules(t)
	s := start(t)
	for _, program := range []string{"ioredis.mjs", "redis.mjs"} {
		t.Run(program, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join("testdata", "node", program))
			ok(t, err)
			ok(t, os.WriteFile(filepath.Join(dir, program), source, 0o644)) // modules are found from where it lies
			t.Log(run(t, dir, "node", program, s.port()))
		})
	}
}

func nodeModules(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("testdata/node/package-lock.json")
	ok(t, err)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "ebb-judges", fmt.Sprintf("node-%x", sha256.Sum256(lock))[:24])
	if _, err := os.Stat(filepath.Join(dir, "installed")); err == nil {
		return dir
	}
	ok(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "node", name))
		ok(t, err)
		ok(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	run(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	ok(t, os.WriteFile(filepath.Join(dir, "installed"), nil, 0o644))
	return dir
}

func TestRedisCli(t *testing.T) {
	need(t, "redis-cli")
	s := start(t)
	cli := func(args ...string) string {
		t.Helper()
		return run(t, ".", "redis-cli", append([]string{"-h", "127.0.0.1", "-p", s.port()}, args...)...)
	}
	for _, version := range []string{"-2", "-3"} {
		same(t, cli(version, "SET", "key", "value", "EX", "100"), "OK\n")
		same(t, cli(version, "GET", "key"), "value\n")
		same(t, cli(version, "GET", "missing"), "\n")
		same(t, strings.HasPrefix(cli(version, "SET", "key"), "ERR wrong number of arguments"), true)
	}
	for i := range 21 {
		cli("SET", fmt.Sprint("scan:", i), strings.Repeat("x", i)) // a process each, which is what a script does
	}
	same(t, len(strings.Fields(cli("--scan", "--pattern", "scan:*"))), 21)
	same(t, len(strings.Fields(cli("--scan", "--pattern", "scan:*"))), 21)
	for _, flag := range []string{"--bigkeys", "--memkeys"} {
		out := cli("-3", flag)
		if !strings.Contains(out, "Sampled 22 keys in the keyspace") || !strings.Contains(out, `Biggest string found`) {
			t.Errorf("%s:\n%s", flag, out)
		}
	}
	if out := cli("COMMAND", "DOCS", "get"); !strings.Contains(out, "summary") {
		t.Errorf("COMMAND DOCS get:\n%s", out)
	}
	if out := cli("INFO"); !regexp.MustCompile(`(?m)^db0:keys=22,expires=[1-9]`).MatchString(out) {
		t.Errorf("INFO:\n%s", out)
	}
	same(t, cli("CONFIG", "GET", "databases"), "databases\n1\n")
	// The prompt, in which redis-cli asks for COMMAND DOCS and INFO SERVER, with commands from a script.
	script := exec.Command("redis-cli", "-p", s.port(), "-3")
	script.Stdin = strings.NewReader("MULTI\nSET a 1\nINCR a\nEXEC\nSUBSCRIBE\nSELECT 0\n")
	out, err := script.CombinedOutput()
	ok(t, err)
	same(t, string(out), "OK\nQUEUED\nQUEUED\nOK\n2\nERR wrong number of arguments for 'subscribe' command\n\nOK\n")
	// A mass insertion with --pipe.
	pipe := exec.Command("redis-cli", "-p", s.port(), "--pipe")
	pipe.Stdin = strings.NewReader(strings.Repeat(string(encode("INCR", "mass")), 1000))
	out, err = pipe.CombinedOutput()
	ok(t, err)
	if !strings.Contains(string(out), "errors: 0, replies: 1000") {
		t.Errorf("--pipe: %s", out)
	}
}

func TestRedisBenchmark(t *testing.T) {
	need(t, "redis-benchmark")
	s := start(t)
	for _, args := range [][]string{
		{"-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "20"},
		{"-t", "set,get,incr,mset", "-n", "5000", "-c", "20", "-P", "16", "-r", "1000", "-3"},
	} {
		out := run(t, ".", "redis-benchmark", append([]string{"-h", "127.0.0.1", "-p", s.port(), "-q"}, args...)...)
		if strings.Contains(out, "rror") || strings.Contains(out, "WARN") || strings.Count(out, "requests per second") < 4 {
			t.Errorf("%v:\n%s", args, out)
		}
	}
	if r := dial(t, s.addr).must(t, "GET", "counter:__rand_int__"); r.text != "2000" {
		t.Errorf("the counter is %s", r)
	}
}
