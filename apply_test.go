package ebb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// batchOf returns a batch of what add adds.
func batchOf(t *testing.T, add ...func(*Batch) error) *Batch {
	t.Helper()
	var b Batch
	for _, a := range add {
		must(t, a(&b))
	}
	return &b
}

func putOp(key, value string, opts ...WriteOption) func(*Batch) error {
	return func(b *Batch) error { return b.Put([]byte(key), []byte(value), opts...) }
}

func deleteOp(key string, opts ...WriteOption) func(*Batch) error {
	return func(b *Batch) error { return b.Delete([]byte(key), opts...) }
}

func expireOp(key string, d time.Duration, opts ...WriteOption) func(*Batch) error {
	return func(b *Batch) error { return b.Expire([]byte(key), d, opts...) }
}

func rangeOp(start string, end []byte) func(*Batch) error {
	return func(b *Batch) error { return b.DeleteRange([]byte(start), end) }
}

// conditionsThere is a database with a key of each fate, wherever place puts them: there at version 1, with a deadline,
// expired, deleted, deleted by range.
func conditionsThere(t *testing.T, place func(*DB) error) *DB {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
	must(t, db.Put([]byte("there"), []byte("v"))) // version 1
	must(t, db.Put([]byte("brief"), []byte("v"), TTL(time.Minute)))
	must(t, db.Put([]byte("expired"), []byte("v"), TTL(time.Second)))
	must(t, db.Put([]byte("deleted"), nil))
	must(t, db.Delete([]byte("deleted")))
	must(t, db.Put([]byte("ranged"), nil))
	must(t, db.DeleteRange([]byte("ranged"), []byte("rangee")))
	must(t, place(db))
	clock.add(time.Second)
	return db
}

var conditionPlaces = []struct {
	name string
	do   func(*DB) error
}{
	{"memtable", func(*DB) error { return nil }},
	{"frozen", freeze},
	{"table", (*DB).Flush},
	{"last level", func(db *DB) error { return db.Compact(context.Background()) }},
}

// A batch is made as a whole if all its conditions hold, and not at all if one does not: which, of which key, and what is
// there, is told. What the batch itself does to a key means nothing to a condition.
func TestBatchConditions(t *testing.T) {
	other := putOp("other", "new")
	const holds = "holds"
	for _, row := range []struct {
		name string
		add  []func(*Batch) error
		want string // the error
	}{
		{"absent", []func(*Batch) error{putOp("never", "", IfAbsent), putOp("expired", "", IfAbsent), putOp("deleted", "", IfVersion(0)),
			putOp("ranged", "", IfAbsent), deleteOp("never", IfVersion(0))}, holds},
		{"present", []func(*Batch) error{putOp("there", "", IfVersion(1)), putOp("brief", "", IfPresent), expireOp("there", 0, IfPresent),
			expireOp("brief", 0, IfVersion(2)), deleteOp("there", IfPresent), deleteOp("there", IfVersion(1))}, holds},
		{"not absent", []func(*Batch) error{other, putOp("there", "", IfAbsent), other}, `IfAbsent, but "there" has version 1`},
		{"expired", []func(*Batch) error{other, deleteOp("expired", IfPresent)}, `IfPresent, but "expired" is absent`},
		{"expired, expire", []func(*Batch) error{other, expireOp("expired", 1, IfPresent)}, `IfPresent, but "expired" is absent`},
		{"another version", []func(*Batch) error{deleteOp("there", IfVersion(2)), other}, `IfVersion(2), but "there" has version 1`},
		{"a version of what is gone", []func(*Batch) error{putOp("deleted", "", IfVersion(4)), other}, `IfVersion(4), but "deleted" is absent`},
		{"ranged", []func(*Batch) error{other, putOp("ranged", "", IfPresent)}, `IfPresent, but "ranged" is absent`},
		{"own put", []func(*Batch) error{putOp("never", "1"), putOp("never", "2", IfAbsent), expireOp("never", time.Hour)}, holds},
		{"own put twice", []func(*Batch) error{putOp("never", "1", IfAbsent), putOp("never", "2", IfAbsent)}, holds},
		{"own delete", []func(*Batch) error{deleteOp("there"), rangeOp("a", nil), putOp("there", "", IfPresent)}, holds},
		{"own put is no presence", []func(*Batch) error{putOp("never", "1"), deleteOp("never", IfPresent), other}, `IfPresent, but "never" is absent`},
		{"two conditions", []func(*Batch) error{putOp("there", "", IfPresent), putOp("there", "", IfAbsent)}, `IfAbsent, but "there" has version 1`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, place := range conditionPlaces {
				db := conditionsThere(t, place.do)
				b := batchOf(t, row.add...)
				must(t, b.SetWriter(1, 0))
				before, shown := lastSeq(db), entriesShown(t, db)
				version := uint64(77)
				err := db.Apply(b, VersionTo(&version))
				if row.want == holds {
					must(t, err)
					if n := lastSeq(db) - before; n != uint64(b.Len()) || version != lastSeq(db) {
						t.Errorf("%s: %d operations of %d, version %d", place.name, n, b.Len(), version)
					}
					must(t, db.Apply(b)) // a repetition, whatever its conditions are by now
					continue
				}
				var c *ConditionError
				if !errors.Is(err, ErrConditionFailed) || !errors.As(err, &c) || !strings.HasSuffix(err.Error(), ": "+row.want) {
					t.Errorf("%s: %v, want %s", place.name, err, row.want)
				}
				if lastSeq(db) != before || entriesShown(t, db) != shown || version != 77 {
					t.Errorf("%s: something was written, version %d", place.name, version)
				}
				must(t, applyAs(db, 1, 0, "k", "the sequence is still to be had"))
			}
		})
	}
}

// What a batch does to what it finds: it keeps deadlines and values, on top of its own earlier operations, and leaves absent
// keys absent.
func TestBatchEffects(t *testing.T) {
	for _, row := range []struct {
		name string
		add  []func(*Batch) error
		want string // what is there of key k, which begins with the value v and a deadline in a minute
		ops  uint64
	}{
		{"keep", []func(*Batch) error{putOp("brief", "new", KeepTTL)}, "new for 59s", 1},
		{"keep of an own put", []func(*Batch) error{putOp("brief", "1", TTL(time.Hour)), putOp("brief", "2", KeepTTL)}, "2 for 1h0m0s", 2},
		{"keep after an own delete", []func(*Batch) error{deleteOp("brief"), putOp("brief", "2", KeepTTL)}, "2 for 0s", 2},
		{"keep after an own range", []func(*Batch) error{rangeOp("b", []byte("c")), putOp("brief", "2", KeepTTL)}, "2 for 0s", 2},
		{"expire", []func(*Batch) error{expireOp("brief", time.Hour)}, "v for 1h0m0s", 1},
		{"persist", []func(*Batch) error{func(b *Batch) error { return b.Persist([]byte("brief")) }}, "v for 0s", 1},
		{"expire in the past", []func(*Batch) error{expireOp("brief", -1)}, "absent", 1},
		{"expire of an own put", []func(*Batch) error{putOp("brief", "new"), expireOp("brief", time.Hour)}, "new for 1h0m0s", 2},
		{"expire after an own delete", []func(*Batch) error{deleteOp("brief"), expireOp("brief", time.Hour)}, "absent", 1},
		{"expire after a range to the end", []func(*Batch) error{rangeOp("b", nil), expireOp("brief", time.Hour)}, "absent", 1},
		{"expire after a range and a put", []func(*Batch) error{rangeOp("b", nil), putOp("brief", "2"), expireOp("brief", time.Hour)},
			"2 for 1h0m0s", 3},
		{"expire of what is not there", []func(*Batch) error{expireOp("never", 1), expireOp("expired", time.Hour), expireOp("deleted", 1),
			expireOp("ranged", 1)}, "v for 59s", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, place := range conditionPlaces {
				db := conditionsThere(t, place.do)
				before := lastSeq(db)
				version := uint64(77)
				b := batchOf(t, row.add...)
				must(t, db.Apply(b, VersionTo(&version)))
				if n := lastSeq(db) - before; n != row.ops || n == 0 && version != 77 {
					t.Errorf("%s: %d operations, version %d", place.name, n, version)
				}
				got := "absent"
				if value, err := db.Get([]byte("brief")); err == nil {
					left, err := db.TTL([]byte("brief"))
					must(t, err)
					got = fmt.Sprintf("%s for %v", value, left)
				}
				if got != row.want {
					t.Errorf("%s: %s, want %s", place.name, got, row.want)
				}
				for _, key := range []string{"never", "expired", "deleted", "ranged"} {
					content{db}.lacks(t, key)
				}
				// The batch of a writer counts in any case.
				must(t, b.SetWriter(9, 0))
				must(t, db.Apply(b))
				before = lastSeq(db)
				must(t, db.Apply(b))
				if last, err := db.WriterSequence(9); err != nil || last != 0 || lastSeq(db) != before {
					t.Errorf("%s: the writer's last is %d, %v; sequence %d after %d", place.name, last, err, lastSeq(db), before)
				}
				content{db}.lacks(t, "never")
			}
		})
	}
}

// The values that an Expire finds count, as they are written anew.
func TestBatchExpireTooLarge(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), make([]byte, 1000)))
	b := batchOf(t, putOp("a", "v"), expireOp("k", time.Hour))
	must(t, db.Apply(b))
	keys := b.resolver
	keys.Begin(&b.ops)
	looks := lookups{size: MaxBatchSize}
	turn, err := looks.begin(&db.pipeline, keys.Keys, db.pipeline.begin)
	must(t, err)
	turn.end()
	if looks.size != 1000 {
		t.Errorf("%d bytes were found", looks.size)
	}
	looks.found = nil
	err = b.Put([]byte("z"), make([]byte, 10))
	b.size = MaxBatchSize
	if err = errors.Join(err, b.Put([]byte("z"), nil)); !errors.Is(err, ErrBatchTooLarge) || !strings.Contains(err.Error(), `"z"`) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// Of batches with conditions on the same keys one wins each time, and all of it, while memtables become tables under them.
func TestBatchConditionsConcurrently(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		o := tinyOptions(vfstest.NewMem(), newFakeClock())
		o.Sync = policy
		db := openTest(t, o)
		const writers, wins = 4, 60
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for won := 0; won < wins; {
					err := countInBatch(db)
					if err == nil {
						won++
					} else if !errors.Is(err, ErrConditionFailed) {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, key := range []string{"a", "b"} {
			if value, err := db.Get([]byte(key)); err != nil || string(value[:6]) != fmt.Sprintf("%06d", writers*wins) {
				t.Errorf("%s is %.6q, %v", key, value, err)
			}
		}
	}
}

// countInBatch adds one to two counters, if nobody else does meanwhile.
func countInBatch(db *DB) error {
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer s.Close()
	var b Batch
	var values []string
	for _, key := range []string{"a", "b"} {
		var n int
		e, err := s.GetEntry([]byte(key))
		if err == nil {
			_, err = fmt.Sscanf(string(e.Value[:6]), "%06d", &n)
		}
		if err != nil && err != ErrNotFound {
			return err
		}
		values = append(values, fmt.Sprint(n))
		value := fmt.Appendf(nil, "%06d%200d", n+1, n)
		if err := errors.Join(b.Put([]byte(key), value, IfVersion(e.Version)), b.Expire([]byte(key), time.Hour)); err != nil {
			return err
		}
	}
	if values[0] != values[1] {
		return fmt.Errorf("a snapshot shows %v", values)
	}
	return db.Apply(&b)
}

// Tables that change between the look-ups and the turn are read before another turn, not in it; if they change each time they
// are read in the end.
func TestBatchLooksAgain(t *testing.T) {
	for changes := range lookAttempts + 2 {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		must(t, db.Put([]byte("k"), []byte("0")))
		must(t, db.Flush())
		b := batchOf(t, expireOp("k", time.Hour, IfPresent))
		b.resolver.Begin(&b.ops)
		begun := 0
		turn, err := b.found.begin(&db.pipeline, b.resolver.Keys, func() (turn, error) {
			if begun++; begun <= changes {
				must(t, db.Put([]byte("k"), fmt.Append(nil, begun)))
				must(t, db.Flush())
			}
			return db.pipeline.begin()
		})
		must(t, err)
		cur := &b.found.found[0]
		if want := min(changes+1, lookAttempts); begun != want || !cur.found || string(cur.Value) != fmt.Sprint(min(changes, lookAttempts)) {
			t.Errorf("%d changes: %d turns, %v, %s", changes, begun, cur.found, cur.Value)
		}
		turn.end()
	}
}

// What a batch finds it does not keep.
func TestBatchForgets(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), make([]byte, 1000)))
	b := batchOf(t, expireOp("k", time.Hour))
	must(t, db.Apply(b))
	if b.found.found != nil || len(b.resolver.Keys) != 0 {
		t.Error("a batch keeps what it has found")
	}
	must(t, b.Put([]byte("k"), nil, IfAbsent))
	if err := db.Apply(b); !errors.Is(err, ErrConditionFailed) || b.found.found != nil {
		t.Errorf("a batch keeps what it has found; %v", err)
	}
}

// A batch so large that its keys are put in order all at once is seen whole, by scans as by point reads, on top of what was there,
// and a snapshot from before shows nothing of it.
func TestLargeBatch(t *testing.T) {
	db, err := OpenMemory(nil)
	must(t, err)
	defer db.Close()
	want := map[string]string{}
	for round := range 3 {
		old, err := db.Snapshot()
		must(t, err)
		n := len(want)
		var b Batch
		for i := range 3000 {
			key, value := fmt.Sprintf("%d/%d", i*7919%1000, i%(5+round)), fmt.Sprint(round, i)
			if i%11 == 0 {
				must(t, b.Delete([]byte(key)))
				delete(want, key)
			} else {
				must(t, b.Put([]byte(key), []byte(value)))
				want[key] = value
			}
		}
		must(t, db.Apply(&b))
		must(t, db.Put([]byte("alone"), []byte("1")))
		want["alone"] = "1"
		seen, last := 0, ""
		for e, err := range db.Range(nil) {
			must(t, err)
			if want[string(e.Key)] != string(e.Value) || string(e.Key) <= last {
				t.Fatalf("round %d: %s is %s behind %s, want %s", round, e.Key, e.Value, last, want[string(e.Key)])
			}
			last = string(e.Key)
			seen++
		}
		before, err := old.Count(nil)
		if old.Close(); seen != len(want) || before != n || err != nil {
			t.Errorf("round %d: %d keys, want %d; before %d, want %d, %v", round, seen, len(want), before, n, err)
		}
	}
}
