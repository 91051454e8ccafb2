package ebb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// registerInput is an operation on one key.
type registerInput struct {
	key   int
	op    byte // 'g', 'p' or 'd'
	value string
}

// registers is a key that is read, put and deleted; an absent one is "".
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, o := range history {
			k := o.Input.(registerInput).key
			byKey[k] = append(byKey[k], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(registerInput)
		if in.op == 'g' {
			return output == state, state
		}
		return true, in.value
	},
}

// Concurrent reads and writes of a few keys, while memtables are flushed and tables compacted behind them, have an order.
func TestLinearizable(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		o := tinyOptions(vfstest.NewMem(), newFakeClock())
		o.Sync = policy
		db := openTest(t, o)
		const clients, each, keys = 6, 400, 4
		histories := make([][]porcupine.Operation, clients)
		start := time.Now()
		var clientsDone sync.WaitGroup
		for c := range clients {
			clientsDone.Go(func() {
				r := rand.New(rand.NewPCG(uint64(policy), uint64(c)))
				for i := range each {
					in := registerInput{key: r.IntN(keys), op: "ggppd"[r.IntN(5)]}
					if in.op == 'p' {
						in.value = fmt.Sprintf("%d-%d-%s", c, i, strings.Repeat("x", 100))
					}
					call := time.Since(start)
					out, err := in.run(db)
					if err != nil {
						t.Error(err)
						return
					}
					histories[c] = append(histories[c], porcupine.Operation{ClientId: c, Input: in, Call: int64(call),
						Output: out, Return: int64(time.Since(start))})
				}
			})
		}
		clientsDone.Wait()
		var all []porcupine.Operation
		for _, h := range histories {
			all = append(all, h...)
		}
		if got := porcupine.CheckOperationsTimeout(registers, all, 10*time.Second); got != porcupine.Ok {
			t.Errorf("policy %d: %d operations are not linearizable: %v", policy, len(all), got)
		}
		if s := db.Stats(); s.Flushes == 0 {
			t.Error("nothing was flushed meanwhile")
		}
	}
}

func (in registerInput) run(db *DB) (string, error) {
	key := strconv.AppendInt(nil, int64(in.key), 10)
	switch in.op {
	case 'p':
		return "", db.Put(key, []byte(in.value))
	case 'd':
		return "", db.Delete(key)
	}
	v, err := db.Get(key)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return string(v), err
}

// Readers see each batch whole, by snapshots and by iterators, while it goes from memtables to tables.
func TestBatchesAreSeenWhole(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		o := tinyOptions(vfstest.NewMem(), newFakeClock())
		o.Sync = policy
		db := openTest(t, o)
		const keys = 8
		write := func(i int) error {
			var b Batch
			switch i % 3 {
			case 1:
				must(t, b.DeletePrefix([]byte("key")))
			case 2:
				must(t, b.DeleteRange([]byte("key"), nil))
			}
			for k := range keys {
				if err := b.Put(fmt.Appendf(nil, "key%d", k), fmt.Appendf(nil, "%06d%100d", i, k)); err != nil {
					return err
				}
			}
			return db.Apply(&b)
		}
		must(t, write(0))
		var done atomic.Bool
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for last := ""; !done.Load(); {
					got, err := wholeBatch(db, keys)
					if err != nil || got < last {
						t.Errorf("batch %s after %s: %v", got, last, err)
						return
					}
					last = got
				}
			})
		}
		readers.Go(func() {
			for !done.Load() {
				db.live.Sort(done.Load)
			}
		})
		for i := range 400 {
			must(t, write(i+1))
			if i%100 == 99 {
				must(t, db.Compact(t.Context())) // scans do not ask for it where tables are sorted
			}
		}
		done.Store(true)
		readers.Wait()
		if s := db.Stats(); s.Flushes == 0 || s.Compactions == 0 {
			t.Errorf("%d flushes and %d compactions meanwhile", s.Flushes, s.Compactions)
		}
	}
}

// wholeBatch returns which batch a snapshot shows, and an error if it shows parts of several.
func wholeBatch(db *DB, keys int) (string, error) {
	s, err := db.Snapshot()
	if err != nil {
		return "", err
	}
	defer s.Close()
	batch, n := "", 0
	for e, err := range s.Range(nil) {
		if err != nil {
			return batch, err
		}
		got := string(e.Value[:6])
		if n++; n > 1 && got != batch {
			return batch, fmt.Errorf("%s has %s", e.Key, got)
		}
		batch = got
	}
	if err := manyOfOneBatch(db, keys); err != nil {
		return batch, err
	}
	v, err := s.Get([]byte("key3"))
	if err == nil && (n != keys || string(v[:6]) != batch) {
		err = fmt.Errorf("%d keys, and a get shows %s", n, v[:6])
	}
	return batch, err
}

// manyOfOneBatch returns an error if a look-up of many keys finds parts of several batches.
func manyOfOneBatch(db *DB, n int) error {
	var keys [][]byte
	for i := range n {
		keys = append(keys, fmt.Appendf(nil, "key%d", n-1-i))
	}
	values, err := db.GetMany(keys...)
	if err != nil {
		return err
	}
	for i, v := range values {
		if string(v[:6]) != string(values[0][:6]) {
			return fmt.Errorf("get many: %s has %s, %s has %s", keys[0], values[0][:6], keys[i], v[:6])
		}
	}
	return nil
}

func notFoundIsNil(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// calls are everything that can be called, each returning ErrClosed once the database is closed.
func calls(db *DB, s *Snapshot) map[string]func() error {
	key := []byte("key")
	return map[string]func() error{
		"put":          func() error { return db.Put(key, make([]byte, 200), TTL(time.Hour)) },
		"keep":         func() error { return db.Put(key, make([]byte, 200), KeepTTL) },
		"delete":       func() error { return db.Delete([]byte("other")) },
		"delete range": func() error { return db.DeleteRange([]byte("x"), []byte("y")) },
		"apply": func() error {
			var b Batch
			return errors.Join(b.Put(key, make([]byte, 200)), b.Put([]byte("key2"), nil), db.Apply(&b))
		},
		"apply nothing": func() error { return db.Apply(new(Batch)) },
		"count":         func() error { return second(db.Count(nil)) },
		"estimate":      func() error { return second(db.EstimateCount(nil)) },
		"split":         func() error { return second(db.SplitKeys(nil, 4)) },
		"expiring":      func() error { return second(db.EstimateExpiring(time.Minute, time.Hour)) },
		"load": func() error {
			space := NewTyped(db, nil, codec.String(), codec.String())
			return second(space.GetOrLoad(context.Background(), "loaded", time.Hour, func(context.Context, string) (string, error) {
				return "value", nil
			}))
		},
		"get":           func() error { _, err := db.Get(key); return err },
		"entry":         func() error { _, err := db.GetEntry(key); return err },
		"has":           func() error { _, err := db.Has(key); return err },
		"ttl":           func() error { _, err := db.TTL(key); return err },
		"many":          func() error { return second(db.GetMany(key, []byte("absent"))) },
		"stat":          func() error { return second(db.Stat(key)) },
		"first":         func() error { return second(db.First(nil)) },
		"last":          func() error { return second(db.Last(nil)) },
		"expire":        func() error { return db.Expire(key, time.Hour) },
		"persist":       func() error { return db.Persist(key) },
		"touch":         func() error { _, err := db.GetTouch(key, time.Hour); return err },
		"take":          func() error { return notFoundIsNil(second(db.Take([]byte("taken")))) },
		"found":         func() error { return db.Delete([]byte("other"), FoundTo(new(bool))) },
		"flush":         db.Flush,
		"compact":       func() error { return compactStep.run(db) },
		"compact range": func() error { return db.CompactRange(context.Background(), key, nil) },
		"sync":          db.Sync,
		"verify":        func() error { return db.Verify(context.Background()) },
		"snapshot": func() error {
			s, err := db.Snapshot()
			if err == nil {
				s.Close()
			}
			return err
		},
		"iterator": func() error {
			it, err := db.NewIterator(nil)
			if err == nil {
				for it.First(); it.Next(); {
				}
				err = it.Err()
				it.Close()
			}
			return err
		},
		"range": func() error {
			for _, err := range db.Range(nil) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"snapshot get":   func() error { _, err := s.Get(key); return err },
		"snapshot has":   func() error { _, err := s.Has(key); return err },
		"snapshot entry": func() error { _, err := s.GetEntry(key); return err },
		"snapshot many":  func() error { return second(s.GetMany(key, []byte("absent"))) },
		"snapshot stat":  func() error { return second(s.Stat(key)) },
		"snapshot ttl":   func() error { return second(s.TTL(key)) },
		"snapshot last":  func() error { return second(s.Last(nil)) },
		"snapshot count": func() error { return second(s.Count(nil)) },
		"snapshot size":  func() error { return second(s.EstimateSize(nil)) },
		"snapshot iterator": func() error {
			it, err := s.NewIterator(nil)
			if err == nil {
				it.Close()
			}
			return err
		},
	}
}

// Close against everything: whatever runs ends, well or with ErrClosed; whatever comes later gets ErrClosed; nothing is lost.
func TestCloseAgainstEverything(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		mem, clock := vfstest.NewMem(), newFakeClock()
		o := tinyOptions(mem, clock)
		o.Sync = SyncPolicy(round % 3)
		db := openTest(t, o)
		for i := range 100 {
			must(t, db.Put(fmt.Appendf(nil, "key%03d", i), make([]byte, 200), NoSync))
		}
		must(t, db.Put([]byte("key"), nil))
		s, err := db.Snapshot()
		must(t, err)
		it, err := db.NewIterator(nil)
		must(t, err)
		it.First()

		var users sync.WaitGroup
		var made atomic.Int64
		for name, call := range calls(db, s) {
			users.Go(func() {
				for ; ; made.Add(1) {
					if err := call(); errors.Is(err, ErrClosed) {
						return
					} else if err != nil {
						t.Errorf("round %d, %s: %v", round, name, err)
						return
					}
				}
			})
		}
		users.Go(func() {
			for !db.health.closed.Load() {
				db.sweep()
				db.Stats()
				clock.add(time.Millisecond)
			}
		})
		for made.Load() < int64(round*round) { // moves Close through what runs
			runtime.Gosched()
		}
		for range 2 {
			users.Go(func() {
				if err := db.Close(); err != nil {
					t.Errorf("round %d, close: %v", round, err)
				}
			})
		}
		users.Wait()
		for name, call := range calls(db, s) {
			if err := call(); !errors.Is(err, ErrClosed) {
				t.Errorf("%s on a closed database: %v", name, err)
			}
		}
		if it.Next() || !errors.Is(it.Err(), ErrClosed) {
			t.Errorf("iterator of a closed database: %v", it.Err())
		}
		it.Close()
		it.Close()
		s.Close()
		s.Close()
		db.sweep()
		db.Stats()

		db = openTest(t, o)
		must(t, db.Verify(context.Background()))
		for i := range 100 {
			if has, err := db.Has(fmt.Appendf(nil, "key%03d", i)); !has || err != nil {
				t.Errorf("round %d: key%03d: %v, %v", round, i, has, err)
			}
		}
		must(t, db.Close())
		if t.Failed() {
			return
		}
	}
}
