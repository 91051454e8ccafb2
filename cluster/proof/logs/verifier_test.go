package logs

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"
	"github.com/hashicorp/raft-wal/verifier"

	"github.com/ebbdb/ebb/cluster/raftlog"
)

// A raft cluster of three, each with a log of raftlog inside of the verifier of raft-wal, which reads back what was written
// since the checkpoint before and compares it with what the leader has written. Logs are cut at their beginning by snapshots
// and opened again in between.
func TestVerifier(t *testing.T) {
	const nodes, rounds, each = 3, 6, 200
	c := &checked{reports: make(chan verifier.VerificationReport, 100)}
	dirs := make([]string, nodes)
	for i := range dirs {
		dirs[i] = t.TempDir()
	}
	next := uint64(1)
	for round := range rounds {
		logs := c.open(t, dirs)
		stored := c.leader(t, logs[0], next, each, uint64(round))
		for _, follower := range logs[1:] {
			c.follow(t, logs[0], follower, next, stored)
		}
		for range nodes {
			if r := <-c.reports; r.Err != nil || r.ExpectedSum != r.ReadSum || r.WrittenSum != 0 && r.WrittenSum != r.ExpectedSum {
				t.Errorf("round %d: %+v", round, r)
			}
		}
		next += stored
		for i, l := range logs {
			if round%2 == i%2 && next > 50 {
				if err := l.DeleteRange(0, next-50); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.close(t)
	}
	if c.sums == 0 {
		t.Error("no sum was compared")
	}
}

// checked are the logs of a cluster.
type checked struct {
	reports chan verifier.VerificationReport
	stores  []*raftlog.Store
	outer   []*verifier.LogStore

	mu   sync.Mutex
	sums int
}

func (c *checked) open(t *testing.T, dirs []string) (logs []*verifier.LogStore) {
	t.Helper()
	c.stores, c.outer = nil, nil
	for _, dir := range dirs {
		s, err := raftlog.Open(dir, &raftlog.Options{SegmentSize: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		isCheckpoint := func(l *raft.Log) (bool, error) { return string(l.Data) == "checkpoint", nil }
		v := verifier.NewLogStore(s, isCheckpoint, func(r verifier.VerificationReport) {
			c.mu.Lock()
			c.sums++
			c.mu.Unlock()
			c.reports <- r
		}, &metrics.NoOpCollector{})
		c.stores, c.outer = append(c.stores, s), append(c.outer, v)
	}
	return c.outer
}

func (c *checked) close(t *testing.T) {
	t.Helper()
	for i := range c.outer {
		if err := c.outer[i].Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.stores[i].Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// leader stores entries and a checkpoint, and returns how many in all.
func (c *checked) leader(t *testing.T, l *verifier.LogStore, from uint64, n int, term uint64) uint64 {
	t.Helper()
	var logs []*raft.Log
	for i := range uint64(n) {
		logs = append(logs, &raft.Log{Index: from + i, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", from+i, term)})
	}
	logs = append(logs, &raft.Log{Index: from + uint64(n), Term: term, Data: []byte("checkpoint")})
	for len(logs) > 0 { // a few at a time
		some := logs[:min(len(logs), 1+len(logs)%64)]
		if err := l.StoreLogs(some); err != nil {
			t.Fatal(err)
		}
		logs = logs[len(some):]
	}
	return uint64(n) + 1
}

// follow stores what the leader has, read from its log.
func (c *checked) follow(t *testing.T, leader, follower *verifier.LogStore, from, n uint64) {
	t.Helper()
	for i := from; i < from+n; i += 40 {
		var logs []*raft.Log
		for j := i; j < min(i+40, from+n); j++ {
			l := new(raft.Log)
			if err := leader.GetLog(j, l); err != nil {
				t.Fatal(err)
			}
			logs = append(logs, l)
		}
		if err := follower.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
}
