package ebb

// TypedTxn is a keyspace in a transaction: see Typed. Besides its own methods it has those of TypedView, which read.
// It is for one goroutine, and for as long as the transaction.
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
	return t.tx.Put(s.key, s.value, opts...)
}

// Delete makes a key absent.
func (t TypedTxn[K, V]) Delete(key K) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.tx.Delete(s.key)
}

// Update gives a key the value that fn makes of the one it has, or of none, when present is false. Nothing else is
// written to the key in between. If fn returns an error nothing is written, and Update returns it. fn may be called
// several times: it is a transaction, see DB.Update. It takes the options of Txn.Put and of DB.Update.
func (t *Typed[K, V]) Update(key K, fn func(old V, present bool) (V, error), opts ...WriteOption) error {
	if _, err := parseOptions(opts, deadlineOptions|keepOption|commonOptions); err != nil {
		return err
	}
	var ofPut, ofUpdate []WriteOption
	for _, o := range opts {
		if commonOptions.has(o.kind) {
			ofUpdate = append(ofUpdate, o)
		} else {
			ofPut = append(ofPut, o)
		}
	}
	return t.db.Update(func(tx *Txn) error {
		in := t.In(tx)
		old, err := in.Get(key)
		if err != nil && err != ErrNotFound {
			return err
		}
		value, err := fn(old, err == nil)
		if err != nil {
			return err
		}
		return in.Put(key, value, ofPut...)
	}, ofUpdate...)
}
