package ebb

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestTypedTransaction: a keyspace in a transaction shows its writes, keeps to its prefix, and commits or does not.
func TestTypedTransaction(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	from := NewTyped(db, []byte("from/"), codec.String(), codec.Int64())
	to := NewTyped(db, []byte("to/"), codec.String(), codec.Int64())
	must(t, from.Put("a", 10))
	must(t, from.Put("b", 20))
	failure := errors.New("not this time")
	move := func(fail error) error {
		return db.Update(func(tx *Txn) error {
			from, to := from.In(tx), to.In(tx)
			for e, err := range from.Range(nil) {
				must(t, err)
				must(t, to.Put(e.Key, e.Value, TTL(time.Hour)))
				must(t, from.Delete(e.Key))
			}
			if has, err := from.Has("a"); has || err != nil {
				t.Errorf("a is still there: %v", err)
			}
			if n, err := to.Get("b"); n != 20 || err != nil {
				t.Errorf("b is %d, %v", n, err)
			}
			return fail
		})
	}
	count := func(space *Typed[string, int64]) (n int) {
		for _, err := range space.Range(nil) {
			must(t, err)
			n++
		}
		return n
	}
	hits := NewTyped(db, []byte("hits/"), codec.String(), codec.Counter())
	must(t, db.Update(func(tx *Txn) error {
		first, err := hits.In(tx).Add("a", 5, TTL(time.Hour))
		again, errAgain := hits.In(tx).Add("a", 2)
		_, errNone := from.In(tx).Add("a", 1)
		if first != 5 || again != 7 || err != nil || errAgain != nil || !errors.Is(errNone, ErrNotCounter) {
			t.Errorf("counters: %d, %v, %d, %v; of other values: %v", first, err, again, errAgain, errNone)
		}
		return nil
	}))
	if left, err := hits.TTL("a"); left != time.Hour || err != nil {
		t.Errorf("the counter has %v left, %v", left, err)
	}
	if err := move(failure); err != failure {
		t.Errorf("got %v", err)
	}
	if a, b := count(from), count(to); a != 2 || b != 0 {
		t.Errorf("after a failure there are %d and %d", a, b)
	}
	must(t, move(nil))
	if a, b := count(from), count(to); a != 0 || b != 2 {
		t.Errorf("there are %d and %d", a, b)
	}
	if left, err := to.TTL("a"); left != time.Hour || err != nil {
		t.Errorf("a has %v left, %v", left, err)
	}
	must(t, db.View(func(tx *Txn) error {
		if n, err := to.In(tx).Get("a"); n != 10 || err != nil {
			t.Errorf("a is %d, %v", n, err)
		}
		if err := to.In(tx).Put("a", 1); !errors.Is(err, ErrReadOnly) {
			t.Errorf("a put in a view: %v", err)
		}
		return nil
	}))
	bad := NewTyped(db, nil, codec.Key[string](failing{codec.String()}), codec.Uint64())
	must(t, db.Update(func(tx *Txn) error {
		if err := errors.Join(bad.In(tx).Put("k", 1), bad.In(tx).Delete("k")); !errors.Is(err, errEncode) {
			t.Errorf("no encoding: %v", err)
		}
		return nil
	}))
}

// TestTypedUpdate: what was there is what the new value is made of, with the options that a put has.
func TestTypedUpdate(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	space := NewTyped(db, []byte("n/"), codec.String(), codec.Uint64())
	add := func(wantOld uint64, wantPresent bool) func(uint64, bool) (uint64, error) {
		return func(old uint64, present bool) (uint64, error) {
			if old != wantOld || present != wantPresent {
				t.Errorf("old is %d, %v, want %d, %v", old, present, wantOld, wantPresent)
			}
			return old + 1, nil
		}
	}
	var version uint64
	must(t, space.Update("k", add(0, false), TTL(time.Minute), Sync, VersionTo(&version)))
	e, err := space.GetEntry("k")
	if e.Value != 1 || e.Version != version || e.Deadline != clock.ms()+60_000 || err != nil {
		t.Errorf("got %v, %v, want version %d", e, err, version)
	}
	clock.add(20 * time.Second)
	must(t, space.Update("k", add(1, true), KeepTTL))
	if left, err := space.TTL("k"); left != 40*time.Second || err != nil {
		t.Errorf("%v left, %v", left, err)
	}
	clock.add(40 * time.Second)
	must(t, space.Update("k", add(0, false)))

	failure := errors.New("not this time")
	refuse := func(uint64, bool) (uint64, error) { return 9, failure }
	if err := space.Update("k", refuse); err != failure {
		t.Errorf("got %v", err)
	}
	if err := space.Update("k", add(1, true), IfLater); !errors.Is(err, ErrInvalidOption) {
		t.Errorf("an option for Expire: %v", err)
	}
	if n, err := space.Get("k"); n != 1 || err != nil {
		t.Errorf("k is %d, %v", n, err)
	}
	must(t, db.Put([]byte("n/bad"), []byte("short")))
	wantDecodeError(t, space.Update("bad", refuse), "n/bad", "value")
	must(t, db.Close())
	if err := space.Update("k", refuse); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestTypedUpdateConcurrent: no update is lost.
func TestTypedUpdateConcurrent(t *testing.T) {
	db := openTest(t, tinyOptions(vfstest.NewMem(), newFakeClock()))
	space := NewTyped(db, []byte("n/"), codec.Bool(), codec.JSON[[]int]())
	const workers, each = 4, 50
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for done := 0; done < each; {
				err := space.Update(true, func(old []int, _ bool) ([]int, error) { return append(old, w), nil }, NoSync)
				if err == nil {
					done++
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	got, err := space.Get(true)
	must(t, err)
	var counts [workers]int
	for _, w := range got {
		counts[w]++
	}
	if counts != [workers]int{each, each, each, each} {
		t.Errorf("got %v", counts)
	}
}
