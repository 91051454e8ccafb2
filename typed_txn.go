package ebb

import (
	"time"
)

// TypedTxn is a keyspace in a transaction: see Typed. The methods that read are those of TypedView. It is for one goroutine,
// and valid as long as the transaction is.
type TypedTxn[K, V any] struct {
	TypedView[K, V]
	tx *Txn
}

// In returns the keyspace as a transaction of DB.View or DB.Update sees and changes it.
func (t *Typed[K, V]) In(tx *Txn) TypedTxn[K, V] {
	return TypedTxn[K, V]{TypedView[K, V]{t.format, tx}, tx}
}

// Put gives a key a value. It takes the options of Txn.Put.
func (t TypedTxn[K, V]) Put(key K, value V, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encode(s, key, value); err != nil {
		return err
	}
	return t.tx.Put(s.key, s.value, t.format.withLife(s, opts)...)
}

// Delete makes a key absent. It takes the options of Txn.Delete.
func (t TypedTxn[K, V]) Delete(key K, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.tx.Delete(s.key, opts...)
}

// DeleteRange makes the keys of a range absent; nil is the whole keyspace. It is Txn.DeleteRange. A range with Reverse, Limit or
// KeysOnly, which mean nothing here, is ErrInvalidOptions.
func (t TypedTxn[K, V]) DeleteRange(r *TypedRange[K]) error {
	start, end, err := t.format.rangeOf(r)
	if err != nil {
		return err
	}
	return t.tx.DeleteRange(start, end)
}

// Take deletes a key and returns the value that it had. It is Txn.Take. A value that does not decode is deleted all the same.
func (t TypedTxn[K, V]) Take(key K) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	data, err := t.tx.Take(s.key)
	if err != nil {
		return value, err
	}
	return t.format.decode(s.key, data)
}

// Expire gives a present key a new deadline, d from the commit. It is Txn.Expire, and takes the same options.
func (t TypedTxn[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.tx.Expire(s.key, d, opts...)
}

// Persist takes the deadline of a present key away. It is Txn.Persist.
func (t TypedTxn[K, V]) Persist(key K) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.tx.Persist(s.key)
}

// GetTouch returns the value of a key and gives the key a new deadline, d from the commit. It is Txn.GetTouch, and takes the
// same options. If the value does not decode, the key has got the deadline all the same.
func (t TypedTxn[K, V]) GetTouch(key K, d time.Duration, opts ...WriteOption) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	data, err := t.tx.GetTouch(s.key, d, opts...)
	if err != nil {
		return value, err
	}
	return t.format.decode(s.key, data)
}

// Add adds delta to a counter and returns the sum. It is Txn.Add, and takes the same options. The codec of the keyspace's
// values must be codec.Counter: see Typed.Add.
func (t TypedTxn[K, V]) Add(key K, delta int64, opts ...WriteOption) (int64, error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeCounter(s, key); err != nil {
		return 0, err
	}
	return t.tx.Add(s.key, delta, t.format.withLife(s, opts)...)
}

// Update gives a key the value that fn returns. fn gets the value that the key has; present is false if the key is absent.
// No other write to the key comes in between. If fn returns an error, nothing is written and Update returns the error. fn
// may be called several times: Update is a transaction, see DB.Update. It takes the options of Txn.Put but FoundTo, and those of
// DB.Update.
func (t *Typed[K, V]) Update(key K, fn func(old V, present bool) (V, error), opts ...WriteOption) error {
	if _, err := parseOptions(opts, deadlineOptions|keepOption|commonOptions); err != nil {
		return err
	}
	ofPut, ofUpdate := splitOptions(opts)
	return t.db.Update(func(tx *Txn) error {
		return replaceIn(t.In(tx), key, fn, ofPut)
	}, ofUpdate...)
}

// getPutter is a keyspace in a transaction, with indexes or not.
type getPutter[K, V any] interface {
	Get(key K) (V, error)
	Put(key K, value V, opts ...WriteOption) error
}

// replaceIn is Update in a transaction.
func replaceIn[K, V any](in getPutter[K, V], key K, fn func(old V, present bool) (V, error), opts []WriteOption) error {
	old, err := in.Get(key)
	if err != nil && err != ErrNotFound {
		return err
	}
	value, err := fn(old, err == nil)
	if err != nil {
		return err
	}
	return in.Put(key, value, opts...)
}
