// Package scsstore keeps the sessions of github.com/alexedwards/scs/v2 in an ebb database.
//
//	manager := scs.New()
//	manager.Store = scsstore.New(db, "session/")
//
// A session is gone at the millisecond that the manager says, and nothing polls for it. A Store has no goroutine, and
// nothing to close but the database.
package scsstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/ebbdb/ebb"
)

var (
	_ scs.CtxStore         = (*Store)(nil)
	_ scs.IterableStore    = (*Store)(nil)
	_ scs.IterableCtxStore = (*Store)(nil)
)

// Store keeps sessions under a prefix of a database. Its methods may be called from any goroutine.
//
// A token is a key with the prefix before it. The empty token, and one with which the key is longer than ebb.MaxKeySize, have no
// session: Find and Delete say so without an error, as they do of any other token that is not there, and Commit returns
// ebb.ErrKeyEmpty or ebb.ErrKeyTooLarge.
type Store struct {
	db     *ebb.DB
	prefix string
	opts   []ebb.WriteOption
}

// New returns the sessions of a database whose keys begin with a prefix, which no other use of the database shares. opts go with
// each write: ebb.NoSync for one who can do without the last sessions after a power cut, ebb.Sync for one who cannot, and
// nothing for the policy of the database.
func New(db *ebb.DB, prefix string, opts ...ebb.WriteOption) *Store {
	return &Store{db, prefix, slices.Clone(opts)}
}

func (s *Store) key(token string) []byte {
	if token == "" {
		return nil
	}
	key := make([]byte, 0, 64) // on the stack, as a rule
	return append(append(key, s.prefix...), token...)
}

// absent reports whether an error says that a token has no session.
func absent(err error) bool {
	return errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyEmpty) || errors.Is(err, ebb.ErrKeyTooLarge)
}

// Find returns the data of a session, and false if there is none or it has expired.
func (s *Store) Find(token string) (b []byte, found bool, err error) {
	b, err = s.db.Get(s.key(token))
	switch {
	case absent(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return b, true, nil
}

// Commit stores a session, which expires at expiry. One whose expiry has passed is deleted.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	if expiry.IsZero() { // which is long past here, and no deadline in ebb
		expiry = time.Unix(0, 1)
	}
	opts := make([]ebb.WriteOption, 0, 4)
	return s.db.Put(s.key(token), b, append(append(opts, s.opts...), ebb.ExpireAt(expiry))...)
}

// Delete ends a session. It is no error if there is none.
func (s *Store) Delete(token string) error {
	if err := s.db.Delete(s.key(token), s.opts...); err != nil && !absent(err) {
		return err
	}
	return nil
}

// All returns the data of all sessions that have not expired, by token, as of one moment.
func (s *Store) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

// FindCtx is Find. A context that has ended is an error.
func (s *Store) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	return s.Find(token)
}

// CommitCtx is Commit. A context that has ended is an error; one that ends later does not undo a write.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Commit(token, b, expiry)
}

// DeleteCtx is Delete. A context that has ended is an error; one that ends later does not undo a write.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Delete(token)
}

// AllCtx is All until the context ends.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all := make(map[string][]byte)
	for e, err := range s.db.Range(&ebb.IterOptions{Prefix: []byte(s.prefix)}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if len(e.Key) > len(s.prefix) {
			all[string(e.Key[len(s.prefix):])] = slices.Clone(e.Value)
		}
	}
	return all, nil
}
