package ebb

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestTypedPrefixes: a range ends where its prefix does, also where there is nothing behind it.
func TestTypedPrefixes(t *testing.T) {
	for _, prefix := range []string{"", "a", "a/", "\x00", "\xff", "\xff\xff"} {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		space := NewTyped(db, []byte(prefix), codec.Bytes(), codec.String())
		all := []string{"\x00", "b", "\xff", "\xff\xff\xff"}
		for _, k := range all {
			must(t, space.Put([]byte(k), "value of "+k))
		}
		if prefix != "" {
			must(t, space.Put(nil, "value of ")) // the prefix itself
			all = append([]string{""}, all...)
			must(t, db.Put([]byte(prefix[:len(prefix)-1]+"!"), nil))
		}
		var got []string
		for e, err := range space.Range(nil) {
			must(t, err)
			if e.Value != "value of "+string(e.Key) {
				t.Errorf("prefix %q: %q is %q", prefix, e.Key, e.Value)
			}
			got = append(got, string(e.Key))
		}
		if strings.Join(got, ",") != strings.Join(all, ",") {
			t.Errorf("prefix %q: got %q, want %q", prefix, got, all)
		}
		for e, err := range space.Range(space.Before(nil)) {
			t.Errorf("prefix %q: %q, %v before all keys", prefix, e.Key, err)
		}
		must(t, db.Close())
	}
}

// TestTypedPrefixIsCopied: a keyspace does not move with the slice that it was made with.
func TestTypedPrefixIsCopied(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	prefix := []byte("a/")
	space := NewTyped(db, prefix, codec.String(), codec.Uint64())
	prefix[0] = 'b'
	must(t, space.Put("k", 1))
	if has, err := db.Has([]byte("a/k")); !has || err != nil {
		t.Errorf("a/k: %v, %v", has, err)
	}
}

// TestTypedDecodeErrors: what does not decode is named, and what is behind it can be reached.
func TestTypedDecodeErrors(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	space := NewTyped(db, []byte("n/"), codec.Bool(), codec.Uint64())
	must(t, space.Put(true, 7, TTL(time.Hour)))
	must(t, db.Put([]byte("n/\x00"), []byte("short")))
	must(t, db.Put([]byte("n/\x00\x00"), []byte("no bool")))

	_, err := space.Get(false)
	wantDecodeError(t, err, "n/\x00", "value")
	_, err = space.GetTouch(false, time.Hour)
	wantDecodeError(t, err, "n/\x00", "value")
	entry, err := space.GetEntry(false)
	wantDecodeError(t, err, "n/\x00", "value")
	if _, ok := entry.Expires(); !ok || entry.Version == 0 {
		t.Errorf("an entry without what is known: %v", entry)
	}

	var errs []error
	for e, err := range space.Range(nil) {
		if errs = append(errs, err); err == nil && (!e.Key || e.Value != 7) {
			t.Errorf("got %v", e)
		}
	}
	if len(errs) != 3 || errs[2] != nil {
		t.Fatalf("got %v", errs)
	}
	wantDecodeError(t, errs[0], "n/\x00", "value")
	wantDecodeError(t, errs[1], "n/\x00\x00", "key")

	n := 0
	for _, err := range space.Range((&TypedRange[bool]{KeysOnly: true}).From(true)) {
		must(t, err)
		n++
	}
	for e, err := range space.Range(&TypedRange[bool]{Limit: 1, KeysOnly: true}) { // the value is not looked at
		must(t, err)
		if n++; e.Key || e.Value != 0 {
			t.Errorf("got %v", e)
		}
	}
	if n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
}

func wantDecodeError(t *testing.T, err error, key, what string) {
	t.Helper()
	var d *DecodeError
	if !errors.As(err, &d) || string(d.Key) != key ||
		!errors.Is(err, codec.ErrInvalid) || !strings.Contains(err.Error(), what) {
		t.Errorf("got %v, want that the %s of %q does not decode", err, what, key)
	}
}

// errEncode is what failing refuses everything with.
var errEncode = errors.New("refused")

type failing struct{ codec.Key[string] }

func (failing) Append([]byte, string) ([]byte, error) { return nil, errEncode }

// TestTypedEncodeErrors: nothing is written, read or walked by a key that has no encoding, and no value without one
// is put.
func TestTypedEncodeErrors(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	bad := NewTyped(db, []byte("s/"), codec.Key[string](failing{codec.String()}), codec.Uint64())
	_, get := bad.Get("k")
	_, getEntry := bad.GetEntry("k")
	_, has := bad.Has("k")
	_, ttl := bad.TTL("k")
	_, touch := bad.GetTouch("k", time.Hour)
	_, swap := bad.CompareAndSwap("k", 1, 2)
	_, add := NewTyped(db, []byte("s/"), codec.Key[string](failing{}), codec.Counter()).Add("k", 1)
	it, err := bad.NewIterator(nil)
	must(t, err)
	defer it.Close()
	if it.Seek("k") || it.First() {
		t.Error("an iterator goes on after an error")
	}
	errs := map[string]error{
		"DeleteRange": bad.DeleteRange(bad.From("k")), "Persist": bad.Persist("k"), "CompareAndSwap": swap, "Add": add,
		"Seek": it.Err(), "NewIterator": second(bad.NewIterator(bad.From("k"))),
		"Put": bad.Put("k", 1), "Delete": bad.Delete("k"), "Expire": bad.Expire("k", time.Hour),
		"Get": get, "GetEntry": getEntry, "Has": has, "TTL": ttl, "GetTouch": touch,
		"value": NewTyped(db, []byte("s/"), codec.Uint64(), codec.JSON[float64]()).Put(1, math.NaN()),
	}
	for _, c := range []struct {
		name string
		r    *TypedRange[string]
	}{{"Start", bad.From("a")}, {"End", bad.Before("a")}, {"Within", bad.Within(codec.PairOf(failing{}, codec.Bool()).First("a"))}} {
		t.Run(c.name, func(t *testing.T) {
			errs[c.name] = nil
			for _, err := range bad.Range(c.r) {
				errs[c.name] = errors.Join(errs[c.name], err)
			}
		})
	}
	for name, err := range errs {
		if err == nil || name != "value" && !errors.Is(err, errEncode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for e, err := range db.Range(nil) {
		t.Errorf("written: %q, %v", e.Key, err)
	}
}

// TestTypedAdd: a counter is a value like another, and only where the values are counters.
func TestTypedAdd(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	hits := NewTyped(db, []byte("hits/"), codec.String(), codec.Counter())
	for want := range int64(3) {
		if n, err := hits.Add("k", 1, TTL(time.Minute)); n != want+1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if n, err := hits.Get("k"); n != want+1 || err != nil {
			t.Errorf("it reads as %d, %v", n, err)
		}
	}
	must(t, hits.Put("k", -7, KeepTTL))
	if n, err := hits.Add("k", -3); n != -10 || err != nil {
		t.Errorf("after a put: %d, %v", n, err)
	}
	clock.add(time.Minute)
	if _, err := hits.Get("k"); err != ErrNotFound {
		t.Errorf("after its time: %v", err)
	}
	for _, other := range []*Typed[string, int64]{
		NewTyped(db, []byte("hits/"), codec.String(), codec.Value[int64](codec.Int64())),
		NewTyped(db, []byte("hits/"), codec.String(), codec.JSON[int64]()),
	} {
		if _, err := other.Add("absent", 1); !errors.Is(err, ErrNotCounter) {
			t.Errorf("%T: %v", other.format.values, err)
		}
	}
	content{db}.lacks(t, "hits/absent")
}

// TestTypedWatch: a keyspace's changes with their keys and values, and of no others.
func TestTypedWatch(t *testing.T) {
	clock := newFakeClock()
	o := manualOptions(vfstest.NewMem(), clock, SyncNever)
	o.ExpiryEvents = true
	db := openTest(t, o)
	space := NewTyped(db, []byte("n/"), codec.Int64(), codec.String())
	must(t, db.Put([]byte("m/"), nil))
	must(t, space.Put(-1, "a", TTL(time.Second)))
	must(t, space.Put(2, "b"))
	must(t, db.Put([]byte("n/bad"), nil))
	must(t, space.Delete(2))
	must(t, db.DeleteRange([]byte("a"), []byte("n/\x80\x00\x00\x00\x00\x00\x00\x03")))
	must(t, db.Put([]byte("o"), nil))
	var b Batch
	must(t, errors.Join(b.Put([]byte("n/\x80\x00\x00\x00\x00\x00\x00\x03"), nil, TTL(time.Second)), b.Delete([]byte("n/bad"))))
	must(t, db.Apply(&b))
	clock.add(time.Second)
	must(t, db.Put([]byte("n/\x80\x00\x00\x00\x00\x00\x00\x03"), nil)) // it has expired, which is told before

	var got []string
	for c, err := range space.Watch(t.Context(), &WatchOptions{From: 1}) {
		if d := (*DecodeError)(nil); errors.As(err, &d) {
			got = append(got, fmt.Sprintf("%v %q does not decode", c.Kind, d.Key))
			continue
		}
		must(t, err)
		s := fmt.Sprintf("%v %d %q", c.Kind, c.Key, c.Value)
		for _, key := range []int64{2, 3} {
			if covers, err := c.Covers(key); err != nil {
				t.Error(err)
			} else if covers {
				s += fmt.Sprintf(", of %d", key)
			}
		}
		if got = append(got, s); len(got) == 8 {
			break
		}
	}
	want := []string{`put -1 "a"`, `put 2 "b", of 2`, `put "n/bad" does not decode`, `delete 2 "", of 2`,
		`delete range 0 "", of 2`, `put 3 "", of 3`, `delete "n/bad" does not decode`, `expire 3 "", of 3`}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, err := range space.Watch(t.Context(), &WatchOptions{Prefix: []byte("x")}) {
		if !errors.Is(err, ErrInvalidOptions) {
			t.Errorf("a prefix: %v", err)
		}
	}
	for _, err := range space.Watch(t.Context(), &WatchOptions{From: 1 << 20}) {
		if !errors.Is(err, ErrSequenceAhead) {
			t.Errorf("from a sequence to come: %v", err)
		}
	}
}

// TestTypedDatabaseErrors: the errors of the database come through as they are.
func TestTypedDatabaseErrors(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	space := NewTyped(db, nil, codec.String(), codec.String())
	if _, err := space.Get("k"); err != ErrNotFound {
		t.Errorf("an absent key: %v", err)
	}
	if err := space.Put("", "v"); err != ErrKeyEmpty {
		t.Errorf("an empty key: %v", err)
	}
	if err := space.Put(strings.Repeat("k", MaxKeySize+1), "v"); !errors.Is(err, ErrKeyTooLarge) {
		t.Errorf("a large key: %v", err)
	}
	must(t, db.Close())
	for _, err := range space.Range(nil) {
		if err != ErrClosed {
			t.Errorf("a range when closed: %v", err)
		}
	}
	if _, err := space.GetTouch("k", 0); err != ErrClosed {
		t.Errorf("a touch when closed: %v", err)
	}
}

// TestTypedConcurrent: keyspaces share nothing between calls. Each value tells its key.
func TestTypedConcurrent(t *testing.T) {
	db := openTest(t, tinyOptions(vfstest.NewMem(), newFakeClock()))
	space := NewTyped(db, []byte("c/"), codec.PairOf(codec.String(), codec.Uint64()), codec.String())
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			name := strings.Repeat(string(rune('a'+g)), g+1)
			for i := range uint64(300) {
				key := codec.Pair[string, uint64]{First: name, Second: i}
				if err := space.Put(key, name, NoSync); err != nil {
					t.Error(err)
				}
				if got, err := space.Get(key); got != name || err != nil {
					t.Errorf("%v is %q, %v", key, got, err)
				}
			}
			for e, err := range space.Range(nil) {
				if err != nil || e.Value != e.Key.First {
					t.Errorf("%v is %q, %v", e.Key, e.Value, err)
				}
			}
		})
	}
	all.Wait()
}

// TestTypedScratch: the memory of a huge value, or of the keys of a long GetMany, is not kept.
func TestTypedScratch(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	space := NewTyped(db, []byte("s/"), codec.Uint64(), codec.String())
	s := &typedScratch{key: make([]byte, 1<<20), value: make([]byte, 1<<20)}
	space.format.release(s)
	if cap(s.key)+cap(s.value) != 0 {
		t.Errorf("%d bytes are kept", cap(s.key)+cap(s.value))
	}
}

// TestDefaultTTL puts in every way, with and without a word about the deadline.
func TestDefaultTTL(t *testing.T) {
	const life = time.Hour
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	counters := NewTyped(db, []byte("c/"), codec.String(), codec.Counter(), DefaultTTL(time.Minute), DefaultTTL(life))
	endless := NewTyped(db, []byte("c/"), codec.String(), codec.Counter(), DefaultTTL(-life))
	ways := []struct {
		name string
		put  func(opts ...WriteOption) error
	}{
		{"put", func(opts ...WriteOption) error { return counters.Put("key", 1, opts...) }},
		{"compare and swap", func(opts ...WriteOption) error {
			_, err := counters.CompareAndSwap("key", 1, 1, opts...)
			return err
		}},
		{"batch", func(opts ...WriteOption) error {
			var b Batch
			return errors.Join(counters.Batch(&b).Put("key", 1, opts...), db.Apply(&b))
		}},
		{"transaction", func(opts ...WriteOption) error {
			return db.Update(func(tx *Txn) error { return counters.In(tx).Put("key", 1, opts...) })
		}},
		{"update", func(opts ...WriteOption) error {
			return counters.Update("key", func(n int64, _ bool) (int64, error) { return n, nil }, opts...)
		}},
	}
	for _, way := range ways {
		for _, row := range []struct {
			name string
			opts []WriteOption
			want time.Duration
		}{
			{"by default", nil, life}, {"a TTL", []WriteOption{TTL(time.Second)}, time.Second}, {"none", []WriteOption{TTL(0)}, 0},
			{"a time", []WriteOption{ExpireAt(clock.Now().Add(time.Minute))}, time.Minute},
			{"no time", []WriteOption{ExpireAt(time.Time{})}, 0}, {"as it was", []WriteOption{KeepTTL}, 5 * time.Hour},
		} {
			t.Run(way.name+"/"+row.name, func(t *testing.T) {
				must(t, endless.Put("key", 1, TTL(5*time.Hour)))
				must(t, way.put(row.opts...))
				if left, err := counters.TTL("key"); left != row.want || err != nil {
					t.Errorf("it has %v left, %v, want %v", left, err, row.want)
				}
			})
		}
	}
	for _, add := range []func(key string) (int64, error){
		func(key string) (int64, error) { return counters.Add(key, 1) },
		func(key string) (n int64, err error) {
			err = db.Update(func(tx *Txn) error {
				n, err = counters.In(tx).Add(key, 1)
				return err
			})
			return n, err
		},
	} {
		must(t, counters.Delete("added"))
		for i := range int64(2) {
			if n, err := add("added"); n != i+1 || err != nil {
				t.Errorf("%d, %v, want %d", n, err, i+1)
			}
			clock.add(time.Minute)
		}
		if left, err := counters.TTL("added"); left != life-2*time.Minute || err != nil {
			t.Errorf("a counter has %v left, %v: its life began with the first", left, err)
		}
	}
	must(t, endless.Put("key", 1))
	if left, err := endless.TTL("key"); left != 0 || err != nil {
		t.Errorf("a default below 0: %v, %v", left, err)
	}
	var version uint64
	must(t, counters.Put("key", 1, VersionTo(&version), IfPresent))
	if e, err := counters.Stat("key"); err != nil || e.Version != version || e.Deadline != clock.ms()+life.Milliseconds() {
		t.Errorf("%+v, %v, version %d", e, err, version)
	}
}
