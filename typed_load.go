package ebb

import (
	"context"
	"errors"
	"time"

	"github.com/ebbdb/ebb/internal/flight"
	"github.com/ebbdb/ebb/internal/known"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// LoadOption is an option of Typed.GetOrLoad. It is a small value: making one allocates nothing.
type LoadOption struct {
	jitter   float64
	stale    time.Duration
	negative time.Duration
}

// LoadJitter shortens the life of what is loaded by a random part of it, up to part, from 0 to 1: so that what was loaded
// together does not expire together. Without it a life is as long as was asked for.
func LoadJitter(part float64) LoadOption { return LoadOption{jitter: min(max(part, 0), 1)} }

// LoadStale keeps what is loaded for d longer than its life. Who asks for it in that time gets it at once, and the first who
// does has it loaded anew in the background. If that fails nobody is told, and the next who asks has it tried again, until the
// value expires. The deadline that other reads tell is that at the end of d.
func LoadStale(d time.Duration) LoadOption { return LoadOption{stale: max(d, 0)} }

// LoadNegative remembers for d that there is no value: that a load has returned ErrNotFound, or an error with that in its chain.
// Who asks for the key in that time with LoadNegative gets that error at once, from whichever Typed of the database. A put of
// the key ends it, and so does a delete, of an absent key too: it says, as for a value, that the source has changed. A refresh of
// LoadStale that finds no value deletes the old one. LoadJitter shortens d as well.
//
// It is remembered in memory alone, in a part of Options.Memory, which is enough for some 14,000 keys by default; of more the
// oldest are forgotten.
func LoadNegative(d time.Duration) LoadOption { return LoadOption{negative: max(d, 0)} }

// join returns what several options say.
func join(opts []LoadOption) (all LoadOption) {
	for _, o := range opts {
		all.jitter = max(all.jitter, o.jitter)
		all.stale = max(all.stale, o.stale)
		all.negative = max(all.negative, o.negative)
	}
	return all
}

// GetOrLoad returns the value of a key. If the key is absent it calls load, stores the value that load returns for the time ttl,
// and returns that. A ttl of 0 is the keyspace's DefaultTTL, or no deadline; with a negative one nothing is stored.
//
// All who ask this Typed for a key at a time wait for one load, which runs in a goroutine of its own. Who asks may leave: when
// ctx ends GetOrLoad returns its cause, and the load goes on for the others. The context of load has the values of that of the
// first who asked. It ends when all have left, and when the database is closed. A load may take as long as it likes: it pins no
// memory and no files.
//
// An error of load comes to all who wait as it is, and a panic as a *LoadPanicError. Neither stores anything: see LoadNegative.
//
// If the key was put or deleted after load was called, what it returns is not stored: what was put is returned, or load is
// called again. After three calls the last value is returned and not stored. Who asks after a Delete has returned never gets
// what was loaded before it.
//
// What was loaded could be loaded again, so nobody waits for the disk: it is stored with NoSync. If it cannot be stored, the
// error comes with the value. A hit allocates nothing beside Get.
//
// The indexes of a keyspace are not told: see Indexed.GetOrLoad.
func (t *Typed[K, V]) GetOrLoad(ctx context.Context, key K, ttl time.Duration,
	load func(ctx context.Context, key K) (V, error), opts ...LoadOption) (V, error) {
	l := valueLoader[K, V]{t.TypedView, t.db, t.loads, t}
	return l.get(ctx, key, ttl, load, opts)
}

// GetOrLoad is Typed.GetOrLoad with the indexes told. All who ask this Indexed wait for one load. A value that the indexes refuse
// comes with their error.
func (x *Indexed[K, V]) GetOrLoad(ctx context.Context, key K, ttl time.Duration,
	load func(ctx context.Context, key K) (V, error), opts ...LoadOption) (V, error) {
	l := valueLoader[K, V]{x.TypedView, x.db, x.loads, x}
	return l.get(ctx, key, ttl, load, opts)
}

// valueLoader is what loads values of a keyspace.
type valueLoader[K, V any] struct {
	TypedView[K, V]
	db    *DB
	loads *flight.Group[flight.Result[V]]
	to    loaded[K, V]
}

// loaded is what takes what was loaded: a Typed or an Indexed.
type loaded[K, V any] interface {
	putIn(tx *Txn, key K, value V, ttl WriteOption) error
	deleteIn(tx *Txn, key K) error
}

func (t *Typed[K, V]) putIn(tx *Txn, key K, value V, ttl WriteOption) error {
	return t.In(tx).Put(key, value, ttl)
}

func (t *Typed[K, V]) deleteIn(tx *Txn, key K) error { return t.In(tx).Delete(key) }

func (x *Indexed[K, V]) putIn(tx *Txn, key K, value V, ttl WriteOption) error {
	return x.In(tx).Put(key, value, ttl)
}

func (x *Indexed[K, V]) deleteIn(tx *Txn, key K) error { return x.In(tx).Delete(key) }

func (t *valueLoader[K, V]) get(ctx context.Context, key K, ttl time.Duration,
	load func(ctx context.Context, key K) (V, error), opts []LoadOption) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	var e kv.Entry
	s.value, err = t.db.get(s.value, s.key, lsm.WithValue, &e)
	if err != nil && err != ErrNotFound {
		return value, err
	}
	var o LoadOption
	if len(opts) > 0 {
		o = join(opts)
	}
	if err == nil {
		value, err = t.format.decode(s.key, s.value)
		if err == nil && t.old(e.Deadline, o.stale) {
			t.loads.Start(ctx, s.key, t.loading(key, ttl, load, o).run)
		}
		return value, err
	}
	if err := t.remembered(s.key, o); err != nil {
		return value, err
	}
	return t.wait(ctx, s.key, t.loading(key, ttl, load, o))
}

// remembered returns the error of a load that has found a key to be nowhere, nil if nobody remembers that, or it was not asked
// for.
func (t *valueLoader[K, V]) remembered(key []byte, o LoadOption) error {
	if o.negative == 0 {
		return nil
	}
	return t.db.pipeline.trail.known.Get(key, t.db.clock.Now())
}

// loading is a load of one key.
type loading[K, V any] struct {
	valueLoader[K, V]
	LoadOption
	key K
	fn  func(context.Context, K) (V, error)
	ttl time.Duration
}

func (t *valueLoader[K, V]) loading(key K, ttl time.Duration, fn func(context.Context, K) (V, error),
	o LoadOption) *loading[K, V] {
	if ttl == 0 {
		ttl = t.format.life
	}
	return &loading[K, V]{*t, o, key, fn, ttl}
}

// wait waits for a load. No answer is one that may be from before a delete which was made before the key was seen to be absent:
// each is from a later moment.
func (t *valueLoader[K, V]) wait(ctx context.Context, key []byte, l *loading[K, V]) (value V, err error) {
	for {
		s, err := t.db.Snapshot()
		if err != nil {
			return value, err
		}
		there, err := TypedView[K, V]{t.format, s}.Get(l.key)
		s.Close()
		if err != ErrNotFound {
			return there, err // it is there by now
		}
		r, err := t.loads.Do(ctx, key, l.run)
		if err != nil {
			return r.Value, err
		}
		if r.AsOf >= s.Seq() {
			return r.Value, r.Absent
		}
	}
}

// old reports whether a value with a deadline is to be loaded anew, if it was kept longer than its life.
func (t *valueLoader[K, V]) old(deadline int64, stale time.Duration) bool {
	return stale > 0 && deadline != 0 && deadline-t.db.clock.Now() <= stale.Milliseconds()
}

// maxLoads is how often a load is made that others change the key of.
const maxLoads = 3

// run loads and stores.
func (l *loading[K, V]) run(ctx context.Context) (r flight.Result[V], err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.db.health.work, cancel)()
	for range maxLoads {
		if r, err = l.attempt(ctx); !errors.Is(err, errLoadConflict) {
			return r, err
		}
	}
	return r, nil
}

// errLoadConflict says that what was loaded could not be stored as others have changed the key. It is not ErrConflict, which load
// may return.
var errLoadConflict = errors.New("ebb: a load conflicts")

// attempt loads, and stores what it has loaded unless something has changed the key meanwhile. Nothing is held while it loads.
func (l *loading[K, V]) attempt(ctx context.Context) (r flight.Result[V], err error) {
	if l.db.opts.ReadOnly && !l.db.health.closed.Load() {
		return r, ErrReadOnly
	}
	s := l.format.scratch()
	defer l.format.release(s)
	if err := l.format.encodeKey(s, l.key); err != nil {
		return r, err
	}
	mark, seq := l.db.pipeline.beginLoad(s.key)
	defer l.db.pipeline.trail.known.End(mark)
	r.AsOf = seq
	e, err := l.GetEntry(l.key)
	present := err == nil
	if present && !l.old(e.Deadline, l.stale) {
		r.Value = e.Value
		return r, nil
	}
	if err != nil && err != ErrNotFound {
		return r, err
	}
	if !present {
		if r.Absent = l.remembered(s.key, l.LoadOption); r.Absent != nil {
			return r, nil
		}
	}
	r.Value, err = l.fn(ctx, l.key)
	switch {
	case l.negative > 0 && errors.Is(err, ErrNotFound):
		r.Absent = err
		return l.remember(r, mark, present)
	case err == nil && l.ttl >= 0:
		return l.store(r, mark, func(tx *Txn) error { return l.to.putIn(tx, l.key, r.Value, l.lifetime()) })
	}
	if seq, ok := l.db.pipeline.unchanged(mark); ok {
		r.AsOf = seq
	}
	return r, err
}

// store makes a write of what was loaded, in a transaction that has read the key: so it conflicts with what is written to the key
// after the transaction has begun, and the mark tells of what was written before.
func (l *loading[K, V]) store(r flight.Result[V], m known.Mark, write func(tx *Txn) error) (flight.Result[V], error) {
	asOf := r.AsOf
	err := l.db.Update(func(tx *Txn) error {
		if _, err := (TypedView[K, V]{l.format, tx}).Has(l.key); err != nil {
			return err
		}
		if _, ok := l.db.pipeline.unchanged(m); !ok {
			return errLoadConflict
		}
		return write(tx)
	}, NoSync, VersionTo(&asOf))
	r.AsOf = asOf
	return r, err
}

// remember remembers that there is no value. If an old one is there it is deleted instead, and who asks next has it loaded.
func (l *loading[K, V]) remember(r flight.Result[V], m known.Mark, present bool) (flight.Result[V], error) {
	if present {
		return l.store(r, m, func(tx *Txn) error { return l.to.deleteIn(tx, l.key) })
	}
	now := l.db.clock.Now()
	seq, ok := l.db.pipeline.keepAbsent(m, r.Absent, now, now+l.shortened(l.negative).Milliseconds())
	if !ok {
		return r, errLoadConflict
	}
	r.AsOf = seq
	return r, nil
}

// lifetime returns how long a value is to be kept.
func (l *loading[K, V]) lifetime() WriteOption {
	if l.ttl == 0 {
		return TTL(0)
	}
	return TTL(l.shortened(l.ttl) + l.stale)
}

// shortened returns a time less its part for jitter.
func (l *loading[K, V]) shortened(d time.Duration) time.Duration {
	const parts = 1 << 20
	random := float64(l.db.opts.sys.random()%parts) / parts
	return max(d-time.Duration(float64(d)*l.jitter*random), time.Millisecond)
}
