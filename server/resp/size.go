package resp

import (
	"math"
	"sync"

	"github.com/ebbdb/ebb"
)

// sizeCache knows how many keys there are, as long as nothing was written and nothing has expired.
type sizeCache struct {
	mu    sync.Mutex
	valid bool   // guarded by mu, as the rest is
	seq   uint64 // as of
	until int64  // Unix ms: when the first of them expires
	count int
}

// fastDBSize replies with how many keys there are: in no time if that was asked before and nothing has changed, else by a walk.
// The sequence is read before the transaction begins: a count that has later writes is never found again under it.
func fastDBSize(c *client, _ [][]byte) {
	sc := c.srv.size
	sc.mu.Lock()
	defer sc.mu.Unlock()
	seq, err := c.srv.store.Seq(c.srv.ctx)
	if err != nil {
		c.storeError(err)
		return
	}
	c.inTxn(false, func(x *exec) {
		if !sc.valid || sc.seq != seq || x.now >= sc.until {
			count, until, err := x.countAll()
			if x.fail(err) {
				return
			}
			sc.valid, sc.seq, sc.until, sc.count = true, seq, until, count
		}
		x.out.int(int64(sc.count))
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
