package ebb

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// epoch tells when everybody who may still use what has been replaced is done with it, at the price of two uncontended
// atomic additions for each use. It is the counter scheme of sleepable RCU (McKenney, "Sleepable Read-Copy Update", 2006),
// with the counters spread so that two cores rarely meet on one.
//
// Why wait is right, for a user U and a waiter W that has replaced a pointer before it called wait:
//   - U enters by adding to a counter of the parity it has read and reading the number again; it goes on only if the
//     number is still the same. All these are sequentially consistent.
//   - If U's second reading comes before W's step to the next number, then so does U's addition, and W, which sums the
//     counters of the old parity after its step, sees it until U exits.
//   - If it comes after, it has read the new number, and U loads the pointer later still: it gets the new one.
//   - A counter of the parity that W waits for can be raised later only by a user who then finds the number changed and
//     takes it back. That delays W but harms nothing.
//   - Two waiters do not overlap: they hold mu.
type epoch struct {
	mu     sync.Mutex
	number atomic.Uint32
	users  [2][epochShards]struct {
		n atomic.Int64
		_ [56]byte // one counter a cache line
	}
}

const epochShards = 16

// enter begins a use and returns what exit needs. The shard only spreads the load.
func (e *epoch) enter(shard uint32) (ticket uint32) {
	for {
		if ticket, ok := e.enterIn(e.number.Load(), shard%epochShards); ok {
			return ticket
		}
	}
}

// enterIn is enter while the number is still the one that the caller has read. Otherwise it has entered nothing.
func (e *epoch) enterIn(number, shard uint32) (ticket uint32, ok bool) {
	users := &e.users[number%2][shard].n
	users.Add(1)
	if e.number.Load() != number {
		users.Add(-1)
		return 0, false
	}
	return number%2*epochShards + shard, true
}

// exit ends a use.
func (e *epoch) exit(ticket uint32) {
	e.users[ticket/epochShards][ticket%epochShards].n.Add(-1)
}

// wait returns when every use has ended that began before the call. Uses are short; those that are not pin a view.
func (e *epoch) wait() {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.number.Add(1) - 1
	for try := 0; e.inUse(old % 2); try++ {
		if try < 100 {
			runtime.Gosched()
			continue
		}
		time.Sleep(50 * time.Microsecond)
	}
}

func (e *epoch) inUse(parity uint32) bool {
	sum := int64(0)
	for i := range e.users[parity] {
		sum += e.users[parity][i].n.Load()
	}
	return sum != 0
}
