package ebb

import (
	"context"
	"errors"
	"time"

	"github.com/ebbdb/ebb/internal/flight"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// LoadOption is an option of Typed.GetOrLoad. It is a small value: making one allocates nothing.
type LoadOption struct {
	jitter float64
	stale  time.Duration
}

// LoadJitter shortens the life of what is loaded by a random part of it, up to part, from 0 to 1: so that what was loaded
// together does not expire together. Without it a life is as long as was asked for.
func LoadJitter(part float64) LoadOption { return LoadOption{jitter: min(max(part, 0), 1)} }

// LoadStale keeps what is loaded for d longer than its life. Who asks for it in that time gets it at once, and the first who
// does has it loaded anew in the background. If that fails nobody is told, and the next who asks has it tried again, until the
// value expires. The deadline that other reads tell is that at the end of d.
func LoadStale(d time.Duration) LoadOption { return LoadOption{stale: max(d, 0)} }

// GetOrLoad returns the value of a key. If the key is absent it calls load, stores the value that load returns for the time ttl,
// and returns that. A ttl of 0 is the keyspace's DefaultTTL, or no deadline; with a negative one nothing is stored.
//
// All who ask this Typed for a key at a time wait for one load, which runs in a goroutine of its own. Who asks may leave: when
// ctx ends GetOrLoad returns its cause, and the load goes on for the others. The context of load has the values of that of the
// first who asked. It ends when all have left, and when the database is closed.
//
// An error of load comes to all who wait as it is, and a panic as a *LoadPanicError. Neither stores anything.
//
// If the key was put, deleted or evicted after load was called, what it returns is not stored: what was put is returned, or
// load is called again. After three calls the last value is returned and not stored; so it is, too, where others write so much
// during each load that a transaction which takes as long would be given up: see DB.Update. Who asks after a Delete has
// returned never gets what was loaded before it.
//
// What was loaded could be loaded again, so nobody waits for the disk: it is stored with NoSync. If it cannot be stored, the
// error comes with the value. A hit allocates nothing beside Get.
func (t *Typed[K, V]) GetOrLoad(ctx context.Context, key K, ttl time.Duration,
	load func(ctx context.Context, key K) (V, error), opts ...LoadOption) (value V, err error) {
	s := t.format.scratch()
	defer t.format.release(s)
	if err := t.format.encodeKey(s, key); err != nil {
		return value, err
	}
	var e kv.Entry
	if s.value, err = t.db.get(s.value, s.key, lsm.WithValue, &e); err == nil {
		value, err = t.format.decode(s.key, s.value)
		if err == nil && len(opts) > 0 && t.old(e.Deadline, staleOf(opts)) {
			t.loads.Start(ctx, s.key, t.loading(key, ttl, load, opts).run)
		}
		return value, err
	}
	if err != ErrNotFound {
		return value, err
	}
	return t.load(ctx, s.key, t.loading(key, ttl, load, opts))
}

// loading is a load of one key.
type loading[K, V any] struct {
	t     *Typed[K, V]
	key   K
	fn    func(context.Context, K) (V, error)
	ttl   time.Duration
	stale time.Duration
	part  float64 // of LoadJitter
}

func (t *Typed[K, V]) loading(key K, ttl time.Duration, fn func(context.Context, K) (V, error),
	opts []LoadOption) *loading[K, V] {
	l := &loading[K, V]{t: t, key: key, fn: fn, ttl: ttl}
	if ttl == 0 {
		l.ttl = t.format.life
	}
	for _, o := range opts {
		l.part = max(l.part, o.jitter)
	}
	l.stale = staleOf(opts)
	return l
}

func staleOf(opts []LoadOption) (d time.Duration) {
	for _, o := range opts {
		d = max(d, o.stale)
	}
	return d
}

// load waits for a load. No answer is one that may be from before a delete which was made before the key was seen to be absent:
// a value that was stored before that, and so was deleted, and one that is not stored and whose load began before.
func (t *Typed[K, V]) load(ctx context.Context, key []byte, l *loading[K, V]) (value V, err error) {
	for {
		s, err := t.db.Snapshot()
		if err != nil {
			return value, err
		}
		absent, err := t.At(s).Get(l.key)
		s.Close()
		if err != ErrNotFound {
			return absent, err // it is there by now
		}
		r, err := t.loads.Do(ctx, key, l.run)
		if err != nil || r.Version > s.Seq() || r.Version == 0 && r.Since >= s.Seq() {
			return r.Value, err
		}
	}
}

// old reports whether a value with a deadline is to be loaded anew, if it was kept longer than its life.
func (t *Typed[K, V]) old(deadline int64, stale time.Duration) bool {
	return stale > 0 && deadline != 0 && deadline-t.db.clock.Now() <= stale.Milliseconds()
}

// maxLoads is how often a load is made that others change the key of.
const maxLoads = 3

// run loads and stores.
func (l *loading[K, V]) run(ctx context.Context) (r flight.Result[V], err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.t.db.health.work, cancel)()
	for range maxLoads {
		if r, err = l.attempt(ctx); !errors.Is(err, errLoadConflict) {
			return r, err
		}
	}
	return r, nil
}

// errLoadConflict says that a value could not be stored as others have changed the key. It is not ErrConflict, which load may
// return.
var errLoadConflict = errors.New("ebb: a load conflicts")

// attempt loads, and stores the value in a transaction that has read the key before: so it conflicts with whatever has changed
// the key meanwhile.
func (l *loading[K, V]) attempt(ctx context.Context) (r flight.Result[V], err error) {
	tx, err := l.t.db.Begin(true)
	if err != nil {
		return r, err
	}
	defer tx.Discard()
	in := l.t.In(tx)
	e, err := in.GetEntry(l.key)
	if err == nil && !l.t.old(e.Deadline, l.stale) {
		return flight.Result[V]{Value: e.Value, Version: e.Version}, nil
	}
	if err != nil && err != ErrNotFound {
		return r, err
	}
	r.Since = tx.s.seq
	if r.Value, err = l.fn(ctx, l.key); err != nil || l.ttl < 0 {
		return r, err
	}
	if err := in.Put(l.key, r.Value, TTL(l.life())); err != nil {
		return r, err
	}
	err = tx.Commit(NoSync, VersionTo(&r.Version))
	if errors.Is(err, ErrConflict) {
		r.Version, err = 0, errLoadConflict
	}
	return r, err
}

// life returns how long the value is to be kept.
func (l *loading[K, V]) life() time.Duration {
	if l.ttl == 0 {
		return 0
	}
	const parts = 1 << 20
	random := float64(l.t.db.opts.sys.random()%parts) / parts
	return max(l.ttl-time.Duration(float64(l.ttl)*l.part*random), time.Millisecond) + l.stale
}
