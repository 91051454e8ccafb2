package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// maxAttempts is how often Update calls its function.
const maxAttempts = 32

// Update calls fn with a transaction and, if fn returns nil, commits its writes, all at once. It is ebb's own transaction, on
// the state of this node, and takes the options of ebb.DB.Update. If fn returns an error nothing is written, and Update
// returns the error.
//
// Transactions are serializable, on whatever nodes they run. What fn has read is written into the log with what it writes:
// the keys with their versions, absent ones among them, and for each range a digest of the keys and versions in it. Where the
// entry is applied it is checked that fn would read the same there; if not, nothing is written, and fn is called again, 32
// times at most, then the error is ebb.ErrConflict. So a transaction has the effect of having run in its place in the log,
// alone. A transaction that writes nothing, and one whose fn returns an error, has read what a Linearizable View reads: the
// leader it began with is asked again, and if another leads by then fn is called again.
//
// A range that was read is read again by every node that applies the entry: let it be short.
func (db *DB) Update(ctx context.Context, fn func(*ebb.Txn) error, opts ...ebb.WriteOption) error {
	given, err := writeOptions(host.Apply, opts)
	if err != nil {
		return err
	}
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	pause, level := time.Millisecond, Leader
	for range maxAttempts {
		entry, term, said, err := db.attempt(ctx, fn, level)
		if err != nil {
			return db.explain(err)
		}
		if entry == nil {
			if level == Leader {
				// What the leader has written since is nothing that was to be read: this node need not come to that.
				p, err := db.readPointOf(ctx, Linearizable)
				if err != nil {
					return err
				}
				if p.term != term {
					level = Linearizable
					continue
				}
			}
			return db.explain(said)
		}
		r, err := db.client.write(ctx, entry)
		if err != nil {
			return err
		}
		if r.code != codeConflict {
			return r.tell(&given)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", ebb.ErrConflict, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ebb.ErrConflict, ctx.Err())
		case <-time.After(jitter(pause)):
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
	return fmt.Errorf("%w: given up after %d attempts", ebb.ErrConflict, maxAttempts)
}

// errTaken ends the transaction of the database once it was taken apart.
var errTaken = errors.New("taken apart")

// errAgain says that a transaction has begun at a time that is not that of what it has pinned.
var errAgain = errors.New("again")

// attempt runs fn on a state of this node that is no older than the call, at a level. It returns the entry that commits it, or nil
// if fn has written nothing or said an error, and the term of the leader that told how old.
func (db *DB) attempt(ctx context.Context, fn func(*ebb.Txn) error, l ReadOption) (entry []byte, term uint64, said, err error) {
	p, err := db.readable(ctx, []ReadOption{l})
	if err != nil {
		return nil, 0, nil, err
	}
	if p.now != 0 && db.overdue(p.now) {
		if err := db.passTime(ctx); err != nil {
			return nil, 0, nil, err
		}
	}
	m := db.machine
	for {
		state, pubs := m.db.Load(), m.pubs.Load()
		began := false
		err := state.Update(func(tx *ebb.Txn) error {
			if m.pubs.Load() != pubs {
				return errAgain
			}
			began = true
			if said = fn(tx); said != nil {
				return said
			}
			t, err := host.Root.State(tx)
			if err != nil {
				return err
			}
			if entry, err = txnEntry(t); err != nil {
				return err
			}
			return errTaken
		})
		switch {
		case err == errTaken:
			return entry, p.term, nil, nil
		case err == errAgain && !began, errors.Is(err, ebb.ErrClosed) && m.replaced(state):
			if ctx.Err() != nil {
				return nil, 0, nil, ctx.Err()
			}
			said = nil
		case said != nil:
			return nil, p.term, said, nil
		default:
			return nil, 0, nil, err
		}
	}
}

// txnEntry returns the entry of a transaction, nil if it has written nothing.
func txnEntry(t *host.Txn) ([]byte, error) {
	if len(t.Writes)+len(t.Gone) == 0 {
		return nil, nil
	}
	entry := append(appendHeader(nil, &header{kind: kindWrite}), flagBatch)
	entry = appendReads(entry, t.Keys, t.Ranges)
	entry = binary.AppendUvarint(entry, uint64(len(t.Writes)+len(t.Gone)))
	for _, g := range t.Gone {
		o, _, err := rangeOp(g.Start, g.End)
		if err != nil {
			return nil, err
		}
		entry = appendOp(entry, &o)
	}
	for _, w := range t.Writes {
		o := op{kind: opPut, key: w.Key, value: w.Value, life: w.Life, lifeValue: w.LifeValue}
		if w.Delete {
			o = op{kind: opDelete, key: w.Key}
		}
		if isReserved(o.key) {
			return nil, fmt.Errorf("%w: %x", ErrReservedKey, o.key)
		}
		entry = appendOp(entry, &o)
	}
	if len(entry) > maxEntrySize {
		return nil, fmt.Errorf("%w: a transaction of %d bytes, the limit is %d", ErrTooLarge, len(entry), maxEntrySize)
	}
	return entry, nil
}
