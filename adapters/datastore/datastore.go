// Package ebbds is a datastore of github.com/ipfs/go-datastore in an ebb database, with all features that it has an interface
// for: batches, transactions, lifetimes, garbage collection, disk usage, checks.
//
//	store, err := ebbds.Open("dir", nil)
//	err = store.Put(ctx, datastore.NewKey("/peers/1"), value)
package ebbds

import (
	"context"
	"sync/atomic"

	"github.com/ebbdb/ebb"
	ds "github.com/ipfs/go-datastore"
)

var (
	_ ds.Batching            = (*Datastore)(nil)
	_ ds.TTLDatastore        = (*Datastore)(nil)
	_ ds.TxnDatastore        = (*Datastore)(nil)
	_ ds.GCDatastore         = (*Datastore)(nil)
	_ ds.PersistentDatastore = (*Datastore)(nil)
	_ ds.CheckedDatastore    = (*Datastore)(nil)
	_ ds.ScrubbedDatastore   = (*Datastore)(nil)
)

// Datastore is a database, or the part of one under a prefix. Its methods may be called from any goroutine.
//
// Put, Delete and their like survive the death of the process when they return, and a power cut after Sync, as go-datastore
// wants it. The key of a datastore that is too long for one of ebb has no value: reading finds nothing, deleting does nothing,
// and Put is ebb.ErrKeyTooLarge. The zero ds.Key is "/".
//
// A method whose context has ended returns its error and does nothing; a write that is under way is not undone.
type Datastore struct {
	*access
	db    *ebb.DB
	owned bool
}

// Open opens the database in a directory, or makes a new one there. Close closes it. o may be nil.
func Open(dir string, o *ebb.Options) (*Datastore, error) {
	db, err := ebb.Open(dir, o)
	if err != nil {
		return nil, err
	}
	d := New(db, "")
	d.owned = true
	return d, nil
}

// New returns the datastore of a database whose keys begin with a prefix, which no other use of the database shares. Its Close
// leaves the database open.
func New(db *ebb.DB, prefix string) *Datastore {
	return &Datastore{&access{db, db, prefix, []ebb.WriteOption{ebb.NoSync}, new(atomic.Bool)}, db, false}
}

// Close closes the datastore, and the database if Open has opened it. Later calls return ebb.ErrClosed. A second Close does
// nothing.
func (d *Datastore) Close() error {
	if d.closed.Swap(true) || !d.owned {
		return nil
	}
	return d.db.Close()
}

// Sync makes every write that has returned durable, whatever its prefix.
func (d *Datastore) Sync(ctx context.Context, _ ds.Key) error {
	if err := d.refusal(ctx); err != nil {
		return err
	}
	return d.db.Sync()
}

// DiskUsage returns the size of the database's files, in bytes, whatever the prefix.
func (d *Datastore) DiskUsage(ctx context.Context) (uint64, error) {
	if err := d.refusal(ctx); err != nil {
		return 0, err
	}
	return uint64(d.db.Stats().DiskBytes), nil
}

// CollectGarbage frees the space of all that was deleted, replaced or has expired. That is never needed: it is freed by and
// by.
func (d *Datastore) CollectGarbage(ctx context.Context) error {
	if err := d.refusal(ctx); err != nil {
		return err
	}
	return d.db.Compact(ctx)
}

// Check reads all files and verifies their checksums. Damage is an error that matches ebb.ErrCorrupt.
func (d *Datastore) Check(ctx context.Context) error {
	if err := d.refusal(ctx); err != nil {
		return err
	}
	return d.db.Verify(ctx)
}

// Scrub is Check. What is damaged stays: there is no second copy here to correct it from. See "ebb repair".
func (d *Datastore) Scrub(ctx context.Context) error { return d.Check(ctx) }
