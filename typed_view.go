package ebb

import (
	"iter"
	"time"

	"github.com/ebbdb/ebb/codec"
)

// TypedView is a keyspace for reading: see Typed. It reads from the database, a snapshot or a transaction.
type TypedView[K, V any] struct {
	format *typedFormat[K, V]
	from   Reader
}

// TypedEntry is a key with its value, version and deadline in a keyspace.
type TypedEntry[K, V any] struct {
	Key       K
	Value     V
	ValueSize int    // as in Entry: of the encoded value
	Version   uint64 // as in Entry
	Deadline  int64  // as in Entry
}

// typedEntryOf returns an entry without its value.
func typedEntryOf[K, V any](key K, e Entry) TypedEntry[K, V] {
	return TypedEntry[K, V]{Key: key, ValueSize: e.ValueSize, Version: e.Version, Deadline: e.Deadline}
}

// Expires returns the deadline as a time, and false if the entry has none.
func (e TypedEntry[K, V]) Expires() (time.Time, bool) { return Entry{Deadline: e.Deadline}.Expires() }

// TypedRange says which entries of a keyspace a call is about. The zero value, and nil, are all of them. Bounds come from
// its methods, or from those of TypedView that return one:
//
//	users.Range(users.From(5))
//	users.Range(users.Between(5, 9))
type TypedRange[K any] struct {
	Reverse  bool // Range only: from the last to the first
	Limit    int  // Range only: at most so many entries; 0: no limit
	KeysOnly bool // leave values out, which saves copying and decoding them

	start, end *K // nil: no bound
	within     codec.Prefix
}

// From makes start the first key of the range, and returns the range.
func (r *TypedRange[K]) From(start K) *TypedRange[K] {
	r.start = &start
	return r
}

// Before makes end the end of the range, exclusive, and returns the range.
func (r *TypedRange[K]) Before(end K) *TypedRange[K] {
	r.end = &end
	return r
}

// Within limits the range to the keys whose encoding begins with a prefix, and returns the range: see codec.PairKey.First.
func (r *TypedRange[K]) Within(p codec.Prefix) *TypedRange[K] {
	r.within = p
	return r
}

// From returns the range of the keys from start on.
func (v TypedView[K, V]) From(start K) *TypedRange[K] { return new(TypedRange[K]).From(start) }

// Before returns the range of the keys before end.
func (v TypedView[K, V]) Before(end K) *TypedRange[K] { return new(TypedRange[K]).Before(end) }

// Between returns the range of the keys from start up to but not including end.
func (v TypedView[K, V]) Between(start, end K) *TypedRange[K] {
	return new(TypedRange[K]).From(start).Before(end)
}

// Within returns the range of the keys whose encoding begins with a prefix. Use it for the keys with the same first part: if
// the codec of the keyspace is keys := codec.PairOf(...), their range is Within(keys.First(part)).
func (v TypedView[K, V]) Within(p codec.Prefix) *TypedRange[K] { return new(TypedRange[K]).Within(p) }

// Get returns the value of a key, or ErrNotFound. It allocates only what the codecs allocate: nothing, if key and value are
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
	entry = typedEntryOf[K, V](key, e)
	entry.Value, err = v.format.decode(s.key, e.Value)
	return entry, err
}

// Stat is GetEntry without the value, which it does not read. The entry has the size of the encoded value.
func (v TypedView[K, V]) Stat(key K) (TypedEntry[K, V], error) {
	s := v.format.scratch()
	defer v.format.release(s)
	if err := v.format.encodeKey(s, key); err != nil {
		return TypedEntry[K, V]{}, err
	}
	e, err := v.from.Stat(s.key)
	if err != nil {
		return TypedEntry[K, V]{}, err
	}
	return typedEntryOf[K, V](key, e), nil
}

// GetMany returns the values of keys, in the order of the keys, and which of them are present: where present is false the key
// is absent, and its value the zero value. All are looked up as of one moment, which costs less than a Get for each. A value
// that does not decode is a *DecodeError, and then no value is returned.
func (v TypedView[K, V]) GetMany(keys ...K) (values []V, present []bool, err error) {
	s := v.format.scratch()
	defer v.format.release(s)
	s.key = s.key[:0]
	encoded, ends := make([][]byte, len(keys)), make([]int, len(keys))
	for i, key := range keys {
		if s.key, err = v.format.appendKey(s.key, key); err != nil {
			return nil, nil, err
		}
		ends[i] = len(s.key)
	}
	start := 0
	for i, end := range ends { // s.key does not move any more
		encoded[i], start = s.key[start:end:end], end
	}
	raw, err := v.from.GetMany(encoded...)
	if err != nil {
		return nil, nil, err
	}
	values, present = make([]V, len(keys)), make([]bool, len(keys))
	for i, data := range raw {
		if data == nil {
			continue
		}
		if values[i], err = v.format.decode(encoded[i], data); err != nil {
			return nil, nil, err
		}
		present[i] = true
	}
	return values, present, nil
}

// TTL returns how long a key has left, and 0 if it has no deadline. For an absent key the error is ErrNotFound.
func (v TypedView[K, V]) TTL(key K) (time.Duration, error) {
	s := v.format.scratch()
	defer v.format.release(s)
	if err := v.format.encodeKey(s, key); err != nil {
		return 0, err
	}
	return v.from.TTL(s.key)
}

// First returns the first entry that r allows, or ErrNotFound if there is none. r is as for NewIterator.
func (v TypedView[K, V]) First(r *TypedRange[K]) (TypedEntry[K, V], error) {
	return v.outermost(v.from.First, r)
}

// Last returns the last entry that r allows, or ErrNotFound if there is none. r is as for NewIterator.
func (v TypedView[K, V]) Last(r *TypedRange[K]) (TypedEntry[K, V], error) {
	return v.outermost(v.from.Last, r)
}

func (v TypedView[K, V]) outermost(get func(*IterOptions) (Entry, error), r *TypedRange[K]) (TypedEntry[K, V], error) {
	o, err := v.format.bounds(r)
	if err != nil {
		return TypedEntry[K, V]{}, err
	}
	raw, err := get(o)
	if err != nil {
		return TypedEntry[K, V]{}, err
	}
	return v.format.decodeEntry(raw, o.KeysOnly)
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

// NewIterator returns an iterator over the entries that r allows. Close it.
func (v TypedView[K, V]) NewIterator(r *TypedRange[K]) (*TypedIterator[K, V], error) {
	o, err := v.format.bounds(r)
	if err != nil {
		return nil, err
	}
	it, err := v.from.NewIterator(o)
	if err != nil {
		return nil, err
	}
	return &TypedIterator[K, V]{format: v.format, it: it, keysOnly: o.KeysOnly}, nil
}

// TypedIterator is an Iterator over a keyspace: it walks the present keys in order, as of the moment it was made. It is for
// one goroutine. Close it: it pins memory and files.
//
// A new iterator stands on no entry. The moves return whether the iterator stands on an entry; after false, Err tells an end
// from a failure. An entry that does not decode does not end the walk.
type TypedIterator[K, V any] struct {
	format   *typedFormat[K, V]
	it       *Iterator
	keysOnly bool
	err      error // of a key that does not encode
}

// First moves to the first entry.
func (t *TypedIterator[K, V]) First() bool { return t.err == nil && t.it.First() }

// Last moves to the last entry.
func (t *TypedIterator[K, V]) Last() bool { return t.err == nil && t.it.Last() }

// Seek moves to the first entry whose key is key or after it.
func (t *TypedIterator[K, V]) Seek(key K) bool { return t.seek(key, t.it.Seek) }

// SeekBefore moves to the last entry whose key is before key.
func (t *TypedIterator[K, V]) SeekBefore(key K) bool { return t.seek(key, t.it.SeekBefore) }

func (t *TypedIterator[K, V]) seek(key K, move func([]byte) bool) bool {
	if t.err != nil {
		return false
	}
	s := t.format.scratch()
	defer t.format.release(s)
	if t.err = t.format.encodeKey(s, key); t.err != nil {
		return false
	}
	return move(s.key)
}

// Next moves to the next entry. The iterator must stand on an entry.
func (t *TypedIterator[K, V]) Next() bool { return t.err == nil && t.it.Next() }

// Prev moves to the entry before. The iterator must stand on an entry.
func (t *TypedIterator[K, V]) Prev() bool { return t.err == nil && t.it.Prev() }

// Valid reports whether the iterator stands on an entry.
func (t *TypedIterator[K, V]) Valid() bool { return t.err == nil && t.it.Valid() }

// Key returns the key that the iterator stands on, a *DecodeError, or ErrNotFound if it stands on no entry.
func (t *TypedIterator[K, V]) Key() (K, error) {
	e, err := t.entry(true)
	return e.Key, err
}

// Entry returns the entry that the iterator stands on, a *DecodeError, or ErrNotFound if it stands on no entry.
func (t *TypedIterator[K, V]) Entry() (TypedEntry[K, V], error) { return t.entry(t.keysOnly) }

func (t *TypedIterator[K, V]) entry(keyOnly bool) (TypedEntry[K, V], error) {
	if !t.it.Valid() {
		return TypedEntry[K, V]{}, ErrNotFound
	}
	return t.format.decodeEntry(t.it.Entry(), keyOnly)
}

// Err returns the error that ended the walk early, nil if there is none. It returns the same after Close.
func (t *TypedIterator[K, V]) Err() error {
	if t.err != nil {
		return t.err
	}
	return t.it.Err()
}

// Close unpins the memory and the files of the iterator. Closing it again does nothing.
func (t *TypedIterator[K, V]) Close() { t.it.Close() }
