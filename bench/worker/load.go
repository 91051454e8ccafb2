package worker

import (
	"bytes"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// loadClient inserts records until all are there, one or a batch at a time.
type loadClient struct {
	recordClient
	numbers []uint64
	writes  []workload.Write
	ops     []store.Op
	largest []byte
}

func newLoadClient(r *records, seed uint64, phase string, thread int) *loadClient {
	c := &loadClient{recordClient: r.client(seed, phase, thread)}
	c.ops = make([]store.Op, 0, r.batch)
	return c
}

func (c *loadClient) next() (workload.Kind, bool) {
	kind := workload.Insert
	if c.batch > 1 {
		kind = workload.Batch
	}
	c.numbers, c.writes, c.ops = c.numbers[:0], c.writes[:0], c.ops[:0]
	for range c.batch {
		n, ok := c.claim()
		if !ok {
			break
		}
		c.choose(n)
		c.prepareWrite()
		c.numbers, c.writes = append(c.numbers, n), append(c.writes, c.write)
		c.ops = appendOp(c.ops, c.key, c.value)
		if bytes.Compare(c.key, c.largest) > 0 {
			c.largest = append(c.largest[:0], c.key...)
		}
	}
	if len(c.ops) == 0 {
		c.noteLast(c.largest)
		return kind, false
	}
	return kind, true
}

// claim returns the number of a record to load, if there are any left.
func (c *loadClient) claim() (uint64, bool) { return c.sequence.NextBelow(c.total) }

func (c *loadClient) do() error {
	if len(c.ops) == 1 {
		return c.store.Put(c.ops[0].Key, c.ops[0].Value)
	}
	return c.store.Apply(c.ops)
}

func (c *loadClient) check() (written int) {
	for i, n := range c.numbers {
		c.versions.End(n, c.writes[i])
		c.sequence.Ack(n)
		written += len(c.ops[i].Key) + len(c.ops[i].Value)
	}
	return written
}

// appendOp appends a put, in the memory of the operation that stood there before.
func appendOp(ops []store.Op, key, value []byte) []store.Op {
	var old store.Op
	if len(ops) < cap(ops) {
		old = ops[:len(ops)+1][len(ops)]
	}
	return append(ops, store.Op{Key: append(old.Key[:0], key...), Value: append(old.Value[:0], value...)})
}
