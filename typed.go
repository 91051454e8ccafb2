package ebb

import (
	"time"

	"github.com/ebbdb/ebb/codec"
)

// Typed is a keyspace of a database: the keys with a prefix, with keys and values as Go types. Make one with
// NewTyped, as often as convenient. Its methods may be called from any goroutine. Besides its own it has those of
// TypedView, which read.
//
// The errors of a DB come as they are; what does not decode is a *DecodeError.
type Typed[K, V any] struct {
	TypedView[K, V]
	db *DB
}

// NewTyped returns the keyspace of a prefix. The codecs are its format: use the same ones for good.
//
// A keyspace takes every key that begins with its prefix for its own. So no prefix may begin with another one, and
// no key that is used by itself with any of them: let prefixes end in a byte that they do not have elsewhere, as
// "user/" does. The empty prefix makes a keyspace of the whole database, with which no key may encode to nothing.
func NewTyped[K, V any](db *DB, prefix []byte, keys codec.Key[K], values codec.Value[V]) *Typed[K, V] {
	format := &typedFormat[K, V]{prefix: append([]byte(nil), prefix...), keys: keys, values: values}
	return &Typed[K, V]{TypedView[K, V]{format, db}, db}
}

// At returns the keyspace as a snapshot shows it.
func (t *Typed[K, V]) At(s *Snapshot) TypedView[K, V] { return TypedView[K, V]{t.format, s} }

// Put gives a key a value. It takes the options of DB.Put.
func (t *Typed[K, V]) Put(key K, value V, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encode(s, key, value); err != nil {
		return err
	}
	return t.db.Put(s.key, s.value, opts...)
}

// Delete makes a key absent. It takes the options of DB.Delete.
func (t *Typed[K, V]) Delete(key K, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.db.Delete(s.key, opts...)
}

// TTL returns how long a key has left, and 0 if it has no deadline. It is ErrNotFound for an absent key.
func (t *Typed[K, V]) TTL(key K) (time.Duration, error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return 0, err
	}
	return t.db.TTL(s.key)
}

// Expire gives a present key a new deadline, d from now. It is DB.Expire, and takes its options.
func (t *Typed[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.db.Expire(s.key, d, opts...)
}

// GetTouch returns the value of a key and gives the key a new deadline, d from now, in one step. It is DB.GetTouch, and
// takes its options. A value that does not decode has got its deadline all the same.
func (t *Typed[K, V]) GetTouch(key K, d time.Duration, opts ...WriteOption) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	data, err := t.db.GetTouch(s.key, d, opts...)
	if err != nil {
		return value, err
	}
	return t.format.decode(s.key, data)
}
