package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebbdb/ebb/internal/flight"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// Indexed is a keyspace with secondary indexes: what it writes is in the indexes when the write returns, and after a crash
// exactly if the write is there. Its methods may be called from any goroutine. The methods that read are those of TypedView.
//
// Write to an indexed keyspace through Indexed alone: what a Typed, a Batch or the DB puts under its prefix is not found by the
// indexes before Reindex. What they delete is no longer found. Each write is a transaction that reads the entry which it
// replaces, as DB.Update is; so it costs what that costs, and may be ErrConflict.
type Indexed[K, V any] struct {
	TypedView[K, V]
	db      *DB
	indexes []rowFormat[K, V]
	loads   *flight.Group[flight.Result[V]]
}

// NewIndexed returns a keyspace with its indexes, all of which have to be those of t. If t has entries already, call Reindex
// once. No prefix may begin with another one: that, no index and an index of another keyspace are ErrInvalidOptions.
func NewIndexed[K, V any](t *Typed[K, V], indexes ...AnyIndex[K, V]) (*Indexed[K, V], error) {
	x := &Indexed[K, V]{TypedView: t.TypedView, db: t.db, loads: flight.New[flight.Result[V]](loadPanic)}
	prefixes := [][]byte{t.format.prefix}
	for _, index := range indexes {
		f := index.rows()
		entries, prefix := f.base()
		if entries != t.format {
			return nil, invalid("index", fmt.Sprintf("%.64q of another keyspace", prefix), "those that were made with this Typed")
		}
		for _, other := range prefixes {
			if bytes.HasPrefix(prefix, other) || bytes.HasPrefix(other, prefix) {
				return nil, invalid("prefix", fmt.Sprintf("%.64q", prefix), fmt.Sprintf("one apart from %.64q", other))
			}
		}
		prefixes, x.indexes = append(prefixes, prefix), append(x.indexes, f)
	}
	if len(indexes) == 0 {
		return nil, invalid("indexes", "none", "one or more")
	}
	return x, nil
}

// At returns the keyspace as a snapshot shows it.
func (x *Indexed[K, V]) At(s *Snapshot) TypedView[K, V] { return TypedView[K, V]{x.format, s} }

// In returns the keyspace as a transaction of DB.Update sees and changes it.
func (x *Indexed[K, V]) In(tx *Txn) IndexedTxn[K, V] {
	return IndexedTxn[K, V]{TypedView[K, V]{x.format, tx}, x, tx}
}

// Put gives a key a value. It takes the options of Txn.Put, but for FoundTo, and of DB.Update. An index key that is another
// entry's in a unique index is ErrNotUnique.
func (x *Indexed[K, V]) Put(key K, value V, opts ...WriteOption) error {
	return x.update(opts, deadlineOptions|keepOption, func(in IndexedTxn[K, V], opts []WriteOption) error {
		return in.Put(key, value, opts...)
	})
}

// Update gives a key the value that fn returns: see Typed.Update. It takes the options of Put.
func (x *Indexed[K, V]) Update(key K, fn func(old V, present bool) (V, error), opts ...WriteOption) error {
	return x.update(opts, deadlineOptions|keepOption, func(in IndexedTxn[K, V], opts []WriteOption) error {
		return replaceIn(in, key, fn, opts)
	})
}

// Delete makes a key absent. It takes the options of DB.Update.
func (x *Indexed[K, V]) Delete(key K, opts ...WriteOption) error {
	return x.update(opts, 0, func(in IndexedTxn[K, V], _ []WriteOption) error { return in.Delete(key) })
}

// DeleteRange makes the keys of a range absent; nil is the whole keyspace. It takes the options of DB.Update. The whole keyspace
// costs one record for it and each index; a range is read, and its rows are deleted one by one.
func (x *Indexed[K, V]) DeleteRange(r *TypedRange[K], opts ...WriteOption) error {
	return x.update(opts, 0, func(in IndexedTxn[K, V], _ []WriteOption) error { return in.DeleteRange(r) })
}

// Take deletes a key and returns the value that it had, in one step. It takes the options of DB.Update.
func (x *Indexed[K, V]) Take(key K, opts ...WriteOption) (value V, err error) {
	err = x.update(opts, 0, func(in IndexedTxn[K, V], _ []WriteOption) (err error) {
		value, err = in.Take(key)
		return err
	})
	return value, err
}

// Expire gives a present key a new deadline, d from now. It takes the options of Txn.Expire and of DB.Update.
func (x *Indexed[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	return x.update(opts, touchConditions, func(in IndexedTxn[K, V], opts []WriteOption) error {
		return in.Expire(key, d, opts...)
	})
}

// Persist takes the deadline of a present key away. It takes the options of Expire.
func (x *Indexed[K, V]) Persist(key K, opts ...WriteOption) error { return x.Expire(key, 0, opts...) }

// GetTouch returns the value of a key and gives the key a new deadline, d from now, in one step. It takes the options of Expire.
func (x *Indexed[K, V]) GetTouch(key K, d time.Duration, opts ...WriteOption) (value V, err error) {
	err = x.update(opts, touchConditions, func(in IndexedTxn[K, V], opts []WriteOption) (err error) {
		value, err = in.GetTouch(key, d, opts...)
		return err
	})
	return value, err
}

// update is DB.Update with those of the options that are allowed for a write in the transaction.
func (x *Indexed[K, V]) update(opts []WriteOption, allowed optionSet, fn func(IndexedTxn[K, V], []WriteOption) error) error {
	if _, err := parseOptions(opts, allowed|commonOptions); err != nil {
		return err
	}
	ofWrite, ofUpdate := splitOptions(opts)
	return x.db.Update(func(tx *Txn) error { return fn(x.In(tx), ofWrite) }, ofUpdate...)
}

// splitOptions returns the options of a write in a transaction, and those of the transaction.
func splitOptions(opts []WriteOption) (ofWrite, ofUpdate []WriteOption) {
	for _, o := range opts {
		if commonOptions.has(o.kind) {
			ofUpdate = append(ofUpdate, o)
		} else {
			ofWrite = append(ofWrite, o)
		}
	}
	return ofWrite, ofUpdate
}

// IndexedTxn is an indexed keyspace in a transaction: see Indexed. The methods that read are those of TypedView. It is for one
// goroutine, and valid as long as the transaction is. After ErrBatchTooLarge do not commit the transaction: a row may be missing.
type IndexedTxn[K, V any] struct {
	TypedView[K, V]
	x  *Indexed[K, V]
	tx *Txn
}

// Put gives a key a value. It takes the options of Txn.Put, but for FoundTo. Nothing has changed after ErrNotUnique.
func (t IndexedTxn[K, V]) Put(key K, value V, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encode(s, key, value); err != nil {
		return err
	}
	if err := checkEntry(s.key, s.value); err != nil {
		return err
	}
	g, err := parseOptions(t.format.withLife(s, opts), deadlineOptions|keepOption)
	if err != nil {
		return err
	}
	if value, err = t.format.decode(s.key, s.value); err != nil { // what reads will have: a codec may leave something out
		return err
	}
	rows, err := t.x.rowsOf(t.tx, key, value)
	if err != nil {
		return err
	}
	old, err := t.look(s.key, key)
	if err != nil {
		return err
	}
	if g.ttl.kind == optionKeepTTL {
		g.ttl = t.tx.kept(s.key, old.found, &old.entry)
	}
	if err := t.delete(old.rows); err != nil { // and then those that stay are written
		return err
	}
	if err := t.putRows(rows, g.ttl); err != nil {
		return err
	}
	return t.tx.write(s.key, s.value, kv.Put, g.ttl)
}

// Delete makes a key absent.
func (t IndexedTxn[K, V]) Delete(key K) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	old, err := t.look(s.key, key)
	if err != nil {
		return err
	}
	return errors.Join(t.tx.Delete(s.key), t.delete(old.rows))
}

// DeleteRange makes the keys of a range absent; nil is the whole keyspace. It costs what Indexed.DeleteRange does.
func (t IndexedTxn[K, V]) DeleteRange(r *TypedRange[K]) error {
	start, end, err := t.format.rangeOf(r)
	if err != nil {
		return err
	}
	if r == nil {
		for _, f := range t.x.indexes {
			_, prefix := f.base()
			err = errors.Join(err, t.tx.DeletePrefix(prefix))
		}
		return errors.Join(err, t.tx.DeleteRange(start, end))
	}
	for raw, err := range t.tx.Range(&IterOptions{Start: start, End: end}) {
		if err != nil {
			return err
		}
		if e, err := t.format.decodeEntry(raw, false); err == nil { // else no index shows it
			if err := t.delete(t.x.rowsKnown(e.Key, e.Value)); err != nil {
				return err
			}
		}
	}
	return t.tx.DeleteRange(start, end)
}

// Take deletes a key and returns the value that it had. For an absent key the error is ErrNotFound.
func (t IndexedTxn[K, V]) Take(key K) (value V, err error) {
	if value, err = t.Get(key); err != nil {
		return value, err
	}
	return value, t.Delete(key)
}

// Expire gives a present key a new deadline, d from the commit. It is Txn.Expire, and takes the same options.
func (t IndexedTxn[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	_, err := t.GetTouch(key, d, opts...)
	return err
}

// Persist takes the deadline of a present key away. For an absent key the error is ErrNotFound.
func (t IndexedTxn[K, V]) Persist(key K) error { return t.Expire(key, 0) }

// GetTouch returns the value of a key and gives the key a new deadline, d from the commit. It is Txn.GetTouch, and takes the same
// options.
func (t IndexedTxn[K, V]) GetTouch(key K, d time.Duration, opts ...WriteOption) (value V, err error) {
	if value, err = t.Get(key); err != nil {
		return value, err
	}
	rows, err := t.x.rowsOf(nil, key, value)
	if err != nil {
		return value, err
	}
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	if err := t.tx.Expire(s.key, d, opts...); err != nil {
		return value, err
	}
	return value, t.putRows(rows, TTL(d))
}

// oldEntry is what a write replaces.
type oldEntry struct {
	entry kv.Entry
	found bool
	rows  []indexRow
}

// look returns the entry that a key has.
func (t IndexedTxn[K, V]) look(encoded []byte, key K) (old oldEntry, err error) {
	data, found, err := t.tx.look(encoded, lsm.WithValue, &old.entry)
	if old.found = found; err != nil || !found {
		return old, err
	}
	if value, err := t.format.decode(encoded, data); err == nil { // else no index shows it
		old.rows = t.x.rowsKnown(key, value)
	}
	return old, nil
}

func (t IndexedTxn[K, V]) putRows(rows []indexRow, ttl WriteOption) error {
	for _, r := range rows {
		if err := t.tx.write(r.key, nil, kv.Put, ttl); err != nil {
			return err
		}
	}
	return nil
}

func (t IndexedTxn[K, V]) delete(rows []indexRow) error {
	for _, r := range rows {
		if err := t.tx.Delete(r.key); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf returns the rows of an entry in all indexes. With a transaction, those of a unique index must not be another entry's.
func (x *Indexed[K, V]) rowsOf(tx *Txn, key K, value V) (rows []indexRow, err error) {
	for _, f := range x.indexes {
		list, err := f.rowsOf(key, value)
		if err == nil && tx != nil {
			err = f.checkUnique(tx, list)
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, list...)
	}
	return rows, nil
}

// rowsKnown returns the rows of an entry that is to go. Rows that an index cannot tell stay: they show nothing.
func (x *Indexed[K, V]) rowsKnown(key K, value V) (rows []indexRow) {
	for _, f := range x.indexes {
		list, _ := f.rowsOf(key, value)
		rows = append(rows, list...)
	}
	return rows
}

// reindexStep is how many entries or rows one transaction of Reindex looks at.
const reindexStep = 128

// Reindex writes the rows that entries lack and deletes those that lead to no entry: after an index was declared for a keyspace
// that has entries, after its function has changed, or after the keyspace was written to by other means. It works in small
// transactions, beside reads and writes, and may be called again after an error or a crash. Two entries with the same key of
// a unique index are ErrNotUnique, and an entry that does not decode is a *DecodeError: these end it.
func (x *Indexed[K, V]) Reindex(ctx context.Context) error {
	err := x.steps(ctx, x.format.prefix, func(tx *Txn, key []byte) error {
		var old kv.Entry
		data, found, err := tx.look(key, lsm.WithValue, &old)
		if err != nil || !found {
			return err
		}
		e, err := x.format.decodeEntry(Entry{Key: key, Value: data}, false)
		if err != nil {
			return err
		}
		rows, err := x.rowsOf(tx, e.Key, e.Value)
		if err != nil {
			return err
		}
		return x.In(tx).putRows(rows, tx.kept(key, true, &old))
	})
	for _, f := range x.indexes {
		if err != nil {
			return err
		}
		_, prefix := f.base()
		err = x.steps(ctx, prefix, func(tx *Txn, row []byte) error {
			stands, err := f.stands(tx, row)
			if err == nil && !stands {
				err = tx.Delete(row)
			}
			return err
		})
	}
	return err
}

// steps calls fn with each key that has a prefix, several in one transaction.
func (x *Indexed[K, V]) steps(ctx context.Context, prefix []byte, fn func(tx *Txn, key []byte) error) error {
	for start := prefix; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var keys [][]byte
		for e, err := range x.db.Range(&IterOptions{Prefix: prefix, Start: start, Limit: reindexStep, KeysOnly: true}) {
			if err != nil {
				return err
			}
			keys = append(keys, slices.Clone(e.Key))
		}
		err := x.db.Update(func(tx *Txn) error {
			for _, key := range keys {
				if err := fn(tx, key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(keys) < reindexStep {
			return err
		}
		start = append(keys[len(keys)-1], 0)
	}
}
