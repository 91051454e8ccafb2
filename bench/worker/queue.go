package worker

import (
	"bytes"
	"fmt"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// queueDepth is how many items a queue has at first. It wanders from there.
const queueDepth = 1000

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

	kind       workload.Kind
	key, value []byte
	first, got []byte
	visit      func(key, value []byte) bool
}

func newQueueClient(j *judge, s store.Store, v *workload.Values, seed uint64, thread int) (*queueClient, error) {
	c := &queueClient{judge: j, store: s, values: v, rand: workload.NewRand(seed, "queue", thread)}
	c.name = fmt.Appendf(nil, "queue%05d/", thread)
	c.visit = func(key, value []byte) bool {
		c.first, c.got = append(c.first[:0], key...), append(c.got[:0], value...)
		return false
	}
	for range queueDepth {
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
	if c.rand.Uint64()&1 == 0 || c.head == c.tail {
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
