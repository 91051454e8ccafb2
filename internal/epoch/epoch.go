// Package epoch tells when all readers that may still use a replaced value have ended their use. A reader pays two
// uncontended atomic additions for each use, and takes no lock.
//
// It is the counter scheme of sleepable RCU (McKenney, "Sleepable Read-Copy Update", 2006), with the counters spread so that
// two cores rarely meet on one.
package epoch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Epoch counts the uses of a pointer that others replace. The zero value is ready; an Epoch must not be copied. All methods
// may be called from any goroutine.
//
// A reader calls Enter, loads the pointer, uses what it points to, and calls Exit. A writer replaces the pointer, calls
// Wait, and then frees what the pointer had pointed to.
//
// Why Wait is right, for a reader R and a writer W that has replaced the pointer before it called Wait:
//   - R enters by adding to a counter of the parity of the number that it has read, and reading the number again. It goes on
//     only if the number is still the same. All these are sequentially consistent.
//   - If R's second reading comes before W's step to the next number, then so does R's addition, and W, which sums the
//     counters of the old parity after its step, sees R until R exits.
//   - If R's second reading comes after W's step, R has read the new number, and loads the pointer later still: R gets the
//     new pointer.
//   - A counter of the parity that W waits for can be raised later only by a reader that then finds the number changed and
//     takes its addition back. That delays W but harms nothing.
//   - Two writers do not overlap: see turn.
type Epoch struct {
	turn   turn
	number atomic.Uint32
	users  [2][shards]struct {
		n atomic.Int64
		_ [56]byte // one counter a cache line
	}
}

const shards = 16

// Ticket is a use that has begun.
type Ticket uint32

// Enter begins a use and returns what Exit needs. The shard may be any number; it only spreads the load.
func (e *Epoch) Enter(shard uint32) Ticket {
	for {
		if ticket, ok := e.enter(e.number.Load(), shard%shards); ok {
			return ticket
		}
	}
}

// enter is Enter if the number is still the one that the caller has read. Otherwise ok is false and no use has begun.
func (e *Epoch) enter(number, shard uint32) (ticket Ticket, ok bool) {
	users := &e.users[number%2][shard].n
	users.Add(1)
	if e.number.Load() != number {
		users.Add(-1)
		return 0, false
	}
	return Ticket(number%2*shards + shard), true
}

// Exit ends a use.
func (e *Epoch) Exit(t Ticket) {
	e.users[t/shards][t%shards].n.Add(-1)
}

// Wait returns when every use that began before the call has ended. Uses should be short: Wait polls.
func (e *Epoch) Wait() {
	e.turn.take()
	defer e.turn.release()
	p := e.Probe()
	for try := 0; !p.Over(); try++ {
		if try < 100 {
			runtime.Gosched()
			continue
		}
		time.Sleep(50 * time.Microsecond) //permit:time.Sleep a use that ends tells nobody
	}
}

// turn is taken by one writer at a time, who may sleep: so it is no mutex, which a testing/synctest bubble takes for something
// that others hold, and whose time stands still meanwhile.
type turn struct {
	mu sync.Mutex
	// +checklocks:mu
	free sync.Cond // of taken
	// +checklocks:mu
	taken bool
}

func (t *turn) take() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free.L = &t.mu
	for t.taken {
		t.free.Wait()
	}
	t.taken = true
}

func (t *turn) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	t.free.Signal()
}

// Probe begins a wait that does not block. It is for tests that measure uses: its result means nothing while another Probe
// is not over or somebody waits.
func (e *Epoch) Probe() Probe { return Probe{e, (e.number.Add(1) - 1) % 2} }

// Probe tells whether the uses that began before it have ended.
type Probe struct {
	e      *Epoch
	parity uint32
}

// Over reports whether all uses that began before the Probe have ended.
func (p Probe) Over() bool { return !p.e.inUse(p.parity) }

// inUse reports whether any use of a parity has not ended.
func (e *Epoch) inUse(parity uint32) bool {
	sum := int64(0)
	for i := range e.users[parity] {
		sum += e.users[parity][i].n.Load()
	}
	return sum != 0
}
