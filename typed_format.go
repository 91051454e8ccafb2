package ebb

import (
	"fmt"
	"sync"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/kv"
)

// DecodeError says that what a database holds for a key does not decode: the keyspace was written with other codecs, or
// somebody else's keys begin with its prefix. The codec's error is in its chain.
type DecodeError struct {
	Key []byte // with the prefix
	Err error
}

// Error names the key.
func (e *DecodeError) Error() string { return fmt.Sprintf("ebb: decode %.64q: %v", e.Key, e.Err) }

// Unwrap returns what was wrong.
func (e *DecodeError) Unwrap() error { return e.Err }

// typedFormat is how a keyspace looks in the database: each key is the prefix and the encoded key.
type typedFormat[K, V any] struct {
	prefix []byte
	keys   codec.Key[K]
	values codec.Value[V]
	pool   sync.Pool // of *typedScratch
}

// typedScratch holds a key and a value encoded. It is on the heap because codecs and sources, being interfaces,
// would move it there for every call.
type typedScratch struct{ key, value []byte }

func (f *typedFormat[K, V]) scratch() *typedScratch {
	if s, ok := f.pool.Get().(*typedScratch); ok {
		return s
	}
	return new(typedScratch)
}

func (f *typedFormat[K, V]) release(s *typedScratch) {
	const keep = 64 << 10 // a rare huge value should not pin its size for good
	if cap(s.value) > keep {
		s.value = nil
	}
	s.key, s.value = s.key[:0], s.value[:0]
	f.pool.Put(s)
}

// encode sets s to a key and a value.
func (f *typedFormat[K, V]) encode(s *typedScratch, key K, value V) error {
	if err := f.encodeKey(s, key); err != nil {
		return err
	}
	data, err := f.values.Append(s.value[:0], value)
	if err != nil {
		return fmt.Errorf("ebb: encode the value of %.64q: %w", s.key, err)
	}
	s.value = data
	return nil
}

// encodeKey sets s to a key, without a value.
func (f *typedFormat[K, V]) encodeKey(s *typedScratch, key K) error {
	data, err := f.appendKey(s.key[:0], key)
	if err == nil {
		s.key, s.value = data, s.value[:0]
	}
	return err
}

func (f *typedFormat[K, V]) appendKey(dst []byte, key K) ([]byte, error) {
	dst, err := f.keys.Append(append(dst, f.prefix...), key)
	if err != nil {
		return nil, fmt.Errorf("ebb: encode a key of %.64q: %w", f.prefix, err)
	}
	return dst, nil
}

// decode returns the value of a key.
func (f *typedFormat[K, V]) decode(key, data []byte) (V, error) {
	value, err := f.values.Decode(data)
	if err != nil {
		err = &DecodeError{append([]byte(nil), key...), fmt.Errorf("value: %w", err)}
	}
	return value, err
}

// decodeEntry returns an entry, whose key has the prefix. If only the value does not decode it has all the rest.
func (f *typedFormat[K, V]) decodeEntry(raw Entry, keysOnly bool) (TypedEntry[K, V], error) {
	key, err := f.keys.Decode(raw.Key[len(f.prefix):])
	if err != nil {
		return TypedEntry[K, V]{}, &DecodeError{append([]byte(nil), raw.Key...), fmt.Errorf("key: %w", err)}
	}
	e := TypedEntry[K, V]{Key: key, Version: raw.Version, Deadline: raw.Deadline}
	if !keysOnly {
		e.Value, err = f.decode(raw.Key, raw.Value)
	}
	return e, err
}

// decodeChange returns a change, whose key has the prefix. What does not decode is left out.
func (f *typedFormat[K, V]) decodeChange(raw Change) (TypedChange[K, V], error) {
	c := TypedChange[K, V]{Kind: raw.Kind, Seq: raw.Seq, Version: raw.Version, Deadline: raw.Deadline, More: raw.More}
	c.format, c.raw = f, raw
	if raw.Kind == ChangeDeleteRange || raw.Kind == ChangeGap {
		return c, nil
	}
	e, err := f.decodeEntry(Entry{Key: raw.Key, Value: raw.Value}, raw.Kind != ChangePut)
	c.Key, c.Value = e.Key, e.Value
	return c, err
}

// rangeOf returns the encoded bounds of a range of which all goes. A nil end is none.
func (f *typedFormat[K, V]) rangeOf(r *TypedRange[K]) (start, end []byte, err error) {
	o, err := f.bounds(r)
	switch {
	case err != nil:
		return nil, nil, err
	case o.Reverse:
		return nil, nil, invalid("Reverse", o.Reverse, "false where all of a range goes")
	case o.Limit != 0:
		return nil, nil, invalid("Limit", o.Limit, "0 where all of a range goes")
	case o.KeysOnly:
		return nil, nil, invalid("KeysOnly", o.KeysOnly, "false where all of a range goes")
	}
	start, end = o.Start, o.End
	if kv.Compare(o.Prefix, start) > 0 {
		start = o.Prefix
	}
	if behind := PrefixEnd(o.Prefix); end == nil || behind != nil && kv.Compare(behind, end) < 0 {
		end = behind
	}
	return start, end, nil
}

// bounds returns a range in encoded keys. Keys with other prefixes are never in it.
func (f *typedFormat[K, V]) bounds(r *TypedRange[K]) (*IterOptions, error) {
	if r == nil {
		return &IterOptions{Prefix: f.prefix}, nil
	}
	o := &IterOptions{Reverse: r.Reverse, Limit: r.Limit, KeysOnly: r.KeysOnly}
	var err error
	if o.Prefix, err = r.within.Append(f.prefix[:len(f.prefix):len(f.prefix)]); err != nil {
		return nil, fmt.Errorf("ebb: encode the first part of a key: %w", err)
	}
	if r.start != nil {
		if o.Start, err = f.appendKey(nil, *r.start); err != nil {
			return nil, err
		}
	}
	if r.end != nil {
		// Not nil even if it is empty, which is the end before all keys.
		o.End, err = f.appendKey([]byte{}, *r.end)
	}
	return o, err
}
