package resp

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ebbdb/ebb"
)

// infoSections are in the order of INFO. Those of the second list are there only if they are asked for.
var (
	infoSections = []string{"server", "clients", "memory", "persistence", "stats", "replication", "cpu",
		"errorstats", "keyspace", "ebb"}
	moreSections = []string{"commandstats", "latencystats"}
)

// infoText writes lines of INFO.
type infoText struct {
	c  *client
	b  strings.Builder
	db ebb.Stats
	st Stats
}

func (t *infoText) line(name string, value any) { fmt.Fprintf(&t.b, "%s:%v\r\n", name, value) }

func info(c *client, args [][]byte) {
	wanted := make(map[string]bool)
	for _, arg := range args[1:] {
		wanted[string(lowered(arg))] = true
	}
	defaults := len(args) == 1 || wanted["default"] || wanted["all"] || wanted["everything"]
	all := wanted["all"] || wanted["everything"]
	t := &infoText{c: c, db: c.srv.store.Stats(), st: c.srv.Stats()}
	for _, name := range infoSections {
		if defaults || wanted[name] {
			t.section(name)
		}
	}
	for _, name := range moreSections {
		if all || wanted[name] {
			t.section(name)
		}
	}
	c.out.text(t.b.String())
}

func (t *infoText) section(name string) {
	if t.b.Len() > 0 {
		t.b.WriteString("\r\n")
	}
	fmt.Fprintf(&t.b, "# %s\r\n", map[string]string{
		"server": "Server", "clients": "Clients", "memory": "Memory", "persistence": "Persistence", "stats": "Stats",
		"replication": "Replication", "cpu": "CPU", "errorstats": "Errorstats", "keyspace": "Keyspace", "ebb": "Ebb",
		"commandstats": "Commandstats", "latencystats": "Latencystats",
	}[name])
	switch name {
	case "server":
		t.server()
	case "clients":
		t.clients()
	case "memory":
		t.memory()
	case "persistence":
		t.persistence()
	case "stats":
		t.stats()
	case "replication":
		t.line("role", "master")
		t.line("connected_slaves", 0)
		t.line("master_repl_offset", 0)
	case "cpu":
		t.line("used_cpu_sys", "0.000000")
		t.line("used_cpu_user", "0.000000")
	case "errorstats":
		t.line("errorstat_all", fmt.Sprintf("count=%d", t.st.Errors))
	case "keyspace":
		t.keyspace()
	case "ebb":
		t.ebb()
	case "commandstats":
		t.commands()
	case "latencystats":
		t.latency()
	}
}

func (t *infoText) server() {
	now := t.c.srv.opts.Clock()
	up := now.Sub(t.st.Started)
	t.line("redis_version", redisVersion)
	t.line("redis_mode", "standalone")
	t.line("server_name", "ebb")
	t.line("os", runtime.GOOS+" "+runtime.GOARCH)
	t.line("arch_bits", strconv.IntSize)
	t.line("go_version", runtime.Version())
	t.line("process_id", os.Getpid())
	t.line("run_id", fmt.Sprintf("%040x", t.st.Started.UnixNano()))
	t.line("tcp_port", portOf(t.c.about.laddr))
	t.line("server_time_usec", now.UnixMicro())
	t.line("uptime_in_seconds", int64(up/time.Second))
	t.line("uptime_in_days", int64(up/(24*time.Hour)))
	t.line("hz", 10)
}

func portOf(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		return addr[i+1:]
	}
	return "0"
}

func (t *infoText) clients() {
	t.line("connected_clients", t.st.Clients)
	t.line("cluster_connections", 0)
	t.line("maxclients", t.c.srv.settings.maxClients())
	t.line("blocked_clients", 0)
	subs := 0
	var in, out int64
	for _, c := range t.c.srv.clients.list() {
		if c.about.subs.Load()+c.about.psubs.Load() > 0 {
			subs++
		}
		in = max(in, c.about.read.Load())
		out = max(out, c.about.replies.Load())
	}
	t.line("pubsub_clients", subs)
	t.line("client_recent_max_input_buffer", in)
	t.line("client_recent_max_output_buffer", out)
}

func (t *infoText) memory() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.line("used_memory", m.HeapAlloc)
	t.line("used_memory_human", human(int64(m.HeapAlloc)))
	t.line("used_memory_rss", m.Sys-m.HeapReleased)
	t.line("used_memory_rss_human", human(int64(m.Sys-m.HeapReleased)))
	t.line("used_memory_peak", m.HeapSys)
	t.line("used_memory_peak_human", human(int64(m.HeapSys)))
	t.line("used_memory_dataset", t.db.MemtableBytes)
	t.line("used_memory_lua", 0)
	params := t.c.srv.settings.params
	limit := params["maxmemory"].Get()
	t.line("maxmemory", limit)
	n, _ := strconv.ParseInt(limit, 10, 64)
	t.line("maxmemory_human", human(n))
	t.line("maxmemory_policy", params["maxmemory-policy"].Get())
	t.line("mem_fragmentation_ratio", fmt.Sprintf("%.2f", float64(m.Sys-m.HeapReleased)/float64(max(1, m.HeapAlloc))))
	t.line("mem_allocator", "go")
}

func human(n int64) string {
	for i, unit := range []string{"G", "M", "K"} {
		if size := int64(1) << (30 - 10*i); n >= size {
			return fmt.Sprintf("%.2f%s", float64(n)/float64(size), unit)
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func (t *infoText) persistence() {
	status := "ok"
	if t.db.Failure != nil {
		status = "err"
	}
	t.line("loading", 0)
	t.line("async_loading", 0)
	t.line("rdb_changes_since_last_save", 0)
	t.line("rdb_bgsave_in_progress", 0)
	t.line("rdb_last_save_time", t.c.srv.opts.Clock().Unix())
	t.line("rdb_last_bgsave_status", status)
	t.line("aof_enabled", 1)
	t.line("aof_rewrite_in_progress", 0)
	t.line("aof_last_write_status", status)
	t.line("aof_current_size", t.db.DiskBytes)
}

func (t *infoText) stats() {
	up := t.c.srv.opts.Clock().Sub(t.st.Started).Seconds()
	t.line("total_connections_received", t.st.Accepted)
	t.line("total_commands_processed", t.st.Commands)
	t.line("instantaneous_ops_per_sec", int64(float64(t.st.Commands)/max(1, up)))
	t.line("total_net_input_bytes", t.st.BytesIn)
	t.line("total_net_output_bytes", t.st.BytesOut)
	t.line("rejected_connections", t.st.Rejected)
	t.line("expired_keys", max(t.db.ExpiredEntries, uint64(t.db.ExpiryEvents)))
	t.line("evicted_keys", t.db.EvictedEntries)
	t.line("keyspace_hits", t.st.Hits)
	t.line("keyspace_misses", t.st.Misses)
	t.line("pubsub_channels", t.st.Channels)
	t.line("pubsub_patterns", t.st.Patterns)
	t.line("latest_fork_usec", 0)
	t.line("total_error_replies", t.st.Errors)
	t.line("client_query_buffer_limit_disconnections", t.st.ProtocolErrors)
	t.line("client_output_buffer_limit_disconnections", t.st.SlowSubscribers)
}

// exactBelow is the estimate up to which INFO counts keys.
const exactBelow = 10_000

func (t *infoText) keyspace() {
	n, err := t.c.srv.store.EstimateCount(t.c.srv.ctx)
	if err == nil && n < exactBelow {
		err = t.c.srv.store.View(t.c.srv.ctx, func(tx Txn) error {
			n, err = tx.Count(nil)
			return err
		})
	}
	if err != nil || n == 0 {
		return
	}
	deadlines := min(uint64(n), t.db.DeadlineEntries+t.db.MemtableDeadlineEntries)
	t.line("db0", fmt.Sprintf("keys=%d,expires=%d,avg_ttl=0", n, deadlines))
}

func (t *infoText) ebb() {
	d := &t.db
	t.line("disk_bytes", d.DiskBytes)
	t.line("table_bytes", d.TableBytes)
	t.line("live_bytes", d.LiveBytes)
	t.line("memtable_bytes", d.MemtableBytes)
	t.line("expired_bytes", d.ExpiredBytes)
	t.line("expiry_lag_ms", d.ExpiryLag.Milliseconds())
	t.line("dropped_tables", d.DroppedTables)
	t.line("flushes", d.Flushes)
	t.line("compactions", d.Compactions)
	t.line("slowed_writes", d.SlowedWrites)
	t.line("stopped_writes", d.StoppedWrites)
	t.line("damaged_tables", d.DamagedTables)
	t.line("scan_cursors", t.st.Cursors)
}

func (t *infoText) commands() {
	for _, s := range t.st.PerCommand {
		us := s.Total.Microseconds()
		t.line("cmdstat_"+s.Name, fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			s.Calls, us, float64(us)/float64(max(1, s.Calls)), s.Rejected, s.Failed))
	}
}

func (t *infoText) latency() {
	for _, s := range t.st.PerCommand {
		if s.Calls > 0 {
			t.line("latency_percentiles_usec_"+s.Name, fmt.Sprintf("p50=%.3f,p99=%.3f,p99.9=%.3f",
				s.Percentile(0.5), s.Percentile(0.99), s.Percentile(0.999)))
		}
	}
}

// Percentile returns the upper bound of the bucket, in microseconds, that a part of the calls did not exceed; of the last bucket
// the lower one.
func (s *CommandStats) Percentile(part float64) float64 {
	var total, sum uint64
	for _, n := range s.Latency {
		total += n
	}
	for i, n := range s.Latency {
		sum += n
		if float64(sum) >= part*float64(total) && sum > 0 {
			return float64(LatencyBuckets[min(i, len(LatencyBuckets)-1)]) / float64(time.Microsecond)
		}
	}
	return 0
}
