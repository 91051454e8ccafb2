package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// modelEntry is what the model holds for a key.
type modelEntry struct {
	value    string
	deadline int64
}

// model is a database as it should be: a map, and a clock.
type model struct {
	clock   *fakeClock
	entries map[string]modelEntry
}

func newModel(c *fakeClock) *model { return &model{clock: c, entries: map[string]modelEntry{}} }

// live returns the entry of a key, if it is present at a time.
func (m *model) live(key string, now int64) (modelEntry, bool) {
	e, ok := m.entries[key]
	return e, ok && (e.deadline == 0 || e.deadline > now)
}

// keys returns the present keys in order.
func (m *model) keys(now int64) []string {
	var keys []string
	for k := range m.entries {
		if _, ok := m.live(k, now); ok {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

func (m *model) clone() *model {
	c := newModel(m.clock)
	for k, e := range m.entries {
		c.entries[k] = e
	}
	return c
}

// change does to the model what changes say.
func (m *model) change(changes ...Change) {
	for _, c := range changes {
		switch c.Kind {
		case ChangePut:
			m.entries[string(c.Key)] = modelEntry{string(c.Value), c.Deadline}
		case ChangeDelete, ChangeExpire:
			delete(m.entries, string(c.Key))
		case ChangeEvict:
			for k, e := range m.entries {
				if e.deadline != 0 && e.deadline <= c.Deadline {
					delete(m.entries, k)
				}
			}
		case ChangeDeleteRange:
			for k := range m.entries {
				if string(c.Key) <= k && k < string(c.End) {
					delete(m.entries, k)
				}
			}
		}
	}
}

// compare holds all that a reader shows against the model.
func (m *model) compare(r Reader, now int64) error {
	it, err := r.NewIterator(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	want := m.keys(now)
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		if i == len(want) {
			return fmt.Errorf("a scan shows %q behind the last", it.Key())
		}
		if err := m.same(want[i], it.Entry(), now); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		i++
	}
	if it.Err() != nil || i != len(want) {
		return fmt.Errorf("a scan shows %d entries, want %d: %v", i, len(want), it.Err())
	}
	if n, err := r.Count(nil); n != len(want) || err != nil {
		return fmt.Errorf("%d were counted, want %d: %w", n, len(want), err)
	}
	if n, err := r.EstimateCount(nil); n < 0 || err != nil { // TestEstimates says how good it is
		return fmt.Errorf("about %d: %w", n, err)
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if i--; i < 0 || string(it.Key()) != want[i] {
			return fmt.Errorf("a scan back shows %q", it.Key())
		}
	}
	if it.Err() != nil || i != 0 {
		return fmt.Errorf("a scan back misses %d entries: %v", i, it.Err())
	}
	for k := range m.entries {
		if err := m.compareKey(r, k, now); err != nil {
			return err
		}
	}
	return errors.Join(m.compareMany(r, now), m.compareEnds(r, want, now))
}

// compareMany looks all keys up at once, in no order.
func (m *model) compareMany(r Reader, now int64) error {
	keys := [][]byte{[]byte("absent")}
	for k := range m.entries {
		keys = append(keys, []byte(k))
	}
	got, err := r.GetMany(keys...)
	if err != nil || len(got) != len(keys) {
		return fmt.Errorf("get many: %d values, want %d: %w", len(got), len(keys), err)
	}
	for i, k := range keys {
		if want, ok := m.live(string(k), now); (got[i] != nil) != ok || ok && string(got[i]) != want.value {
			return fmt.Errorf("get many: %q is %q, want %q, present: %v", k, got[i], want.value, ok)
		}
	}
	return nil
}

// compareEnds holds the first and the last entry against the keys that are present.
func (m *model) compareEnds(r Reader, want []string, now int64) error {
	first, err := r.First(nil)
	last, lastErr := r.Last(&IterOptions{KeysOnly: true})
	if len(want) == 0 {
		if !errors.Is(err, ErrNotFound) || !errors.Is(lastErr, ErrNotFound) {
			return fmt.Errorf("first and last of nothing: %v, %v", err, lastErr)
		}
		return nil
	}
	if err := errors.Join(err, lastErr); err != nil {
		return err
	}
	at := want[len(want)-1]
	e, _ := m.live(at, now)
	if string(last.Key) != at || last.Value != nil || last.ValueSize != len(e.value) || last.Deadline != e.deadline {
		return fmt.Errorf("the last is %+v, want %q = %q", last, at, e.value)
	}
	return m.same(want[0], first, now)
}

func (m *model) compareKey(r Reader, key string, now int64) error {
	got, err := r.GetEntry([]byte(key))
	stat, statErr := r.Stat([]byte(key))
	left, leftErr := r.TTL([]byte(key))
	if _, ok := m.live(key, now); !ok {
		if !errors.Is(err, ErrNotFound) || !errors.Is(statErr, ErrNotFound) || !errors.Is(leftErr, ErrNotFound) {
			return fmt.Errorf("get %q: %q, %v, but it is absent; stat %v, TTL %v", key, got.Value, err, statErr, leftErr)
		}
		return nil
	}
	if err := errors.Join(err, statErr, leftErr); err != nil {
		return fmt.Errorf("get %q: %w", key, err)
	}
	if stat.Value != nil || stat.ValueSize != len(got.Value) || stat.Version != got.Version || stat.Deadline != got.Deadline {
		return fmt.Errorf("stat %q: %+v, but get: %+v", key, stat, got)
	}
	if ms := left.Milliseconds(); got.Deadline == 0 && ms != 0 || got.Deadline != 0 && ms != got.Deadline-now {
		return fmt.Errorf("%q has %v left at %d, its deadline is %d", key, left, now, got.Deadline)
	}
	return m.same(key, got, now)
}

func (m *model) same(key string, got Entry, now int64) error {
	want, ok := m.live(key, now)
	if !ok || string(got.Key) != key || string(got.Value) != want.value || got.Deadline != want.deadline ||
		got.ValueSize != len(want.value) {
		return fmt.Errorf("%q is %q until %d, want %q = %q until %d", got.Key, got.Value, got.Deadline, key, want.value, want.deadline)
	}
	return nil
}

// machine drives a database and the model through the same random history.
type machine struct {
	driver
	model     *model
	snapshots []heldSnapshot
}

// heldSnapshot is a snapshot with the model as it was.
type heldSnapshot struct {
	*Snapshot
	model *model
	now   int64
}

func newMachine(t *rapid.T, memory bool) *machine {
	m := &machine{driver: newDriver(t, func(fs *vfstest.Mem, clock *fakeClock) *Options { return tinyOptions(fs, clock) })}
	m.opts.Compression = rapid.SampledFrom([]Compression{CompressionNone, CompressionLZ4, CompressionZstd}).Draw(t, "compression")
	m.model, m.memory = newModel(m.clock), memory
	m.key, m.wrote = numberedKeys, func(changes ...Change) { m.model.change(changes...) }
	m.open(t)
	return m
}

// PutKeep puts a value that keeps the deadline of the one before, if that is present.
func (m *machine) PutKeep(t *rapid.T) {
	k, v := m.key(t), m.value(t)
	deadline := int64(0)
	if old, ok := m.model.live(k, m.now()); ok {
		deadline = old.deadline
	}
	m.must(t, m.db.Put([]byte(k), []byte(v), KeepTTL))
	m.wrote(m.put(k, v, deadline))
}

func (m *machine) Expire(t *rapid.T) {
	k := m.key(t)
	d := m.duration(t)
	old, ok := m.model.live(k, m.now())
	err := m.db.Expire([]byte(k), d)
	if !ok {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("expire of an absent key: %v", err)
		}
		return
	}
	m.must(t, err)
	m.wrote(m.put(k, old.value, m.after(d)))
}

func (m *machine) Reopen(t *rapid.T) {
	m.closeSnapshots()
	m.close(t)
	m.open(t)
}

func (m *machine) closeSnapshots() {
	for _, s := range m.snapshots {
		s.Close()
	}
	m.snapshots = nil
}

func (m *machine) Snapshot(t *rapid.T) {
	if len(m.snapshots) == 3 {
		m.snapshots[0].Close()
		m.snapshots = slices.Delete(m.snapshots, 0, 1)
	}
	s, err := m.db.Snapshot()
	m.must(t, err)
	m.snapshots = append(m.snapshots, heldSnapshot{s, m.model.clone(), m.now()})
}

// Range draws bounds and compares what is in them.
func (m *machine) Range(t *rapid.T) {
	o := &IterOptions{Reverse: rapid.Bool().Draw(t, "reverse"), Limit: rapid.IntRange(0, 10).Draw(t, "limit")}
	if rapid.Bool().Draw(t, "bounds") {
		o.Start, o.End = []byte(m.key(t)), []byte(m.key(t))
	}
	if rapid.Bool().Draw(t, "prefixed") {
		o.Prefix = []byte(m.key(t))[:4]
	}
	var want []string
	for _, k := range m.model.keys(m.now()) {
		if k >= string(o.Start) && (o.End == nil || k < string(o.End)) && bytes.HasPrefix([]byte(k), o.Prefix) {
			want = append(want, k)
		}
	}
	if o.Reverse {
		slices.Reverse(want)
	}
	if o.Limit > 0 && len(want) > o.Limit {
		want = want[:o.Limit]
	}
	var got []string
	for e, err := range m.db.Range(o) {
		m.must(t, err)
		m.must(t, m.model.same(string(e.Key), e, m.now()))
		got = append(got, string(e.Key))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v: %q, want %q", o, got, want)
	}
	if n, err := m.db.Count(o); n != len(want) || err != nil {
		t.Fatalf("%+v: %d were counted, want %d: %v", o, n, len(want), err)
	}
	o.Reverse, o.Limit = false, 0
	_, err := m.db.EstimateSize(o)
	m.must(t, err)
}

// Check compares everything after each step.
func (m *machine) Check(t *rapid.T) {
	m.must(t, m.model.compare(m.db, m.now()))
	for i, s := range m.snapshots {
		if err := s.model.compare(s, s.now); err != nil {
			t.Fatalf("snapshot %d: %v", i, err)
		}
	}
}

// TestModel runs random histories: operations, flushes, compactions, the clock, snapshots, clean and unclean reopening.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, false)
		defer m.end(t)
		actions := m.actions()
		actions["restore"], actions["checkpoint"], actions["reopen"] = m.Restore, m.Checkpoint, m.Reopen
		t.Repeat(actions)
	})
}

// TestModelInMemory is TestModel for a database that has no directory: copies are what outlives it.
func TestModelInMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, true)
		defer m.end(t)
		actions := m.actions()
		actions["reload"], actions["checkpoint"] = m.Reload, m.CheckpointBeside
		t.Repeat(actions)
	})
}

func (m *machine) end(t *rapid.T) {
	m.closeSnapshots()
	m.must(t, m.db.Close())
}

// Sort gives the newest tables a sorted view, which scans read from then on.
func (m *machine) Sort(*rapid.T) { m.db.live.Sort(func() bool { return false }) }

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"put": m.Put, "put2": m.Put, "put3": m.Put, "putKeep": m.PutKeep, "delete": m.Delete, "deleteRange": m.DeleteRange,
		"batch": m.Batch, "expire": m.Expire, "flush": m.Flush, "compact": m.Compact,
		"compactRange": m.CompactRange, "verify": m.Verify, "tick": m.Tick,
		"update": m.Update, "putIf": m.PutIf, "deleteIf": m.DeleteIf, "cas": m.CompareAndSwap, "add": m.Add, "expireIf": m.ExpireIf,
		"take": m.Take, "found": m.Found, "batchIf": m.BatchIf, "evict": m.Evict,
		"ingest": m.Ingest, "sort": m.Sort, "snapshot": m.Snapshot, "range": m.Range, "": m.Check,
	}
}
