package worker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/workload"
)

// client is one thread of a phase.
type client interface {
	// next decides on the next operation, and reports false when there are no more.
	next() (workload.Kind, bool)
	// do is the store's part.
	do() error
	// check looks at the answer, and returns how many bytes of keys and values were written.
	check() (written int)
}

// judge counts wrong answers.
type judge struct {
	deaf  bool // the store that does nothing is always wrong
	count atomic.Int64
	first atomic.Pointer[string]
}

// wrong notes an answer that cannot be.
func (j *judge) wrong(format string, args ...any) {
	if j.deaf {
		return
	}
	j.count.Add(1)
	if j.first.Load() == nil {
		s := fmt.Sprintf(format, args...)
		j.first.CompareAndSwap(nil, &s)
	}
}

// limits say when a phase is over, whatever its clients say. 0 is none.
type limits struct {
	duration time.Duration
	ops      uint64 // of all clients
}

// tally is what one client has done.
type tally struct {
	ops     int64
	written int64
	by      [workload.Kinds]*measure.Histogram
	err     error
}

// drive runs clients until they are done or a limit is reached, and fills in what a phase has of operations and times.
func drive(clients []client, l limits, phase *measure.Phase) error {
	tallies, clock := make([]tally, len(clients)), measure.NewClock()
	var over atomic.Bool
	if l.duration > 0 {
		defer time.AfterFunc(l.duration, func() { over.Store(true) }).Stop()
	}
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		quota := l.ops / uint64(len(clients))
		if uint64(i) < l.ops%uint64(len(clients)) {
			quota++
		}
		wg.Go(func() {
			tallies[i].run(c, clock, &over, l.ops > 0, quota)
			if tallies[i].err != nil {
				over.Store(true)
			}
		})
	}
	wg.Wait()
	phase.Seconds = time.Since(start).Seconds()
	return gather(tallies, phase)
}

func (t *tally) run(c client, clock *measure.Clock, over *atomic.Bool, limited bool, quota uint64) {
	for i := range t.by {
		t.by[i] = measure.NewHistogram()
	}
	for !over.Load() && (!limited || quota > 0) {
		kind, ok := c.next()
		if !ok {
			return
		}
		before := clock.Ticks()
		err := c.do()
		ticks := clock.Ticks() - before
		if err != nil {
			t.err = fmt.Errorf("%v: %w", kind, err)
			return
		}
		t.written += int64(c.check())
		t.by[kind].Record(clock.Nanoseconds(ticks))
		t.ops++
		quota--
	}
}

func gather(tallies []tally, phase *measure.Phase) error {
	all := measure.NewHistogram()
	phase.Latency = map[string]measure.Latency{}
	for kind := range workload.Kinds {
		h := measure.NewHistogram()
		for i := range tallies {
			h.Merge(tallies[i].by[kind])
		}
		if l := h.Latency(); l.Count > 0 {
			phase.Latency[kind.String()] = l
			all.Merge(h)
		}
	}
	phase.Latency[measure.All] = all.Latency()
	var err error
	for i := range tallies {
		phase.Ops += tallies[i].ops
		phase.UserBytes += tallies[i].written
		if err == nil {
			err = tallies[i].err
		}
	}
	return err
}
