package resp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// ledger is a store that knows whether there are writes that nobody has synced.
type ledger struct {
	Store

	mu       sync.Mutex
	unsynced int   // guarded by mu
	writes   int   // guarded by mu
	syncs    int   // guarded by mu
	fail     error // of Sync, guarded by mu
}

func (l *ledger) note(seq uint64, opts []ebb.WriteOption) {
	after, _ := l.Seq(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if after == seq {
		return // nothing was written
	}
	l.writes++
	if slices.Contains(opts, ebb.NoSync) {
		l.unsynced++
	} else {
		l.unsynced = 0
		l.syncs++
	}
}

func (l *ledger) before() uint64 {
	seq, _ := l.Seq(context.Background())
	return seq
}

func (l *ledger) Put(ctx context.Context, key, value []byte, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	if err := l.failed(); err != nil && !slices.Contains(opts, ebb.NoSync) {
		return err
	}
	return l.Store.Put(ctx, key, value, opts...)
}

func (l *ledger) Delete(ctx context.Context, key []byte, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	return l.Store.Delete(ctx, key, opts...)
}

func (l *ledger) Add(ctx context.Context, key []byte, n int64, opts ...ebb.WriteOption) (int64, error) {
	defer l.note(l.before(), opts)
	return l.Store.Add(ctx, key, n, opts...)
}

func (l *ledger) Expire(ctx context.Context, key []byte, d time.Duration, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	return l.Store.Expire(ctx, key, d, opts...)
}

func (l *ledger) DeleteRange(ctx context.Context, start, end []byte, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	return l.Store.DeleteRange(ctx, start, end, opts...)
}

func (l *ledger) Apply(ctx context.Context, b *ebb.Batch, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	if err := l.failed(); err != nil && !slices.Contains(opts, ebb.NoSync) {
		return err
	}
	return l.Store.Apply(ctx, b, opts...)
}

func (l *ledger) Update(ctx context.Context, fn func(Txn) error, opts ...ebb.WriteOption) error {
	defer l.note(l.before(), opts)
	return l.Store.Update(ctx, fn, opts...)
}

func (l *ledger) Sync(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs++
	if l.fail != nil {
		return l.fail
	}
	l.unsynced = 0
	return l.Store.Sync(ctx)
}

func (l *ledger) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fail
}

func (l *ledger) figures() (unsynced, writes, syncs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsynced, l.writes, l.syncs
}

// watchedConn fails the test if a reply leaves while there is an unsynced write.
type watchedConn struct {
	net.Conn
	t *testing.T
	l *ledger
}

func (c *watchedConn) Write(b []byte) (int, error) {
	if n, _, _ := c.l.figures(); n > 0 {
		c.t.Errorf("%d writes are not synced when %q leaves", n, b)
	}
	return c.Conn.Write(b)
}

func TestPipelineSharesOneSync(t *testing.T) {
	for _, c := range []struct {
		name          string
		lines         string // of one pipeline
		writes, syncs int
	}{
		{"one", "SET a 1", 1, 1},
		{"reads", "GET a;PING;TTL a;EXISTS a", 0, 0},
		{"puts are one batch", strings.Repeat("SET a 1;", 15) + "SET b 2", 1, 1},
		{"puts of other kinds", strings.Repeat("SET a 1 EX 9;SET a 1;", 7) + "SET a 1 EX 9;SET a 1", 16, 1},
		{"the last is a read", "SET a 1;INCR n;GET a", 2, 1},
		{"the last writes nothing", "SET a 1;INCR n;SET a 2 NX;DEL none", 2, 1},
		{"the last fails", "SET a 1;INCR a x", 1, 1},
		{"all kinds", "SET a 1;INCR n;APPEND a 2;EXPIRE a 100;DEL n;MSET x 1 y 2;FLUSHALL;SETEX a 100 x", 8, 1},
		{"transaction", "SET a 1;MULTI;SET a 2;SET b 3;EXEC", 2, 1},
		{"transaction that is not made", "SET a 1;MULTI;SET a 2;DISCARD", 1, 1},
		{"transaction of reads", "SET a 1;MULTI;GET a;EXEC;PING", 1, 1},
		{"watched and changed", "SET a 1;WATCH a;SET a 2;MULTI;SET a 3;EXEC", 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := ebb.OpenMemory(&ebb.Options{Memory: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			l := &ledger{Store: NewStore(db)}
			srv, err := NewServer(l, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			client, server := net.Pipe()
			srv.ServeConn(&watchedConn{server, t, l})
			var all strings.Builder
			lines := strings.Split(c.lines, ";")
			for _, line := range lines {
				all.WriteString(words(strings.Fields(line)...))
			}
			go func() { _, _ = client.Write([]byte(all.String())) }()
			r := bufio.NewReader(client)
			for _, line := range lines {
				if _, err := readReply(r); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			if _, writes, syncs := l.figures(); writes != c.writes || syncs != c.syncs {
				t.Errorf("%d writes, %d syncs, want %d and %d", writes, syncs, c.writes, c.syncs)
			}
		})
	}
}

// A sync that fails may have lost any of the writes: no reply leaves.
func TestNoReplyAfterFailedSync(t *testing.T) {
	db, err := ebb.OpenMemory(&ebb.Options{Memory: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := &ledger{Store: NewStore(db), fail: errors.New("disk on fire")}
	srv, err := NewServer(l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	for _, last := range []string{"SET b 1 KEEPTTL", "SET a 2 NX", "DEL none"} {
		client, server := net.Pipe() // whose reads bring what one Write has
		srv.ServeConn(server)
		go func() { _, _ = client.Write([]byte(words("SET", "a", "1") + words(strings.Fields(last)...))) }()
		if s, err := readReply(bufio.NewReader(client)); err == nil {
			t.Errorf("%s: got %s, want a closed connection", last, s)
		}
	}
}

// On a disk, a pipeline's writes cost as many syncs as one write.
func TestPipelineOnDisk(t *testing.T) {
	db, err := ebb.Open(t.TempDir(), &ebb.Options{Memory: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f := &fixture{t: t}
	f.start(NewStore(db), Options{})
	p := f.dial()
	p.expect("SET a 1 -> OK")
	before := db.Stats().Log.Syncs
	var all strings.Builder
	for i := range 32 {
		all.WriteString(words("SET", fmt.Sprint("k", i), "v"))
	}
	p.send(all.String())
	for range 32 {
		if got := p.read(); got != "OK" {
			t.Fatal(got)
		}
	}
	// One read of the connection brings all, or the network has cut it in two.
	if n := db.Stats().Log.Syncs - before; n < 1 || n > 2 {
		t.Errorf("%d syncs for a pipeline of 32 writes", n)
	}
}
