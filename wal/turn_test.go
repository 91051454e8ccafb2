package wal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// queueOf takes a turn and lets waiters of these targets queue, in this order. Targets up to done are settled. It returns the
// numbers of the waiters, from 1, in the order in which they go on: negative of those that get the turn, which they release.
func queueOf(t *testing.T, turn *turn, done uint64, elapsed func() time.Duration, targets ...uint64) *[]int {
	t.Helper()
	turn.settled = func(target uint64) bool { return target <= done }
	turn.elapsed = elapsed
	if !turn.take(1) {
		t.Fatal("a free turn is not to be had")
	}
	got, mu := new([]int), new(sync.Mutex)
	for i, target := range targets {
		go func() {
			n := i + 1
			if turn.take(target) {
				n = -n
			}
			mu.Lock()
			*got = append(*got, n)
			mu.Unlock()
			if n < 0 {
				turn.release()
			}
		}()
		synctest.Wait()
	}
	return got
}

// All whose target is settled are woken, and then the first of the others gets the turn, however long the chain may last.
func TestTurnGoesAlongAChain(t *testing.T) {
	for _, patience := range []time.Duration{0, 3, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var now time.Duration
			var turn turn
			turn.patience = patience
			// Nothing is settled by those that get the turn: so each of them gets it, and waiter 4, which wants it for itself.
			got := queueOf(t, &turn, 10, func() time.Duration { now++; return now }, 10, 11, 9, exclusive, 8, 12)
			turn.release()
			synctest.Wait()
			turns := slices.DeleteFunc(slices.Clone(*got), func(n int) bool { return n > 0 })
			if want := []int{-2, -4, -6}; !slices.Equal(turns, want) {
				t.Errorf("patience %d: the turn went to %v, want %v", patience, turns, want)
			}
			settled := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(*got), func(n int) bool { return n < 0 })))
			if want := []int{1, 3, 5}; !slices.Equal(settled, want) {
				t.Errorf("patience %d: told that it is settled: %v, want %v", patience, settled, want)
			}
			if !turn.take(99) {
				t.Errorf("patience %d: the turn is lost", patience)
			}
		})
	}
}

// Who comes while a chain has the turn queues behind it, and gets the turn from its last.
func TestTurnIsNotFreeDuringAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turn
		turn.patience = time.Hour
		hold, came := make(chan struct{}), make(chan bool)
		var calls atomic.Int32
		elapsed := func() time.Duration { // the second call is that of the first in the chain, before it wakes the other
			if calls.Add(1) == 2 {
				<-hold
			}
			return 0
		}
		got := queueOf(t, &turn, 10, elapsed, 9, 10)
		turn.release()
		go func() { came <- turn.take(11) }()
		synctest.Wait()
		select {
		case <-came:
			t.Error("the turn was had beside the chain")
		default:
		}
		close(hold)
		if !<-came {
			t.Error("settled, which it is not")
		}
		synctest.Wait()
		if len(*got) != 2 {
			t.Errorf("woken: %v", *got)
		}
	})
}

// A chain that has lasted as long as it may ends: the rest of it is woken at once.
func TestChainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turn
		turn.patience = 2
		var calls atomic.Int64
		elapsed := func() time.Duration { return time.Duration(calls.Add(1)) }
		got := queueOf(t, &turn, 10, elapsed, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		turn.release()
		synctest.Wait()
		if len(*got) != 9 {
			t.Errorf("woken: %v", *got)
		}
		if n := calls.Load(); n != 3 { // at 1 it began, at 2 it went on, at 3 it ended
			t.Errorf("%d looks at the clock, want 3", n)
		}
	})
}

// One goroutine has the turn at a time, and nobody waits for what is settled, whatever chains there are.
func TestTurnUnderLoad(t *testing.T) {
	const goroutines, rounds = 16, 500
	var turn turn
	var end, synced, clock atomic.Uint64
	var held atomic.Int32
	turn.settled = func(target uint64) bool { return synced.Load() >= target }
	turn.elapsed = func() time.Duration { return time.Duration(clock.Add(1)) }
	var wg sync.WaitGroup
	for g := range uint64(goroutines) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, g))
			for range rounds {
				target := end.Add(1)
				alone := r.IntN(20) == 0
				for alone || synced.Load() < target {
					want := target
					if alone {
						want = exclusive
					}
					if !turn.take(want) {
						continue
					}
					if held.Add(1) != 1 {
						t.Error("two have the turn")
					}
					synced.Store(end.Load())
					turn.patience = time.Duration(r.IntN(2 * goroutines))
					held.Add(-1)
					turn.release()
					alone = false
				}
			}
		})
	}
	wg.Wait()
	if !turn.take(end.Load() + 1) {
		t.Error("the turn is lost")
	}
}

// What was acknowledged is on the disk, and nobody is left waiting, whatever ends the appends of many goroutines: a failed sync, a
// Close, or a disk that is full for a moment and ends none. Rotations and what heals a full disk take the turn for themselves.
func TestAcknowledgedBesideWhatEndsIt(t *testing.T) {
	const goroutines, each = 8, 12
	for seed := range uint64(30) {
		mem := vfstest.NewMem()
		mem.Record()
		fault := vfstest.NewFault(mem)
		o := testOptions(fault, SyncAlways)
		o.inline = false
		l, _ := open(t, o)
		r := rand.New(rand.NewPCG(2, seed))
		closeAt := goroutines * each
		switch n := 1 + r.IntN(20); seed % 3 {
		case 0:
			fault.Inject(vfstest.FailNth(vfstest.OpSync, SegmentSuffix, n, syscall.EIO))
		case 1:
			fault.Inject(vfstest.FailNth(vfstest.OpWrite, SegmentSuffix, n, syscall.ENOSPC))
		case 2:
			closeAt = r.IntN(goroutines * each)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		acked := make(map[string]bool)
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					e := Entry{Key: fmt.Appendf(nil, "%d-%d", g, i), Value: make([]byte, 300)}
					err := l.Append(&e)
					mu.Lock()
					if err == nil {
						acked[string(e.Key)] = true
					}
					last := len(acked) == closeAt
					mu.Unlock()
					if last {
						_ = l.Close()
					}
					if err != nil && !errors.Is(err, ErrNoSpace) {
						return
					}
				}
			})
		}
		wg.Wait()
		err := l.Close()
		if seed%3 != 0 && err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		states := 0
		for c := range mem.Crashes(seed, 0).At(mem.OpCount()) {
			l, got, err := tryOpen(testOptions(c.FS, SyncAlways))
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, c.Name, err)
			}
			left := maps.Clone(acked)
			for i := range got {
				delete(left, string(got[i].Key))
			}
			if closeLog(t, l); len(left) > 0 {
				t.Fatalf("seed %d, %s: of %d entries that were acknowledged %d are gone", seed, c.Name, len(acked), len(left))
			}
			if states++; states == 2 { // all that was written, and no more than what was synced
				break
			}
		}
	}
}
