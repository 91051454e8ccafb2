package ebbds

import (
	"context"
	"errors"

	"github.com/ebbdb/ebb"
	ds "github.com/ipfs/go-datastore"
)

var (
	_ ds.Batch = (*batch)(nil)
	_ ds.Txn   = (*txn)(nil)
	_ ds.TTL   = (*txn)(nil)
)

// batch is a batch, or several where one would be too large.
type batch struct {
	d    *Datastore
	full []*ebb.Batch // before last
	last *ebb.Batch
}

// Batch returns a batch. Commit makes its operations in their order, all at once if all together are not larger than
// ebb.MaxBatchSize. A batch is for one goroutine at a time.
func (d *Datastore) Batch(ctx context.Context) (ds.Batch, error) {
	if err := d.refusal(ctx); err != nil {
		return nil, err
	}
	return &batch{d: d, last: new(ebb.Batch)}, nil
}

// add adds an operation, to the next batch if the last one is full.
func (b *batch) add(op func(*ebb.Batch) error) error {
	err := op(b.last)
	if errors.Is(err, ebb.ErrBatchTooLarge) && b.last.Len() > 0 {
		b.full, b.last = append(b.full, b.last), new(ebb.Batch)
		err = op(b.last)
	}
	return err
}

func (b *batch) Put(ctx context.Context, k ds.Key, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.add(func(to *ebb.Batch) error { return to.Put(b.d.key(k), value) })
}

func (b *batch) Delete(ctx context.Context, k ds.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return deleted(b.add(func(to *ebb.Batch) error { return to.Delete(b.d.key(k)) }))
}

func (b *batch) Commit(ctx context.Context) error {
	for _, each := range append(b.full, b.last) {
		if err := b.d.refusal(ctx); err != nil {
			return err
		}
		if err := b.d.db.Apply(each, ebb.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// txn is a transaction.
type txn struct {
	access
	tx *ebb.Txn
}

// NewTransaction returns a transaction, which sees the datastore as of this moment with its own writes on top. Commit is
// ebb.ErrConflict if something that the transaction has read was written since, also by a query that would find more now. End
// each by Commit or Discard: until then it pins memory and files. A transaction is for one goroutine at a time.
func (d *Datastore) NewTransaction(ctx context.Context, readOnly bool) (ds.Txn, error) {
	if err := d.refusal(ctx); err != nil {
		return nil, err
	}
	tx, err := d.db.Begin(!readOnly)
	if err != nil {
		return nil, err
	}
	return &txn{access{tx, tx, d.prefix, nil, d.closed}, tx}, nil
}

func (t *txn) Commit(ctx context.Context) error {
	if err := t.refusal(ctx); err != nil {
		return err
	}
	return t.tx.Commit(ebb.NoSync)
}

func (t *txn) Discard(context.Context) { t.tx.Discard() }
