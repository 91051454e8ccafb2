package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestPace reads through a pace: as much a second as it allows, however late timers are and however many read.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		rate    int64
		readers int
		size    int
		least   time.Duration
		most    time.Duration
	}{
		{0, 1, 8 << 20, 0, 0},
		{1 << 20, 1, 4 << 20, 3900 * time.Millisecond, 4 * time.Second},
		{1 << 20, 4, 1 << 20, 3900 * time.Millisecond, 4 * time.Second},
		{32 << 20, 2, 16 << 20, 900 * time.Millisecond, time.Second},
		{100, 1, 8 << 10, 40 * time.Second, 82 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPace(c.rate)
			began := time.Now()
			var work sync.WaitGroup
			for range c.readers {
				work.Go(func() {
					want := make([]byte, c.size)
					r := &pacedReader{from: bytes.NewReader(want), pace: p, ctx: t.Context(), each: func() error { return nil }}
					if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				})
			}
			work.Wait()
			if took := time.Since(began); took < c.least || took > c.most {
				t.Errorf("%d readers of %d bytes at %d a second took %v", c.readers, c.size, c.rate, took)
			}
		})
	}
}

// TestPaceEnds ends a read at a pace that would take for ever: as the node closes, and as it leads no more.
func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &pacedReader{from: bytes.NewReader(make([]byte, 1<<20)), pace: newPace(1), ctx: ctx, each: func() error { return nil }}
		time.AfterFunc(time.Hour, cancel)
		if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		r.ctx, r.each = t.Context(), func() error { return errDeposed }
		if _, err := io.ReadAll(r); !errors.Is(err, errDeposed) {
			t.Error(err)
		}
	})
}

// TestKeptLog deletes the beginning of a log while nodes are being sent a snapshot, catch up, are gone.
func TestKeptLog(t *testing.T) {
	open := func(t *testing.T) *keptLog {
		cache, err := raft.NewLogCache(4, raft.NewInmemStore())
		must(t, err)
		k := &keptLog{LogCache: cache, trailing: 10, newest: func() uint64 { return 92 }}
		for i := range uint64(100) {
			must(t, k.StoreLog(&raft.Log{Index: i + 1}))
		}
		return k
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, k *keptLog)
		want uint64 // the first index after entries up to 90 were deleted
	}{
		{"nobody", func(*testing.T, *keptLog) {}, 91},
		{"one is sent a snapshot", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 40)) }, 40},
		{"from before the log", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 1)) }, 1},
		{"two are", func(t *testing.T, k *keptLog) { must(t, errors.Join(k.hold("a", 40), k.hold("b", 30))) }, 30},
		{"a newer one", func(t *testing.T, k *keptLog) { must(t, errors.Join(k.hold("a", 40), k.hold("a", 60))) }, 60},
		{"it failed", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 40)); k.release("a") }, 91},
		{"others move", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 40)); k.has("b", 100); k.has("a", 0) }, 40},
		{"it catches up", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 40)); k.has("a", 70); k.has("a", 60) }, 70},
		{"it has", func(t *testing.T, k *keptLog) { must(t, k.hold("a", 40)); k.has("a", 95) }, 91},
		{"it is slow", func(t *testing.T, k *keptLog) {
			must(t, k.hold("a", 40))
			for range 1000 {
				time.Sleep(holdGrace)
				k.moves("a")
			}
			time.Sleep(1000 * holdGrace) // it makes its state of it
		}, 40},
		{"it is gone", func(t *testing.T, k *keptLog) {
			must(t, k.hold("a", 40))
			time.Sleep(holdGrace)
			k.moves("a")
			time.Sleep(2*holdGrace + time.Second)
		}, 91},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := open(t)
				c.do(t, k)
				must(t, k.DeleteRange(1, 90))
				if first, err := k.FirstIndex(); err != nil || first != c.want {
					t.Errorf("the log begins at %d, %v, want %d", first, err, c.want)
				}
				must(t, k.DeleteRange(95, 100)) // of another leader: the end is not held
				if last, err := k.LastIndex(); err != nil || last != 94 {
					t.Errorf("the log ends at %d, %v", last, err)
				}
			})
		})
	}
	k := open(t)
	k.newest = func() uint64 { return 80 }
	must(t, k.DeleteRange(1, 90))
	if first, err := k.FirstIndex(); err != nil || first != 80 {
		t.Errorf("the log begins at %d, %v: not with the entry of the snapshot", first, err)
	}
	k = open(t)
	must(t, k.DeleteRange(1, 50))
	if err := k.hold("a", 49); !errors.Is(err, errOvertaken) || k.holds.Load() != 0 {
		t.Errorf("%v, %d holds", err, k.holds.Load())
	}
	must(t, k.hold("a", 50))
}

// TestKeptLogOfSlow has a node come on for a day after its snapshot: one that comes nearer to the end of the log is waited for, one
// for which the log grows as fast is not, as the log would grow for ever.
func TestKeptLogOfSlow(t *testing.T) {
	for _, c := range []struct {
		steps uint64 // of the node, for each entry
		held  bool
	}{{1, false}, {2, true}} {
		synctest.Test(t, func(t *testing.T) {
			cache, err := raft.NewLogCache(4, raft.NewInmemStore())
			must(t, err)
			const seconds, behind = 24 * 3600, 24*3600 + 100
			k := &keptLog{LogCache: cache, trailing: 10, newest: func() uint64 { return 1 << 60 }}
			for i := range uint64(behind) {
				must(t, k.StoreLog(&raft.Log{Index: i + 1}))
			}
			must(t, k.hold("a", 1))
			for i := range uint64(seconds) {
				must(t, k.StoreLog(&raft.Log{Index: behind + i + 1}))
				k.has("a", 1+(i+1)*c.steps)
				time.Sleep(time.Second)
			}
			const last = behind + seconds
			must(t, k.DeleteRange(1, last-10))
			want := uint64(last - 9)
			if c.held {
				want = 1 + seconds*c.steps
			}
			if first, err := k.FirstIndex(); err != nil || first != want {
				t.Errorf("%d entries for each: the log begins at %d, %v, want %d", c.steps, first, err, want)
			}
		})
	}
}

// narrow is a connection that takes so many bytes, and more once it is told to.
type narrow struct {
	net.Conn
	left int
	full func() // called when it has taken so many: returns when it may take more
}

func (n *narrow) Write(p []byte) (int, error) {
	if n.left -= len(p); n.left < 0 {
		n.full()
	}
	return n.Conn.Write(p)
}

// TestOneInstallIsEnough sends a snapshot so slowly that the log is cut behind newer ones meanwhile: the node needs no other.
func TestOneInstallIsEnough(t *testing.T) {
	began, goOn := make(chan struct{}, 100), make(chan struct{})
	full := func() { began <- struct{}{}; <-goOn }
	tc := startCluster(t, 1, func(c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 5
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			return &narrow{conn, 256 << 10, full}, err // calls and heartbeats need less
		}
	})
	ctx := t.Context()
	l := tc.leader()
	value := make([]byte, 64<<10)
	random := rand.NewChaCha8([32]byte{1})
	for i := range 16 {
		random.Read(value) // never fails
		must(t, l.Put(ctx, fmt.Appendf(nil, "state %d", i), value))
	}
	newer := func(than uint64) uint64 {
		for i := 0; ; i++ {
			if at := l.stores.newestSnapshot(); at > than {
				return at
			}
			must(t, l.Put(ctx, fmt.Appendf(nil, "small %d", i%100), nil))
		}
	}
	newer(newer(16)) // the log is cut behind the first
	db := tc.open(Config{ID: "n2", Listen: "127.0.0.1:0", Insecure: true, ReadReplica: true, Join: []string{l.Addr().String()}})
	<-began
	newer(newer(newer(0)))
	close(goOn)
	must(t, l.Put(ctx, []byte("last"), []byte("v")))
	if v, err := db.Get(ctx, []byte("last"), Linearizable); err != nil || string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
	if n := l.sender.sends.Load(); n != 1 {
		t.Errorf("%d snapshots were sent", n)
	}
	tc.agree()
}

// TestCloseWhileSending closes a leader that is to send a snapshot for hours.
func TestCloseWhileSending(t *testing.T) {
	tc := startCluster(t, 1, func(c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs, c.SnapshotRate = 20, 20*time.Millisecond, 5, 100
	})
	ctx := t.Context()
	l := tc.leader()
	must(t, l.Put(ctx, []byte("state"), make([]byte, 1<<20)))
	for first := uint64(0); first < 30; {
		must(t, l.Put(ctx, []byte("k"), nil))
		var err error
		first, err = l.stores.log.FirstIndex()
		must(t, err)
	}
	tc.open(Config{ID: "n2", Listen: "127.0.0.1:0", Insecure: true, ReadReplica: true, Join: []string{l.Addr().String()}})
	for l.sender.sends.Load() == 0 {
		must(t, l.Put(ctx, []byte("k"), nil))
	}
	must(t, l.Close())
	delete(tc.nodes, l.ID())
}
