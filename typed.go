package ebb

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/flight"
	"github.com/ebbdb/ebb/internal/kv"
)

// Typed is a keyspace of a database: the keys with a prefix, with keys and values as Go types. Make one with NewTyped, as
// often as convenient. Its methods may be called from any goroutine. The methods that read are those of TypedView.
//
// The errors of a DB come as they are. A key or value that does not decode is a *DecodeError. For secondary indexes see Indexed.
type Typed[K, V any] struct {
	TypedView[K, V]
	db    *DB
	loads *flight.Group[flight.Result[V]]
}

// NewTyped returns the keyspace of a prefix. The codecs are its format: use the same ones for good.
//
// A keyspace takes every key that begins with its prefix for its own. So no prefix may begin with the prefix of another
// keyspace, and no key outside of keyspaces may begin with any prefix. Let prefixes end in a byte that they do not have
// elsewhere, as "user/" does. The empty prefix makes a keyspace of the whole database: then no key may encode to nothing.
//
// The options are those of this Typed, and not written down: others of the same keyspace may have others.
func NewTyped[K, V any](db *DB, prefix []byte, keys codec.Key[K], values codec.Value[V], opts ...TypedOption) *Typed[K, V] {
	format := &typedFormat[K, V]{prefix: append([]byte(nil), prefix...), keys: keys, values: values}
	for _, o := range opts {
		format.life = o.life
	}
	return &Typed[K, V]{TypedView[K, V]{format, db}, db, flight.New[flight.Result[V]](loadPanic)}
}

// TypedOption is an option of NewTyped.
type TypedOption struct{ life time.Duration }

// DefaultTTL makes keys expire after d that are put without a word about their deadline: by Put, CompareAndSwap and Update, in
// batches and transactions too, and by the first Add to a counter. TTL and ExpireAt win, TTL(0) among them, which is no
// deadline, and so does KeepTTL, which gives a new key none. A d of 0 or less is no default.
func DefaultTTL(d time.Duration) TypedOption { return TypedOption{max(d, 0)} }

// At returns the keyspace as a snapshot shows it.
func (t *Typed[K, V]) At(s *Snapshot) TypedView[K, V] { return TypedView[K, V]{t.format, s} }

// Put gives a key a value. It takes the options of DB.Put.
func (t *Typed[K, V]) Put(key K, value V, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encode(s, key, value); err != nil {
		return err
	}
	return t.db.Put(s.key, s.value, t.format.withLife(s, opts)...)
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

// DeleteRange makes the keys of a range absent, at the cost of one record however many keys it has; nil is the whole
// keyspace. It is DB.DeleteRange, and takes the same options. A range with Reverse, Limit or KeysOnly, which mean nothing
// here, is ErrInvalidOptions.
func (t *Typed[K, V]) DeleteRange(r *TypedRange[K], opts ...WriteOption) error {
	start, end, err := t.format.rangeOf(r)
	if err != nil {
		return err
	}
	return t.db.DeleteRange(start, end, opts...)
}

// Expire gives a present key a new deadline, d from now. It is DB.Expire, and takes the same options.
func (t *Typed[K, V]) Expire(key K, d time.Duration, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.db.Expire(s.key, d, opts...)
}

// Persist takes the deadline of a present key away. It is DB.Persist, and takes the same options.
func (t *Typed[K, V]) Persist(key K, opts ...WriteOption) error {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return err
	}
	return t.db.Persist(s.key, opts...)
}

// CompareAndSwap replaces the value of a key by new if the encoded value is that of old, and reports whether it did. It is
// DB.CompareAndSwap, and takes the same options.
func (t *Typed[K, V]) CompareAndSwap(key K, old, new V, opts ...WriteOption) (swapped bool, err error) {
	s, was := t.format.scratch(), t.format.scratch()
	defer t.format.release(s)
	defer t.format.release(was)
	if err := t.format.encode(s, key, new); err != nil {
		return false, err
	}
	if err := t.format.encode(was, key, old); err != nil {
		return false, err
	}
	return t.db.CompareAndSwap(s.key, was.value, s.value, t.format.withLife(s, opts)...)
}

// Add adds delta to a counter and returns the sum. It is DB.Add, and takes the same options. The codec of the keyspace's
// values must be codec.Counter: with any other the error is ErrNotCounter, whatever value the key has.
func (t *Typed[K, V]) Add(key K, delta int64, opts ...WriteOption) (int64, error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeCounter(s, key); err != nil {
		return 0, err
	}
	return t.db.Add(s.key, delta, t.format.withLife(s, opts)...)
}

// GetTouch returns the value of a key and gives the key a new deadline, d from now, in one step. It is DB.GetTouch, and
// takes the same options. If the value does not decode, the key has got the deadline all the same.
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

// Take deletes a key and returns the value that it had, in one step. It is DB.Take, and takes the same options. A value that
// does not decode is deleted all the same.
func (t *Typed[K, V]) Take(key K, opts ...WriteOption) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	data, err := t.db.Take(s.key, opts...)
	if err != nil {
		return value, err
	}
	return t.format.decode(s.key, data)
}

// TypedChange is one change of a keyspace. For its fields see Change.
type TypedChange[K, V any] struct {
	Kind     ChangeKind
	Key      K // of a put, a delete, an expiry
	Value    V // of a put
	Seq      uint64
	Version  uint64
	Deadline int64
	More     bool

	format *typedFormat[K, V]
	raw    Change
}

// Covers reports whether the change may concern key: it is of key itself, or of a deleted range with key in it, or it is a
// gap or an eviction, which may concern every key. Covers may be called until the loop goes on to the next change.
func (c *TypedChange[K, V]) Covers(key K) (bool, error) {
	if c.Kind == ChangeGap || c.Kind == ChangeEvict {
		return true, nil
	}
	s := c.format.scratch()
	defer c.format.release(s)
	if err := c.format.encodeKey(s, key); err != nil {
		return false, err
	}
	if c.Kind == ChangeDeleteRange {
		return kv.Compare(c.raw.Key, s.key) <= 0 && kv.Compare(s.key, c.raw.End) < 0, nil
	}
	return kv.Compare(c.raw.Key, s.key) == 0, nil
}

// Watch returns the changes of the keyspace as DB.Watch does, and waits for more. A Prefix of the options is
// ErrInvalidOptions: the keyspace has its own. A change that does not decode comes with a *DecodeError, and the loop may go
// on to the next; any other error is the last.
func (t *Typed[K, V]) Watch(ctx context.Context, o *WatchOptions) iter.Seq2[TypedChange[K, V], error] {
	of := WatchOptions{Prefix: t.format.prefix}
	var refused error
	if o != nil {
		if len(o.Prefix) > 0 {
			refused = invalid("Prefix", fmt.Sprintf("%.64q", o.Prefix), "none: the keyspace has its own")
		}
		of.From = o.From
	}
	changes := t.db.Watch(ctx, &of) // called now: without From it begins with the next change
	return func(yield func(TypedChange[K, V], error) bool) {
		if refused != nil {
			yield(TypedChange[K, V]{}, refused)
			return
		}
		for raw, err := range changes {
			var c TypedChange[K, V]
			if err == nil {
				c, err = t.format.decodeChange(raw)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// DecodeError says that a key or value in the database does not decode: the keyspace was written with other codecs, or keys
// of another use begin with its prefix. The codec's error is in the error's chain.
type DecodeError struct {
	Key []byte // with the prefix
	Err error
}

// Error returns a text with the key and the codec's error.
func (e *DecodeError) Error() string { return fmt.Sprintf("ebb: decode %.64q: %v", e.Key, e.Err) }

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// typedFormat is the encoding of a keyspace in the database: each key is the prefix and the encoded key.
type typedFormat[K, V any] struct {
	prefix []byte
	keys   codec.Key[K]
	values codec.Value[V]
	life   time.Duration // of DefaultTTL; 0: none
	pool   sync.Pool     // of *typedScratch
}

// typedScratch holds an encoded key and an encoded value. It is pooled: codecs and sources are interfaces, which would move
// a local one to the heap with every call.
type typedScratch struct {
	key, value []byte
	opts       []WriteOption // of withLife
}

// withLife returns the options of a put, with the default life if they say nothing about the deadline.
func (f *typedFormat[K, V]) withLife(s *typedScratch, opts []WriteOption) []WriteOption {
	if f.life == 0 {
		return opts
	}
	for _, o := range opts {
		if (deadlineOptions | keepOption).has(o.kind) {
			return opts
		}
	}
	s.opts = append(append(s.opts[:0], opts...), TTL(f.life))
	return s.opts
}

func (f *typedFormat[K, V]) scratch() *typedScratch {
	if s, ok := f.pool.Get().(*typedScratch); ok {
		return s
	}
	return new(typedScratch)
}

func (f *typedFormat[K, V]) release(s *typedScratch) {
	const keep = 64 << 10 // a rare huge value, or the keys of a rare long GetMany, should not pin their size for good
	if cap(s.value) > keep {
		s.value = nil
	}
	if cap(s.key) > keep {
		s.key = nil
	}
	clear(s.opts)
	s.key, s.value, s.opts = s.key[:0], s.value[:0], s.opts[:0]
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

// encodeCounter is encodeKey for a keyspace that must be one of counters.
func (f *typedFormat[K, V]) encodeCounter(s *typedScratch, key K) error {
	if any(f.values) != any(codec.Counter()) {
		return fmt.Errorf("%w: the values of the keyspace are not those of codec.Counter", ErrNotCounter)
	}
	return f.encodeKey(s, key)
}

func (f *typedFormat[K, V]) appendKey(dst []byte, key K) ([]byte, error) {
	dst, err := f.keys.Append(append(dst, f.prefix...), key)
	if err != nil {
		return nil, fmt.Errorf("ebb: encode a key of %.64q: %w", f.prefix, err)
	}
	return dst, nil
}

// decode returns a decoded value. key is for the error.
func (f *typedFormat[K, V]) decode(key, data []byte) (V, error) {
	value, err := f.values.Decode(data)
	if err != nil {
		err = &DecodeError{append([]byte(nil), key...), fmt.Errorf("value: %w", err)}
	}
	return value, err
}

// decodeEntry returns a decoded entry. The key of raw begins with the prefix. If only the value does not decode, the entry
// has all other fields.
func (f *typedFormat[K, V]) decodeEntry(raw Entry, keysOnly bool) (TypedEntry[K, V], error) {
	key, err := f.keys.Decode(raw.Key[len(f.prefix):])
	if err != nil {
		return TypedEntry[K, V]{}, &DecodeError{append([]byte(nil), raw.Key...), fmt.Errorf("key: %w", err)}
	}
	e := typedEntryOf[K, V](key, raw)
	if !keysOnly {
		e.Value, err = f.decode(raw.Key, raw.Value)
	}
	return e, err
}

// decodeChange returns a decoded change. The key of raw begins with the prefix. A key or value that does not decode is left
// out.
func (f *typedFormat[K, V]) decodeChange(raw Change) (TypedChange[K, V], error) {
	c := TypedChange[K, V]{Kind: raw.Kind, Seq: raw.Seq, Version: raw.Version, Deadline: raw.Deadline, More: raw.More}
	c.format, c.raw = f, raw
	if raw.Kind == ChangeDeleteRange || raw.Kind == ChangeGap || raw.Kind == ChangeEvict {
		return c, nil
	}
	e, err := f.decodeEntry(Entry{Key: raw.Key, Value: raw.Value}, raw.Kind != ChangePut)
	c.Key, c.Value = e.Key, e.Value
	return c, err
}

// rangeOf returns the encoded bounds of a range to delete. A nil end is no bound.
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
		// An empty end must not be nil: empty is a bound before all keys, nil is no bound.
		o.End, err = f.appendKey([]byte{}, *r.end)
	}
	return o, err
}
