package ebb

import (
	"iter"
	"time"
)

// Reader is what a DB, a Snapshot and a Txn have in common: they read in the same way, a DB as of the moment of each call, the
// others as of one moment. So a function that only reads can take any of them.
type Reader interface {
	// Get returns a copy of the value of a key, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// AppendGet appends the value of a key to dst and returns the extended slice, or dst and ErrNotFound.
	AppendGet(dst, key []byte) ([]byte, error)
	// GetMany returns the values of keys, nil for each that is absent: see DB.GetMany.
	GetMany(keys ...[]byte) ([][]byte, error)
	// GetEntry returns the value of a key with its version and deadline, or ErrNotFound.
	GetEntry(key []byte) (Entry, error)
	// Stat is GetEntry without the value, of which it tells the size.
	Stat(key []byte) (Entry, error)
	// Has reports whether a key is present.
	Has(key []byte) (bool, error)
	// TTL returns how long a key has left, 0 if it has no deadline, or ErrNotFound.
	TTL(key []byte) (time.Duration, error)
	// First returns the first entry that o allows, Last the last one, or ErrNotFound if there is none: see DB.First.
	First(o *IterOptions) (Entry, error)
	Last(o *IterOptions) (Entry, error)
	// Range returns the entries that o allows, in order.
	Range(o *IterOptions) iter.Seq2[Entry, error]
	// Count returns how many entries o allows: see DB.Count.
	Count(o *IterOptions) (int, error)
	// EstimateCount and EstimateSize return about how many entries o allows, and the bytes of their keys and values, without
	// reading them: see DB.EstimateCount.
	EstimateCount(o *IterOptions) (int, error)
	EstimateSize(o *IterOptions) (int64, error)
	// NewIterator returns an iterator over the entries that o allows. Close it.
	NewIterator(o *IterOptions) (*Iterator, error)
}

var (
	_ Reader = (*DB)(nil)
	_ Reader = (*Snapshot)(nil)
	_ Reader = (*Txn)(nil)
)
