package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

// clock is a time that tests move, in Unix milliseconds.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMilli(c.Load()) }
func (c *clock) pass(d time.Duration) { c.Add(d.Milliseconds()) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string, c *clock) (*Queue, *ebb.DB) {
	t.Helper()
	db, err := ebb.Open(dir, &ebb.Options{Clock: c.now})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return NewQueue(db, time.Minute, 2), db
}

func TestQueue(t *testing.T) {
	dir, c := t.TempDir(), new(clock)
	c.Store(1_900_000_000_000)
	q, db := open(t, dir, c)
	must(t, q.Push("later", c.now().Add(time.Hour)))
	must(t, q.Push("second", c.now().Add(-time.Second)))
	must(t, q.Push("first", c.now().Add(-time.Minute)))
	take := func(want string, try int) Lease {
		t.Helper()
		l, err := q.Take()
		if err != nil || l.Name != want || l.Tries != try {
			t.Fatalf("took %+v, %v, want %s", l, err, want)
		}
		return l
	}
	nothing := func() {
		t.Helper()
		if l, err := q.Take(); !errors.Is(err, ErrEmpty) {
			t.Errorf("took %+v, %v", l, err)
		}
	}
	first := take("first", 1)
	second := take("second", 1)
	nothing()
	must(t, q.Done(second))
	must(t, db.Close()) // and who has the first has died
	q, _ = open(t, dir, c)
	nothing()
	c.pass(time.Minute + time.Millisecond)
	again := take("first", 2)
	if err := q.Done(first); !errors.Is(err, ebb.ErrConditionFailed) {
		t.Errorf("done by whom it was taken from: %v", err)
	}
	if err := q.Failed(first, 0); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("failed by whom it was taken from: %v", err)
	}
	must(t, q.Failed(again, time.Minute))
	if dead, err := q.Dead(); err != nil || !slices.Equal(dead, []string{"first"}) {
		t.Errorf("put aside: %q, %v", dead, err)
	}
	c.pass(time.Hour)
	later := take("later", 1)
	must(t, q.Failed(later, time.Minute))
	nothing()
	c.pass(time.Minute + time.Millisecond)
	must(t, q.Done(take("later", 2)))
	if n, err := q.Len(); n != 0 || err != nil {
		t.Errorf("%d jobs are left: %v", n, err)
	}
}

// Of many workers each job is done by one.
func TestWork(t *testing.T) {
	const count = 60
	c := new(clock)
	c.Store(1_900_000_000_000)
	q, _ := open(t, t.TempDir(), c)
	for i := range count {
		must(t, q.Push(fmt.Sprint(i), c.now().Add(-time.Second)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	done := map[string]int{}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			err := q.Work(ctx, time.Millisecond, func(j Job) error {
				mu.Lock()
				defer mu.Unlock()
				if done[j.Name]++; len(done) == count {
					cancel()
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
				cancel()
			}
		})
	}
	workers.Wait()
	for name, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", name, n)
		}
	}
	if n, err := q.Len(); len(done) != count || n != 0 || err != nil {
		t.Errorf("%d jobs of %d are done, %d left: %v", len(done), count, n, err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
