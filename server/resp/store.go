package resp

import (
	"context"
	"iter"
	"time"

	"github.com/ebbdb/ebb"
)

// Store is what a Server serves: verbs of an ebb.DB, with a context that is done when the server has to stop. The errors are
// those of package ebb, or others that match them. All methods may be called from any goroutine.
type Store interface {
	// AppendGet, Has, TTL and Stat read a key as the methods of ebb.DB do.
	AppendGet(ctx context.Context, dst, key []byte) ([]byte, error)
	Has(ctx context.Context, key []byte) (bool, error)
	TTL(ctx context.Context, key []byte) (time.Duration, error)
	Stat(ctx context.Context, key []byte) (ebb.Entry, error)

	// Put, Delete, Add, Expire, DeleteRange, Apply and Update write as the methods of ebb.DB do, and take the same options.
	Put(ctx context.Context, key, value []byte, opts ...ebb.WriteOption) error
	Delete(ctx context.Context, key []byte, opts ...ebb.WriteOption) error
	Add(ctx context.Context, key []byte, delta int64, opts ...ebb.WriteOption) (int64, error)
	Expire(ctx context.Context, key []byte, d time.Duration, opts ...ebb.WriteOption) error
	DeleteRange(ctx context.Context, start, end []byte, opts ...ebb.WriteOption) error
	Apply(ctx context.Context, b *ebb.Batch, opts ...ebb.WriteOption) error
	// Update may call fn more than once.
	Update(ctx context.Context, fn func(Txn) error, opts ...ebb.WriteOption) error
	// View calls fn with a transaction that only reads, as of one moment.
	View(ctx context.Context, fn func(Txn) error) error
	// Sync makes every write that has returned durable.
	Sync(ctx context.Context) error

	// Seq returns the sequence of the newest write that reads see.
	Seq(ctx context.Context) (uint64, error)
	// EstimateCount returns about how many keys there are, in microseconds.
	EstimateCount(ctx context.Context) (int, error)
	// Watch returns the changes of the store in their order, and waits for more.
	Watch(ctx context.Context, o *ebb.WatchOptions) iter.Seq2[ebb.Change, error]
	// Stats returns the figures of the database behind the store.
	Stats() ebb.Stats
}

// Txn is a transaction of a Store: an *ebb.Txn, or what does as it does.
type Txn interface {
	ebb.Reader
	Put(key, value []byte, opts ...ebb.WriteOption) error
	Delete(key []byte, opts ...ebb.WriteOption) error
	DeleteRange(start, end []byte) error
	// Time is the transaction's moment, by which it tells what has expired.
	Time() (time.Time, error)
}

// NewStore returns a database as a Store. The store does not close it.
func NewStore(db *ebb.DB) Store { return store{db} }

type store struct{ db *ebb.DB }

func (s store) AppendGet(_ context.Context, dst, key []byte) ([]byte, error) {
	return s.db.AppendGet(dst, key)
}
func (s store) Has(_ context.Context, key []byte) (bool, error)          { return s.db.Has(key) }
func (s store) TTL(_ context.Context, key []byte) (time.Duration, error) { return s.db.TTL(key) }
func (s store) Stat(_ context.Context, key []byte) (ebb.Entry, error)    { return s.db.Stat(key) }
func (s store) Put(_ context.Context, key, value []byte, opts ...ebb.WriteOption) error {
	return s.db.Put(key, value, opts...)
}
func (s store) Delete(_ context.Context, key []byte, opts ...ebb.WriteOption) error {
	return s.db.Delete(key, opts...)
}
func (s store) Add(_ context.Context, key []byte, delta int64, opts ...ebb.WriteOption) (int64, error) {
	return s.db.Add(key, delta, opts...)
}
func (s store) Expire(_ context.Context, key []byte, d time.Duration, opts ...ebb.WriteOption) error {
	return s.db.Expire(key, d, opts...)
}
func (s store) DeleteRange(_ context.Context, start, end []byte, opts ...ebb.WriteOption) error {
	return s.db.DeleteRange(start, end, opts...)
}
func (s store) Apply(_ context.Context, b *ebb.Batch, opts ...ebb.WriteOption) error {
	return s.db.Apply(b, opts...)
}
func (s store) Update(_ context.Context, fn func(Txn) error, opts ...ebb.WriteOption) error {
	return s.db.Update(func(tx *ebb.Txn) error { return fn(tx) }, opts...)
}
func (s store) View(_ context.Context, fn func(Txn) error) error {
	return s.db.View(func(tx *ebb.Txn) error { return fn(tx) })
}
func (s store) Sync(context.Context) error { return s.db.Sync() }
func (s store) Seq(context.Context) (uint64, error) {
	snap, err := s.db.Snapshot()
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	return snap.Seq(), nil
}
func (s store) EstimateCount(context.Context) (int, error) { return s.db.EstimateCount(nil) }
func (s store) Watch(ctx context.Context, o *ebb.WatchOptions) iter.Seq2[ebb.Change, error] {
	return s.db.Watch(ctx, o)
}
func (s store) Dir() string      { return s.db.Dir() }
func (s store) Stats() ebb.Stats { return s.db.Stats() }
