package ebb

import (
	"iter"
	"time"
)

// TypedView is a keyspace for reading: see Typed. What it reads is the database, a snapshot or a transaction.
type TypedView[K, V any] struct {
	format *typedFormat[K, V]
	from   typedSource
}

// typedSource is a *DB, a *Snapshot or a *Txn.
type typedSource interface {
	AppendGet(dst, key []byte) ([]byte, error)
	GetEntry(key []byte) (Entry, error)
	Has(key []byte) (bool, error)
	Range(*IterOptions) iter.Seq2[Entry, error]
}

// TypedEntry is a key with what a keyspace holds for it.
type TypedEntry[K, V any] struct {
	Key      K
	Value    V
	Version  uint64 // as in Entry
	Deadline int64  // as in Entry
}

// Expires returns the deadline as a time, and false if there is none.
func (e TypedEntry[K, V]) Expires() (time.Time, bool) { return Entry{Deadline: e.Deadline}.Expires() }

// TypedRange says which entries TypedView.Range shows. The zero value, and nil, are all of the keyspace.
type TypedRange[K any] struct {
	Start    *K   // the first key, inclusive; nil: from the beginning
	End      *K   // the end, exclusive; nil: to the end
	Reverse  bool // from the last to the first
	Limit    int  // at most so many entries; 0: no limit
	KeysOnly bool // leave values out, which saves copying and decoding them
}

// Get returns the value of a key, or ErrNotFound. It allocates what the codecs do: nothing, if key and value are
// numbers.
func (v TypedView[K, V]) Get(key K) (value V, err error) {
	s := v.format.scratch()
	defer v.format.release(s)
	if err := v.format.encodeKey(s, key); err != nil {
		return value, err
	}
	if s.value, err = v.from.AppendGet(s.value, s.key); err != nil {
		return value, err
	}
	return v.format.decode(s.key, s.value)
}

// GetEntry returns the value of a key with its version and deadline, or ErrNotFound.
func (v TypedView[K, V]) GetEntry(key K) (entry TypedEntry[K, V], err error) {
	s := v.format.scratch()
	defer v.format.release(s)
	if err := v.format.encodeKey(s, key); err != nil {
		return entry, err
	}
	e, err := v.from.GetEntry(s.key)
	if err != nil {
		return entry, err
	}
	entry = TypedEntry[K, V]{Key: key, Version: e.Version, Deadline: e.Deadline}
	entry.Value, err = v.format.decode(s.key, e.Value)
	return entry, err
}

// Has reports whether a key is present. It does not read the value.
func (v TypedView[K, V]) Has(key K) (bool, error) {
	s := v.format.scratch()
	defer v.format.release(s)
	if err := v.format.encodeKey(s, key); err != nil {
		return false, err
	}
	return v.from.Has(s.key)
}

// Range returns the entries that r allows in the order of their keys, as of the moment the loop begins. Nothing needs
// closing. An entry that does not decode comes with a *DecodeError, and the loop may go on to the next; any other error
// is the last.
func (v TypedView[K, V]) Range(r *TypedRange[K]) iter.Seq2[TypedEntry[K, V], error] {
	return func(yield func(TypedEntry[K, V], error) bool) {
		o, err := v.format.bounds(r)
		if err != nil {
			yield(TypedEntry[K, V]{}, err)
			return
		}
		for raw, err := range v.from.Range(o) {
			var e TypedEntry[K, V]
			if err == nil {
				e, err = v.format.decodeEntry(raw, o.KeysOnly)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
