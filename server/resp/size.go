package resp

import (
	"math"
	"sync"

	"github.com/ebbdb/ebb"
)

// sizeCache knows how many keys there are, as long as nothing was written and nothing has expired.
type sizeCache struct {
	mu  sync.Mutex
	now size // guarded by mu
}

// size is how many keys there were. The zero value is never that of now: its until has passed.
type size struct {
	seq   uint64 // as of
	until int64  // Unix ms: when the first of them expires
	count int
}

// get returns the size as of a sequence and a time, if it is known.
func (sc *sizeCache) get(seq uint64, now int64) (count int, ok bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.now.count, sc.now.seq == seq && now < sc.now.until
}

// set remembers a size, unless it knows a newer one.
func (sc *sizeCache) set(s size) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if s.seq >= sc.now.seq {
		sc.now = s
	}
}

// fastDBSize replies with how many keys there are: in no time if that was asked before and nothing has changed, else by a walk.
// The sequence is read before the transaction begins: a count that has later writes is never found again under it.
func fastDBSize(c *client, _ [][]byte) {
	seq, err := c.srv.store.Seq(c.srv.ctx)
	if err != nil {
		c.storeError(err)
		return
	}
	c.inTxn(false, func(x *exec) {
		count, ok := c.srv.size.get(seq, x.now)
		if !ok {
			n, until, err := x.countAll()
			if x.fail(err) {
				return
			}
			count = n
			c.srv.size.set(size{seq, until, count})
		}
		x.out.int(int64(count))
	})
}

func dbsize(x *exec, _ [][]byte) {
	n, _, err := x.countAll()
	if !x.fail(err) {
		x.out.int(int64(n))
	}
}

// countAll counts the keys, and tells when the first of them expires.
func (x *exec) countAll() (count int, until int64, err error) {
	until = math.MaxInt64
	for e, err := range x.tx.Range(&ebb.IterOptions{KeysOnly: true}) {
		if err != nil {
			return 0, 0, err
		}
		count++
		if e.Deadline != 0 {
			until = min(until, e.Deadline)
		}
	}
	return count, until, nil
}
