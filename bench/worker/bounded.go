package worker

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// boundedLife is longer than any run: what goes before its deadline was evicted.
const boundedLife = 24 * time.Hour

// stream is what a cache goes through: records that one client writes, each once and with a deadline, and that the others read
// while they are among the newest.
type stream struct {
	judge   *judge
	store   store.Store
	expirer store.Expirer
	values  *workload.Values
	newest  uint64        // so many records have to be there
	written atomic.Uint64 // records
}

// boundedClient writes the stream at a pace, or reads it.
type boundedClient struct {
	*stream
	writes bool
	every  time.Duration // between two writes
	start  time.Time
	before uint64 // records written at start
	rand   *workload.Rand

	kind            workload.Kind
	key, value, got []byte
}

func (c *boundedClient) next() (workload.Kind, bool) {
	n := c.written.Load()
	if !c.writes {
		c.kind = workload.Read
		c.key = workload.AppendKey(c.key[:0], n-1-c.rand.Below(c.newest))
		return c.kind, true
	}
	c.kind = workload.Insert
	if ahead := time.Until(c.start.Add(time.Duration(n-c.before) * c.every)); ahead > time.Millisecond {
		time.Sleep(ahead)
	}
	c.key = workload.AppendKey(c.key[:0], n)
	c.value = c.values.Append(c.value[:0], c.key, 0, 0)
	return c.kind, true
}

func (c *boundedClient) do() error {
	if c.writes {
		return c.expirer.PutUntil(c.key, c.value, time.Now().Add(boundedLife).Truncate(time.Millisecond))
	}
	var err error
	c.got, err = getOrNothing(c.store, c.key, c.got)
	return err
}

func (c *boundedClient) check() (written int) {
	if c.writes {
		c.written.Add(1)
		return len(c.key) + len(c.value)
	}
	if _, _, ok := c.values.Check(c.key, c.got, true); !ok {
		c.judge.wrong("%s has a value of %d bytes, which is not its own", c.key, len(c.got))
	}
	return 0
}

// bounded writes as many records as have to be there, and measures what is written at a pace and read beside it then. The disk
// is looked at all the time: a store with a bound that has exceeded it, and what it may have beside it, is wrong.
func (r *runner) bounded(name string) error {
	expirer, ok := r.store.(store.Expirer)
	if !ok {
		return errors.New("it has no deadlines of its own")
	}
	s := &stream{judge: &r.judge, store: r.store, expirer: expirer, values: r.values, newest: r.config.Records}
	size := workload.KeySize + r.values.Size()
	clients := make([]client, max(r.config.Threads, 2))
	for i := range clients {
		clients[i] = &boundedClient{stream: s, writes: i == 0, rand: workload.NewRand(r.config.Seed, name, i),
			every: time.Duration(float64(time.Second) * float64(size) / float64(r.config.Pace)), got: make([]byte, r.values.Size())}
	}
	writer := clients[0].(*boundedClient)
	for range r.config.Records {
		writer.start, writer.before = time.Now(), s.written.Load()
		writer.next()
		if err := writer.do(); err != nil {
			return err
		}
		writer.check()
	}
	writer.start, writer.before = time.Now(), s.written.Load()
	err := r.measured(name, clients, r.limits(), func() int64 { return int64(r.config.Records) * int64(size) })
	if phase := &r.run.Phases[len(r.run.Phases)-1]; r.info.MaxDisk > 0 {
		most := max(measure.Most(phase.Samples), phase.Disk)
		if allowed := r.info.MaxDisk + 3*r.info.MaxDisk/32; most > allowed {
			phase.Wrong++
			phase.FirstWrong = fmt.Sprintf("there were %d bytes on the disk, of %d allowed", most, allowed)
		}
	}
	return err
}
