package resp

import (
	"sync/atomic"
	"time"
)

// LatencyBuckets are the upper bounds of the buckets of CommandStats.Latency, but for the last, which has none.
var LatencyBuckets = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond,
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 10 * time.Second,
}

// Stats says what a server has done since it was made.
type Stats struct {
	Started time.Time

	Clients          int    // connected
	Accepted         uint64 // connections
	Rejected         uint64 // connections, as there were Options.MaxClients
	Commands         uint64 // that ran
	Errors           uint64 // replies that were errors, those of refused commands among them
	ProtocolErrors   uint64 // each has ended a connection
	StoreErrors      uint64 // of the store, but for keys that it does not allow
	LargeReplies     uint64 // over Options.MaxReplyBuffer, which became errors
	SlowSubscribers  uint64 // that were closed
	BytesIn          uint64
	BytesOut         uint64
	Hits             uint64 // reads of keys that were there
	Misses           uint64
	Expired          uint64 // that were published; 0 unless notify-keyspace-events has x
	Published        uint64 // messages, those of keyspace events among them
	Channels         int    // with subscribers
	Patterns         int
	Cursors          int // of SCAN, that are remembered
	SlowLog          int // entries
	PerCommand       []CommandStats
	NotifierRestarts uint64 // of the watch for expired keys: each time some may not have been published
}

// CommandStats are the figures of a command.
type CommandStats struct {
	Name     string // in lower case; of a subcommand with its parent, client|list
	Calls    uint64
	Failed   uint64        // of Calls, those that replied with an error
	Rejected uint64        // not run: wrong arguments, not authenticated
	Total    time.Duration // of all calls, without the sync that they wait for together
	Latency  [len(LatencyBuckets) + 1]uint64
}

type commandCounts struct {
	calls, failed, rejected, nanos atomic.Uint64
	latency                        [len(LatencyBuckets) + 1]atomic.Uint64
}

type counts struct {
	started                              time.Time
	accepted, ended, rejected            atomic.Uint64
	unknown, protocolErrors, storeErrors atomic.Uint64
	largeReplies, slowSubscribers        atomic.Uint64
	bytesIn, bytesOut                    atomic.Uint64
	hits, misses                         atomic.Uint64
	expired, published, restarts         atomic.Uint64
	commands                             []commandCounts
}

func newCounts(commands int, now time.Time) *counts {
	return &counts{started: now, commands: make([]commandCounts, commands)}
}

func (s *counts) ran(cmd *command, took time.Duration, failed bool) {
	n := &s.commands[cmd.index]
	n.calls.Add(1)
	n.nanos.Add(uint64(took))
	if failed {
		n.failed.Add(1)
	}
	i := 0
	for i < len(LatencyBuckets) && took > LatencyBuckets[i] {
		i++
	}
	n.latency[i].Add(1)
}

// reject counts a command that was not run; nil is one that there is not.
func (s *counts) reject(cmd *command) {
	if cmd == nil {
		s.unknown.Add(1)
		return
	}
	s.commands[cmd.index].rejected.Add(1)
}

func (s *counts) hit(yes bool) {
	if yes {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
}

// reset is CONFIG RESETSTAT.
func (s *counts) reset() {
	for _, n := range []*atomic.Uint64{
		&s.accepted, &s.rejected, &s.unknown, &s.protocolErrors, &s.storeErrors, &s.largeReplies, &s.slowSubscribers,
		&s.bytesIn, &s.bytesOut, &s.hits, &s.misses, &s.expired, &s.published, &s.restarts,
	} {
		n.Store(0)
	}
	for i := range s.commands {
		n := &s.commands[i]
		for _, f := range []*atomic.Uint64{&n.calls, &n.failed, &n.rejected, &n.nanos} {
			f.Store(0)
		}
		for j := range n.latency {
			n.latency[j].Store(0)
		}
	}
}

// Stats returns the server's figures. CONFIG RESETSTAT sets them back.
func (s *Server) Stats() Stats {
	n := s.counts
	st := Stats{
		Started: n.started, Clients: s.clients.len(), Accepted: n.accepted.Load(), Rejected: n.rejected.Load(),
		ProtocolErrors: n.protocolErrors.Load(), StoreErrors: n.storeErrors.Load(), LargeReplies: n.largeReplies.Load(),
		SlowSubscribers: n.slowSubscribers.Load(), BytesIn: n.bytesIn.Load(), BytesOut: n.bytesOut.Load(),
		Hits: n.hits.Load(), Misses: n.misses.Load(), Expired: n.expired.Load(), Published: n.published.Load(),
		Cursors: s.cursors.len(), SlowLog: s.slow.len(), NotifierRestarts: n.restarts.Load(),
	}
	st.Channels, st.Patterns = s.channels.len()
	st.Errors = n.unknown.Load()
	for i := range n.commands {
		from := &n.commands[i]
		c := CommandStats{
			Name: s.table.all[i].full, Calls: from.calls.Load(), Failed: from.failed.Load(), Rejected: from.rejected.Load(),
			Total: time.Duration(from.nanos.Load()),
		}
		for j := range from.latency {
			c.Latency[j] = from.latency[j].Load()
		}
		st.Commands += c.Calls
		st.Errors += c.Failed + c.Rejected
		if c.Calls > 0 || c.Rejected > 0 {
			st.PerCommand = append(st.PerCommand, c)
		}
	}
	return st
}
