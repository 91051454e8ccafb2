package worker

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// thoroughEvery is how many values are looked at only in part for one that is in full.
const thoroughEvery = 16

// records is what is known of the records of the core workloads and of large values.
type records struct {
	*judge
	store    store.Store
	sequence workload.Sequence
	versions *workload.Versions
	values   *workload.Values
	last     atomic.Pointer[[]byte] // the last key that the load has written
	batch    int                    // records in a write of the load
	total    uint64                 // records that the load writes
}

// recordClient has what every client of records needs: buffers of its own, and the checks.
type recordClient struct {
	*records
	thread int
	rand   *workload.Rand

	key, value, got []byte
	looked          int
	record, floor   uint64
	write           workload.Write
}

func (r *records) client(seed uint64, phase string, thread int) recordClient {
	return recordClient{
		records: r,
		thread:  thread,
		rand:    workload.NewRand(seed, phase, thread),
		key:     make([]byte, 0, workload.KeySize),
		value:   make([]byte, 0, r.values.Size()),
		got:     make([]byte, r.values.Size()),
	}
}

func (c *recordClient) choose(record uint64) {
	c.record = record
	c.key = workload.AppendKey(c.key[:0], record)
}

// prepareWrite makes the next version of the chosen record.
func (c *recordClient) prepareWrite() {
	c.write = c.versions.Begin(c.thread, c.record)
	c.value = c.values.Append(c.value[:0], c.key, c.write.Version, 0)
}

// wrote says that the prepared write has returned, and returns its size.
func (c *recordClient) wrote() int {
	c.versions.End(c.record, c.write)
	return len(c.key) + len(c.value)
}

// get reads the chosen record. That it is not there is not the store's failure but a wrong answer.
func (c *recordClient) get() error {
	got, err := c.store.Get(c.key, c.got)
	if errors.Is(err, store.ErrNotFound) {
		c.wrong("%s is not found", c.key)
		got, err = c.got[:0], nil
	}
	if err == nil {
		c.got = got
	}
	return err
}

// checkGot looks at what get has found: a read returns a value that was written, and not one that had been replaced.
func (c *recordClient) checkGot() {
	if len(c.got) == 0 {
		return // counted
	}
	version, _, ok := c.values.Check(c.key, c.got, c.thorough())
	valid := c.versions.Valid(c.record, c.floor, version)
	if (!ok || !valid) && !c.deaf { // asked here as well, for the cost of the arguments
		c.wrong("%s has a value of %d bytes, version %x: its own %v, of its time %v", c.key, len(c.got), version, ok, valid)
	}
}

func (c *recordClient) thorough() bool {
	c.looked++
	return c.looked%thoroughEvery == 0
}

// checkEntry looks at what a scan shows: in order, and each with a value that was written for it.
func (c *recordClient) checkEntry(before, key, value []byte) {
	if bytes.Compare(before, key) >= 0 {
		c.wrong("a scan shows %s after %s", key, before)
	}
	version, _, ok := c.values.Check(key, value, c.thorough())
	if issued := c.versions.Issued(version); !ok || !issued {
		c.wrong("a scan shows %s with a value of %d bytes, version %x: its own %v, issued %v", key, len(value), version, ok, issued)
	}
}

// noteLast remembers the last of the loaded keys.
func (r *records) noteLast(key []byte) {
	for {
		old := r.last.Load()
		if old != nil && bytes.Compare(key, *old) <= 0 {
			return
		}
		clone := bytes.Clone(key)
		if r.last.CompareAndSwap(old, &clone) {
			return
		}
	}
}
