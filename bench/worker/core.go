package worker

import (
	"bytes"

	"github.com/ebbdb/ebb/bench/workload"
)

// coreClient is a thread of one of the workloads A to F.
type coreClient struct {
	recordClient
	mix    workload.Mix
	kinds  *workload.Chooser
	known  uint64 // records that were there when the phase began
	zipf   workload.Scrambled
	latest *workload.Zipfian

	kind  workload.Kind
	limit int    // of the scan
	seen  int    // entries that it has shown
	last  []byte // the last of them
	visit func(key, value []byte) bool
}

func newCoreClient(r *records, mix workload.Mix, latest *workload.Zipfian, seed uint64, phase string, thread int) *coreClient {
	c := &coreClient{
		recordClient: r.client(seed, phase, thread),
		mix:          mix,
		kinds:        mix.Chooser(),
		known:        r.sequence.Limit(),
		zipf:         workload.NewScrambled(),
		latest:       latest,
	}
	c.visit = c.entry // once, and not for every scan
	return c
}

func (c *coreClient) next() (workload.Kind, bool) {
	c.kind = c.kinds.Next(c.rand)
	switch {
	case c.kind == workload.Insert:
		c.choose(c.sequence.Next())
	case c.mix.Keys == workload.ByLatest:
		// The tail of what was there at the beginning is out of reach as soon as there is more. It is hardly ever drawn.
		c.choose(c.sequence.Limit() - 1 - c.latest.Next(c.rand))
	default:
		c.choose(c.zipf.Next(c.rand, c.known))
	}
	switch c.kind {
	case workload.Insert, workload.Update:
		c.prepareWrite()
	case workload.Scan:
		c.limit = 1 + int(c.rand.Below(workload.MaxScan))
		c.seen, c.last = 0, c.last[:0]
	case workload.Read, workload.Modify:
		c.floor = c.versions.Floor(c.record)
	}
	return c.kind, true
}

func (c *coreClient) do() error {
	switch c.kind {
	case workload.Insert, workload.Update:
		return c.store.Put(c.key, c.value)
	case workload.Scan:
		return c.store.Scan(c.key, c.limit, c.visit)
	case workload.Modify:
		if err := c.get(); err != nil {
			return err
		}
		c.checkGot()
		c.prepareWrite()
		return c.store.Put(c.key, c.value)
	}
	return c.get()
}

func (c *coreClient) entry(key, value []byte) bool {
	if c.seen == 0 && !bytes.Equal(key, c.key) {
		c.wrong("a scan from %s begins with %s", c.key, key)
	}
	c.checkEntry(c.last, key, value)
	c.last = append(c.last[:0], key...)
	c.seen++
	return true
}

func (c *coreClient) check() (written int) {
	switch c.kind {
	case workload.Insert:
		written = c.wrote()
		c.sequence.Ack(c.record)
	case workload.Update, workload.Modify:
		written = c.wrote()
	case workload.Scan:
		// A short one has come to the end, which is no earlier than the last key of the load.
		if end := c.records.last.Load(); c.seen != c.limit && (c.seen > c.limit || bytes.Compare(c.last, *end) < 0) {
			c.wrong("a scan from %s ends at %s, after %d of %d", c.key, c.last, c.seen, c.limit)
		}
	default:
		c.checkGot()
	}
	return written
}
