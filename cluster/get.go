package cluster

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/kv"
)

// Get returns a copy of the value of a key, or ebb.ErrNotFound.
func (db *DB) Get(ctx context.Context, key []byte, opts ...ReadOption) ([]byte, error) {
	e, err := db.GetEntry(ctx, key, opts...)
	return e.Value, err
}

// GetEntry returns the value of a key, as a copy, with its version and deadline, or ebb.ErrNotFound. Versions are the same on
// every node.
func (db *DB) GetEntry(ctx context.Context, key []byte, opts ...ReadOption) (ebb.Entry, error) {
	return db.get(ctx, key, (*ebb.DB).GetEntry, opts)
}

// Stat is GetEntry without the value, of which the entry has the size.
func (db *DB) Stat(ctx context.Context, key []byte, opts ...ReadOption) (ebb.Entry, error) {
	return db.get(ctx, key, (*ebb.DB).Stat, opts)
}

// Has reports whether a key is present.
func (db *DB) Has(ctx context.Context, key []byte, opts ...ReadOption) (bool, error) {
	_, err := db.Stat(ctx, key, opts...)
	if errors.Is(err, ebb.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// TTL returns how long a key has left, by the time in the log, and 0 if it has no deadline. It is ebb.ErrNotFound for an
// absent key.
func (db *DB) TTL(ctx context.Context, key []byte, opts ...ReadOption) (time.Duration, error) {
	e, err := db.Stat(ctx, key, opts...)
	if err != nil || e.Deadline == 0 {
		return 0, err
	}
	return max(time.Duration(e.Deadline-db.machine.time.Load())*time.Millisecond, time.Millisecond), nil
}

// get reads a key. What is past its deadline by the leader's clock, but not in the log yet, is made so.
func (db *DB) get(ctx context.Context, key []byte, read func(*ebb.DB, []byte) (ebb.Entry, error), opts []ReadOption) (ebb.Entry,
	error) {
	if err := checkEntry(key, nil); err != nil {
		return ebb.Entry{}, err
	}
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	for {
		p, err := db.readable(ctx, opts)
		if err != nil {
			return ebb.Entry{}, err
		}
		e, err := db.getLocal(key, read)
		if err != nil || p.now == 0 || !kv.Expired(e.Deadline, p.now) {
			return e, db.explain(err)
		}
		if err := db.passTime(ctx); err != nil {
			return ebb.Entry{}, err
		}
	}
}

// getLocal reads a key in the state of this node. That it is absent counts only if no time was published meanwhile: see
// consistent.
func (db *DB) getLocal(key []byte, read func(*ebb.DB, []byte) (ebb.Entry, error)) (ebb.Entry, error) {
	m := db.machine
	for {
		state, pubs := m.db.Load(), m.pubs.Load()
		e, err := read(state, key)
		switch {
		case err == nil:
			return e, nil
		case errors.Is(err, ebb.ErrClosed) && m.replaced(state):
		case !errors.Is(err, ebb.ErrNotFound) || m.pubs.Load() == pubs:
			return e, err
		}
	}
}

// explain translates the error of a state that was closed.
func (db *DB) explain(err error) error {
	if errors.Is(err, ebb.ErrClosed) {
		if err := db.refusal(); err != nil {
			return err
		}
	}
	return err
}

// passTime has time pass in the log, and is seen here.
func (db *DB) passTime(ctx context.Context) error {
	_, _, err := db.client.propose(ctx, appendHeader(nil, &header{kind: kindTick}))
	if err != nil {
		return err
	}
	_, err = db.readable(ctx, nil)
	return err
}

// Range returns the entries that o allows in the order of their keys, as of one moment. Nothing needs closing. An error is
// the last pair. Slices are as those of ebb.DB.Range.
func (db *DB) Range(ctx context.Context, o *ebb.IterOptions, opts ...ReadOption) iter.Seq2[ebb.Entry, error] {
	return func(yield func(ebb.Entry, error) bool) {
		err := db.View(ctx, func(tx *ebb.Txn) error {
			for e, err := range tx.Range(o) {
				if err != nil {
					return err
				}
				if !yield(e, nil) {
					return errLeft
				}
			}
			return nil
		}, opts...)
		if err != nil && err != errLeft {
			yield(ebb.Entry{}, err)
		}
	}
}

var errLeft = errors.New("loop left")

// View calls fn with a transaction that only reads: the state at one moment, on this node, at least as new as the level says.
// It is ebb's own transaction. View returns the error of fn. On a node that gets a snapshot meanwhile fn may meet
// ebb.ErrClosed.
func (db *DB) View(ctx context.Context, fn func(*ebb.Txn) error, opts ...ReadOption) error {
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	p, err := db.readable(ctx, opts)
	if err != nil {
		return err
	}
	if p.now != 0 && db.overdue(p.now) {
		if err := db.passTime(ctx); err != nil {
			return err
		}
	}
	tx, err := consistent(db.machine, func(state *ebb.DB) (*ebb.Txn, error) { return state.Begin(false) }, (*ebb.Txn).Discard)
	if err != nil {
		return db.explain(err)
	}
	defer tx.Discard()
	return db.explain(fn(tx))
}

// overdue reports whether something is past its deadline by the leader's clock, and not in the log.
func (db *DB) overdue(now int64) bool { return db.machine.due.past(now, db.machine.db.Load()) }
