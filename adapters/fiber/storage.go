// Package fiberstorage is the storage of github.com/gofiber/fiber, versions 2 and 3, in an ebb database: for its session, cache,
// limiter, csrf and idempotency middleware.
//
//	app.Use(limiter.New(limiter.Config{Storage: fiberstorage.New(db, "limit/")}))
//
// A value is gone at the millisecond that it expires, and nothing polls for it. A Storage has no goroutine, and nothing to
// close but the database.
package fiberstorage

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
)

// Storage keeps values under a prefix of a database. Its methods may be called from any goroutine.
//
// A key is a key of the database with the prefix before it. The empty key, and one with which that is longer than
// ebb.MaxKeySize, has no value: Get returns nil and Delete does nothing. Set ignores an empty key, as it does an empty value;
// for one that is too long it returns ebb.ErrKeyTooLarge.
//
// A method with a context returns its error if it has ended, and does nothing then. A context that ends later does not undo
// a write.
type Storage struct {
	db     *ebb.DB
	prefix string
	opts   []ebb.WriteOption
	closed atomic.Bool
}

// New returns the storage of a database whose keys begin with a prefix, which no other use of the database shares: Reset
// deletes all of them. opts go with each write: ebb.NoSync for one who can do without the last values after a power cut, ebb.Sync
// for one who cannot, and nothing for the policy of the database.
func New(db *ebb.DB, prefix string, opts ...ebb.WriteOption) *Storage {
	return &Storage{db: db, prefix: prefix, opts: slices.Clone(opts)}
}

// Conn returns the database.
func (s *Storage) Conn() *ebb.DB { return s.db }

func (s *Storage) key(key string) []byte {
	if key == "" {
		return nil
	}
	k := make([]byte, 0, 64) // on the stack, as a rule
	return append(append(k, s.prefix...), key...)
}

// absent reports whether an error says that a key has no value.
func absent(err error) bool {
	return errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyEmpty) || errors.Is(err, ebb.ErrKeyTooLarge)
}

// Get returns a copy of the value of a key, nil if it has none or that has expired.
func (s *Storage) Get(key string) ([]byte, error) { return s.GetWithContext(context.Background(), key) }

// GetWithContext is Get.
func (s *Storage) GetWithContext(ctx context.Context, key string) ([]byte, error) {
	if err := s.refusal(ctx); err != nil {
		return nil, err
	}
	value, err := s.db.Get(s.key(key))
	if absent(err) {
		return nil, nil
	}
	return value, err
}

// Set gives a key a value, which expires after exp: never if exp is 0. With a negative exp it has expired, and the key is
// deleted.
func (s *Storage) Set(key string, val []byte, exp time.Duration) error {
	return s.SetWithContext(context.Background(), key, val, exp)
}

// SetWithContext is Set.
func (s *Storage) SetWithContext(ctx context.Context, key string, val []byte, exp time.Duration) error {
	if err := s.refusal(ctx); err != nil {
		return err
	}
	if key == "" || len(val) == 0 {
		return nil
	}
	opts := make([]ebb.WriteOption, 0, 4)
	return s.db.Put(s.key(key), val, append(append(opts, s.opts...), ebb.TTL(exp))...)
}

// Delete takes the value of a key away. It is no error if there is none.
func (s *Storage) Delete(key string) error { return s.DeleteWithContext(context.Background(), key) }

// DeleteWithContext is Delete.
func (s *Storage) DeleteWithContext(ctx context.Context, key string) error {
	if err := s.refusal(ctx); err != nil {
		return err
	}
	if err := s.db.Delete(s.key(key), s.opts...); err != nil && !absent(err) {
		return err
	}
	return nil
}

// Reset deletes all keys with the prefix. It is one write, however many there are.
func (s *Storage) Reset() error { return s.ResetWithContext(context.Background()) }

// ResetWithContext is Reset.
func (s *Storage) ResetWithContext(ctx context.Context) error {
	if err := s.refusal(ctx); err != nil {
		return err
	}
	return s.db.DeletePrefix([]byte(s.prefix), s.opts...)
}

// Close ends the use of the storage: later calls return ebb.ErrClosed. The database, which may have other uses, stays open.
func (s *Storage) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *Storage) refusal(ctx context.Context) error {
	if s.closed.Load() {
		return ebb.ErrClosed
	}
	return ctx.Err()
}
