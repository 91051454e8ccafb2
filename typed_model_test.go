package ebb

import (
	"cmp"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// typedKey is the key of the model's keyspace: its order is not that of a plain concatenation.
type typedKey = codec.Pair[string, int64]

var typedKeys = codec.PairOf(codec.String(), codec.Int64())

// typedNeighbours are keys of others, right before and right behind the keyspace.
var typedNeighbours = []string{"m", "m.", "m.\xff\xff", "m0", "n", "\x00", "\xff"}

type typedEntry = TypedEntry[typedKey, map[string]int]

func compareTypedKeys(a, b typedKey) int {
	return cmp.Or(strings.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
}

// typedMachine runs a keyspace against a map. Its neighbours hold keys right before and right behind it.
type typedMachine struct {
	driver
	space   *Typed[typedKey, map[string]int]
	entries map[typedKey]typedModelEntry
}

type typedModelEntry struct {
	n        int
	deadline int64
}

// TestTypedModel runs random operations. A failure prints the seed.
func TestTypedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &typedMachine{driver: newDriver(t, func(fs *vfstest.Mem, clock *fakeClock) *Options { return manualOptions(fs, clock, SyncAlways) })}
		m.entries = map[typedKey]typedModelEntry{}
		m.open(t)
		defer func() { m.db.Close() }()
		for _, key := range typedNeighbours {
			m.must(t, m.db.Put([]byte(key), []byte("a neighbour")))
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": m.Put, "put2": m.Put, "delete": m.Delete, "expire": m.Expire, "persist": m.Persist, "deleteRange": m.DeleteRange, "batch": m.Batch, "swap": m.CompareAndSwap, "touch": m.GetTouch, "take": m.Take, "get": m.Get, "update": m.Update,
			"transaction": m.Transaction, "tick": m.Tick, "flush": m.Flush, "compact": m.Compact, "reopen": m.Reopen, "range": m.Range,
			"": m.Check,
		})
	})
}

// open opens the database and the keyspace in it.
func (m *typedMachine) open(t *rapid.T) {
	m.driver.open(t)
	m.space = NewTyped(m.db, []byte("m/"), typedKeys, codec.JSON[map[string]int](), DefaultTTL(typedLife))
}

// typedLife is the life of what is put without a word about it.
const typedLife = 40 * time.Millisecond

// life draws the options of a put, and the deadline that they mean.
func (m *typedMachine) life(t *rapid.T) (opts []WriteOption, deadline int64) {
	d := m.duration(t)
	switch rapid.IntRange(0, 3).Draw(t, "life") {
	case 0:
		return nil, m.after(typedLife)
	case 1:
		return []WriteOption{TTL(0)}, 0
	}
	return []WriteOption{TTL(d)}, m.after(d)
}

func (m *typedMachine) Reopen(t *rapid.T) {
	m.close(t)
	m.open(t)
}

func (m *typedMachine) key(t *rapid.T) typedKey {
	return typedKey{
		First:  rapid.SampledFrom([]string{"", "\x00", "a", "a\x00", "ab", "b", "\xff"}).Draw(t, "first"),
		Second: rapid.Int64Range(-2, 2).Draw(t, "second"),
	}
}

// live returns what is present, in order.
func (m *typedMachine) live() []typedKey {
	now := m.clock.ms()
	maps.DeleteFunc(m.entries, func(_ typedKey, e typedModelEntry) bool { return e.deadline != 0 && e.deadline <= now })
	return slices.SortedFunc(maps.Keys(m.entries), compareTypedKeys)
}

// present returns the entry of a key. err is that of an operation on it, which must be ErrNotFound if there is none.
func (m *typedMachine) present(t *rapid.T, key typedKey, err error) bool {
	t.Helper()
	m.live()
	_, ok := m.entries[key]
	if ok && err != nil || !ok && !errors.Is(err, ErrNotFound) {
		t.Fatalf("%v: %v, present is %v", key, err, ok)
	}
	return ok
}

func (m *typedMachine) Put(t *rapid.T) {
	key, n := m.key(t), rapid.IntRange(0, 99).Draw(t, "n")
	opts, deadline := m.life(t)
	m.must(t, m.space.Put(key, map[string]int{"n": n}, opts...))
	m.entries[key] = typedModelEntry{n, deadline}
}

func (m *typedMachine) Delete(t *rapid.T) {
	key := m.key(t)
	m.must(t, m.space.Delete(key))
	delete(m.entries, key)
}

func (m *typedMachine) Expire(t *rapid.T) {
	key, d := m.key(t), m.duration(t)
	if m.present(t, key, m.space.Expire(key, d)) {
		m.entries[key] = typedModelEntry{m.entries[key].n, m.after(d)}
	}
}

func (m *typedMachine) Persist(t *rapid.T) {
	key := m.key(t)
	if m.present(t, key, m.space.Persist(key)) {
		m.entries[key] = typedModelEntry{m.entries[key].n, 0}
	}
}

func (m *typedMachine) CompareAndSwap(t *rapid.T) {
	key, old, n := m.key(t), rapid.IntRange(0, 99).Draw(t, "old"), rapid.IntRange(0, 99).Draw(t, "n")
	opts, deadline := m.life(t)
	m.live()
	if e, ok := m.entries[key]; ok && rapid.Bool().Draw(t, "as it is") {
		old = e.n
	}
	swapped, err := m.space.CompareAndSwap(key, map[string]int{"n": old}, map[string]int{"n": n}, opts...)
	m.must(t, err)
	if e, ok := m.entries[key]; swapped != (ok && e.n == old) {
		t.Fatalf("%v of %v swapped is %v", old, e, swapped)
	}
	if swapped {
		m.entries[key] = typedModelEntry{n, deadline}
	}
}

func (m *typedMachine) GetTouch(t *rapid.T) {
	key, d := m.key(t), m.duration(t)
	v, err := m.space.GetTouch(key, d)
	if m.present(t, key, err) {
		m.same(t, key, v["n"], m.entries[key].deadline)
		m.entries[key] = typedModelEntry{v["n"], m.after(d)}
	}
}

func (m *typedMachine) Take(t *rapid.T) {
	key := m.key(t)
	v, err := m.space.Take(key)
	if m.present(t, key, err) {
		m.same(t, key, v["n"], m.entries[key].deadline)
		delete(m.entries, key)
	}
}

func (m *typedMachine) Get(t *rapid.T) {
	key := m.key(t)
	v, err := m.space.Get(key)
	if m.present(t, key, err) {
		m.same(t, key, v["n"], m.entries[key].deadline)
	}
	e, err := m.space.GetEntry(key)
	if m.present(t, key, err) {
		m.same(t, e.Key, e.Value["n"], e.Deadline)
	}
	left, err := m.space.TTL(key)
	if m.present(t, key, err) && m.after(left) != m.entries[key].deadline {
		t.Fatalf("%v has %v left", key, left)
	}
	stat, err := m.space.Stat(key)
	if m.present(t, key, err) && (stat.Key != key || stat.Value != nil || stat.ValueSize != e.ValueSize || stat.Deadline != e.Deadline) {
		t.Fatalf("stat of %v is %v, get %v", key, stat, e)
	}
	keys := []typedKey{m.key(t), key, m.key(t)}
	values, present, err := m.space.GetMany(keys...)
	m.must(t, err)
	for i, k := range keys {
		if want, ok := m.entries[k]; present[i] != ok || values[i]["n"] != want.n {
			t.Fatalf("%v of many is %v, %v, want %v, %v", k, values[i], present[i], want, ok)
		}
	}
	has, err := m.space.Has(key)
	if _, ok := m.entries[key]; err != nil || has != ok {
		t.Fatalf("has %v is %v, %v", key, has, err)
	}
}

// Update makes a value of the one before, keeping its deadline.
func (m *typedMachine) Update(t *rapid.T) {
	key := m.key(t)
	m.live()
	want, ok := m.entries[key]
	m.must(t, m.space.Update(key, func(old map[string]int, present bool) (map[string]int, error) {
		if present != ok || old["n"] != want.n {
			t.Fatalf("%v is %v, %v, want %v", key, old, present, want)
		}
		return map[string]int{"n": old["n"] + 1}, nil
	}, KeepTTL))
	m.entries[key] = typedModelEntry{want.n + 1, want.deadline}
}

// Transaction changes a few keys, compares what it shows, and commits or does not.
func (m *typedMachine) Transaction(t *rapid.T) {
	m.live()
	before, failure := maps.Clone(m.entries), errors.New("not this time")
	fail := rapid.Bool().Draw(t, "fail")
	err := m.db.Update(func(tx *Txn) error {
		in := m.space.In(tx)
		for range rapid.IntRange(0, 4).Draw(t, "operations") {
			key, d := m.key(t), m.duration(t)
			switch rapid.IntRange(0, 6).Draw(t, "operation") {
			case 6:
				r := new(TypedRange[typedKey])
				gone := m.bounds(t, r)
				m.must(t, in.DeleteRange(r))
				for _, key := range gone {
					delete(m.entries, key)
				}
			case 0:
				m.must(t, in.Delete(key))
				delete(m.entries, key)
			case 1:
				v, err := in.Take(key)
				if m.present(t, key, err) {
					m.same(t, key, v["n"], m.entries[key].deadline)
					delete(m.entries, key)
				}
			case 2:
				if m.present(t, key, in.Expire(key, d)) {
					m.entries[key] = typedModelEntry{m.entries[key].n, m.after(d)}
				}
			case 3:
				v, err := in.GetTouch(key, d)
				if m.present(t, key, err) {
					m.same(t, key, v["n"], m.entries[key].deadline)
					m.entries[key] = typedModelEntry{v["n"], m.after(d)}
				}
				if m.present(t, key, in.Persist(key)) {
					m.entries[key] = typedModelEntry{m.entries[key].n, 0}
				}
			default:
				opts, deadline := m.life(t)
				m.must(t, in.Put(key, map[string]int{"n": 5}, opts...))
				m.entries[key] = typedModelEntry{5, deadline}
			}
		}
		m.compare(t, in.Range(nil), m.live())
		if fail {
			return failure
		}
		return nil
	})
	if fail {
		m.entries = before
	}
	if fail != (err == failure) || !fail && err != nil {
		t.Fatalf("update: %v", err)
	}
}

// Range compares a range, now and as a snapshot shows it when all has gone.
func (m *typedMachine) Range(t *rapid.T) {
	r := &TypedRange[typedKey]{Reverse: rapid.Bool().Draw(t, "reverse"), Limit: rapid.IntRange(0, 5).Draw(t, "limit")}
	want := m.bounds(t, r)
	m.iterate(t, r, want)
	if r.Reverse {
		slices.Reverse(want)
	}
	if r.Limit > 0 {
		want = want[:min(len(want), r.Limit)]
	}
	m.compare(t, m.space.Range(r), want)
	if n, err := m.space.Count(r); n != len(want) || err != nil {
		t.Fatalf("%d were counted, want %d: %v", n, len(want), err)
	}
	s, err := m.db.Snapshot()
	m.must(t, err)
	defer s.Close()
	m.must(t, m.space.Put(codec.MakePair("a", int64(0)), nil))
	m.compare(t, m.space.At(s).Range(r), want)
	delete(m.entries, codec.MakePair("a", int64(0)))
	m.must(t, m.space.Delete(codec.MakePair("a", int64(0))))
}

// bounds gives a range some bounds, and returns the live keys in it.
func (m *typedMachine) bounds(t *rapid.T, r *TypedRange[typedKey]) []typedKey {
	in := m.live()
	if rapid.Bool().Draw(t, "start") {
		start := m.key(t)
		r.From(start)
		in = slices.DeleteFunc(in, func(k typedKey) bool { return compareTypedKeys(k, start) < 0 })
	}
	if rapid.Bool().Draw(t, "end") {
		end := m.key(t)
		r.Before(end)
		in = slices.DeleteFunc(in, func(k typedKey) bool { return compareTypedKeys(k, end) >= 0 })
	}
	if rapid.Bool().Draw(t, "within") {
		first := m.key(t).First
		r.Within(typedKeys.First(first))
		in = slices.DeleteFunc(in, func(k typedKey) bool { return k.First != first })
	}
	return in
}

// DeleteRange deletes a range, which leaves the neighbours as they are.
func (m *typedMachine) DeleteRange(t *rapid.T) {
	r := new(TypedRange[typedKey])
	gone := m.bounds(t, r)
	m.must(t, m.space.DeleteRange(r))
	for _, key := range gone {
		delete(m.entries, key)
	}
	for _, key := range typedNeighbours {
		if has, err := m.db.Has([]byte(key)); !has || err != nil {
			t.Fatalf("the neighbour %q: %v, %v", key, has, err)
		}
	}
}

// Batch applies a batch that the keyspace shares with one next to it.
func (m *typedMachine) Batch(t *rapid.T) {
	var b Batch
	in, next := m.space.Batch(&b), NewTyped(m.db, []byte("m0"), codec.String(), codec.String()).Batch(&b)
	m.live()
	m.must(t, next.Put("", "a neighbour"))
	for range rapid.IntRange(0, 5).Draw(t, "operations") {
		key, n, d := m.key(t), rapid.IntRange(0, 99).Draw(t, "n"), m.duration(t)
		old, present := m.entries[key]
		switch rapid.IntRange(0, 4).Draw(t, "operation") {
		case 0:
			opts, deadline := m.life(t)
			m.must(t, in.Put(key, map[string]int{"n": n}, opts...))
			m.entries[key] = typedModelEntry{n, deadline}
		case 1:
			m.must(t, in.Delete(key))
			delete(m.entries, key)
		case 2:
			r := new(TypedRange[typedKey])
			gone := m.bounds(t, r)
			m.must(t, in.DeleteRange(r))
			for _, key := range gone {
				delete(m.entries, key)
			}
		case 3:
			m.must(t, in.Expire(key, d))
			if present {
				m.entries[key] = typedModelEntry{old.n, m.after(d)}
			}
		case 4:
			m.must(t, in.Persist(key))
			if present {
				m.entries[key] = typedModelEntry{old.n, 0}
			}
		}
		m.live()
	}
	m.must(t, m.db.Apply(&b))
	for _, key := range typedNeighbours {
		if has, err := m.db.Has([]byte(key)); !has || err != nil {
			t.Fatalf("the neighbour %q: %v, %v", key, has, err)
		}
	}
}

// iterate walks a range with an iterator, to the end and back, and seeks, and compares with the keys in it.
func (m *typedMachine) iterate(t *rapid.T, r *TypedRange[typedKey], want []typedKey) {
	bounds := *r
	bounds.Reverse, bounds.Limit = false, 0
	it, err := m.space.NewIterator(&bounds)
	m.must(t, err)
	defer it.Close()
	at := func(where string, ok bool, i int) {
		t.Helper()
		m.must(t, it.Err())
		e, err := it.Entry()
		if inside := i >= 0 && i < len(want); ok != inside || ok != it.Valid() || ok && (err != nil || e.Key != want[i]) || !ok && err != ErrNotFound {
			t.Fatalf("%s: %v on %v, %v, want %d of %v", where, ok, e.Key, err, i, want)
		}
		if ok {
			m.same(t, e.Key, e.Value["n"], e.Deadline)
		}
	}
	first, err := m.space.First(&bounds)
	last, lastErr := m.space.Last(&bounds)
	if n := len(want); n == 0 && (err != ErrNotFound || lastErr != ErrNotFound) ||
		n > 0 && (err != nil || lastErr != nil || first.Key != want[0] || last.Key != want[n-1]) {
		t.Fatalf("first and last: %v, %v, %v, %v, want those of %v", first, err, last, lastErr, want)
	}
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		at("forward", ok, i)
		i++
	}
	at("after the last", false, i)
	for ok := it.Last(); ok; ok = it.Prev() {
		i--
		at("backward", ok, i)
	}
	at("before the first", false, i-1)
	key := m.key(t)
	i, _ = slices.BinarySearchFunc(want, key, compareTypedKeys)
	at("seek", it.Seek(key), i)
	at("seek before", it.SeekBefore(key), i-1)
}

func (m *typedMachine) compare(t *rapid.T, got iter.Seq2[typedEntry, error], want []typedKey) {
	t.Helper()
	i := 0
	for e, err := range got {
		m.must(t, err)
		if i == len(want) || e.Key != want[i] {
			t.Fatalf("entry %d is %v, want %v", i, e.Key, want)
		}
		m.same(t, e.Key, e.Value["n"], e.Deadline)
		i++
	}
	if i != len(want) {
		t.Fatalf("%d entries, want %v", i, want)
	}
}

func (m *typedMachine) same(t *rapid.T, key typedKey, n int, deadline int64) {
	t.Helper()
	if want := m.entries[key]; n != want.n || deadline != want.deadline {
		t.Fatalf("%v is %d until %d, want %v", key, n, deadline, want)
	}
}

// Check compares everything after each operation.
func (m *typedMachine) Check(t *rapid.T) { m.compare(t, m.space.Range(nil), m.live()) }
