package worker

import (
	"bytes"
	"fmt"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

const (
	// queueDepth is how many items a queue has at first. It wanders from there.
	queueDepth = 1000
	// drainDepth is how many items are pushed before they are popped, all of them, and again.
	drainDepth = 20_000
)

// queueClient is the one user of one queue in a store that holds as many as there are threads. Its keys are numbers: a push
// puts the next, a pop looks for the first by a scan from the beginning of the queue and deletes it. That scan comes over
// all that has been deleted before, which is what makes queues hard.
type queueClient struct {
	*judge
	store      store.Store
	values     *workload.Values
	rand       *workload.Rand
	name       []byte
	head, tail uint64 // the numbers from head up to tail are in the queue
	drain      uint64 // 0: pushes and pops come at random; otherwise so many pushes, and then as many pops
	filling    bool

	kind       workload.Kind
	key, value []byte
	first, got []byte
	visit      func(key, value []byte) bool
}

// newQueueClient returns a client whose queue has some items. drain, if not 0, is how many: they are all popped before more
// are pushed.
func newQueueClient(j *judge, s store.Store, v *workload.Values, seed uint64, thread int, drain uint64) (*queueClient, error) {
	c := &queueClient{judge: j, store: s, values: v, rand: workload.NewRand(seed, "queue", thread), drain: drain}
	name, depth := "queue", uint64(queueDepth)
	if drain > 0 {
		name, depth = "drain", drain
	}
	c.name = fmt.Appendf(nil, "%s%05d/", name, thread)
	c.visit = func(key, value []byte) bool {
		c.first, c.got = append(c.first[:0], key...), append(c.got[:0], value...)
		return false
	}
	for range depth {
		c.push()
		if err := c.do(); err != nil {
			return nil, err
		}
		c.check()
	}
	return c, nil
}

func (c *queueClient) push() {
	c.kind = workload.Push
	c.choose(c.tail)
	c.value = c.values.Append(c.value[:0], c.key, c.tail, 0)
}

func (c *queueClient) choose(n uint64) {
	c.key = workload.AppendNumber(append(c.key[:0], c.name...), n)
}

func (c *queueClient) next() (workload.Kind, bool) {
	switch n := c.tail - c.head; {
	case n == 0:
		c.filling = true
	case n >= c.drain:
		c.filling = false
	}
	if c.filling || c.drain == 0 && c.rand.Uint64()&1 == 0 {
		c.push()
	} else {
		c.kind = workload.Pop
		c.choose(c.head)
	}
	return c.kind, true
}

func (c *queueClient) do() error {
	if c.kind == workload.Push {
		return c.store.Put(c.key, c.value)
	}
	c.first, c.got = c.first[:0], c.got[:0]
	if err := c.store.Scan(c.name, 1, c.visit); err != nil {
		return err
	}
	return c.store.Delete(c.key) // it is what the scan has shown, or check will say so
}

func (c *queueClient) check() (written int) {
	if c.kind == workload.Push {
		c.tail++
		return len(c.key) + len(c.value)
	}
	if !bytes.Equal(c.first, c.key) {
		c.wrong("the first of the queue is %q and not %s", c.first, c.key)
	} else if n, _, ok := c.values.Check(c.key, c.got, true); !ok || n != c.head {
		c.wrong("%s has a value of %d bytes that is not its own", c.key, len(c.got))
	}
	c.head++
	return len(c.key)
}
