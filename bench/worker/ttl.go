package worker

import (
	"errors"
	"time"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// ttlClient writes records that expire and reads them, half and half. A record has one client, which so knows of each whether
// it must be there.
type ttlClient struct {
	*judge
	store       store.Store
	expirer     store.Expirer
	early, late time.Duration
	values      *workload.Values
	rand        *workload.Rand
	min, spread time.Duration
	thread      uint64
	threads     uint64
	own         []lease

	kind       workload.Kind
	key, value []byte
	got        []byte
	looked     *lease
	deadline   time.Time
	before     time.Time // a read began
}

// lease is what was last written to a record.
type lease struct {
	version  uint64
	deadline int64 // Unix ms
}

func newTTLClient(r *runner, s store.Store, e store.Expirer, thread int) *ttlClient {
	threads := uint64(r.config.Threads)
	return &ttlClient{
		judge: &r.judge, store: s, expirer: e, early: r.info.Early, late: r.info.Late,
		values: r.values, rand: workload.NewRand(r.config.Seed, "ttl", thread),
		min: r.config.TTLMin, spread: r.config.TTLMax - r.config.TTLMin,
		thread: uint64(thread), threads: threads, own: make([]lease, (r.config.Records+threads-1)/threads),
		got: make([]byte, r.values.Size()),
	}
}

func (c *ttlClient) next() (workload.Kind, bool) {
	i := c.rand.Below(uint64(len(c.own)))
	c.looked = &c.own[i]
	c.key = workload.AppendKey(c.key[:0], i*c.threads+c.thread)
	c.before = time.Now()
	if c.kind = workload.Read; c.rand.Uint64()&1 == 0 {
		c.kind = workload.Update
		ttl := c.min + time.Duration(c.rand.Below(uint64(c.spread)+1))
		c.deadline = time.UnixMilli(c.before.Add(ttl).UnixMilli())
		c.looked.version++
		c.looked.deadline = c.deadline.UnixMilli()
		c.value = c.values.Append(c.value[:0], c.key, c.looked.version, c.looked.deadline)
	}
	return c.kind, true
}

func (c *ttlClient) do() error {
	if c.kind == workload.Update {
		return c.expirer.PutUntil(c.key, c.value, c.deadline)
	}
	var err error
	c.got, err = getOrNothing(c.store, c.key, c.got)
	return err
}

// getOrNothing is Get where an absent key has an empty value.
func getOrNothing(s store.Store, key, buf []byte) ([]byte, error) {
	got, err := s.Get(key, buf)
	if errors.Is(err, store.ErrNotFound) {
		return got[:0], nil
	}
	return got, err
}

func (c *ttlClient) check() (written int) {
	if c.kind == workload.Update {
		return len(c.key) + len(c.value)
	}
	want := time.UnixMilli(c.looked.deadline)
	if len(c.got) == 0 {
		if time.Now().Before(want.Add(-c.early)) {
			c.wrong("%s is gone %v before its deadline", c.key, time.Until(want))
		}
		return 0
	}
	if version, deadline, ok := c.values.Check(c.key, c.got, true); !ok || version != c.looked.version || deadline != c.looked.deadline {
		c.wrong("%s has version %d and deadline %d, not %d and %d", c.key, version, deadline, c.looked.version, c.looked.deadline)
	}
	if late := c.before.Sub(want.Add(c.late)); late >= 0 {
		c.wrong("%s is there %v after its deadline", c.key, late)
	}
	return 0
}

// lastDeadline returns when the last of the client's records expires.
func (c *ttlClient) lastDeadline() time.Time {
	last := int64(0)
	for i := range c.own {
		last = max(last, c.own[i].deadline)
	}
	return time.UnixMilli(last)
}

// live returns how many of the client's records have not expired.
func (c *ttlClient) live() (n int64) {
	now := time.Now().UnixMilli()
	for i := range c.own {
		if c.own[i].deadline > now {
			n++
		}
	}
	return n
}
