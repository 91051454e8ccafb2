// Package httpratestore keeps the counters of github.com/go-chi/httprate in an ebb database: limits hold across restarts.
//
//	router.Use(httprate.LimitBy(100, time.Minute, key, httprate.WithLimitCounter(httpratestore.New(db, "limit/"))))
package httpratestore

import (
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/go-chi/httprate"
)

var _ httprate.LimitCounter = (*Counter)(nil)

// Counter keeps the counters of one limiter under a prefix of a database. Its methods may be called from any goroutine.
//
// A counter is a key: the prefix, the limiter's key, and eight bytes for the window. It is gone two windows after its first
// request, when no limiter asks for it any more. A key that is too long is ebb.ErrKeyTooLarge, a sum that an int64 does not hold
// ebb.ErrOverflow.
type Counter struct {
	db     *ebb.DB
	prefix string
	opts   []ebb.WriteOption
	life   atomic.Int64 // of a counter, as a time.Duration
}

// New returns the counters of a database whose keys begin with a prefix, which no other use of the database shares, another
// limiter neither. opts go with each write. Without any a write is ebb.NoSync: no request waits for the disk, and a power cut
// may forget the last requests.
func New(db *ebb.DB, prefix string, opts ...ebb.WriteOption) *Counter {
	if len(opts) == 0 {
		opts = []ebb.WriteOption{ebb.NoSync}
	}
	c := &Counter{db: db, prefix: prefix, opts: slices.Clone(opts)}
	c.Config(0, time.Hour)
	return c
}

// Config is called by the limiter, with the length of its windows.
func (c *Counter) Config(_ int, window time.Duration) {
	c.life.Store(2 * min(int64(max(window, time.Millisecond)), math.MaxInt64/2))
}

func (c *Counter) key(key string, window time.Time) []byte {
	k := append(append(make([]byte, 0, 64), c.prefix...), key...)
	return binary.BigEndian.AppendUint64(k, uint64(window.UnixMilli()))
}

// Increment counts a request in a window.
func (c *Counter) Increment(key string, currentWindow time.Time) error {
	return c.IncrementBy(key, currentWindow, 1)
}

// IncrementBy counts some requests in a window.
func (c *Counter) IncrementBy(key string, currentWindow time.Time, amount int) error {
	opts := append(append(make([]ebb.WriteOption, 0, 4), ebb.TTL(time.Duration(c.life.Load()))), c.opts...)
	_, err := c.db.Add(c.key(key, currentWindow), int64(amount), opts...)
	return err
}

// Get returns how many requests were counted in two windows.
func (c *Counter) Get(key string, currentWindow, previousWindow time.Time) (current, previous int, err error) {
	values, err := c.db.GetMany(c.key(key, currentWindow), c.key(key, previousWindow))
	if err != nil {
		return 0, 0, err
	}
	var counts [2]int
	for i, value := range values {
		if value == nil {
			continue
		}
		n, err := ebb.Counter(value)
		if err != nil {
			return 0, 0, err
		}
		counts[i] = int(min(n, math.MaxInt))
	}
	return counts[0], counts[1], nil
}
