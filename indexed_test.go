package ebb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// tagged is an entry of the tests: it has several tags, maybe the same twice, and one name or none.
type tagged struct {
	Name string
	Tags []string
}

// taggedSpace is a keyspace with an index that is not unique and one that is.
type taggedSpace struct {
	*Indexed[int64, tagged]
	plain  *Typed[int64, tagged]
	byTag  *Index[int64, tagged, string]
	byName *Index[int64, tagged, string]
}

func newTaggedSpace(db *DB) (s taggedSpace, err error) {
	s.plain = NewTyped(db, []byte("e/"), codec.Int64(), codec.JSON[tagged]())
	s.byTag = NewIndex(s.plain, []byte("tag/"), codec.String(), func(_ int64, v tagged) []string { return v.Tags })
	s.byName = NewUniqueIndex(s.plain, []byte("name/"), codec.String(), func(_ int64, v tagged) []string {
		if v.Name == "" {
			return nil
		}
		return []string{v.Name}
	})
	s.Indexed, err = NewIndexed(s.plain, s.byTag, s.byName)
	return s, err
}

// whole returns an error unless the indexes agree with the keyspace, but for stale rows if they are allowed.
func (s taggedSpace) whole(stale bool) error {
	r, err := s.CheckIndexes(context.Background())
	if err == nil && (r.Missing > 0 || r.Stale > 0 && !stale) {
		err = fmt.Errorf("%+v", r)
	}
	return err
}

// found returns what an index shows in a range, as "index key>key" each.
func found(x IndexView[int64, tagged, string], r *TypedRange[string]) (list []string, err error) {
	for e, err := range x.Range(r) {
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprint(e.IndexKey, ">", e.Key))
	}
	return list, nil
}

// indexedMachine runs an indexed keyspace against a map.
type indexedMachine struct {
	driver
	space   taggedSpace
	entries map[int64]indexedModelEntry
	foreign bool // something was deleted past the indexes, whose rows may be stale
}

type indexedModelEntry struct {
	value    tagged
	deadline int64
}

// TestIndexedModel runs random operations. A failure prints the seed.
func TestIndexedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &indexedMachine{driver: newDriver(t, func(fs *vfstest.Mem, clock *fakeClock) *Options {
			return manualOptions(fs, clock, SyncAlways)
		}), entries: map[int64]indexedModelEntry{}}
		m.wrote = func(...Change) {}
		m.open(t)
		defer func() { m.db.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"put": m.Put, "put2": m.Put, "put3": m.Put, "change": m.Change, "change2": m.Change, "deleteRange": m.DeleteRange,
			"transaction": m.Transaction, "foreign": m.Foreign, "evict": m.EvictSome, "reindex": m.Reindex, "tick": m.Tick,
			"flush": m.Flush, "compact": m.Compact, "reopen": m.Reopen, "": m.Check,
		})
	})
}

func (m *indexedMachine) open(t *rapid.T) {
	var err error
	m.driver.open(t)
	m.space, err = newTaggedSpace(m.db)
	m.must(t, err)
}

func (m *indexedMachine) Reopen(t *rapid.T) {
	m.close(t)
	m.open(t)
}

func (m *indexedMachine) drawKey(t *rapid.T) int64 { return rapid.Int64Range(-3, 3).Draw(t, "key") }

func (m *indexedMachine) drawValue(t *rapid.T) tagged {
	return tagged{
		Name: rapid.SampledFrom([]string{"", "", "ann", "bo", "\x00"}).Draw(t, "name"),
		Tags: rapid.SliceOfN(rapid.SampledFrom([]string{"", "\x00", "a", "a\x00", "ab", "\u00ff"}), 0, 3).Draw(t, "tags"),
	}
}

// live forgets what has expired, and returns the keys that are left.
func (m *indexedMachine) live() []int64 {
	now := m.clock.ms()
	maps.DeleteFunc(m.entries, func(_ int64, e indexedModelEntry) bool { return e.deadline != 0 && e.deadline <= now })
	return slices.Sorted(maps.Keys(m.entries))
}

// taken reports whether another key has the name.
func (m *indexedMachine) taken(key int64, name string) bool {
	for _, k := range m.live() {
		if k != key && name != "" && m.entries[k].value.Name == name {
			return true
		}
	}
	return false
}

// put is Put by a function that puts, with a TTL or keeping the deadline.
func (m *indexedMachine) put(t *rapid.T, put func(int64, tagged, ...WriteOption) error) {
	key, v, d := m.drawKey(t), m.drawValue(t), m.duration(t)
	taken := m.taken(key, v.Name)
	opt, deadline := TTL(d), m.after(d)
	if rapid.Bool().Draw(t, "keep") {
		opt, deadline = KeepTTL, m.entries[key].deadline
	}
	err := put(key, v, opt)
	if taken != errors.Is(err, ErrNotUnique) || !taken && err != nil {
		t.Fatalf("%d, %+v: %v, taken is %v", key, v, err, taken)
	}
	if !taken {
		m.entries[key] = indexedModelEntry{v, deadline}
	}
}

func (m *indexedMachine) Put(t *rapid.T) {
	m.put(t, func(key int64, v tagged, opts ...WriteOption) error {
		if rapid.Bool().Draw(t, "update") {
			return m.space.Update(key, func(tagged, bool) (tagged, error) { return v, nil }, opts...)
		}
		return m.space.Put(key, v, opts...)
	})
}

// indexedWriter is what Indexed and IndexedTxn have in common but for options.
type indexedWriter interface {
	Take(int64) (tagged, error)
	Expire(int64, time.Duration, ...WriteOption) error
	GetTouch(int64, time.Duration, ...WriteOption) (tagged, error)
	Persist(int64) error
	Delete(int64) error
}

// byItself makes each write a transaction.
type byItself struct{ taggedSpace }

func (b byItself) Take(key int64) (tagged, error) { return b.taggedSpace.Take(key) }
func (b byItself) Persist(key int64) error        { return b.taggedSpace.Persist(key) }
func (b byItself) Delete(key int64) error         { return b.taggedSpace.Delete(key) }

func (m *indexedMachine) Change(t *rapid.T) { m.change(t, byItself{m.space}) }

func (m *indexedMachine) change(t *rapid.T, w indexedWriter) {
	key, d := m.drawKey(t), m.duration(t)
	m.live()
	e, ok := m.entries[key]
	var err error
	var v tagged
	switch rapid.IntRange(0, 4).Draw(t, "change") {
	case 0:
		if v, err = w.Take(key); err == nil {
			delete(m.entries, key)
		}
	case 1:
		if err, v = w.Expire(key, d), e.value; err == nil {
			m.entries[key] = indexedModelEntry{v, m.after(d)}
		}
	case 2:
		if v, err = w.GetTouch(key, d); err == nil {
			m.entries[key] = indexedModelEntry{v, m.after(d)}
		}
	case 3:
		if err, v = w.Persist(key), e.value; err == nil {
			m.entries[key] = indexedModelEntry{v, 0}
		}
	case 4:
		m.must(t, w.Delete(key))
		delete(m.entries, key)
		return
	}
	if ok && (err != nil || v.Name != e.value.Name || !slices.Equal(v.Tags, e.value.Tags)) || !ok && !errors.Is(err, ErrNotFound) {
		t.Fatalf("%d is %+v, %v, want %+v, %v", key, v, err, e, ok)
	}
}

func (m *indexedMachine) deleteRange(t *rapid.T, deleteRange func(*TypedRange[int64]) error) {
	if rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
		m.must(t, deleteRange(nil))
		clear(m.entries)
		return
	}
	start, end := m.drawKey(t), m.drawKey(t)
	m.must(t, deleteRange(m.space.Between(start, end)))
	maps.DeleteFunc(m.entries, func(k int64, _ indexedModelEntry) bool { return k >= start && k < end })
}

func (m *indexedMachine) DeleteRange(t *rapid.T) {
	m.deleteRange(t, func(r *TypedRange[int64]) error { return m.space.Indexed.DeleteRange(r) })
}

// Transaction makes several changes, which it sees in the indexes, and commits or does not.
func (m *indexedMachine) Transaction(t *rapid.T) {
	m.live()
	before, failure, fail := maps.Clone(m.entries), errors.New("not this time"), rapid.Bool().Draw(t, "fail")
	err := m.db.Update(func(tx *Txn) error {
		in := m.space.In(tx)
		for range rapid.IntRange(0, 4).Draw(t, "operations") {
			switch rapid.IntRange(0, 4).Draw(t, "operation") {
			case 0, 1:
				m.put(t, in.Put)
			case 2, 3:
				m.change(t, in)
			case 4:
				m.deleteRange(t, in.DeleteRange)
			}
			m.compare(t, m.space.byTag.In(tx), m.space.byName.In(tx))
		}
		if fail {
			return failure
		}
		return nil
	})
	if fail {
		m.entries = before
	}
	if fail != errors.Is(err, failure) || !fail && err != nil {
		t.Fatal(err)
	}
}

// Foreign deletes entries past the indexes.
func (m *indexedMachine) Foreign(t *rapid.T) {
	m.foreign = true
	m.deleteRange(t, func(r *TypedRange[int64]) error { return m.space.plain.DeleteRange(r) })
}

func (m *indexedMachine) EvictSome(t *rapid.T) {
	horizon := m.now() + int64(rapid.IntRange(-100, 6000).Draw(t, "horizon"))
	m.must(t, m.db.evicter.evict(horizon))
	maps.DeleteFunc(m.entries, func(_ int64, e indexedModelEntry) bool { return e.deadline != 0 && e.deadline <= horizon })
}

func (m *indexedMachine) Reindex(t *rapid.T) {
	m.must(t, m.space.Indexed.Reindex(context.Background()))
	m.foreign = false
}

func (m *indexedMachine) Check(t *rapid.T) {
	if err := m.space.whole(m.foreign); err != nil {
		t.Fatal(err)
	}
	m.compare(t, m.space.byTag.IndexView, m.space.byName.IndexView)
}

// compare holds the indexes against the model: whole, in ranges, and by key.
func (m *indexedMachine) compare(t *rapid.T, byTag, byName IndexView[int64, tagged, string]) {
	type pair struct {
		index string
		key   int64
	}
	var tags, names []pair
	for _, key := range m.live() {
		v := m.entries[key].value
		for _, tag := range v.Tags {
			if p := (pair{tag, key}); !slices.Contains(tags, p) {
				tags = append(tags, p)
			}
		}
		if v.Name != "" {
			names = append(names, pair{v.Name, key})
		}
	}
	order := func(a, b pair) int { return cmp.Or(strings.Compare(a.index, b.index), cmp.Compare(a.key, b.key)) }
	slices.SortFunc(tags, order)
	slices.SortFunc(names, order)
	same := func(x IndexView[int64, tagged, string], r *TypedRange[string], pairs []pair, in func(string) bool) {
		var want []string
		for _, p := range pairs {
			if in(p.index) {
				want = append(want, fmt.Sprint(p.index, ">", p.key))
			}
		}
		if r.Reverse {
			slices.Reverse(want)
		}
		if r.Limit > 0 {
			want = want[:min(len(want), r.Limit)]
		}
		got, err := found(x, r)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%+v: found %q, %v, want %q", r, got, err, want)
		}
	}
	all := func(string) bool { return true }
	same(byTag, &TypedRange[string]{}, tags, all)
	same(byTag, &TypedRange[string]{Reverse: true, Limit: 2}, tags, all)
	same(byTag, byTag.Only("a"), tags, func(s string) bool { return s == "a" })
	same(byTag, byTag.Between("\x00", "ab"), tags, func(s string) bool { return s >= "\x00" && s < "ab" })
	same(byTag, byTag.From("a\x00"), tags, func(s string) bool { return s >= "a\x00" })
	same(byName, byName.Before("bo"), names, func(s string) bool { return s < "bo" })
	for _, name := range []string{"ann", "bo"} {
		e, err := byName.Get(name)
		i := slices.IndexFunc(names, func(p pair) bool { return p.index == name })
		if i < 0 && !errors.Is(err, ErrNotFound) || i >= 0 && (err != nil || e.Key != names[i].key ||
			e.Deadline != 0 && m.entries[e.Key].deadline == 0) {
			t.Fatalf("%s is of %+v, %v, want %v", name, e, err, names)
		}
	}
}

func openTagged(t *testing.T, o *Options) (*DB, taggedSpace) {
	t.Helper()
	db := openTest(t, o)
	s, err := newTaggedSpace(db)
	must(t, err)
	return db, s
}

// What stands in an index only from Reindex on; a unique index that cannot be.
func TestReindex(t *testing.T) {
	db, s := openTagged(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	for i := range int64(3 * reindexStep) {
		must(t, s.plain.Put(i, tagged{Tags: []string{"even", "odd"}[i%2 : i%2+1]}, TTL(time.Duration(i%3)*time.Hour)))
	}
	must(t, db.Put([]byte("tag/odd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), nil)) // of 0, which is even, if it is of any
	if r, err := s.CheckIndexes(context.Background()); err != nil || r != (IndexReport{3 * reindexStep, 1, 3 * reindexStep, 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Reindex(canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, s.Reindex(context.Background()))
	if r, err := s.CheckIndexes(context.Background()); err != nil || r != (IndexReport{3 * reindexStep, 3 * reindexStep, 0, 0}) {
		t.Errorf("%+v, %v", r, err)
	}
	got, err := found(s.byTag.IndexView, &TypedRange[string]{Limit: 2, Reverse: true})
	must(t, err)
	compare(t, "the last", got, "odd>383", "odd>381")

	must(t, s.plain.Put(1000, tagged{Name: "ann"}))
	must(t, s.plain.Put(1001, tagged{Name: "ann"}))
	var unique *UniqueError
	if err := s.Reindex(context.Background()); !errors.As(err, &unique) || unique.Key != "ann" || string(unique.Index) != "name/" ||
		!strings.Contains(err.Error(), `index "name/", key "ann"`) {
		t.Error(err)
	}
}

// What lives for the default time of its keyspace does so in an index, too.
func TestIndexedDefaultTTL(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	plain := NewTyped(db, []byte("e/"), codec.Int64(), codec.JSON[string](), DefaultTTL(time.Minute))
	index := NewIndex(plain, []byte("x/"), codec.String(), func(_ int64, v string) []string { return []string{v} })
	s, err := NewIndexed(plain, index)
	must(t, err)
	must(t, s.Put(1, "brief"))
	must(t, s.Put(2, "for good", TTL(0)))
	if r, err := s.CheckIndexes(context.Background()); err != nil || r != (IndexReport{2, 2, 0, 0}) {
		t.Errorf("%+v, %v", r, err)
	}
	clock.add(time.Minute)
	if r, err := s.CheckIndexes(context.Background()); err != nil || r != (IndexReport{1, 1, 0, 0}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A function that panics, and what cannot be indexed, fail that write alone.
func TestIndexBadInput(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	plain := NewTyped(db, []byte("e/"), codec.Uint64(), codec.String().(interface {
		codec.Key[string]
		codec.Value[string]
	}))
	index := NewIndex(plain, []byte("x/"), codec.String(), func(_ uint64, v string) []string {
		switch v {
		case "panics":
			panic("no index key")
		case "long":
			return []string{strings.Repeat("x", MaxKeySize)}
		}
		return []string{v}
	})
	s, err := NewIndexed(plain, index)
	must(t, err)
	must(t, s.Put(1, "one"))
	for value, want := range map[string]error{"panics": ErrIndexFunction, "long": ErrKeyTooLarge} {
		for range 2 {
			if err := s.Put(1, value); !errors.Is(err, want) || !strings.Contains(err.Error(), `index "x/"`) {
				t.Error(err)
			}
			must(t, db.Update(func(tx *Txn) error { // which goes on
				if err := s.In(tx).Put(1, value); !errors.Is(err, want) {
					t.Error(err)
				}
				return s.In(tx).Put(2, "two")
			}))
		}
	}
	if err := s.Put(3, "three", FoundTo(new(bool))); !errors.Is(err, ErrInvalidOption) {
		t.Error(err)
	}
	if e, err := index.Get("one"); err != nil || e.Key != 1 || e.Value != "one" {
		t.Errorf("%+v, %v", e, err)
	}
	must(t, plain.Put(4, "panics"))
	if err := s.Delete(4); err != nil { // it cannot tell its rows, which would show nothing
		t.Error(err)
	}
	for name, r := range map[string]*TypedRange[string]{"KeysOnly": {KeysOnly: true}, "Limit": {Limit: -1}} {
		for _, err := range index.Range(r) {
			if !errors.Is(err, ErrInvalidOptions) || !strings.Contains(err.Error(), name) {
				t.Error(err)
			}
		}
	}
	other := NewTyped(db, []byte("e/"), codec.Uint64(), codec.JSON[string]())
	none := func(uint64, string) []string { return nil }
	for what, indexes := range map[string][]AnyIndex[uint64, string]{
		"none": nil, "another keyspace": {NewIndex(other, []byte("o/"), codec.String(), none)},
		"e/x": {NewIndex(plain, []byte("e/x"), codec.String(), none)}, "e": {NewIndex(plain, []byte("e"), codec.String(), none)},
		`"x/"`: {index, NewUniqueIndex(plain, []byte("x/"), codec.String(), none)}, `""`: {NewIndex(plain, nil, codec.String(), none)},
	} {
		if _, err := NewIndexed(plain, indexes...); !errors.Is(err, ErrInvalidOptions) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Of those who want a unique index key at a time one gets it, and readers see no entry by an index key that it does not have.
func TestIndexedConcurrently(t *testing.T) {
	o := tinyOptions(vfstest.NewMem(), newFakeClock())
	o.Sync = SyncNever
	_, s := openTagged(t, o)
	const writers, rounds = 4, 60
	var won atomic.Int64
	var wg sync.WaitGroup
	for w := range int64(writers) {
		wg.Go(func() {
			for i := range int64(rounds) {
				err := s.Put(w*rounds+i, tagged{Name: fmt.Sprint(i), Tags: []string{"all", fmt.Sprint("by ", w)}})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrNotUnique) {
					t.Error(err)
				}
				err = s.Put(-1-i%5, tagged{Tags: []string{fmt.Sprint("by ", w)}}, TTL(time.Hour)) // which all write
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			for e, err := range s.byTag.Range(nil) {
				if err != nil || !slices.Contains(e.Value.Tags, e.IndexKey) {
					t.Errorf("%+v, %v", e, err)
				}
			}
		}
	})
	wg.Wait()
	must(t, s.whole(false))
	if names, err := found(s.byName.IndexView, nil); err != nil || len(names) != rounds || won.Load() != rounds {
		t.Errorf("%d of %d got a name, %d names, %v", won.Load(), writers*rounds, len(names), err)
	}
}

// After a crash an entry is there with its rows, or neither.
func TestIndexedCrashStates(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	mem.Record()
	db, s := openTagged(t, manualOptions(mem, clock, SyncNever))
	steps := int64(24)
	if testing.Short() {
		steps = 8
	}
	for i := range steps {
		must(t, s.Put(i%7, tagged{Name: fmt.Sprint(i), Tags: []string{"a", fmt.Sprint(i % 3)}}, TTL(time.Duration(i%2)*time.Hour)))
		switch i % 4 {
		case 1:
			must(t, s.Expire(i%7, time.Minute))
		case 2:
			must(t, db.Sync())
			must(t, s.Indexed.DeleteRange(s.Between(i%5, i%5+2)))
		case 3:
			must(t, db.Flush())
		}
	}
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
		if tried.Before(c, nil) {
			return nil
		}
		after, err := Open("db", manualOptions(c.FS, newClockAt(clock.ms()), SyncNever))
		if err != nil {
			return err
		}
		space, err := newTaggedSpace(after)
		if err == nil {
			err = space.whole(false)
		}
		return errors.Join(err, after.Close())
	})
}
