package ebb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/kv"
)

// Index is a secondary index of a keyspace: it finds entries by what a function makes of them, their index keys. An entry may
// have none, one or several. Make one with NewIndex or NewUniqueIndex; Indexed keeps it. Its methods may be called from any
// goroutine. The methods that read are those of IndexView, each as of one moment.
//
// In the database each index key of an entry is a row: the index's prefix, the index key, the entry's key, and no value. It is
// written together with the entry and has its deadline. A read takes a row only if the entry is there and has that index key: so
// whatever deletes entries, a row that is left shows nothing.
type Index[K, V, I any] struct {
	IndexView[K, V, I]
}

// NewIndex returns an index of a keyspace. Its rows are the keys that begin with prefix, for which holds what NewTyped says of
// prefixes; keys is their format. The function of returns the index keys of an entry, in any order. It is called for the same
// entry again and again, as that is read, from any goroutine, and must return the same; if what it returns has changed since the
// entry was written, call Indexed.Reindex. If it panics, the write or read that has called it fails with ErrIndexFunction, and
// nothing else.
func NewIndex[K, V, I any](t *Typed[K, V], prefix []byte, keys codec.Key[I], of func(K, V) []I) *Index[K, V, I] {
	return newIndex(t, prefix, keys, of, false)
}

// NewUniqueIndex is NewIndex for index keys of which each has one entry at most: a write of a second one is ErrNotUnique.
func NewUniqueIndex[K, V, I any](t *Typed[K, V], prefix []byte, keys codec.Key[I], of func(K, V) []I) *Index[K, V, I] {
	return newIndex(t, prefix, keys, of, true)
}

func newIndex[K, V, I any](t *Typed[K, V], prefix []byte, keys codec.Key[I], of func(K, V) []I, unique bool) *Index[K, V, I] {
	f := &indexFormat[K, V, I]{entries: t.format, prefix: slices.Clone(prefix), keys: codec.PairOf(keys, t.format.keys), of: of,
		unique: unique}
	return &Index[K, V, I]{IndexView[K, V, I]{f, t.db}}
}

// At returns the index as a snapshot shows it.
func (x *Index[K, V, I]) At(s *Snapshot) IndexView[K, V, I] { return IndexView[K, V, I]{x.format, s} }

// In returns the index as a transaction sees it, with the transaction's own writes.
func (x *Index[K, V, I]) In(tx *Txn) IndexView[K, V, I] { return IndexView[K, V, I]{x.format, tx} }

// AnyIndex is an Index of a keyspace, whatever its index keys are.
type AnyIndex[K, V any] interface{ rows() rowFormat[K, V] }

func (x *Index[K, V, I]) rows() rowFormat[K, V] { return x.format }

// UniqueError says which index key two entries would have. It matches ErrNotUnique.
type UniqueError struct {
	Index []byte // the prefix of the index
	Key   any    // the index key
}

// Error returns a text with the index and the key.
func (e *UniqueError) Error() string {
	return fmt.Sprintf("%v: index %q, key %.64q", ErrNotUnique, e.Index, fmt.Sprint(e.Key))
}

// Unwrap returns ErrNotUnique.
func (e *UniqueError) Unwrap() error { return ErrNotUnique }

// IndexView is an index for reading: see Index. It reads from the database, a snapshot or a transaction.
type IndexView[K, V, I any] struct {
	format *indexFormat[K, V, I]
	from   Reader
}

// IndexEntry is an entry of a keyspace with the index key by which it was found.
type IndexEntry[K, V, I any] struct {
	IndexKey I
	TypedEntry[K, V]
}

// Only returns the range of one index key.
func (v IndexView[K, V, I]) Only(key I) *TypedRange[I] {
	return new(TypedRange[I]).Within(v.format.keys.First(key))
}

// From returns the range of the index keys from start on.
func (v IndexView[K, V, I]) From(start I) *TypedRange[I] { return new(TypedRange[I]).From(start) }

// Before returns the range of the index keys before end.
func (v IndexView[K, V, I]) Before(end I) *TypedRange[I] { return new(TypedRange[I]).Before(end) }

// Between returns the range of the index keys from start up to but not including end.
func (v IndexView[K, V, I]) Between(start, end I) *TypedRange[I] {
	return new(TypedRange[I]).From(start).Before(end)
}

// Get returns the first entry, by its key, that has an index key, or ErrNotFound.
func (v IndexView[K, V, I]) Get(key I) (TypedEntry[K, V], error) {
	for e, err := range v.Range(v.Only(key)) {
		return e.TypedEntry, err
	}
	return TypedEntry[K, V]{}, ErrNotFound
}

// Range returns the entries whose index keys r allows, by index key and those with the same one by key, as of the moment the
// loop begins; nil is all. An entry comes once for each of its index keys. Each costs a look-up beside the step of the index, as
// its value is read to tell that it still has the index key; so KeysOnly is ErrInvalidOptions. An error is the last.
func (v IndexView[K, V, I]) Range(r *TypedRange[I]) iter.Seq2[IndexEntry[K, V, I], error] {
	return func(yield func(IndexEntry[K, V, I], error) bool) {
		from := v.from
		if db, ok := from.(*DB); ok { // rows and entries as of one moment
			s, err := db.Snapshot()
			if err != nil {
				yield(IndexEntry[K, V, I]{}, err)
				return
			}
			defer s.Close()
			from = s
		}
		if err := v.format.find(from, r, yield); err != nil {
			yield(IndexEntry[K, V, I]{}, err)
		}
	}
}

// indexFormat is the encoding of an index in the database.
type indexFormat[K, V, I any] struct {
	entries *typedFormat[K, V]
	prefix  []byte
	keys    codec.PairKey[I, K]
	of      func(K, V) []I
	unique  bool
}

// rowFormat is an indexFormat, whatever its index keys are.
type rowFormat[K, V any] interface {
	base() (entries *typedFormat[K, V], prefix []byte)
	rowsOf(key K, value V) ([]indexRow, error)
	checkUnique(tx *Txn, rows []indexRow) error
	stands(from Reader, row []byte) (bool, error)
}

// indexRow is the key of a row. The first bytes of it are those of all rows with the same index key.
type indexRow struct {
	key   []byte
	first int
}

func (f *indexFormat[K, V, I]) base() (*typedFormat[K, V], []byte) { return f.entries, f.prefix }

// rowsOf returns the rows that an entry has: none of them is too long for a key.
func (f *indexFormat[K, V, I]) rowsOf(key K, value V) ([]indexRow, error) {
	indexKeys, err := f.indexKeys(key, value)
	if err != nil {
		return nil, err
	}
	rows := make([]indexRow, 0, len(indexKeys))
	for _, k := range indexKeys {
		row := indexRow{key: slices.Clone(f.prefix)}
		if row.key, err = f.keys.First(k).Append(row.key); err == nil {
			row.first = len(row.key)
			row.key, err = f.entries.keys.Append(row.key, key)
		}
		if err == nil {
			err = checkKey(row.key)
		}
		if err != nil {
			return nil, fmt.Errorf("ebb: index %.64q: %w", f.prefix, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// indexKeys calls the function, which is not ours.
func (f *indexFormat[K, V, I]) indexKeys(key K, value V) (keys []I, err error) {
	defer func() {
		if r := recover(); r != nil {
			keys, err = nil, fmt.Errorf("%w: index %.64q: %v", ErrIndexFunction, f.prefix, r)
		}
	}()
	return f.of(key, value), nil
}

// checkUnique refuses rows whose index keys other entries have. The transaction conflicts with whoever gives one such a key.
func (f *indexFormat[K, V, I]) checkUnique(tx *Txn, rows []indexRow) error {
	if !f.unique {
		return nil
	}
	for _, mine := range rows {
		for row, err := range tx.Range(&IterOptions{Prefix: mine.key[:mine.first], KeysOnly: true}) {
			if err != nil {
				return err
			}
			if kv.Compare(row.Key, mine.key) == 0 {
				continue
			}
			e, stands, err := f.entryOf(tx, row.Key)
			if err != nil {
				return err
			}
			if stands {
				return &UniqueError{slices.Clone(f.prefix), e.IndexKey}
			}
		}
	}
	return nil
}

func (f *indexFormat[K, V, I]) stands(from Reader, row []byte) (bool, error) {
	_, stands, err := f.entryOf(from, row)
	return stands, err
}

// entryOf returns the entry that a row leads to. stands is false if there is none, or if it has another index key by now.
func (f *indexFormat[K, V, I]) entryOf(from Reader, row []byte) (e IndexEntry[K, V, I], stands bool, err error) {
	pair, err := f.keys.Decode(row[len(f.prefix):])
	if err != nil {
		return e, false, &DecodeError{slices.Clone(row), fmt.Errorf("row of an index: %w", err)}
	}
	e.IndexKey = pair.First
	e.TypedEntry, err = TypedView[K, V]{f.entries, from}.GetEntry(pair.Second)
	if err == ErrNotFound {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	rows, err := f.rowsOf(pair.Second, e.Value)
	return e, slices.ContainsFunc(rows, func(r indexRow) bool { return kv.Compare(r.key, row) == 0 }), err
}

// find yields the entries that r allows, without an error, until yield is false.
func (f *indexFormat[K, V, I]) find(from Reader, r *TypedRange[I], yield func(IndexEntry[K, V, I], error) bool) error {
	o, limit, err := f.bounds(r)
	if err != nil {
		return err
	}
	for row, err := range from.Range(o) {
		if err != nil {
			return err
		}
		e, stands, err := f.entryOf(from, row.Key)
		if err != nil {
			return err
		}
		if !stands {
			continue
		}
		if limit--; !yield(e, nil) || limit == 0 {
			return nil
		}
	}
	return nil
}

// bounds returns a range of index keys in rows. The limit, 0 for none, counts entries, which may be fewer than the rows.
func (f *indexFormat[K, V, I]) bounds(r *TypedRange[I]) (o *IterOptions, limit int, err error) {
	if r == nil {
		r = &TypedRange[I]{}
	}
	o = &IterOptions{Reverse: r.Reverse, KeysOnly: true, Limit: r.Limit}
	if err := o.check(false); err != nil {
		return nil, 0, err
	}
	if o.Limit = 0; r.KeysOnly {
		return nil, 0, invalid("KeysOnly", true, "false for an index, which has to read the values")
	}
	bound := func(p codec.Prefix) []byte {
		b, berr := p.Append(slices.Clone(f.prefix))
		err = errors.Join(err, berr)
		return b
	}
	o.Prefix = bound(r.within)
	if r.start != nil {
		o.Start = bound(f.keys.First(*r.start))
	}
	if r.end != nil {
		o.End = bound(f.keys.First(*r.end))
	}
	if err != nil {
		return nil, 0, fmt.Errorf("ebb: index %.64q: encode a bound: %w", f.prefix, err)
	}
	return o, r.Limit, nil
}

// IndexReport says whether a keyspace and its indexes agree: whether Missing and Stale are 0.
type IndexReport struct {
	Entries uint64 // of the keyspace
	Rows    uint64 // of all indexes
	Missing uint64 // rows that entries should have and do not, or not with the same deadline
	Stale   uint64 // rows that lead to no entry: no read shows them, and Reindex deletes them
}

// CheckIndexes compares the keyspace with its indexes, as of one moment, and reads all of both. An entry or row that does not
// decode is a *DecodeError, which ends it.
func (x *Indexed[K, V]) CheckIndexes(ctx context.Context) (r IndexReport, err error) {
	s, err := x.db.Snapshot()
	if err != nil {
		return r, err
	}
	defer s.Close()
	for e, err := range x.At(s).Range(nil) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return r, err
		}
		rows, err := x.rowsOf(nil, e.Key, e.Value)
		if err != nil {
			return r, err
		}
		r.Entries++
		for _, row := range rows {
			have, err := s.Stat(row.key)
			if err != nil && err != ErrNotFound {
				return r, err
			}
			if err != nil || have.Deadline != e.Deadline {
				r.Missing++
			}
		}
	}
	for _, f := range x.indexes {
		_, prefix := f.base()
		for row, err := range s.Range(&IterOptions{Prefix: prefix, KeysOnly: true}) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return r, err
			}
			stands, err := f.stands(s, row.Key)
			if err != nil {
				return r, err
			}
			if r.Rows++; !stands {
				r.Stale++
			}
		}
	}
	return r, nil
}
