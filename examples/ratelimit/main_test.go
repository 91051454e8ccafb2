package main

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

// clock is a time that tests move, in Unix milliseconds.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.Load()) }

func open(t *testing.T, dir string, c *clock) *ebb.DB {
	t.Helper()
	db, err := ebb.Open(dir, &ebb.Options{Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestLimiter(t *testing.T) {
	dir, c := t.TempDir(), new(clock)
	c.Store(1_900_000_000_000)
	db := open(t, dir, c)
	l := NewLimiter(db, time.Second, 3)
	allow := func(caller string, want time.Duration) {
		t.Helper()
		if wait, err := l.Allow(caller); err != nil || wait != want {
			t.Errorf("%s waits %v, want %v: %v", caller, wait, want, err)
		}
	}
	for range 3 {
		allow("alice", 0)
	}
	allow("alice", time.Second)
	allow("bob", 0)
	c.Add(400)
	allow("alice", 600*time.Millisecond)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, c)
	l = NewLimiter(db, time.Second, 3)
	allow("alice", 600*time.Millisecond)
	c.Add(600)
	allow("alice", 0)
	allow("alice", time.Second)
	c.Add(3000)
	for e, err := range db.Range(nil) {
		t.Errorf("%q is still known: %v", e.Key, err)
	}
	for range 3 {
		allow("alice", 0)
	}
	allow("alice", time.Second)
}

// Of many calls at once as many get through as may.
func TestLimiterConcurrently(t *testing.T) {
	c := new(clock)
	c.Store(1_900_000_000_000)
	l := NewLimiter(open(t, t.TempDir(), c), time.Second, 5)
	var through atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			wait, err := l.Allow("alice")
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				through.Add(1)
			}
		})
	}
	all.Wait()
	if n := through.Load(); n != 5 {
		t.Errorf("%d got through, want 5", n)
	}
}

func TestLimit(t *testing.T) {
	c := new(clock)
	c.Store(1_900_000_000_000)
	l := NewLimiter(open(t, t.TempDir(), c), 1500*time.Millisecond, 1)
	h := l.Limit(http.NotFoundHandler(), func(r *http.Request) string { return r.RemoteAddr })
	for _, want := range []struct {
		code  int
		again string
	}{{http.StatusNotFound, ""}, {http.StatusTooManyRequests, "2"}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if again := w.Header().Get("Retry-After"); w.Code != want.code || again != want.again {
			t.Errorf("%d, again in %q s, want %+v", w.Code, again, want)
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
