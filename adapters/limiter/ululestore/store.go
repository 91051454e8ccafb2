// Package ululestore keeps the counters of github.com/ulule/limiter/v3 in an ebb database: limits hold across restarts.
//
//	limits := limiter.New(ululestore.New(db, "limit/"), limiter.Rate{Limit: 100, Period: time.Minute})
//
// A counter is one key, which one write counts up and which is gone when its period ends. A Store has no goroutine, and nothing
// to close but the database.
package ululestore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/common"
)

var _ limiter.Store = (*Store)(nil)

// Store keeps counters under a prefix of a database. Its methods may be called from any goroutine, and count exactly.
//
// A key is a key of the database with the prefix before it. One that is too long is ebb.ErrKeyTooLarge, and the empty one,
// without a prefix, ebb.ErrKeyEmpty. A period of 0 or less has ended when it begins: nothing is counted from one call to the next. A sum that an int64 does not hold is
// ebb.ErrOverflow, and is not counted. As in the stores of limiter, rates do not make different counters of one key: that takes
// a Store each.
type Store struct {
	db     *ebb.DB
	prefix string
	opts   []ebb.WriteOption
}

// New returns the counters of a database whose keys begin with a prefix, which no other use of the database shares. opts go
// with each write. Without any a write is ebb.NoSync: no request waits for the disk, and a power cut may forget the last
// requests.
func New(db *ebb.DB, prefix string, opts ...ebb.WriteOption) *Store {
	if len(opts) == 0 {
		opts = []ebb.WriteOption{ebb.NoSync}
	}
	return &Store{db, prefix, slices.Clone(opts)}
}

func (s *Store) key(key string) []byte {
	return append(append(make([]byte, 0, 64), s.prefix...), key...)
}

// Get counts one request, and returns the limit.
func (s *Store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Increment counts some requests at once, and returns the limit.
func (s *Store) Increment(ctx context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	if err := ctx.Err(); err != nil {
		return limiter.Context{}, err
	}
	period := rate.Period
	if period <= 0 {
		period = -1 // 0 would be for ever
	}
	var deadline int64
	opts := append(append(make([]ebb.WriteOption, 0, 4), ebb.TTL(period), ebb.DeadlineTo(&deadline)), s.opts...)
	sum, err := s.db.Add(s.key(key), count, opts...)
	if err != nil {
		return limiter.Context{}, err
	}
	now := time.Now()
	ends := now
	if deadline != 0 {
		ends = time.UnixMilli(deadline)
	}
	return common.GetContextFromState(now, rate, ends, sum), nil
}

// Peek returns the limit, and counts nothing.
func (s *Store) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	if err := ctx.Err(); err != nil {
		return limiter.Context{}, err
	}
	e, err := s.db.GetEntry(s.key(key))
	if errors.Is(err, ebb.ErrNotFound) {
		return unused(rate), nil
	}
	if err != nil {
		return limiter.Context{}, err
	}
	n, err := ebb.Counter(e.Value)
	if err != nil {
		return limiter.Context{}, err
	}
	ends, _ := e.Expires()
	return common.GetContextFromState(time.Now(), rate, ends, n), nil
}

// Reset forgets what was counted, and returns the limit.
func (s *Store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	if err := ctx.Err(); err != nil {
		return limiter.Context{}, err
	}
	if err := s.db.Delete(s.key(key), s.opts...); err != nil {
		return limiter.Context{}, err
	}
	return unused(rate), nil
}

// unused returns the limit of a key for which nothing was counted.
func unused(rate limiter.Rate) limiter.Context {
	now := time.Now()
	return common.GetContextFromState(now, rate, now.Add(rate.Period), 0)
}
