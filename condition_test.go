package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestWriteOptionsOfCalls(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	key := []byte("k")
	must(t, db.Put(key, []byte("1")))
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"two conditions", func() error { return db.Put(key, nil, IfPresent, IfVersion(1)) }},
		{"put, later", func() error { return db.Put(key, nil, IfLater) }},
		{"put, zero option", func() error { return db.Put(key, nil, WriteOption{}) }},
		{"delete, TTL", func() error { return db.Delete(key, TTL(1)) }},
		{"delete, absent", func() error { return db.Delete(key, IfAbsent) }},
		{"delete range, condition", func() error { return db.DeleteRange(key, []byte("l"), IfPresent) }},
		{"expire, TTL", func() error { return db.Expire(key, 1, TTL(1)) }},
		{"expire, keep", func() error { return db.Expire(key, 1, KeepTTL) }},
		{"persist, later", func() error { return db.Persist(key, IfLater) }},
		{"add, keep", func() error {
			_, err := db.Add(key, 1, KeepTTL)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); !errors.Is(err, ErrInvalidOption) {
				t.Errorf("%v, want ErrInvalidOption", err)
			}
		})
	}
	content{db}.has(t, "k", "1")
}

// TestVersions holds that every kind of write tells its version, and that those grow.
func TestVersions(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncAlways))
	key := []byte("k")
	var v, last uint64
	for _, do := range []func() error{
		func() error { return db.Put(key, []byte("1"), VersionTo(&v), IfAbsent) },
		func() error { return db.Put(key, []byte("2"), VersionTo(&v), IfVersion(last)) },
		func() error { _, err := db.Add(key, 1, VersionTo(&v)); return err },
		func() error { _, err := db.CompareAndSwap(key, []byte("3"), []byte("4"), VersionTo(&v)); return err },
		func() error { return db.Expire(key, time.Hour, VersionTo(&v)) },
		func() error { return db.Persist(key, VersionTo(&v), IfVersion(last)) },
		func() error {
			var b Batch
			return errors.Join(b.Put([]byte("a"), nil), b.Put(key, []byte("5")), db.Apply(&b, VersionTo(&v)))
		},
	} {
		must(t, do())
		e, err := db.GetEntry(key)
		must(t, err)
		if v <= last || e.Version != v {
			t.Fatalf("version %d after %d, the entry has %d", v, last, e.Version)
		}
		last = v
	}
	must(t, db.Delete(key, IfVersion(last), VersionTo(&v)))
	if v <= last {
		t.Errorf("the delete has version %d after %d", v, last)
	}
	content{db}.lacks(t, "k")
	untouched := uint64(7)
	if err := db.Put(key, nil, IfPresent, VersionTo(&untouched)); !errors.Is(err, ErrConditionFailed) || untouched != 7 {
		t.Errorf("a failed put: %v, version %d", err, untouched)
	}
}

// TestConditionAcrossSources puts the newest version of a key in each place where a condition has to find it.
func TestConditionAcrossSources(t *testing.T) {
	clock := newFakeClock()
	for _, c := range []struct {
		name  string
		place func(*DB) error
	}{
		{"memtable", func(*DB) error { return nil }},
		{"frozen", freeze},
		{"table", (*DB).Flush},
		{"last level", func(db *DB) error { return db.Compact(context.Background()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
			must(t, db.Put([]byte("there"), []byte("old")))
			must(t, db.Put([]byte("gone"), []byte("old")))
			must(t, db.Flush())
			must(t, db.Put([]byte("there"), []byte("41"), TTL(time.Minute)))
			must(t, db.Delete([]byte("gone")))
			must(t, db.Put([]byte("expired"), nil, TTL(time.Millisecond)))
			must(t, db.Put([]byte("ranged"), nil))
			must(t, db.DeleteRange([]byte("ranged"), []byte("rangee")))
			must(t, c.place(db))
			clock.add(time.Second)
			for _, key := range []string{"gone", "expired", "ranged", "never"} {
				if err := db.Put([]byte(key), nil, IfPresent); !errors.Is(err, ErrConditionFailed) {
					t.Errorf("put if %s is present: %v", key, err)
				}
				must(t, db.Put([]byte(key), []byte("new"), IfAbsent))
			}
			if n, err := db.Add([]byte("there"), 1, TTL(time.Hour)); n != 42 || err != nil {
				t.Errorf("add: %d, %v", n, err)
			}
			if left, err := db.TTL([]byte("there")); left != time.Minute-time.Second || err != nil {
				t.Errorf("add leaves %v, %v", left, err)
			}
			if err := db.Put([]byte("there"), nil, IfAbsent); !errors.Is(err, ErrConditionFailed) {
				t.Errorf("put if absent: %v", err)
			}
		})
	}
}

func TestCounter(t *testing.T) {
	for _, c := range []struct {
		value string
		want  int64
		ok    bool
	}{
		{"0", 0, true}, {"-9223372036854775808", math.MinInt64, true}, {"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false}, {"", 0, false}, {"1.5", 0, false}, {"0x1", 0, false}, {" 1", 0, false},
		{"1_000", 0, false}, {"000000000000000000000000000000001", 0, false},
	} {
		if n, err := Counter([]byte(c.value)); n != c.want && c.ok || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNotCounter) {
			t.Errorf("Counter(%q) = %d, %v", c.value, n, err)
		}
	}
}

// TestFailedConditionIsDurable holds that who is told that a condition has failed can rely on what made it fail.
func TestFailedConditionIsDurable(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	fs.Record()
	db := openTest(t, manualOptions(fs, clock, SyncNever))
	must(t, db.Put([]byte("k"), []byte("1"), NoSync))
	if err := db.Put([]byte("k"), []byte("2"), IfAbsent, Sync); !errors.Is(err, ErrConditionFailed) {
		t.Fatal(err)
	}
	vfstest.EachCrash(t, fs, vfstest.CrashPoints{From: fs.OpCount(), Random: 5}, func(c *vfstest.Crash) error {
		after, err := Open("db", manualOptions(c.FS, clock, SyncNever))
		if err != nil {
			return err
		}
		content{after}.has(t, "k", "1")
		return after.Close()
	})
}

// TestConditionsConcurrently holds that of concurrent writers exactly one wins, and that no increment is lost, while
// memtables become tables under them.
func TestConditionsConcurrently(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			o := tinyOptions(vfstest.NewMem(), newFakeClock())
			o.Sync = policy
			db := openTest(t, o)
			const writers, rounds = 8, 300
			var won atomic.Int64
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for i := range rounds {
						err := db.Put(fmt.Appendf(nil, "lock%d", i), bytes.Repeat([]byte("x"), 50), IfAbsent)
						if err == nil {
							won.Add(1)
						} else if !errors.Is(err, ErrConditionFailed) {
							t.Error(err)
						}
						if _, err := db.Add([]byte("counter"), 1); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if won.Load() != rounds {
				t.Errorf("%d writers won %d locks", won.Load(), rounds)
			}
			content{db}.has(t, "counter", fmt.Sprint(writers*rounds))
		})
	}
}

func TestConditionsAllocateNothing(t *testing.T) {
	db := openTest(t, &Options{fs: vfstest.NewMem(), Sync: SyncNever, manual: true})
	key, value, counter, absent := []byte("key"), bytes.Repeat([]byte("v"), 100), []byte("counter"), []byte("absent")
	var version uint64
	var found bool
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"put if present", func() { must(t, db.Put(key, value, IfPresent, VersionTo(&version))) }},
		{"put if version", func() { must(t, db.Put(key, value, IfVersion(version), VersionTo(&version))) }},
		{"put if absent", func() { must(t, db.Delete(absent)); must(t, db.Put(absent, value, IfAbsent)) }},
		{"add", func() { db.Add(counter, 1) }},
		{"put, found or not", func() { must(t, db.Put(key, value, FoundTo(&found))) }},
		{"delete, found or not", func() { must(t, db.Delete(key, FoundTo(&found))) }},
		{"swap", func() { db.CompareAndSwap(key, value, value) }},
		{"expire", func() { must(t, db.Expire(key, time.Hour)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, db.Put(key, value, VersionTo(&version)))
			if n := testing.AllocsPerRun(1000, c.do); n >= 1 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	// A refusal takes two: the error, and its key.
	if n := testing.AllocsPerRun(1000, func() { db.Put(key, value, IfAbsent) }); n > 2 {
		t.Errorf("%v allocations for a condition that fails", n)
	}
}

// A condition that fails says which, of which key, and what is there: in each call that takes one.
func TestConditionError(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	long := strings.Repeat("k", 100)
	must(t, db.Put([]byte(long), []byte("v"), TTL(time.Hour)))
	must(t, db.Put([]byte("gone\x00"), nil, TTL(time.Second)))
	clock.add(time.Second)
	cut := strconv.Quote(long[:64]) + "... (100 bytes)"
	for _, row := range []struct {
		err     error
		version uint64
		want    string
	}{
		{db.Put([]byte(long), nil, IfAbsent), 1, "IfAbsent, but " + cut + " has version 1"},
		{db.Put([]byte(long), nil, IfVersion(math.MaxUint64)), 1, "IfVersion(18446744073709551615), but " + cut + " has version 1"},
		{db.Delete([]byte("gone\x00"), IfPresent), 0, `IfPresent, but "gone\x00" is absent`},
		{second(db.Add([]byte("gone\x00"), 1, IfVersion(2))), 0, `IfVersion(2), but "gone\x00" is absent`},
		{second(db.CompareAndSwap([]byte(long), nil, nil, IfVersion(2))), 1, "IfVersion(2), but " + cut + " has version 1"},
		{db.Expire([]byte(long), time.Minute, IfLater), 1, "IfLater, but " + cut + " has version 1"},
		{second(db.GetTouch([]byte(long), time.Minute, IfNoDeadline)), 1, "IfNoDeadline, but " + cut + " has version 1"},
		{db.Persist([]byte(long), IfVersion(3)), 1, "IfVersion(3), but " + cut + " has version 1"},
	} {
		var c *ConditionError
		if !errors.Is(row.err, ErrConditionFailed) || !errors.As(row.err, &c) || c.Version != row.version || c.Condition == (WriteOption{}) {
			t.Errorf("%v is %+v, want version %d", row.err, c, row.version)
		} else if row.err.Error() != "ebb: condition failed: "+row.want {
			t.Errorf("%v\nwant %s", row.err, row.want)
		}
	}
}

// Who is told of a write that waits for the disk, and does not wait for it, finds it from then on; and is not told of one
// for which the disk has failed.
func TestRefusalsShow(t *testing.T) {
	key := []byte("k")
	told := errors.New("fn was told")
	for _, row := range []struct {
		name string
		ask  func(*DB) error
		want error
	}{
		{"if absent", func(db *DB) error { return db.Put(key, nil, IfAbsent) }, ErrConditionFailed},
		{"compare and swap", func(db *DB) error {
			swapped, err := db.CompareAndSwap(key, []byte("old"), nil)
			if swapped {
				t.Error("swapped")
			}
			return err
		}, nil},
		{"batch", func(db *DB) error { return db.Apply(batchOf(t, putOp("k", "", IfAbsent))) }, ErrConditionFailed},
		{"batch of nothing", func(db *DB) error { return db.Apply(batchOf(t, expireOp("never", time.Hour))) }, nil},
		{"add", func(db *DB) error { return second(db.Add(key, 1)) }, ErrNotCounter},
		{"repeat", func(db *DB) error { return applyAs(db, 7, 0, "k", "again") }, nil},
		{"writer", func(db *DB) error { return second(db.WriterSequence(7)) }, nil},
		{"with precedence", func(db *DB) error {
			return db.attemptFirst(func(tx *Txn) error {
				if has, err := tx.Has(key); !has || err != nil {
					t.Errorf("with precedence: %t, %v", has, err)
				}
				return told
			}, &params{})
		}, told},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, failure := range []error{nil, syscall.EIO} {
				synctest.Test(t, func(t *testing.T) {
					fault, gate := vfstest.NewFault(vfstest.NewMem()), make(chan struct{})
					db := openTest(t, manualOptions(fault, newFakeClock(), SyncNever))
					fault.Inject(func(op vfstest.Op) error {
						if op.Kind != vfstest.OpSync {
							return nil
						}
						<-gate
						return failure
					})
					put := make(chan error, 1)
					go func() { put <- applyAs(db, 7, 0, "k", "v", Sync) }()
					synctest.Wait()
					content{db}.lacks(t, "k")
					if failure != nil {
						close(gate)
						if err := <-put; !errors.Is(err, ErrFailed) {
							t.Errorf("the write: %v", err)
						}
						if err := row.ask(db); !errors.Is(err, ErrFailed) {
							t.Errorf("%s, after a failure: %v", row.name, err)
						}
						content{db}.lacks(t, "k")
						db.Close()
						return
					}
					if err := row.ask(db); !errors.Is(err, row.want) {
						t.Errorf("%v, want %v", err, row.want)
					}
					content{db}.has(t, "k", "v")
					close(gate)
					must(t, <-put)
					must(t, db.Close())
				})
			}
		})
	}
}

// TestFoundAcrossSources puts the newest version of a key in each place where a write that tells what was there, or takes it,
// has to find it.
func TestFoundAcrossSources(t *testing.T) {
	clock := newFakeClock()
	for _, place := range []struct {
		name string
		do   func(*DB) error
	}{
		{"memtable", func(*DB) error { return nil }},
		{"frozen", freeze},
		{"table", (*DB).Flush},
		{"last level", func(db *DB) error { return db.Compact(context.Background()) }},
	} {
		t.Run(place.name, func(t *testing.T) {
			db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
			there := []string{"put", "delete", "add", "take", "take, version"}
			absent := []string{"gone", "expired", "ranged", "never"}
			var version, last uint64
			for _, key := range append(there, absent[:3]...) {
				must(t, db.Put([]byte(key), []byte("7")))
			}
			must(t, db.Flush())
			must(t, db.Put([]byte("take, version"), []byte("8"), VersionTo(&version)))
			must(t, db.Delete([]byte("gone")))
			must(t, db.Expire([]byte("expired"), time.Millisecond))
			must(t, db.DeleteRange([]byte("ranged"), []byte("rangee")))
			must(t, place.do(db))
			clock.add(time.Second)

			for _, key := range absent {
				k, found := []byte(key), true
				if err := db.Delete(k, FoundTo(&found), VersionTo(&last)); err != nil || found || last != lastSeq(db) {
					t.Errorf("delete of %s: found is %v, version %d, %v", key, found, last, err)
				}
				if got, err := db.Take(k); got != nil || !errors.Is(err, ErrNotFound) {
					t.Errorf("take of %s: %q, %v", key, got, err)
				}
				found = true
				if n, err := db.Add(k, 1, FoundTo(&found)); n != 1 || found || err != nil {
					t.Errorf("add to %s: %d, found is %v, %v", key, n, found, err)
				}
			}
			for _, do := range []func(found *bool) error{
				func(found *bool) error { return db.Put([]byte("put"), nil, FoundTo(found)) },
				func(found *bool) error { return db.Delete([]byte("delete"), IfPresent, FoundTo(found)) },
				func(found *bool) error { return second(db.Add([]byte("add"), 1, FoundTo(found))) },
			} {
				found := false
				if err := do(&found); err != nil || !found {
					t.Errorf("found is %v, %v", found, err)
				}
			}
			untouched := true
			if err := db.Put([]byte("put"), nil, IfAbsent, FoundTo(&untouched)); !errors.Is(err, ErrConditionFailed) || !untouched {
				t.Errorf("a failed put: %v, found is %v", err, untouched)
			}
			if got, err := db.Take([]byte("take"), VersionTo(&last)); string(got) != "7" || err != nil || last != lastSeq(db) {
				t.Errorf("take: %q, %v, version %d of %d", got, err, last, lastSeq(db))
			}
			if _, err := db.Take([]byte("take, version"), IfVersion(version+1)); !errors.Is(err, ErrConditionFailed) {
				t.Errorf("take of another version: %v", err)
			}
			if got, err := db.Take([]byte("take, version"), IfVersion(version)); string(got) != "8" || err != nil {
				t.Errorf("take of the version: %q, %v", got, err)
			}
			for _, key := range []string{"delete", "take", "take, version"} {
				content{db}.lacks(t, key)
			}
		})
	}
}

// TestTakeOnce holds that of all who take a key one gets its value, and nobody what another has taken.
func TestTakeOnce(t *testing.T) {
	db := openTest(t, tinyOptions(vfstest.NewMem(), newFakeClock()))
	const takers, keys = 4, 100
	var taken [keys]atomic.Int32
	var wg sync.WaitGroup
	for taker := range takers {
		wg.Go(func() {
			for i := range keys {
				k := fmt.Appendf(nil, "key%03d", i)
				if taker == 0 {
					if err := db.Put(k, k, NoSync); err != nil {
						t.Error(err)
					}
				}
				var got []byte
				err := ErrNotFound
				if taker%2 == 0 {
					got, err = db.Take(k, NoSync)
				} else if updateErr := db.Update(func(tx *Txn) error { got, err = tx.Take(k); return nil }, NoSync); updateErr != nil {
					t.Error(updateErr)
				}
				if err == nil && bytes.Equal(got, k) {
					taken[i].Add(1)
				} else if !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %q, %v", k, got, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != 1 {
			t.Errorf("key %d was taken %d times", i, n)
		}
	}
}
