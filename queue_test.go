package ebb

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// countMoves makes a database count what its scans cost: moves over one entry or to a key, each of all that is merged.
func countMoves(db *DB) func() int {
	var mu sync.Mutex
	var all []*cursor
	db.cursors.pool.New = func() any {
		c := newCursor().(*cursor)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, c)
		return c
	}
	return func() (moves int) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range all {
			moves += c.moves
		}
		return moves
	}
}

// queue is a queue of numbers in a database that others use too: pops scan for the first, or as a stack for the last.
type queue struct {
	t          *testing.T
	db         *DB
	clock      *fakeClock
	stack      bool
	expires    bool // items are not popped, but expire
	head, tail int
	every      int // pops between calls of pause
	pause      func(*DB)
}

func (q *queue) options() *IterOptions {
	return &IterOptions{Prefix: []byte("q/"), Limit: 1, Reverse: q.stack}
}

func (q *queue) push() {
	var opts []WriteOption
	if q.expires {
		opts = append(opts, ExpireAt(time.UnixMilli(q.clock.ms()+int64(q.tail-q.head)+1)))
	}
	must(q.t, q.db.Put(fmt.Appendf(nil, "q/%08d", q.tail), []byte("item"), opts...))
	q.tail++
}

func (q *queue) pop() {
	q.t.Helper()
	want := q.head
	if q.stack {
		want = q.tail - 1
	}
	n := 0
	for e, err := range q.db.Range(q.options()) {
		must(q.t, err)
		if n++; string(e.Key) != fmt.Sprintf("q/%08d", want) {
			q.t.Fatalf("popped %s, want %d", e.Key, want)
		}
		if !q.expires {
			must(q.t, q.db.Delete(e.Key))
		}
	}
	if n != 1 {
		q.t.Fatalf("the queue from %d up to %d is empty", q.head, q.tail)
	}
	if q.expires {
		q.clock.add(time.Millisecond)
	}
	if q.stack {
		q.tail--
	} else {
		q.head++
	}
	if q.every > 0 && (q.head+q.tail)%q.every == 0 {
		q.pause(q.db)
	}
}

// A pop costs the same whatever was popped before, in memory and in tables, from either end, by deleting and by waiting.
func TestQueueCost(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and what it counts does not depend on the race detector")
	}
	flush := func(db *DB) {
		must(t, db.Flush())
		must(t, db.compacter.compactPicked())
		if db.live.SortPaid() {
			db.live.Sort(func() bool { return false })
		}
	}
	compact := func(db *DB) { must(t, db.Compact(context.Background())) }
	for _, c := range []struct {
		name   string
		queue  queue
		events bool
		policy SyncPolicy
		most   float64
	}{
		{"memory", queue{}, false, SyncNever, 8},
		{"memory, synced", queue{}, false, SyncAlways, 8},
		{"flushed", queue{every: 100, pause: flush}, false, SyncNever, 8},
		{"compacted", queue{every: 300, pause: compact}, false, SyncNever, 8},
		{"stack", queue{stack: true}, false, SyncNever, 8},
		{"stack, flushed", queue{stack: true, every: 100, pause: flush}, false, SyncNever, 20},
		{"expiring", queue{expires: true}, false, SyncNever, 8},
		{"expiring, flushed", queue{expires: true, every: 100, pause: flush}, false, SyncNever, 8},
		{"expiring, with events", queue{expires: true, every: 10, pause: func(db *DB) { db.sweep() }}, true, SyncAlways, 8},
		{"events", queue{every: 10, pause: func(db *DB) { db.sweep() }}, true, SyncAlways, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			cost := func(n int) (drained, short float64) {
				q := c.queue
				q.t, q.clock = t, newFakeClock()
				o := &Options{fs: vfstest.NewMem(), Clock: q.clock.Now, Sync: c.policy, manual: true, ExpiryEvents: c.events,
					memtableSize: 1 << 20}
				q.db = openTest(t, o)
				defer q.db.Close()
				moves := countMoves(q.db)
				must(t, q.db.Put([]byte("p"), nil))
				must(t, q.db.Put([]byte("r"), nil))
				for range n {
					q.push()
				}
				for range n - 10 {
					q.pop()
				}
				drained = float64(moves()) / float64(n-10)
				before := moves()
				for range n { // a queue that never holds more than 11
					q.push()
					q.pop()
				}
				return drained, float64(moves()-before) / float64(n)
			}
			n := 500 / vfstest.Step(2)
			var drained, short [3]float64 // by how many there are: n, 4n and 16n
			for i := range drained {
				drained[i], short[i] = cost(n << (2 * i))
			}
			t.Logf("moves for a pop: drained %.2f, short %.2f", drained, short)
			// One seek, and some steps until there are enough to extend the gap; if tombstones go before there are, more than
			// that to begin another. Where tables are flushed it depends on when they are compacted or sorted whether a pop takes
			// some moves more or less: so the most are compared with the fewer.
			for _, cost := range [][3]float64{drained, short} {
				if cost[2] > c.most || cost[2] > 1.2*max(cost[0], cost[1])+1 {
					t.Errorf("a pop takes %.2f moves with %d, %d and %d", cost, n, 4*n, 16*n)
				}
			}
		})
	}
}

// After a range delete, and after opening the database again, one scan finds the way that all others take.
func TestGapCost(t *testing.T) {
	for _, n := range []int{1000, 4000} {
		clock := newFakeClock()
		o := &Options{fs: vfstest.NewMem(), Clock: clock.Now, Sync: SyncNever, manual: true, memtableSize: 1 << 20}
		db := openTest(t, o)
		for i := range n {
			must(t, db.Put(fmt.Appendf(nil, "a%08d", i), nil))
			must(t, db.Put(fmt.Appendf(nil, "b%08d", i), nil))
		}
		must(t, db.DeleteRange([]byte("a"), []byte("b")))
		for i := range n - 1 {
			must(t, db.Delete(fmt.Appendf(nil, "b%08d", i)))
		}
		must(t, db.Close())
		db, err := Open("db", o)
		must(t, err)
		moves := countMoves(db)
		scan := func(o IterOptions) int {
			t.Helper()
			before, o := moves(), o
			for _, err := range db.Range(&o) {
				must(t, err)
			}
			return moves() - before
		}
		all := IterOptions{Limit: 1}
		scan(all)
		if got := scan(all); got > 3 {
			t.Errorf("the second scan takes %d moves", got)
		}
		if got := scan(IterOptions{Limit: 1, Start: []byte("a5"), End: []byte("b5")}); got > 3 {
			t.Errorf("a scan within takes %d moves", got)
		}
		if got := scan(IterOptions{End: fmt.Appendf(nil, "b%08d", n-1), Reverse: true}); got > 3 {
			t.Errorf("a scan back takes %d moves", got)
		}
		for i := range n {
			must(t, db.Put(fmt.Appendf(nil, "b%08d", i), nil))
		}
		must(t, db.DeleteRange([]byte("b"), []byte("c")))
		if got := scan(all); got > 3 {
			t.Errorf("a scan after a range delete takes %d moves", got)
		}
		must(t, db.Put([]byte("b5"), nil))
		if got := scan(all); got > 6 {
			t.Errorf("a scan to a key in a gap takes %d moves", got)
		}
		db.Close()
	}
}
