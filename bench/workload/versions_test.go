package workload

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestVersions(t *testing.T) {
	const tracked, other = 0, 1
	v := NewVersions(2, 1000)
	w1 := v.Begin(0, tracked)
	if v.Floor(tracked) != 0 || !v.Valid(tracked, 0, w1.Version) {
		t.Error("a write under way may be seen, and need not")
	}
	v.End(tracked, w1)
	if v.Floor(tracked) != w1.Version {
		t.Error("a write that has ended must be seen")
	}
	w2, w3 := v.Begin(0, tracked), v.Begin(1, tracked)
	v.End(tracked, w3)
	if v.Floor(tracked) != w1.Version {
		t.Error("of writes at the same time, either may win")
	}
	v.End(tracked, w2)
	w4 := v.Begin(1, tracked)
	v.End(tracked, w4)
	for _, w := range []Write{w1, w2, w3} {
		if v.Valid(tracked, v.Floor(tracked), w.Version) {
			t.Errorf("version %x had been replaced by %x", w.Version, w4.Version)
		}
	}
	if v.Valid(tracked, 0, w4.Version+1) {
		t.Error("a version that was never issued")
	}
	w := v.Begin(1, other)
	for version, want := range map[uint64]bool{w.Version: true, w.Version + 1: false, 0: true, 1: false, 5 << threadShift: false} {
		if v.Valid(other, 0, version) != want {
			t.Errorf("version %x: %v", version, !want)
		}
	}
}

// TestVersionsOfARegister has many goroutines write and read one atomic register, which is never wrong.
func TestVersionsOfARegister(t *testing.T) {
	const threads, record = 8, 0
	v := NewVersions(threads, 1)
	var register atomic.Uint64
	w := v.Begin(0, record)
	register.Store(w.Version)
	v.End(record, w)
	var wg sync.WaitGroup
	for thread := range threads {
		wg.Go(func() {
			for range 20_000 {
				floor := v.Floor(record)
				if got := register.Load(); !v.Valid(record, floor, got) {
					t.Errorf("%x is below the floor, %x", got, floor)
					return
				}
				w := v.Begin(thread, record)
				register.Store(w.Version)
				v.End(record, w)
			}
		})
	}
	wg.Wait()
}

func TestSequence(t *testing.T) {
	const threads, each = 8, 30_000
	var s Sequence
	present := make([]atomic.Bool, threads*each)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			for range each {
				n := s.Next()
				present[n].Store(true)
				s.Ack(n)
				if l := s.Limit(); l > 0 && !present[l-1].Load() {
					t.Errorf("%d is not there", l-1)
					return
				}
			}
		})
	}
	wg.Wait()
	if s.Limit() != threads*each {
		t.Errorf("the limit is %d", s.Limit())
	}
	if _, ok := s.NextBelow(threads * each); ok {
		t.Error("a number that is not below the bound")
	}
	if n, ok := s.NextBelow(threads*each + 1); !ok || n != threads*each {
		t.Errorf("%d, %v", n, ok)
	}
}
