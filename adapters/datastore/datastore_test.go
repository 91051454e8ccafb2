package ebbds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	ebbds "github.com/ebbdb/ebb/adapters/datastore"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
)

func Example() {
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx, store := context.Background(), ebbds.New(db, "") // ebbds.Open("dir", nil) for one that lasts
	for _, name := range []string{"/peers/a", "/peers/b", "/pins/c"} {
		if err := store.PutWithTTL(ctx, ds.NewKey(name), []byte("value"), time.Hour); err != nil {
			log.Fatal(err)
		}
	}
	results, err := store.Query(ctx, query.Query{Prefix: "/peers", Orders: []query.Order{query.OrderByKeyDescending{}}, Limit: 1})
	if err != nil {
		log.Fatal(err)
	}
	entries, err := results.Rest()
	for _, e := range entries {
		fmt.Println(e.Key, e.Size, err)
	}
	// Output: /peers/b 5 <nil>
}

// clock is a time that tests move, in Unix milliseconds.
type clock struct{ atomic.Int64 }

func (c *clock) Now() time.Time      { return time.UnixMilli(c.Load()) }
func (c *clock) add(d time.Duration) { c.Add(d.Milliseconds()) }

func open(t *testing.T) (*ebb.DB, *clock) {
	c := new(clock)
	c.add(50 * 365 * 24 * time.Hour)
	db, err := ebb.OpenMemory(&ebb.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The suite that every datastore passes.
func TestSuite(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		d, err := ebbds.Open(t.TempDir(), nil)
		must(t, err)
		defer d.Close()
		dstest.SubtestAll(t, d)
	})
	t.Run("under a prefix", func(t *testing.T) {
		db, _ := open(t)
		must(t, errors.Join(db.Put([]byte("a"), nil), db.Put([]byte("z"), nil), db.Put([]byte("ds"), nil)))
		dstest.SubtestAll(t, ebbds.New(db, "ds"))
	})
	if n := len(ds.FeaturesForDatastore((*ebbds.Datastore)(nil))); n != len(ds.Features()) {
		t.Errorf("%d features of %d", n, len(ds.Features()))
	}
}

// TestQueries holds random queries against the same ones done naively, on the database and in a transaction.
func TestQueries(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	db, _ := open(t)
	store, all := ebbds.New(db, "x"), []query.Entry{}
	for _, k := range []string{"w", "x", "y", "y/a"} {
		must(t, db.Put([]byte(k), nil))
	}
	names := []string{"a", "b", "ab", "a:b", "c", "\xff"}
	for range 200 {
		var parts []string
		for range r.IntN(3) + 1 {
			parts = append(parts, names[r.IntN(len(names))])
		}
		k, value := ds.NewKey(strings.Join(parts, "/")), []byte{byte('0' + r.IntN(4))}
		must(t, store.Put(t.Context(), k, value))
		all = slices.DeleteFunc(all, func(e query.Entry) bool { return e.Key == k.String() })
		all = append(all, query.Entry{Key: k.String(), Value: value, Size: len(value)})
	}
	key := func() string { return all[r.IntN(len(all))].Key }
	ops := []query.Op{query.Equal, query.NotEqual, query.GreaterThan, query.GreaterThanOrEqual, query.LessThan, query.LessThanOrEqual}
	filters := []func() query.Filter{
		func() query.Filter { return query.FilterKeyPrefix{Prefix: key()[:2]} },
		func() query.Filter { return query.FilterKeyCompare{Op: ops[r.IntN(len(ops))], Key: key()} },
		func() query.Filter { return query.FilterValueCompare{Op: ops[r.IntN(len(ops))], Value: []byte("1")} },
	}
	orders := []query.Order{query.OrderByKey{}, query.OrderByKeyDescending{}, query.OrderByValue{}, query.OrderByValueDescending{},
		&query.OrderByKeyDescending{}, query.OrderByFunction(func(a, b query.Entry) int { return len(a.Key) - len(b.Key) })}
	tx, err := store.NewTransaction(t.Context(), true)
	must(t, err)
	defer tx.Discard(t.Context())
	for i := range 3000 {
		q := query.Query{KeysOnly: r.IntN(2) == 0, Limit: r.IntN(3) * r.IntN(20), Offset: r.IntN(2) * r.IntN(10)}
		if r.IntN(2) == 0 {
			q.Prefix = []string{"/", "/a", "b", "/a/b/", "/\xff", "/none", "//a/../b"}[r.IntN(7)]
		}
		for range r.IntN(3) {
			q.Filters = append(q.Filters, filters[r.IntN(len(filters))]())
		}
		for range r.IntN(3) {
			q.Orders = append(q.Orders, orders[r.IntN(len(orders))])
		}
		naive := q
		if len(q.Orders) == 0 { // then go-datastore wants none, and ebb's is by key
			naive.Orders = []query.Order{query.OrderByKey{}}
		}
		want, err := query.NaiveQueryApply(naive, query.ResultsWithEntries(naive, all)).Rest()
		must(t, err)
		from := ds.Read(store)
		if r.IntN(2) == 0 {
			from = tx
		}
		results, err := from.Query(t.Context(), q)
		must(t, err)
		got, err := results.Rest()
		must(t, err)
		same := slices.EqualFunc(got, want, func(a, b query.Entry) bool {
			return a.Key == b.Key && a.Size == b.Size && (q.KeysOnly && a.Value == nil || !q.KeysOnly && bytes.Equal(a.Value, b.Value))
		})
		if !same {
			t.Fatalf("seed %d, query %d, %v:\n%v, want\n%v", seed, i, q, got, want)
		}
	}
}

// A query reads no further than it has to.
func TestQueryStopsEarly(t *testing.T) {
	db, _ := open(t)
	store := ebbds.New(db, "")
	for i := range 1000 {
		must(t, store.Put(t.Context(), ds.NewKey(fmt.Sprint(i)), []byte("v")))
	}
	seen := 0
	count := filter(func(query.Entry) bool { seen++; return true })
	for _, q := range []query.Query{
		{Limit: 3, Filters: []query.Filter{count}},
		{Limit: 2, Offset: 1, Filters: []query.Filter{count}, Orders: []query.Order{query.OrderByKeyDescending{}, query.OrderByValue{}}},
		{Filters: []query.Filter{query.FilterKeyCompare{Op: query.Equal, Key: "/7"}, count}},
		{Filters: []query.Filter{query.FilterKeyCompare{Op: query.LessThan, Key: "/1"}, count}},
	} {
		seen = 0
		results, err := store.Query(t.Context(), q)
		must(t, err)
		_, err = results.Rest()
		must(t, err)
		if seen > 3 {
			t.Errorf("%v: %d entries were read", q, seen)
		}
	}
	results, err := store.Query(t.Context(), query.Query{})
	must(t, err)
	<-results.Next()
	must(t, results.Close())
	must(t, results.Close())
	if db.Stats().Pins != 0 {
		t.Error("a query that was closed pins")
	}
}

type filter func(query.Entry) bool

func (f filter) Filter(e query.Entry) bool { return f(e) }

func TestTTL(t *testing.T) {
	db, c := open(t)
	store, ctx, k := ebbds.New(db, "ds"), t.Context(), ds.NewKey("k")
	ends := func(want time.Time) {
		t.Helper()
		got, err := store.GetExpiration(ctx, k)
		if err != nil || !got.Equal(want) {
			t.Errorf("it expires %v, %v, want %v", got, err, want)
		}
	}
	gone := func() {
		t.Helper()
		if has, err := store.Has(ctx, k); has || err != nil {
			t.Errorf("there is %v, %v", has, err)
		}
		_, get := store.Get(ctx, k)
		_, size := store.GetSize(ctx, k)
		_, expiration := store.GetExpiration(ctx, k)
		for _, err := range []error{get, size, expiration, store.SetTTL(ctx, k, time.Hour)} {
			if !errors.Is(err, ds.ErrNotFound) {
				t.Errorf("an absent key: %v", err)
			}
		}
	}
	gone()
	must(t, store.PutWithTTL(ctx, k, []byte("v"), time.Minute))
	ends(c.Now().Add(time.Minute))
	must(t, store.SetTTL(ctx, k, time.Hour))
	c.add(time.Hour - time.Millisecond)
	ends(c.Now().Add(time.Millisecond))
	results, err := store.Query(ctx, query.Query{KeysOnly: true, ReturnExpirations: true, ReturnsSizes: true})
	must(t, err)
	entries, err := results.Rest()
	if len(entries) != 1 || !entries[0].Expiration.Equal(c.Now().Add(time.Millisecond)) || entries[0].Size != 1 || err != nil {
		t.Errorf("%v, %v", entries, err)
	}
	c.add(time.Millisecond)
	gone()
	for _, ttl := range []time.Duration{0, -time.Hour} {
		must(t, store.Put(ctx, k, []byte("v")))
		ends(time.Time{})
		must(t, store.PutWithTTL(ctx, k, []byte("v"), ttl))
		gone()
		must(t, store.Put(ctx, k, []byte("v")))
		must(t, store.SetTTL(ctx, k, ttl))
		gone()
	}
}

func TestTransactions(t *testing.T) {
	db, c := open(t)
	store, ctx, a, b := ebbds.New(db, "ds"), t.Context(), ds.NewKey("a"), ds.NewKey("b")
	begin := func(readOnly bool) ds.Txn {
		t.Helper()
		tx, err := store.NewTransaction(ctx, readOnly)
		must(t, err)
		t.Cleanup(func() { tx.Discard(ctx) })
		return tx
	}
	tx := begin(false)
	must(t, tx.Put(ctx, a, []byte("1")))
	must(t, tx.(ds.TTL).PutWithTTL(ctx, b, []byte("2"), time.Minute))
	must(t, tx.(ds.TTL).SetTTL(ctx, a, time.Hour))
	if size, err := tx.GetSize(ctx, b); size != 1 || err != nil {
		t.Errorf("its own write: %d, %v", size, err)
	}
	if has, _ := store.Has(ctx, a); has {
		t.Error("a write is there before its commit")
	}
	must(t, tx.Commit(ctx))
	if at, err := store.GetExpiration(ctx, a); !at.Equal(c.Now().Add(time.Hour)) || err != nil {
		t.Errorf("%v, %v", at, err)
	}
	tx, read := begin(false), begin(true)
	if _, err := tx.Get(ctx, a); err != nil {
		t.Error(err)
	}
	must(t, store.Put(ctx, a, []byte("3")))
	must(t, tx.Delete(ctx, b))
	if err := tx.Commit(ctx); !errors.Is(err, ebb.ErrConflict) {
		t.Errorf("a transaction that has read what has changed: %v", err)
	}
	if value, err := read.Get(ctx, a); string(value) != "1" || err != nil {
		t.Errorf("a transaction that reads: %q, %v", value, err)
	}
	if err := read.Put(ctx, a, nil); !errors.Is(err, ebb.ErrReadOnly) {
		t.Errorf("writing in one: %v", err)
	}
	must(t, read.Commit(ctx))
	tx = begin(false)
	must(t, tx.Delete(ctx, a))
	tx.Discard(ctx)
	if has, _ := store.Has(ctx, a); !has {
		t.Error("a transaction that was discarded has written")
	}
	if err := tx.Commit(ctx); !errors.Is(err, ebb.ErrTxnDone) {
		t.Errorf("a commit behind the discard: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	db, _ := open(t)
	store, ctx := ebbds.New(db, "ds"), t.Context()
	long := ds.NewKey(strings.Repeat("k", 64<<10))
	if err := store.Put(ctx, long, nil); !errors.Is(err, ebb.ErrKeyTooLarge) {
		t.Errorf("a long key: %v", err)
	}
	if _, err := store.Get(ctx, long); !errors.Is(err, ds.ErrNotFound) {
		t.Errorf("a long key: %v", err)
	}
	if has, err := store.Has(ctx, long); has || err != nil {
		t.Errorf("a long key: %v, %v", has, err)
	}
	must(t, store.Delete(ctx, long))
	must(t, store.Put(ctx, ds.Key{}, []byte("root")))
	if value, err := store.Get(ctx, ds.NewKey("/")); string(value) != "root" || err != nil {
		t.Errorf("the zero key: %q, %v", value, err)
	}
	k := ds.NewKey("k")
	calls := func(ctx context.Context) map[string]error {
		errs := map[string]error{"put": store.Put(ctx, k, nil), "put ttl": store.PutWithTTL(ctx, k, nil, 1), "ttl": store.SetTTL(ctx, k, 1),
			"delete": store.Delete(ctx, k), "sync": store.Sync(ctx, k), "check": store.Check(ctx), "scrub": store.Scrub(ctx),
			"gc": store.CollectGarbage(ctx)}
		_, errs["get"] = store.Get(ctx, k)
		_, errs["has"] = store.Has(ctx, k)
		_, errs["size"] = store.GetSize(ctx, k)
		_, errs["expiration"] = store.GetExpiration(ctx, k)
		_, errs["query"] = store.Query(ctx, query.Query{})
		_, errs["batch"] = store.Batch(ctx)
		_, errs["txn"] = store.NewTransaction(ctx, false)
		_, errs["usage"] = store.DiskUsage(ctx)
		return errs
	}
	for name, err := range calls(ctx) {
		if err != nil && !errors.Is(err, ds.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	results, err := store.Query(ctx, query.Query{})
	must(t, err)
	ended, cancel := context.WithCancel(ctx)
	cut, err := store.Query(ended, query.Query{})
	must(t, err)
	cancel()
	if r, ok := cut.NextSync(); !ok || !errors.Is(r.Error, context.Canceled) {
		t.Errorf("a query of which the context has ended: %v, %v", r, ok)
	}
	if _, ok := cut.NextSync(); ok {
		t.Error("it goes on")
	}
	for name, err := range calls(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", name, err)
		}
	}
	must(t, store.Close())
	for name, err := range calls(ctx) {
		if !errors.Is(err, ebb.ErrClosed) {
			t.Errorf("%s of a closed datastore: %v", name, err)
		}
	}
	must(t, db.Close())
	if r, ok := results.NextSync(); !ok || !errors.Is(r.Error, ebb.ErrClosed) {
		t.Errorf("a query over a closed database: %v, %v", r, ok)
	}
}

// What was synced, or was there when the datastore was closed, is there when it is opened again.
func TestReopen(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	d, err := ebbds.Open(dir, nil)
	must(t, err)
	b, err := d.Batch(ctx)
	must(t, err)
	for i := range 1000 {
		must(t, b.Put(ctx, ds.NewKey(fmt.Sprint(i)), bytes.Repeat([]byte("v"), 100)))
	}
	must(t, b.Delete(ctx, ds.NewKey("7")))
	must(t, b.Commit(ctx))
	must(t, errors.Join(d.Sync(ctx, ds.NewKey("/")), d.Close(), d.Close()))
	if _, err := ebbds.Open(dir, &ebb.Options{Memory: 1}); !errors.Is(err, ebb.ErrInvalidOptions) {
		t.Errorf("options that are not allowed: %v", err)
	}
	d, err = ebbds.Open(dir, nil)
	must(t, err)
	defer d.Close()
	results, err := d.Query(ctx, query.Query{KeysOnly: true})
	must(t, err)
	all, err := results.Rest()
	if len(all) != 999 || err != nil {
		t.Errorf("%d entries, %v", len(all), err)
	}
	if n, err := ds.DiskUsage(ctx, d); n < 100_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
