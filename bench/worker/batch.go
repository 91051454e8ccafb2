package worker

import (
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// batchSize is how many records a write of the workload of batches has.
const batchSize = 100

// batchClient overwrites records chosen evenly, many at a time.
type batchClient struct {
	recordClient
	known   uint64
	numbers []uint64
	writes  []workload.Write
	ops     []store.Op
}

func newBatchClient(r *records, seed uint64, phase string, thread int) *batchClient {
	return &batchClient{recordClient: r.client(seed, phase, thread), known: r.sequence.Limit(), ops: make([]store.Op, 0, batchSize)}
}

func (c *batchClient) next() (workload.Kind, bool) {
	c.numbers, c.writes, c.ops = c.numbers[:0], c.writes[:0], c.ops[:0]
	for range batchSize {
		c.choose(c.rand.Below(c.known))
		c.prepareWrite()
		c.numbers, c.writes = append(c.numbers, c.record), append(c.writes, c.write)
		c.ops = appendOp(c.ops, c.key, c.value)
	}
	return workload.Batch, true
}

func (c *batchClient) do() error { return c.store.Apply(c.ops) }

func (c *batchClient) check() (written int) {
	for i, n := range c.numbers {
		c.versions.End(n, c.writes[i])
		written += len(c.ops[i].Key) + len(c.ops[i].Value)
	}
	return written
}
