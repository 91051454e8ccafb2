package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/codec"
)

// loadTest is a keyspace in memory, in a bubble, and a source whose loads take a second.
type loadTest struct {
	*Typed[string, int64]
	t      *testing.T
	db     *DB
	source atomic.Int64
	calls  atomic.Int64
}

func inLoadTest(t *testing.T, test func(l *loadTest)) {
	synctest.Test(t, func(t *testing.T) {
		db, err := OpenMemory(nil)
		must(t, err)
		l := &loadTest{NewTyped(db, []byte("c/"), codec.String(), codec.Int64()), t, db, atomic.Int64{}, atomic.Int64{}}
		test(l)
		must(t, db.Close())
	})
}

func (l *loadTest) load(ctx context.Context, _ string) (int64, error) {
	l.calls.Add(1)
	v := l.source.Load()
	select {
	case <-time.After(time.Second):
		return v, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// get gets the key, and holds the answer and the number of loads so far.
func (l *loadTest) get(want, calls int64, opts ...LoadOption) {
	l.t.Helper()
	v, err := l.GetOrLoad(l.t.Context(), "key", time.Minute, l.load, opts...)
	if v != want || err != nil || l.calls.Load() != calls {
		l.t.Errorf("%d, %v after %d loads, want %d after %d", v, err, l.calls.Load(), want, calls)
	}
}

func TestGetOrLoad(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(t *testing.T, l *loadTest)
	}{
		{"one load for all", func(t *testing.T, l *loadTest) {
			l.source.Store(7)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { l.get(7, 1) })
			}
			all.Wait()
			l.get(7, 1)
			if left, err := l.TTL("key"); err != nil || left > time.Minute || left < time.Minute-10*time.Millisecond {
				t.Errorf("%v are left, %v", left, err)
			}
			time.Sleep(time.Minute)
			l.source.Store(8)
			l.get(8, 2)
		}},
		{"who waits may leave", func(t *testing.T, l *loadTest) {
			over := errors.New("over")
			ctx, leave := context.WithCancelCause(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if _, err := l.GetOrLoad(ctx, "key", 0, l.load); err != over {
					t.Errorf("who has left is told %v", err)
				}
			})
			synctest.Wait()
			all.Go(func() { l.get(0, 1) })
			synctest.Wait()
			leave(over)
			all.Wait()
			if _, err := l.GetOrLoad(ctx, "other", 0, l.load); err != over || l.calls.Load() != 1 {
				t.Errorf("who has left before: %v, %d loads", err, l.calls.Load())
			}
		}},
		{"with the last the load ends", func(t *testing.T, l *loadTest) {
			ctx, leave := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					_, err := l.GetOrLoad(ctx, "key", 0, func(ctx context.Context, _ string) (int64, error) {
						<-ctx.Done()
						ended <- ctx.Err()
						return 9, nil
					})
					if err != context.Canceled {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			leave()
			all.Wait()
			if err := <-ended; err != context.Canceled {
				t.Error(err)
			}
		}},
		{"who asks behind a delete, while what is not stored is loaded", func(t *testing.T, l *loadTest) {
			ask := func(want int64) {
				v, err := l.GetOrLoad(t.Context(), "key", -1, l.load)
				if v != want || err != nil {
					t.Errorf("%d, %v, want %d", v, err, want)
				}
			}
			var all sync.WaitGroup
			l.source.Store(5)
			all.Go(func() { ask(5) })
			synctest.Wait()
			must(t, errors.Join(l.Put("key", 6), l.Delete("key")))
			l.source.Store(7)
			all.Go(func() { ask(7) }) // waits for the load that began before, too, and does not take what it returns
			all.Wait()
			if n := l.calls.Load(); n != 2 {
				t.Errorf("%d loads", n)
			}
		}},
		{"a put meanwhile", func(t *testing.T, l *loadTest) {
			var all sync.WaitGroup
			all.Go(func() { l.get(5, 1) })
			synctest.Wait()
			must(t, l.Put("key", 5))
			all.Wait()
			l.get(5, 1)
		}},
		{"deleted meanwhile, and who asks then", func(t *testing.T, l *loadTest) {
			var all sync.WaitGroup
			all.Go(func() { l.get(2, 2) })
			synctest.Wait()
			l.source.Store(2)
			must(t, l.DeleteRange(nil))
			all.Go(func() { l.get(2, 2) })
			all.Wait()
			l.get(2, 2)
		}},
		{"changed again and again", func(t *testing.T, l *loadTest) {
			var all sync.WaitGroup
			all.Go(func() { l.get(2, maxLoads) })
			for i := range int64(maxLoads) {
				synctest.Wait()
				l.source.Store(i + 1)
				must(t, l.Delete("key"))
				time.Sleep(time.Second)
			}
			all.Wait()
			if has, err := l.Has("key"); has || err != nil {
				t.Errorf("it was stored: %v, %v", has, err)
			}
		}},
		{"failures", func(t *testing.T, l *loadTest) {
			failure := errors.New("down")
			for _, f := range []struct {
				load func(context.Context, string) (int64, error)
				is   func(error) bool
			}{
				{func(context.Context, string) (int64, error) { return 1, failure }, func(err error) bool { return err == failure }},
				{func(context.Context, string) (int64, error) { return 1, ErrConflict }, func(err error) bool { return err == ErrConflict }},
				{func(context.Context, string) (int64, error) { panic(failure) }, func(err error) bool {
					var p *LoadPanicError
					return errors.As(err, &p) && len(p.Stack) > 0 && errors.Is(err, failure)
				}},
				{func(context.Context, string) (int64, error) { runtime.Goexit(); return 0, nil }, func(err error) bool { return err != nil }},
			} {
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						_, err := l.GetOrLoad(t.Context(), "key", 0, func(ctx context.Context, key string) (int64, error) {
							time.Sleep(time.Second)
							return f.load(ctx, key)
						})
						if !f.is(err) {
							t.Errorf("all are told %v", err)
						}
					})
				}
				all.Wait()
				if has, err := l.Has("key"); has || err != nil {
					t.Errorf("a failure is stored: %v, %v", has, err)
				}
			}
		}},
		{"a stale value, and one that is deleted meanwhile", func(t *testing.T, l *loadTest) {
			stale := LoadStale(10 * time.Second)
			l.get(0, 1, stale)
			time.Sleep(59 * time.Second)
			l.source.Store(1)
			l.get(0, 1, stale)
			time.Sleep(2 * time.Second)
			l.get(0, 1) // who takes no stale one waits for the deadline
			for range 3 {
				l.get(0, 1+min(l.calls.Load()-1, 1), stale)
				synctest.Wait()
			}
			time.Sleep(2 * time.Second)
			l.get(1, 2, stale)
			time.Sleep(61 * time.Second)
			l.get(1, 2, stale) // begins a refresh
			synctest.Wait()
			l.source.Store(3)
			must(t, l.Delete("key"))
			l.get(3, 4, stale) // waits for it, and has what was loaded behind the delete
			time.Sleep(80 * time.Second)
			l.get(3, 5, stale)
		}},
		{"jitter and lives", func(t *testing.T, l *loadTest) {
			instant := func(context.Context, string) (int64, error) { return 1, nil }
			seen := map[time.Duration]bool{}
			for i := range 50 {
				key := fmt.Sprint(i)
				_, err := l.GetOrLoad(t.Context(), key, time.Minute, instant, LoadJitter(0.2))
				must(t, err)
				left, err := l.TTL(key)
				must(t, err)
				if left > time.Minute || left < 47*time.Second {
					t.Errorf("%v are left", left)
				}
				seen[left] = true
			}
			if len(seen) < 10 {
				t.Errorf("%d lives", len(seen))
			}
			v, err := l.GetOrLoad(t.Context(), "never", -1, instant)
			if has, _ := l.Has("never"); has || v != 1 || err != nil {
				t.Errorf("with a negative life: %v, %d, %v", has, v, err)
			}
			lives := NewTyped(l.db, []byte("d/"), codec.String(), codec.Int64(), DefaultTTL(time.Hour))
			_, err = lives.GetOrLoad(t.Context(), "a", 0, instant)
			must(t, err)
			if left, err := lives.TTL("a"); left < 59*time.Minute || err != nil {
				t.Errorf("of a default %v are left, %v", left, err)
			}
		}},
		{"nothing is pinned, however much is written meanwhile", func(t *testing.T, l *loadTest) {
			var all sync.WaitGroup
			all.Go(func() { l.get(0, 1) })
			synctest.Wait()
			for i := range 8 {
				must(t, l.db.Put(fmt.Appendf(nil, "d/%d", i), nil))
				must(t, l.db.Flush())
			}
			synctest.Wait()
			if s := l.db.Stats(); s.Pins > 0 {
				t.Errorf("%d pins", s.Pins)
			}
			all.Wait()
			l.get(0, 1)
		}},
		{"a close meanwhile", func(t *testing.T, l *loadTest) {
			var all sync.WaitGroup
			all.Go(func() {
				if _, err := l.GetOrLoad(t.Context(), "key", 0, l.load); !errors.Is(err, context.Canceled) {
					t.Errorf("a load of a closed database: %v", err)
				}
			})
			synctest.Wait()
			must(t, l.db.Close())
			all.Wait()
			if _, err := l.GetOrLoad(t.Context(), "key", 0, l.load); !errors.Is(err, ErrClosed) {
				t.Errorf("after a close: %v", err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) { inLoadTest(t, func(l *loadTest) { row.do(l.t, l) }) })
	}
}

// nowhere is a source without values. Its errors tell how many loads there were.
type nowhere struct {
	*loadTest
	meanwhile func() // is called in each load
}

type nowhereError int64

func (nowhereError) Is(target error) bool { return target == ErrNotFound }
func (e nowhereError) Error() string      { return fmt.Sprintf("nowhere, says load %d", int64(e)) }

// ask asks a Typed for the key, and holds the answer against that of a load, 0 for a value of 7.
func (n *nowhere) ask(from *Typed[string, int64], load int64, opts ...LoadOption) {
	n.t.Helper()
	v, err := from.GetOrLoad(n.t.Context(), "key", time.Hour, func(context.Context, string) (int64, error) {
		e := nowhereError(n.calls.Add(1))
		time.Sleep(time.Second)
		if n.meanwhile != nil {
			n.meanwhile()
		}
		return 0, e
	}, opts...)
	if load == 0 && (v != 7 || err != nil) || load != 0 && err != nowhereError(load) {
		n.t.Errorf("%d, %v, want that of load %d", v, err, load)
	}
}

func TestLoadNegative(t *testing.T) {
	negative := LoadNegative(time.Minute)
	for _, row := range []struct {
		name string
		do   func(n *nowhere)
	}{
		{"for a time, and for whom asks so", func(n *nowhere) {
			n.ask(n.Typed, 1)
			n.ask(n.Typed, 2, negative)
			time.Sleep(59 * time.Second)
			n.ask(n.Typed, 2, negative)
			n.ask(NewTyped(n.db, []byte("c/"), codec.String(), codec.Int64()), 2, LoadNegative(time.Hour), LoadStale(time.Hour))
			n.ask(n.Typed, 3)
			time.Sleep(time.Second)
			n.ask(n.Typed, 4, negative)
			time.Sleep(time.Second)
			n.ask(n.Typed, 4, negative)
			if s := n.db.Stats(); s.NegativeBytes < 256 || s.NegativeBytes > 300 {
				n.t.Errorf("%d bytes", s.NegativeBytes)
			}
			if _, err := n.Get("key"); err != ErrNotFound {
				n.t.Errorf("Get: %v", err)
			}
			if count, err := n.Count(nil); count != 0 || err != nil {
				n.t.Errorf("%d keys, %v", count, err)
			}
		}},
		{"one load for all", func(n *nowhere) {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { n.ask(n.Typed, 1, negative) })
			}
			synctest.Wait()
			must(n.t, n.db.Put([]byte("another"), nil))
			all.Go(func() { n.ask(n.Typed, 1, negative) }) // what is not stored, and kept, holds behind that write, too
			all.Wait()
		}},
		{"writes", func(n *nowhere) {
			loads := int64(1)
			n.ask(n.Typed, loads, negative)
			for _, write := range []func() error{
				func() error { return n.Delete("key") },
				func() error { return n.DeleteRange(nil) },
				func() error { return n.db.DeletePrefix([]byte("c/k")) },
				func() error { return errors.Join(n.Put("key", 1), n.Delete("key", NoSync)) },
				func() error { _, err := n.db.Add([]byte("c/key"), 1, TTL(time.Millisecond)); return err },
				func() error {
					var b Batch
					return errors.Join(n.Batch(&b).Put("key", 1), n.Batch(&b).Delete("key"), n.db.Apply(&b))
				},
				func() error { return n.db.Update(func(tx *Txn) error { return n.In(tx).DeleteRange(nil) }) },
				func() error {
					return n.db.Update(func(tx *Txn) error { return n.In(tx).Put("key", 1, TTL(time.Millisecond)) })
				},
			} {
				must(n.t, write())
				time.Sleep(time.Second)
				loads++
				n.ask(n.Typed, loads, negative)
				n.ask(n.Typed, loads, negative)
			}
			must(n.t, n.Put("key", 7))
			n.ask(n.Typed, 0, negative)
		}},
		{"other writes", func(n *nowhere) {
			n.ask(n.Typed, 1, negative)
			must(n.t, errors.Join(n.Put("kez", 1), n.Delete("kex"), n.db.DeleteRange([]byte("c/l"), nil), n.db.Flush(), n.db.Compact(n.t.Context())))
			n.ask(n.Typed, 1, negative)
		}},
		{"a put while it is loaded", func(n *nowhere) {
			n.meanwhile = func() { must(n.t, n.Put("key", 7)) }
			n.ask(n.Typed, 0, negative)
			n.ask(n.Typed, 0, negative)
		}},
		{"deleted whenever it is loaded", func(n *nowhere) {
			n.meanwhile = func() { must(n.t, n.Delete("key")) }
			n.ask(n.Typed, maxLoads, negative)
			n.meanwhile = nil
			n.ask(n.Typed, maxLoads+1, negative)
			n.ask(n.Typed, maxLoads+1, negative)
		}},
		{"an ingest", func(n *nowhere) {
			n.ask(n.Typed, 1, negative)
			from, err := OpenMemory(nil)
			must(n.t, err)
			must(n.t, NewTyped(from, []byte("c/"), codec.String(), codec.Int64()).Put("key", 7))
			var file bytes.Buffer
			must(n.t, second(from.Backup(n.t.Context(), &file, nil)))
			must(n.t, second(n.db.Ingest(n.t.Context(), &file, nil)))
			must(n.t, from.Close())
			n.ask(n.Typed, 0, negative)
			must(n.t, n.Delete("key"))
			n.ask(n.Typed, 2, negative)
		}},
		{"a refresh finds nothing", func(n *nowhere) {
			stale := LoadStale(time.Hour)
			must(n.t, n.Put("key", 7, TTL(time.Minute)))
			n.ask(n.Typed, 0, stale, negative)
			time.Sleep(2 * time.Second)
			n.ask(n.Typed, 2, stale, negative)
			n.ask(n.Typed, 2, stale, negative)
			must(n.t, n.Put("key", 7, TTL(time.Minute)))
			n.ask(n.Typed, 0, stale) // which fails, and leaves the old value
			time.Sleep(2 * time.Second)
			n.ask(n.Typed, 0, stale)
		}},
		{"jitter", func(n *nowhere) {
			kept := 0
			for i := range 100 {
				ask := func() error {
					_, err := n.GetOrLoad(n.t.Context(), fmt.Sprint(i), 0, func(context.Context, string) (int64, error) {
						return 0, nowhereError(n.calls.Add(1))
					}, negative, LoadJitter(0.5))
					return err
				}
				first := ask()
				time.Sleep(45 * time.Second)
				if ask() == first {
					kept++
				}
			}
			if kept < 20 || kept > 80 {
				n.t.Errorf("%d of 100 are kept for three quarters of the time", kept)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) { inLoadTest(t, func(l *loadTest) { row.do(&nowhere{l, nil}) }) })
	}
}

// What is loaded by an Indexed is in its indexes, and what they refuse comes with their error.
func TestIndexedGetOrLoad(t *testing.T) {
	db, err := OpenMemory(nil)
	must(t, err)
	defer db.Close()
	users := NewTyped(db, []byte("u/"), codec.String(), codec.String())
	byMail := NewUniqueIndex(users, []byte("m/"), codec.String(), func(_, mail string) []string { return []string{mail} })
	x, err := NewIndexed(users, byMail)
	must(t, err)
	calls := 0
	load := func(_ context.Context, name string) (string, error) {
		calls++
		if name == "nobody" {
			return "", ErrNotFound
		}
		return name[:1] + "@example.org", nil
	}
	for _, c := range []struct {
		name, mail string
		want       error
		calls      int
	}{
		{"ann", "a@example.org", nil, 1}, {"ann", "a@example.org", nil, 1}, {"abe", "a@example.org", ErrNotUnique, 2}, {"bob", "b@example.org", nil, 3},
		{"nobody", "", ErrNotFound, 4}, {"nobody", "", ErrNotFound, 4},
	} {
		mail, err := x.GetOrLoad(t.Context(), c.name, time.Hour, load, LoadNegative(time.Hour))
		if mail != c.mail || !errors.Is(err, c.want) || calls != c.calls {
			t.Errorf("%s: %s, %v, %d loads", c.name, mail, err, calls)
		}
	}
	e, err := byMail.Get("b@example.org")
	if err != nil || e.Key != "bob" {
		t.Errorf("%v, %v", e, err)
	}
	must(t, second(x.CheckIndexes(t.Context())))
}

// Nobody gets what was loaded before a delete that has returned before the question: by deletes of keys and of ranges, beside
// many who ask.
func TestGetOrLoadNeverOlder(t *testing.T) {
	db, err := OpenMemory(nil)
	must(t, err)
	defer db.Close()
	cache := NewTyped(db, []byte("c/"), codec.String(), codec.Int64())
	var source, invalidated atomic.Int64
	load := func(context.Context, string) (int64, error) {
		v := source.Load()
		runtime.Gosched()
		if v%3 == 0 {
			return 0, nowhereError(v)
		}
		return v, nil
	}
	var readers, writer sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				least := invalidated.Load()
				v, err := cache.GetOrLoad(t.Context(), "key", time.Hour, load, LoadNegative(time.Hour))
				var none nowhereError
				if errors.As(err, &none) {
					v, err = int64(none), nil
				}
				if v < least || err != nil {
					t.Errorf("%d, %v, though %d was invalidated", v, err, least)
					return
				}
			}
		})
	}
	writer.Go(func() {
		for i := range 400 {
			n := source.Add(1)
			if i%3 == 0 {
				err = cache.DeleteRange(nil)
			} else {
				err = cache.Delete("key")
			}
			must(t, err)
			invalidated.Store(n)
			for range i % 7 {
				runtime.Gosched()
			}
		}
	})
	writer.Wait()
	stop.Store(true)
	readers.Wait()
}

func BenchmarkGetOrLoad(b *testing.B) {
	db, err := OpenMemory(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	cache := NewTyped(db, []byte("c/"), codec.Uint64(), codec.Uint64())
	load := func(_ context.Context, key uint64) (uint64, error) { return key, nil }
	ctx := context.Background()
	for key := range uint64(1000) {
		if _, err := cache.GetOrLoad(ctx, key, time.Hour, load); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, get func(key uint64) (uint64, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			key := uint64(0)
			for b.Loop() {
				if _, err := get(key % 1000); err != nil {
					b.Fatal(err)
				}
				key++
			}
		})
	}
	run("get", cache.Get)
	run("get or load", func(key uint64) (uint64, error) { return cache.GetOrLoad(ctx, key, time.Hour, load) })
	run("get or load, stale", func(key uint64) (uint64, error) {
		return cache.GetOrLoad(ctx, key, time.Hour, load, LoadStale(time.Minute))
	})
}
