package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// heldGatherer is a gatherer whose sends wait to be told to go on.
type heldGatherer struct {
	gatherer
	work  sync.WaitGroup
	sends chan []*waiting
	goOn  chan struct{}
}

func newHeldGatherer() *heldGatherer {
	h := &heldGatherer{sends: make(chan []*waiting), goOn: make(chan struct{})}
	h.gatherer.work = &h.work
	h.send = func(calls []*waiting) {
		h.sends <- calls
		<-h.goOn
	}
	return h
}

// TestGatherer holds the first sends: what comes meanwhile goes on together, up to the bounds of a send.
func TestGatherer(t *testing.T) {
	h := newHeldGatherer()
	small := func(n int) (list []*waiting) {
		for range n {
			list = append(list, newWaiting(make([]byte, headerSize), time.Time{}))
		}
		return list
	}
	took := func(want int) {
		t.Helper()
		if n := len(<-h.sends); n != want {
			t.Errorf("%d calls together, want %d", n, want)
		}
	}
	h.add(small(1)...) // one that comes alone waits for nobody
	took(1)
	h.add(small(7)...)
	h.goOn <- struct{}{}
	took(7)
	h.add(small(maxGathered - 3)...)
	h.add(small(8)...) // more than a send has: another begins
	took(maxGathered)
	h.add(newWaiting(make([]byte, maxGatheredBytes+1), time.Time{}))
	took(5)
	h.add(small(3)...)
	took(1)
	h.goOn <- struct{}{}
	took(3)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.do(gone, make([]byte, headerSize)); !errors.Is(err, errUnsent) {
		t.Errorf("a call that was not sent: %v", err)
	}
	last := small(2)
	h.add(last...)
	h.close(ErrClosed)
	for _, w := range append(last, small(1)...) {
		if w != last[0] && w != last[1] {
			h.add(w)
		}
		if _, err := w.answered(<-w.done); err != ErrClosed {
			t.Errorf("after close: %v", err)
		}
	}
	close(h.goOn)
	h.work.Wait()
}

// TestTogether writes with many goroutines on every node: calls share entries, each has its own result, and is made once.
func TestTogether(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	l := tc.leader()
	must(t, l.Put(ctx, []byte("begin"), nil))
	before := l.raft.LastIndex()
	const clients, each = 24, 20
	sums := make(chan int64, 3*clients*each)
	var work sync.WaitGroup
	for _, db := range tc.nodes {
		for i := range clients {
			work.Go(func() {
				for k := range each {
					n, err := db.Add(ctx, []byte("count"), 1)
					if err != nil {
						t.Error(err)
						return
					}
					sums <- n
					key := fmt.Appendf(nil, "%s %d", db.ID(), i)
					err = db.Put(ctx, key, fmt.Append(nil, k), ebb.IfAbsent)
					var failed *ebb.ConditionError
					if k == 0 && err != nil || k > 0 && (!errors.As(err, &failed) || string(failed.Key) != string(key)) {
						t.Errorf("put %d of %s: %v", k, key, err)
					}
				}
			})
		}
	}
	work.Wait()
	close(sums)
	seen := map[int64]bool{}
	for n := range sums {
		seen[n] = true
	}
	if len(seen) != 3*clients*each || !seen[1] || !seen[3*clients*each] {
		t.Errorf("%d sums, want %d", len(seen), 3*clients*each)
	}
	entries, calls := l.raft.LastIndex()-before, 2*3*clients*each
	t.Logf("%d calls in %d entries", calls, entries)
	if entries > uint64(calls)/2 {
		t.Errorf("%d calls are %d entries", calls, entries)
	}
	tc.agree()
}

// TestPoisonedCompany sends calls together, some of which are none: the others are made, and no node stops.
func TestPoisonedCompany(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	f := tc.follower()
	must(t, f.Put(ctx, []byte("a"), nil))
	s, err := f.client.session(ctx)
	must(t, err)
	good := func(slot uint16) []byte {
		entry := one(op{kind: opAdd, key: []byte("count"), delta: 1})
		setCaller(entry, s.id, 100+slot, 1)
		return entry
	}
	cut := good(1)[:headerSize+4]
	newer := good(2)
	newer[versionOffset]++
	stranger := good(3)
	setCaller(stranger, 1, 1, 1)
	calls := [][]byte{good(0), cut, newer, stranger, appendHeader(nil, &header{kind: kindTick}), nil, good(4), good(4)}
	payload := binary.AppendUvarint(nil, uint64(len(calls)))
	for _, c := range calls {
		payload = appendBytes(payload, c)
	}
	id, addr := f.leader()
	out, err := f.peers.get(id, addr).call(ctx, methodCalls, payload)
	must(t, err)
	in := reader{b: out}
	got := ""
	for range calls {
		status, b := failure(in.byte()), in.bytes()
		if r, ok := decodeResult(b); status == failNone && ok {
			got += fmt.Sprintf("%d %s; ", r.code, r.value)
		} else {
			got += fmt.Sprintf("refused %v; ", status == failRefused)
		}
	}
	want := fmt.Sprintf("0 1; %d ; refused true; %d ; refused true; refused true; 0 2; 0 2; ", codeInvalid, codeNoSession)
	if got != want || in.bad || len(in.b) > 0 {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range [][]byte{nil, {3}, {255, 255, 255, 255, 7}, append(payload, 0)} {
		var failed *callError
		if _, err := f.peers.get(id, addr).call(ctx, methodCalls, bad); len(bad) > 0 && !errors.As(err, &failed) {
			t.Errorf("% x: %v", bad, err)
		}
	}
	if _, err := f.peers.get(id, addr).call(ctx, methodPropose, callsOf(1, good(7))); err == nil {
		t.Error("a node may not write an entry of several calls")
	}
	if n, err := f.Add(ctx, []byte("count"), 1); n != 3 || err != nil {
		t.Error(n, err)
	}
	tc.agree()
}

// deafConn is a connection of which nothing is read any more once its owner is deaf.
type deafConn struct {
	net.Conn
	deaf  *atomic.Bool
	hears chan struct{}
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf.Load() {
		<-c.hears
	}
	return n, err
}

// TestLeaderThatAnswersNoMore has a follower send a call to a leader whose answers do not come. When another leads, it is asked
// the same, and has the result of the one time that the call was made.
func TestLeaderThatAnswersNoMore(t *testing.T) {
	var deaf atomic.Bool
	hears := make(chan struct{})
	tc := startCluster(t, 3, func(c *Config) {
		c.CallTimeout = time.Minute
		if c.ID == "n3" {
			n1 := c.Peers[0].Addr
			c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if addr != n1 || err != nil {
					return conn, err
				}
				return &deafConn{conn, &deaf, hears}, nil
			}
		}
	})
	t.Cleanup(func() { close(hears) })
	ctx := t.Context()
	l, f := tc.makeLeader("n1"), tc.nodes["n3"]
	must(t, f.Put(ctx, []byte("count"), []byte("5")))
	deaf.Store(true)
	sum := make(chan int64)
	for range 2 { // one message, and what waits for it
		go func() {
			n, err := f.Add(ctx, []byte("count"), 1)
			if err != nil {
				t.Error(err)
			}
			sum <- n
		}()
	}
	for v := ""; v < "6"; { // the leader has made one
		b, err := l.Get(ctx, []byte("count"))
		must(t, err)
		v = string(b)
	}
	go func() { _ = l.TransferLeadership(ctx, "n2") }()
	a, b := <-sum, <-sum
	if a+b != 6+7 {
		t.Errorf("counted %d and %d, want 6 and 7", a, b)
	}
}
