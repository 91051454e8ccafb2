package page

import (
	"net/http"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/resp"
)

// live is what the page asks for each second. Figures that grow are totals: the page itself works out what they come to a second.
type live struct {
	Now     int64   `json:"now"` // Unix ms, as all times
	State   string  `json:"state"`
	Trouble string  `json:"trouble"` // empty if there is none
	About   About   `json:"about"`
	Server  *server `json:"server"` // null while there is none
	DB      *db     `json:"db"`
}

type server struct {
	Started       int64     `json:"started"`
	Clients       int       `json:"clients"`
	Accepted      uint64    `json:"accepted"`
	Rejected      uint64    `json:"rejected"`
	Commands      uint64    `json:"commands"`
	Errors        uint64    `json:"errors"`
	Hits          uint64    `json:"hits"`
	Misses        uint64    `json:"misses"`
	BytesIn       uint64    `json:"bytes_in"`
	BytesOut      uint64    `json:"bytes_out"`
	Limited       uint64    `json:"limited"`        // connections and replies that a limit has ended
	LatencyBounds []float64 `json:"latency_bounds"` // seconds, of the buckets but the last
	PerCommand    []command `json:"per_command"`
	Slow          []slow    `json:"slow"`
}

type command struct {
	Name    string   `json:"name"`
	Calls   uint64   `json:"calls"`
	Failed  uint64   `json:"failed"`
	Seconds float64  `json:"seconds"`
	Latency []uint64 `json:"latency"` // of each bucket
}

type slow struct {
	At      int64   `json:"at"`
	Seconds float64 `json:"seconds"`
	Command string  `json:"command"`
	Client  string  `json:"client"`
}

type db struct {
	Entries    int     `json:"entries"` // an estimate
	Memory     memory  `json:"memory"`
	Disk       disk    `json:"disk"`
	Levels     []level `json:"levels"`
	Expiry     expiry  `json:"expiry"`
	Writes     writes  `json:"writes"`
	Pins       int     `json:"pins"`
	OldestPin  float64 `json:"oldest_pin"` // seconds
	Background string  `json:"background"` // why it fails, if it does
}

type memory struct {
	Memtables int64  `json:"memtables"`
	Cache     int64  `json:"cache"`
	Indexes   int64  `json:"indexes"`
	Upcoming  int64  `json:"upcoming"`
	Heap      uint64 `json:"heap"`    // of the whole process
	Process   uint64 `json:"process"` // what the Go runtime has from the system, without mapped tables
}

type disk struct {
	All      int64 `json:"all"`
	Tables   int64 `json:"tables"`
	Replaced int64 `json:"replaced"`
	Log      int64 `json:"log"`
	Live     int64 `json:"live"` // an estimate
}

type level struct {
	Tables  int    `json:"tables"`
	Bytes   int64  `json:"bytes"`
	Entries uint64 `json:"entries"`
}

type expiry struct {
	WithDeadline  uint64  `json:"with_deadline"`
	ExpiredBytes  uint64  `json:"expired_bytes"`
	Lag           float64 `json:"lag"` // seconds
	Removed       uint64  `json:"removed"`
	DroppedTables int64   `json:"dropped_tables"`
	DroppedBytes  int64   `json:"dropped_bytes"`
}

type writes struct {
	Bytes         int64   `json:"bytes"`
	Syncs         uint64  `json:"syncs"`
	Records       uint64  `json:"records"`
	Flushes       int64   `json:"flushes"`
	Compactions   int64   `json:"compactions"`
	Amplification float64 `json:"amplification"`
	Slowed        float64 `json:"slowed"`  // seconds
	Stopped       float64 `json:"stopped"` // seconds
}

const slowShown = 20

func (p *Page) serveLive(w http.ResponseWriter, _ *http.Request) {
	state, of, srv := p.current()
	l := live{Now: p.clock().UnixMilli(), State: state, About: p.about}
	if srv != nil {
		l.Server = serverOf(srv.Stats(), srv.SlowLog(slowShown))
	}
	if of != nil {
		stats := of.Stats()
		entries, err := p.entries.get(p.clock(), func() (int, error) { return of.EstimateCount(nil) })
		if err == nil {
			l.DB = dbOf(stats)
			l.DB.Entries = entries
			l.Trouble = trouble(&stats)
		}
	}
	reply(w, l, nil)
}

// trouble says what an operator has to do something about, the worst first.
func trouble(s *ebb.Stats) string {
	switch {
	case s.Failure != nil:
		return "no write is taken any more, restart: " + s.Failure.Error()
	case s.DamagedTables > 0:
		return "tables are damaged: restore a backup, or use ebb repair"
	case s.Background != nil:
		return "a flush or a compaction fails and is tried again: " + s.Background.Error()
	}
	return ""
}

func serverOf(s resp.Stats, slowest []resp.SlowEntry) *server {
	out := &server{
		Started: s.Started.UnixMilli(), Clients: s.Clients, Accepted: s.Accepted, Rejected: s.Rejected, Commands: s.Commands,
		Errors: s.Errors, Hits: s.Hits, Misses: s.Misses, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Limited:    s.Rejected + s.LargeReplies + s.SlowSubscribers,
		PerCommand: []command{}, Slow: []slow{},
	}
	for _, bound := range resp.LatencyBuckets {
		out.LatencyBounds = append(out.LatencyBounds, bound.Seconds())
	}
	for i := range s.PerCommand {
		c := &s.PerCommand[i]
		out.PerCommand = append(out.PerCommand, command{c.Name, c.Calls, c.Failed, c.Total.Seconds(), c.Latency[:]})
	}
	for _, e := range slowest {
		out.Slow = append(out.Slow, slow{e.At.UnixMilli(), e.Took.Seconds(), show(strings.Join(e.Args, " ")), e.Client})
	}
	return out
}

// show makes text of bytes that may be none.
func show(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func dbOf(s ebb.Stats) *db {
	d := &db{
		Memory: memory{Memtables: s.MemtableBytes + s.ReplacedMemtableBytes, Cache: s.Cache.Bytes, Indexes: s.IndexBytes,
			Upcoming: s.UpcomingBytes},
		Disk: disk{All: s.DiskBytes, Tables: s.TableBytes, Replaced: s.ReplacedBytes, Log: s.Log.DiskBytes, Live: s.LiveBytes},
		Expiry: expiry{WithDeadline: s.DeadlineEntries + s.MemtableDeadlineEntries, ExpiredBytes: s.ExpiredBytes + s.MemtableExpiredBytes,
			Lag: max(s.ExpiryLag, s.MemtableExpiryLag).Seconds(), Removed: s.ExpiredEntries, DroppedTables: s.DroppedTables,
			DroppedBytes: s.DroppedBytes},
		Writes: writes{Bytes: s.UserBytes, Syncs: uint64(s.Log.Syncs), Records: uint64(s.Log.Records), Flushes: s.Flushes,
			Compactions: s.Compactions, Amplification: s.WriteAmplification(), Slowed: s.SlowedFor.Seconds(), Stopped: s.StoppedFor.Seconds()},
		Pins: s.Pins, OldestPin: s.OldestPin.Seconds(), Levels: []level{},
	}
	for _, l := range s.Levels {
		d.Levels = append(d.Levels, level(l))
	}
	if s.Background != nil {
		d.Background = s.Background.Error()
	}
	d.Memory.Heap, d.Memory.Process = processMemory()
	return d
}

// processMemory returns the bytes of objects on the heap, and what the runtime has from the system. It stops nothing.
func processMemory() (heap, process uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	return value(0), value(1) - value(2)
}

// expiringReport is how much expires in each of even steps of some times.
type expiringReport struct {
	Spans []span `json:"spans"`
}

type span struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Entries []int64 `json:"entries"` // of each step
	Bytes   []int64 `json:"bytes"`
}

// spans are what the page has a chart for.
var spans = []struct {
	name  string
	time  time.Duration
	steps int
}{{"minute", time.Minute, 30}, {"hour", time.Hour, 30}, {"day", 24 * time.Hour, 24}}

func (p *Page) serveExpiring(w http.ResponseWriter, _ *http.Request) {
	_, of, _ := p.current()
	if of == nil {
		reply(w, nil, ebb.ErrClosed)
		return
	}
	r, err := p.expiring.get(p.clock(), func() (expiringReport, error) { return expiringOf(of) })
	reply(w, r, err)
}

func expiringOf(of Database) (r expiringReport, err error) {
	var within []time.Duration
	for _, s := range spans {
		for i := range s.steps {
			within = append(within, s.time/time.Duration(s.steps)*time.Duration(i+1))
		}
	}
	list, err := of.EstimateExpiring(within...)
	if err != nil {
		return r, err
	}
	for _, s := range spans {
		out := span{Name: s.name, Seconds: s.time.Seconds()}
		var last ebb.Expiring
		for _, e := range list[:s.steps] {
			out.Entries = append(out.Entries, max(0, e.Entries-last.Entries))
			out.Bytes = append(out.Bytes, max(0, e.Bytes-last.Bytes))
			last = e
		}
		list = list[s.steps:]
		r.Spans = append(r.Spans, out)
	}
	return r, nil
}
