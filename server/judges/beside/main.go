// Command beside runs redis-benchmark against Redis and ebbd in turn, on one machine, and prints what one does beside the other.
//
//	go run ./beside -ebbd PATH [-n 100000] [-rounds 3] [-clients 50] [-idle 10000]
//
// Each policy of syncing is run with each depth of pipelines: appendfsync always beside -sync always, everysec beside interval.
// The rounds are interleaved, Redis first in one and ebbd in the next, and a figure is the median of its rounds.
package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	ebbd    = flag.String("ebbd", "", "the command's `path`")
	n       = flag.Int("n", 100_000, "`requests` of a run")
	rounds  = flag.Int("rounds", 3, "`runs` of each")
	clients = flag.Int("clients", 50, "`connections`")
	keys    = flag.Int("keys", 100_000, "`keys` that are drawn from")
	size    = flag.Int("size", 100, "`bytes` of a value")
	idle    = flag.Int("idle", 10_000, "idle `connections` whose memory is measured; 0: none")
	dir     = flag.String("dir", os.TempDir(), "`directory` for the databases")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if *ebbd == "" {
		return errors.New("say -ebbd PATH: go build -o /tmp/ebbd ./cmd/ebbd, in the module server")
	}
	tmp, err := os.MkdirTemp(*dir, "beside")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fmt.Printf("redis-benchmark -c %d -n %d -r %d -d %d, medians of %d; requests a second, p50 and p99 in ms,\n"+
		"microseconds of the server's CPU a request\n\n", *clients, *n, *keys, *size, *rounds)
	fmt.Println("| Redis, ebbd | pipeline | | Redis | p50, p99 | CPU | ebbd | p50, p99 | CPU | ebbd beside Redis |\n" +
		"|---|---|---|---|---|---|---|---|---|---|")
	for i, syncs := range [][2]string{{"always", "always"}, {"everysec", "interval"}} {
		if err := compare(filepath.Join(tmp, strconv.Itoa(i)), syncs[0], syncs[1]); err != nil {
			return err
		}
	}
	if *idle == 0 {
		return nil
	}
	return idleMemory(filepath.Join(tmp, "idle"))
}

// compare runs both servers side by side, each with a policy of its own name.
func compare(tmp, redisSync, ebbSync string) error {
	redis, err := startRedis(filepath.Join(tmp, "redis"), redisSync)
	if err != nil {
		return err
	}
	defer redis.stop()
	ebb, err := startEbbd(filepath.Join(tmp, "ebb"), ebbSync)
	if err != nil {
		return err
	}
	defer ebb.stop()
	for _, depth := range []int{1, 16} {
		found := make(map[string][2][]result) // by test: of Redis, of ebbd
		for round := range *rounds {
			for turn := range 2 {
				which := (turn + round) % 2
				s := []*process{redis, ebb}[which]
				for _, name := range []string{"SET", "GET"} {
					r, err := s.benchmark(name, depth)
					if err != nil {
						return err
					}
					both := found[name]
					both[which] = append(both[which], r)
					found[name] = both
				}
			}
		}
		for _, name := range []string{"SET", "GET"} {
			a, b := median(found[name][0]), median(found[name][1])
			fmt.Printf("| %s, %s | %d | %s | %.0f | %.2f, %.2f | %.1f | %.0f | %.2f, %.2f | %.1f | %.2f |\n",
				redisSync, ebbSync, depth, name, a.rps, a.p50, a.p99, a.cpu, b.rps, b.p50, b.p99, b.cpu, b.rps/a.rps)
		}
	}
	return nil
}

// A result is what redis-benchmark says of a test, and the server's CPU a request, which a busy machine changes least.
type result struct{ rps, p50, p99, cpu float64 }

// median returns the result in the middle by throughput.
func median(all []result) result {
	if len(all) == 0 {
		return result{}
	}
	slices.SortFunc(all, func(a, b result) int {
		if a.rps < b.rps {
			return -1
		}
		return 1
	})
	return all[len(all)/2]
}

type process struct {
	name, port string
	cmd        *exec.Cmd
}

func startRedis(dir, sync string) (*process, error) {
	return launch("redis-server", dir, func(port string) []string {
		return []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", sync,
			"--auto-aof-rewrite-percentage", "0", "--maxclients", "12000"}
	})
}

func startEbbd(dir, sync string) (*process, error) {
	return launch(*ebbd, dir, func(port string) []string {
		return []string{"-dir", filepath.Join(dir, "db"), "-listen", "127.0.0.1:" + port, "-metrics", "", "-sync", sync, "-sync-every", "1s",
			"-max-clients", "12000", "-log-level", "error"}
	})
}

func launch(path, dir string, args func(port string) []string) (*process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	p := &process{name: filepath.Base(path), port: port, cmd: exec.Command(path, args(port)...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 500 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			return p, c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen", path)
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
}

func (p *process) benchmark(name string, depth int) (result, error) {
	before, err := p.ticks()
	if err != nil {
		return result{}, err
	}
	out, err := exec.Command("redis-benchmark", "-h", "127.0.0.1", "-p", p.port, "-t", strings.ToLower(name), "-n", strconv.Itoa(*n),
		"-r", strconv.Itoa(*keys), "-d", strconv.Itoa(*size), "-c", strconv.Itoa(*clients), "-P", strconv.Itoa(depth), "--csv").Output()
	if err != nil {
		return result{}, fmt.Errorf("redis-benchmark of %s: %w", p.name, err)
	}
	after, err := p.ticks()
	if err != nil {
		return result{}, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[1]) != 8 {
		return result{}, fmt.Errorf("redis-benchmark of %s: %w in %s", p.name, err, out)
	}
	var f [8]float64 // "test","rps","avg","min","p50","p95","p99","max", latencies in ms
	for i := 1; i < len(f); i++ {
		if f[i], err = strconv.ParseFloat(rows[1][i], 64); err != nil {
			return result{}, fmt.Errorf("redis-benchmark of %s: %q", p.name, rows[1])
		}
	}
	const perTick = 1e6 / 100 // microseconds: Linux counts hundredths for programs
	return result{rps: f[1], p50: f[4], p99: f[6], cpu: float64(after-before) * perTick / float64(*n)}, nil
}

// ticks returns how much CPU a process has had, of its own and of the kernel for it.
func (p *process) ticks() (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return user + system, err
}

// idleMemory opens connections that say one thing each and then nothing, and prints what each server has more for them.
func idleMemory(tmp string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	fmt.Println()
	for _, start := range []func() (*process, error){
		func() (*process, error) { return startRedis(filepath.Join(tmp, "redis"), "everysec") },
		func() (*process, error) { return startEbbd(filepath.Join(tmp, "ebb"), "interval") },
	} {
		p, err := start()
		if err != nil {
			return err
		}
		err = p.idle()
		p.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *process) idle() error {
	before, err := p.resident()
	if err != nil {
		return err
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range *idle {
		c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		if _, err := c.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
			return err
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "+PONG\r\n" {
			return fmt.Errorf("%s with %d connections: %q, %w", p.name, len(conns), line, err)
		}
	}
	after, err := p.resident()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d idle connections, %d MB resident, %d MB before\n", p.name, *idle, after>>10, before>>10)
	return nil
}

// resident returns what a process has in memory, in KB.
func (p *process) resident() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	rest, _, _ = strings.Cut(rest, " kB")
	return strconv.Atoi(strings.TrimSpace(rest))
}
