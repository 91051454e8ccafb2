package ebbds

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// writer is what a database and a transaction have in common.
type writer interface {
	Put(key, value []byte, opts ...ebb.WriteOption) error
	Delete(key []byte, opts ...ebb.WriteOption) error
	Expire(key []byte, d time.Duration, opts ...ebb.WriteOption) error
}

// access reads and writes a database, or in a transaction.
type access struct {
	from   ebb.Reader
	to     writer
	prefix string
	opts   []ebb.WriteOption // of each write
	closed *atomic.Bool      // of the datastore
}

func (a *access) refusal(ctx context.Context) error {
	if a.closed.Load() {
		return ebb.ErrClosed
	}
	return ctx.Err()
}

func (a *access) key(k ds.Key) []byte {
	s := k.String()
	if s == "" {
		s = "/"
	}
	return append(append(make([]byte, 0, 64), a.prefix...), s...)
}

// translated returns an error as go-datastore knows it.
func translated(err error) error {
	if errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyTooLarge) {
		return ds.ErrNotFound
	}
	return err
}

// lifetime returns a ttl as ebb takes it, for which 0 is no end.
func lifetime(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return -1
	}
	return ttl
}

// Get returns a copy of the value of a key, or ds.ErrNotFound.
func (a *access) Get(ctx context.Context, k ds.Key) ([]byte, error) {
	if err := a.refusal(ctx); err != nil {
		return nil, err
	}
	value, err := a.from.Get(a.key(k))
	return value, translated(err)
}

// Has reports whether a key has a value. It does not read the value.
func (a *access) Has(ctx context.Context, k ds.Key) (bool, error) {
	if err := a.refusal(ctx); err != nil {
		return false, err
	}
	has, err := a.from.Has(a.key(k))
	if errors.Is(err, ebb.ErrKeyTooLarge) {
		return false, nil
	}
	return has, err
}

func (a *access) stat(ctx context.Context, k ds.Key) (ebb.Entry, error) {
	if err := a.refusal(ctx); err != nil {
		return ebb.Entry{}, err
	}
	e, err := a.from.Stat(a.key(k))
	return e, translated(err)
}

// GetSize returns the size of the value of a key, or -1 and ds.ErrNotFound. It does not read the value.
func (a *access) GetSize(ctx context.Context, k ds.Key) (int, error) {
	e, err := a.stat(ctx, k)
	if err != nil {
		return -1, err
	}
	return e.ValueSize, nil
}

// GetExpiration returns when a key expires, the zero time if never, or ds.ErrNotFound.
func (a *access) GetExpiration(ctx context.Context, k ds.Key) (time.Time, error) {
	e, err := a.stat(ctx, k)
	if err != nil {
		return time.Time{}, err
	}
	t, _ := e.Expires()
	return t, nil
}

// Query returns the entries that a query asks for, as of this moment, and sizes and expirations whether it asks for them or
// not. Only the range of keys that prefix and filters leave is read, in the order that is asked for if that is by key, and no
// further than the limit; values only where the query or one of its filters or orders needs them. Other orders sort in
// memory. Close the results, in a transaction before its end, unless they were read to the end: until then they pin memory
// and files.
func (a *access) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := a.refusal(ctx); err != nil {
		return nil, err
	}
	return a.query(ctx, q)
}

// Put gives a key a value, which has no expiration.
func (a *access) Put(ctx context.Context, k ds.Key, value []byte) error {
	if err := a.refusal(ctx); err != nil {
		return err
	}
	return a.to.Put(a.key(k), value, a.opts...)
}

// PutWithTTL gives a key a value that expires after ttl. With a ttl of 0 or less it has expired, and the key is deleted.
func (a *access) PutWithTTL(ctx context.Context, k ds.Key, value []byte, ttl time.Duration) error {
	if err := a.refusal(ctx); err != nil {
		return err
	}
	return a.to.Put(a.key(k), value, append([]ebb.WriteOption{ebb.TTL(lifetime(ttl))}, a.opts...)...)
}

// SetTTL lets a key expire after ttl. With a ttl of 0 or less it has expired, and is deleted. For a key without a value the
// error is ds.ErrNotFound.
func (a *access) SetTTL(ctx context.Context, k ds.Key, ttl time.Duration) error {
	if err := a.refusal(ctx); err != nil {
		return err
	}
	return translated(a.to.Expire(a.key(k), lifetime(ttl), a.opts...))
}

// Delete takes the value of a key away. It is no error if there is none.
func (a *access) Delete(ctx context.Context, k ds.Key) error {
	if err := a.refusal(ctx); err != nil {
		return err
	}
	return deleted(a.to.Delete(a.key(k), a.opts...))
}

// deleted returns the error of a delete.
func deleted(err error) error {
	if errors.Is(err, ebb.ErrKeyTooLarge) {
		return nil
	}
	return err
}
