package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// workload is the clients of a run.
type workload struct {
	g    *group
	h    *history
	seed uint64

	mu     sync.Mutex
	set    map[string]string // members of the set: how the call that puts each ended
	mortal []*mortal
	last   time.Duration // when a write was acknowledged last
	gaps   []time.Duration

	problems []string
}

// mortal is a key with a time to live, and what was seen of it.
type mortal struct {
	key    string
	ttl    time.Duration
	put    string        // how the put has ended
	begun  time.Duration // when it was called
	absent time.Duration // when a read that has found nothing had returned, the first after the put was acknowledged; 0: none
	acked  time.Duration
}

const (
	// A window is how long clients use the same few keys: long enough that they meet, and short enough that histories can be
	// checked, whatever is unknown of some of the calls.
	window = 700 * time.Millisecond
	// pause is how long a client waits between calls at most.
	pause = 12 * time.Millisecond
	long  = 20 * time.Minute // a time to live that no run reaches, and every clock that is an hour ahead has passed
)

// run makes n clients call until ctx is done.
func (w *workload) run(ctx context.Context, n int) {
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(w.seed, uint64(i)))
			for n := 0; ctx.Err() == nil; n++ {
				w.step(i, n, random)
				time.Sleep(time.Duration(random.Int64N(int64(pause))))
			}
		})
	}
	clients.Wait()
}

// step makes one call.
func (w *workload) step(client, n int, random *rand.Rand) {
	epoch := int(time.Since(w.h.began) / window)
	some := func(kind string, of int) string { return fmt.Sprintf("%s%d.%d", kind, epoch, random.IntN(of)) }
	value := fmt.Sprintf("%d-%d", client, n)
	switch random.IntN(15) {
	case 0, 1:
		w.call(client, random, call{Op: "get", Key: some("r", 2)})
	case 2:
		w.call(client, random, call{Op: "put", Key: some("r", 2), Value: fmt.Sprint(random.IntN(4))})
	case 3:
		c := call{Op: "cas", Key: some("r", 2), Old: fmt.Sprint(random.IntN(4)), Value: fmt.Sprint(random.IntN(4))}
		w.call(client, random, c)
	case 4:
		w.call(client, random, call{Op: "delete", Key: some("r", 2)})
	case 5, 6:
		w.call(client, random, call{Op: "add", Key: some("c", 2), Delta: 1 + random.Int64N(3)})
	case 7:
		w.call(client, random, call{Op: "get", Key: some("c", 2)})
	case 8, 9, 10:
		w.call(client, random, call{Op: "txn", Micro: w.micros(epoch, value, random)})
	case 11:
		w.putMember(random, "s"+value)
	case 12:
		w.putMortal(random, "t"+value)
	case 13:
		w.readMortal(random)
	case 14:
		w.burst(client, "cb"+value, random)
	}
}

// burst adds to a counter of its own several times at once: calls that come together share an entry, and each has to look at
// what those before it have made.
func (w *workload) burst(client int, key string, random *rand.Rand) {
	var calls sync.WaitGroup
	for range 6 {
		seed := random.Uint64()
		calls.Go(func() {
			w.call(client, rand.New(rand.NewPCG(seed, 1)), call{Op: "add", Key: key, Delta: 1})
		})
	}
	calls.Wait()
}

// micros returns a transaction on the lists of one group.
func (w *workload) micros(epoch int, value string, random *rand.Rand) (list []micro) {
	group := fmt.Sprintf("l%d", epoch)
	for i := range 1 + random.IntN(3) {
		m := micro{List: fmt.Sprintf("%s.%d", group, random.IntN(3))}
		if random.IntN(2) == 0 {
			m.Append = fmt.Sprintf("%s-%d", value, i)
		}
		list = append(list, m)
	}
	return list
}

// call makes a call of some node and notes it.
func (w *workload) call(client int, random *rand.Rand, c call) answer {
	a, from, to := w.ask(random, c)
	w.h.note(client, c, a, from, to)
	return a
}

// ask makes a call of some node.
func (w *workload) ask(random *rand.Rand, c call) (a answer, from, to time.Duration) {
	members := w.g.members()
	p := members[random.IntN(len(members))]
	from = time.Since(w.h.began)
	a = w.g.ask(p, callTimeout+500*time.Millisecond, c)
	to = time.Since(w.h.began)
	if a.Outcome == done && !c.reads() {
		w.mu.Lock()
		if to > w.last {
			w.gaps = append(w.gaps, to-w.last)
			w.last = to
		}
		w.mu.Unlock()
	}
	if a.Outcome != done {
		time.Sleep(20 * time.Millisecond) // a node that is not there answers at once
	}
	return a, from, to
}

// putMember puts a key that nobody else writes.
func (w *workload) putMember(random *rand.Rand, key string) {
	a, _, _ := w.ask(random, call{Op: "put", Key: key, Value: key})
	w.count(a)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set[key] = a.Outcome
}

// count counts a call that is no part of a history of porcupine's.
func (w *workload) count(a answer) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	switch a.Outcome {
	case done:
		w.h.done++
	case refused:
		w.h.refused++
	default:
		w.h.unknown++
	}
}

// putMortal puts a key that nobody else writes, with a time to live.
func (w *workload) putMortal(random *rand.Rand, key string) {
	m := &mortal{key: key, ttl: long}
	if random.IntN(4) > 0 {
		m.ttl = time.Duration(200+random.IntN(1500)) * time.Millisecond
	}
	a, from, to := w.ask(random, call{Op: "put", Key: key, Value: key, Delta: m.ttl.Milliseconds()})
	w.count(a)
	m.put, m.begun, m.acked = a.Outcome, from, to
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mortal = append(w.mortal, m)
}

// readMortal reads one of the newer keys with a time to live.
func (w *workload) readMortal(random *rand.Rand) {
	w.mu.Lock()
	var m *mortal
	if n := len(w.mortal); n > 0 {
		m = w.mortal[n-1-random.IntN(min(n, 30))]
	}
	w.mu.Unlock()
	if m != nil {
		a, from, to := w.ask(random, call{Op: "get", Key: m.key})
		w.count(a)
		w.sawMortal(m, a, from, to)
	}
}

// sawMortal holds a read of a key with a time to live against what is known of it.
func (w *workload) sawMortal(m *mortal, a answer, from, to time.Duration) {
	if a.Outcome != done {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case a.Found && m.absent > 0 && from > m.absent:
		w.complain("%s: back at %v, after it was seen to be gone at %v", m.key, from, m.absent)
	case a.Found && m.put == refused:
		w.complain("%s: there, and its put was refused", m.key)
	case !a.Found && m.put == done && from > m.acked:
		if to < m.begun+m.ttl-early(m.ttl) {
			w.complain("%s: gone at %v, put at %v to live for %v", m.key, to, m.begun, m.ttl)
		}
		if m.absent == 0 || to < m.absent {
			m.absent = to
		}
	}
}

// early is by how much time in the cluster may run ahead of that of this machine: a leader's clock is another's after an
// election, by what the log says and what a majority of the wall clocks agree on.
func early(ttl time.Duration) time.Duration { return ttl / 2 }

func (w *workload) complain(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}
