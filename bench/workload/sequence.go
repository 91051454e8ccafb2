package workload

import (
	"runtime"
	"sync/atomic"
)

// Window is how many inserts may be on their way beyond the first that is not acknowledged.
const Window = 1 << 16

// Sequence numbers inserts, and knows up to where all have been acknowledged: what is below may be asked for.
type Sequence struct {
	next, limit atomic.Uint64
	acked       [Window]atomic.Uint64 // at n % Window: n+1 once n is acknowledged
}

// Next returns the number of a new record.
func (s *Sequence) Next() uint64 {
	n := s.next.Add(1) - 1
	for n >= s.limit.Load()+Window {
		runtime.Gosched() // one insert takes as long as 65,536 others; its place in acked is still needed
	}
	return n
}

// Ack says that a record is in the store.
func (s *Sequence) Ack(n uint64) {
	s.acked[n%Window].Store(n + 1)
	for {
		l := s.limit.Load()
		if s.acked[l%Window].Load() != l+1 {
			return
		}
		s.limit.CompareAndSwap(l, l+1) // or another thread did, and looks further as well
	}
}

// Limit returns the first number that may be missing.
func (s *Sequence) Limit() uint64 { return s.limit.Load() }

// NextBelow returns the number of a new record if it is below a bound. It is for the load, before anybody calls Next.
func (s *Sequence) NextBelow(bound uint64) (uint64, bool) {
	for {
		n := s.next.Load()
		if n >= bound {
			return 0, false
		}
		if n >= s.limit.Load()+Window {
			runtime.Gosched()
			continue
		}
		if s.next.CompareAndSwap(n, n+1) {
			return n, true
		}
	}
}
