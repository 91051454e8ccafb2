package epoch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A reader that has read the number before a waiter's step and counts itself after it is not in: the waiter has not seen it,
// and the next one waits for the other parity.
func TestEnterLooksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Epoch
		for range 4 {
			number := e.number.Load()
			e.Wait() // between the two
			if _, ok := e.enter(number, 3); ok {
				t.Fatal("entered after the waiter's step")
			}
			if e.inUse(0) || e.inUse(1) {
				t.Fatal("a reader that has not entered is counted")
			}
			ticket, ok := e.enter(e.number.Load(), 3)
			if !ok {
				t.Fatal("not entered")
			}
			waited := false
			go func() {
				e.Wait()
				waited = true
			}()
			synctest.Wait()
			if waited {
				t.Fatal("Wait has not waited for a use")
			}
			e.Exit(ticket)
			time.Sleep(time.Second) // of the bubble's time
			synctest.Wait()
			if !waited {
				t.Fatal("Wait goes on after the last use")
			}
		}
	})
}

// Wait waits for the uses that began before it, and not for those that begin while it waits.
func TestWaitIsForUsesBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Epoch
		before := []Ticket{e.Enter(0), e.Enter(1), e.Enter(17)} // 1 and 17 share a counter
		var waited atomic.Bool
		go func() {
			e.Wait()
			waited.Store(true)
		}()
		synctest.Wait()
		after := e.Enter(1)
		for _, ticket := range before {
			time.Sleep(time.Second)
			synctest.Wait()
			if waited.Load() {
				t.Fatal("Wait returns before the last use has ended")
			}
			e.Exit(ticket)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !waited.Load() {
			t.Fatal("Wait waits for a use that began after it")
		}
		e.Exit(after)
	})
}

// What a reader has loaded inside of a use is not freed before the use has ended, whatever others replace and free.
func TestNothingIsFreedInUse(t *testing.T) {
	type object struct{ freed atomic.Bool }
	const rounds = 300
	var e Epoch
	var pointer atomic.Pointer[object]
	pointer.Store(new(object))
	var done atomic.Bool
	var failures, uses atomic.Int64
	var readers, writers sync.WaitGroup
	for shard := range uint32(4) {
		readers.Go(func() {
			for !done.Load() {
				ticket := e.Enter(shard)
				o := pointer.Load()
				for range 3 {
					if o.freed.Load() {
						failures.Add(1)
					}
					runtime.Gosched()
				}
				e.Exit(ticket)
				uses.Add(1)
			}
		})
	}
	for range 2 {
		writers.Go(func() {
			for range rounds {
				old := pointer.Swap(new(object))
				e.Wait()
				old.freed.Store(true)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if failures.Load() > 0 || uses.Load() == 0 {
		t.Errorf("%d of %d uses met what had been freed", failures.Load(), uses.Load())
	}
	if e.inUse(0) || e.inUse(1) {
		t.Error("uses are left")
	}
}

// A use allocates nothing.
func TestUsesAllocateNothing(t *testing.T) {
	var e Epoch
	if n := testing.AllocsPerRun(100, func() { e.Exit(e.Enter(5)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUse(b *testing.B) {
	var e Epoch
	for b.Loop() {
		e.Exit(e.Enter(5))
	}
}
