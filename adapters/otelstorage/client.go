package otelstorage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

var (
	_ storage.Client = (*handle)(nil)
	_ storage.Walker = (*handle)(nil)
)

// handle is one client of a component. Others of the same component may be open.
type handle struct {
	*client
	closed atomic.Bool
}

// client is the storage of a component: what begins with a prefix.
type client struct {
	db     *ebb.DB
	prefix []byte
	walks  sync.RWMutex // held by Walk, and shared by all that writes: nothing changes beside a walk
}

func (c *client) key(key string) []byte {
	return append(append(make([]byte, 0, 64), c.prefix...), key...)
}

// translated returns an error as the collector knows it.
func translated(err error) error {
	if errors.Is(err, ebb.ErrNoSpace) {
		return fmt.Errorf("%w: %w", storage.ErrStorageFull, err)
	}
	return err
}

func (h *handle) refusal(ctx context.Context) error {
	if h.closed.Load() {
		return ebb.ErrClosed
	}
	return ctx.Err()
}

// Get returns a copy of the value of a key, nil if there is none.
func (h *handle) Get(ctx context.Context, key string) ([]byte, error) {
	if err := h.refusal(ctx); err != nil {
		return nil, err
	}
	value, err := h.db.Get(h.key(key))
	return value, present(err)
}

// present returns the error of a read for which an absent key is none. One that is too long is absent.
func present(err error) error {
	if errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyTooLarge) {
		return nil
	}
	return err
}

// Set gives a key a value.
func (h *handle) Set(ctx context.Context, key string, value []byte) error {
	if err := h.refusal(ctx); err != nil {
		return err
	}
	h.walks.RLock()
	defer h.walks.RUnlock()
	return translated(h.db.Put(h.key(key), value))
}

// Delete takes the value of a key away.
func (h *handle) Delete(ctx context.Context, key string) error {
	if err := h.refusal(ctx); err != nil {
		return err
	}
	h.walks.RLock()
	defer h.walks.RUnlock()
	return translated(deleted(h.db.Delete(h.key(key))))
}

func deleted(err error) error {
	if errors.Is(err, ebb.ErrKeyTooLarge) {
		return nil
	}
	return err
}

// Batch does operations in their order, all or none.
func (h *handle) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if err := h.refusal(ctx); err != nil {
		return err
	}
	h.walks.RLock()
	defer h.walks.RUnlock()
	for _, op := range ops {
		if op.Type == storage.Get {
			return translated(h.db.Update(func(tx *ebb.Txn) error { return h.do(tx, ops) }))
		}
	}
	var b ebb.Batch
	for _, op := range ops {
		var err error
		switch op.Type {
		case storage.Set:
			err = b.Put(h.key(op.Key), op.Value)
		case storage.Delete:
			err = deleted(b.Delete(h.key(op.Key)))
		default:
			err = unknown(op)
		}
		if err != nil {
			return err
		}
	}
	return translated(h.db.Apply(&b))
}

func unknown(op *storage.Operation) error {
	return fmt.Errorf("the operation for key %q has type %d", op.Key, op.Type)
}

// do does operations in a transaction.
func (c *client) do(tx *ebb.Txn, ops []*storage.Operation) error {
	for _, op := range ops {
		var err error
		switch op.Type {
		case storage.Get:
			op.Value, err = tx.Get(c.key(op.Key))
			err = present(err)
		case storage.Set:
			err = tx.Put(c.key(op.Key), op.Value)
		case storage.Delete:
			err = deleted(tx.Delete(c.key(op.Key)))
		default:
			err = unknown(op)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Walk calls fn for all keys in order, and then does the operations that fn has returned, in one transaction. Who writes to the
// storage meanwhile waits; fn must not.
func (h *handle) Walk(ctx context.Context, fn storage.WalkFunc) error {
	if err := h.refusal(ctx); err != nil {
		return err
	}
	h.walks.Lock()
	defer h.walks.Unlock()
	tx, err := h.db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Discard()
	var all []*storage.Operation
	for e, err := range tx.Range(&ebb.IterOptions{Prefix: h.prefix}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		ops, err := fn(string(e.Key[len(h.prefix):]), e.Value)
		if err != nil && !errors.Is(err, storage.SkipAll) {
			return err
		}
		all = append(all, ops...)
		if err != nil {
			break
		}
	}
	if err := h.do(tx, all); err != nil {
		return err
	}
	return translated(tx.Commit())
}

// Close ends the client: later calls return ebb.ErrClosed.
func (h *handle) Close(context.Context) error {
	h.closed.Store(true)
	return nil
}
