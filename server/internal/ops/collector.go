package ops

import (
	"github.com/ebbdb/ebb/server/resp"
	"github.com/prometheus/client_golang/prometheus"
)

// Server is what the collector asks.
type Server interface {
	Stats() resp.Stats
	SlowLog(n int) []resp.SlowEntry
}

// NewCollector returns a collector of a server's figures. Every scrape is one call of Stats.
func NewCollector(srv Server) prometheus.Collector {
	c := &collector{srv: srv}
	for _, m := range metrics {
		c.plain = append(c.plain, prometheus.NewDesc("ebbd_"+m.name, m.help, m.labels(), nil))
	}
	c.calls = prometheus.NewDesc("ebbd_command_duration_seconds",
		"How long commands took, without the sync that a pipeline's writes wait for together.", []string{"command"}, nil)
	c.failed = prometheus.NewDesc("ebbd_command_failures_total", "Commands that ran and replied with an error.", []string{"command"}, nil)
	c.rejected = prometheus.NewDesc("ebbd_command_rejections_total",
		"Commands that were not run: wrong arguments, or not authenticated.", []string{"command"}, nil)
	return c
}

type collector struct {
	srv                     Server
	plain                   []*prometheus.Desc
	calls, failed, rejected *prometheus.Desc
}

// metric is one figure of Stats. Several of one name differ in what limit says.
type metric struct {
	name, help string
	limit      string
	kind       prometheus.ValueType
	value      func(*resp.Stats) uint64
}

func (m *metric) labels() []string {
	if m.limit == "" {
		return nil
	}
	return []string{"limit"}
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
	limited = "Connections and replies that a limit has ended."
)

var metrics = []metric{
	{"connections", "Connections of clients.", "", gauge, func(s *resp.Stats) uint64 { return uint64(s.Clients) }},
	{"connections_accepted_total", "Connections that were accepted.", "", counter, func(s *resp.Stats) uint64 { return s.Accepted }},
	{"commands_total", "Commands that ran.", "", counter, func(s *resp.Stats) uint64 { return s.Commands }},
	{"errors_total", "Replies that were errors.", "", counter, func(s *resp.Stats) uint64 { return s.Errors }},
	{"protocol_errors_total", "Errors of the protocol, each of which has ended a connection.", "", counter,
		func(s *resp.Stats) uint64 { return s.ProtocolErrors }},
	{"store_errors_total", "Errors of the database.", "", counter, func(s *resp.Stats) uint64 { return s.StoreErrors }},
	{"limited_total", limited, "clients", counter, func(s *resp.Stats) uint64 { return s.Rejected }},
	{"limited_total", limited, "reply", counter, func(s *resp.Stats) uint64 { return s.LargeReplies }},
	{"limited_total", limited, "subscriber", counter, func(s *resp.Stats) uint64 { return s.SlowSubscribers }},
	{"received_bytes_total", "Bytes from clients.", "", counter, func(s *resp.Stats) uint64 { return s.BytesIn }},
	{"sent_bytes_total", "Bytes to clients.", "", counter, func(s *resp.Stats) uint64 { return s.BytesOut }},
	{"keyspace_hits_total", "Reads of keys that were there.", "", counter, func(s *resp.Stats) uint64 { return s.Hits }},
	{"keyspace_misses_total", "Reads of keys that were not there.", "", counter, func(s *resp.Stats) uint64 { return s.Misses }},
	{"published_messages_total", "Messages that were published, keyspace events among them.", "", counter,
		func(s *resp.Stats) uint64 { return s.Published }},
	{"expired_events_total", "Expiries that were published.", "", counter, func(s *resp.Stats) uint64 { return s.Expired }},
	{"notifier_restarts_total", "Times that expiries may have gone unpublished.", "", counter,
		func(s *resp.Stats) uint64 { return s.NotifierRestarts }},
	{"channels", "Channels with subscribers.", "", gauge, func(s *resp.Stats) uint64 { return uint64(s.Channels) }},
	{"patterns", "Patterns with subscribers.", "", gauge, func(s *resp.Stats) uint64 { return uint64(s.Patterns) }},
	{"scan_cursors", "Cursors of SCAN that are remembered.", "", gauge, func(s *resp.Stats) uint64 { return uint64(s.Cursors) }},
	{"start_time_seconds", "When the server was started, Unix time.", "", gauge,
		func(s *resp.Stats) uint64 { return uint64(max(0, s.Started.Unix())) }},
}

// slowCommands is not among metrics: the slow log knows it.
var slowCommands = prometheus.NewDesc("ebbd_slow_commands_total", "Commands that took longer than slowlog-slower-than.", nil, nil)

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range append(c.plain[:len(c.plain):len(c.plain)], c.calls, c.failed, c.rejected, slowCommands) {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.srv.Stats()
	for i, m := range metrics {
		var labels []string
		if m.limit != "" {
			labels = []string{m.limit}
		}
		out <- prometheus.MustNewConstMetric(c.plain[i], m.kind, float64(m.value(&s)), labels...)
	}
	var slow int64
	if newest := c.srv.SlowLog(1); len(newest) > 0 {
		slow = newest[0].ID + 1
	}
	out <- prometheus.MustNewConstMetric(slowCommands, counter, float64(slow))
	for i := range s.PerCommand {
		cmd := &s.PerCommand[i]
		buckets := make(map[float64]uint64, len(resp.LatencyBuckets))
		var sum uint64
		for j, bound := range resp.LatencyBuckets {
			sum += cmd.Latency[j]
			buckets[bound.Seconds()] = sum
		}
		sum += cmd.Latency[len(resp.LatencyBuckets)]
		out <- prometheus.MustNewConstHistogram(c.calls, sum, cmd.Total.Seconds(), buckets, cmd.Name)
		out <- prometheus.MustNewConstMetric(c.failed, counter, float64(cmd.Failed), cmd.Name)
		out <- prometheus.MustNewConstMetric(c.rejected, counter, float64(cmd.Rejected), cmd.Name)
	}
}
