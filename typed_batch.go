package ebb

import "time"

// TypedBatch is a keyspace in a batch: see Typed. What it adds goes to the batch, which several keyspaces may share, and
// which DB.Apply makes. It is for one goroutine, as the batch is.
type TypedBatch[K, V any] struct {
	format *typedFormat[K, V]
	batch  *Batch
}

// Batch returns the keyspace for adding to a batch.
func (t *Typed[K, V]) Batch(b *Batch) TypedBatch[K, V] { return TypedBatch[K, V]{t.format, b} }

// Put adds a put. It takes the options of Batch.Put.
func (t TypedBatch[K, V]) Put(key K, value V, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encode(s, key, value); err != nil {
		return err
	}
	return t.batch.Put(s.key, s.value, t.format.withLife(s, opts)...)
}

// Delete adds a delete. It takes the options of Batch.Delete.
func (t TypedBatch[K, V]) Delete(key K, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.batch.Delete(s.key, opts...)
}

// DeleteRange adds a delete of the keys of a range; nil is the whole keyspace. It is Batch.DeleteRange. A range with Reverse,
// Limit or KeysOnly, which mean nothing here, is ErrInvalidOptions.
func (t TypedBatch[K, V]) DeleteRange(r *TypedRange[K]) error {
	start, end, err := t.format.rangeOf(r)
	if err != nil {
		return err
	}
	return t.batch.DeleteRange(start, end)
}

// Expire adds that a key gets a new deadline, d from Apply. It is Batch.Expire, and takes the same options.
func (t TypedBatch[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.batch.Expire(s.key, d, opts...)
}

// Persist adds that a key loses its deadline. It is Batch.Persist, and takes the same options.
func (t TypedBatch[K, V]) Persist(key K, opts ...WriteOption) error { return t.Expire(key, 0, opts...) }
