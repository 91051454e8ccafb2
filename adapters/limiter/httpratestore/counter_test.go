package httpratestore_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/limiter/httpratestore"
	"github.com/go-chi/httprate"
)

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	limit := httprate.LimitBy(2, time.Hour, httprate.Key("*"), httprate.WithLimitCounter(httpratestore.New(db, "limit/")))
	handler := limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 200
	// 429
}

func open(t *testing.T, o *ebb.Options) *ebb.DB {
	db, err := ebb.OpenMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestCounter(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2030, 1, 1, 0, 0, 30, 0, time.UTC)
	db := open(t, &ebb.Options{Clock: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	c, other := httpratestore.New(db, "a", ebb.Sync), httpratestore.New(db, "b")
	c.Config(1000, time.Minute)
	first := now.Truncate(time.Minute)
	second, third := first.Add(time.Minute), first.Add(2*time.Minute)
	check := func(c *httpratestore.Counter, key string, window time.Time, current, previous int) {
		t.Helper()
		a, b, err := c.Get(key, window, window.Add(-time.Minute))
		if a != current || b != previous || err != nil {
			t.Errorf("key %q at %v: %d and %d, %v; want %d and %d", key, window, a, b, err, current, previous)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c, "k", first, 0, 0)
	must(c.Increment("k", first))
	must(c.IncrementBy("k", first, 99))
	must(c.IncrementBy("kk", first, 7))
	check(c, "k", first, 100, 0)
	check(other, "k", first, 0, 0)
	check(c, "k", second, 0, 100)
	must(c.IncrementBy("k", second, 5))
	check(c, "k", second, 5, 100)
	check(c, "k", third, 0, 5)
	check(c, "kk", first, 7, 0)
	mu.Lock()
	now = now.Add(2 * time.Minute) // the second window ends
	mu.Unlock()
	check(c, "k", second, 0, 0) // counted in the same millisecond here, as nobody does
	for e, err := range db.Range(nil) {
		t.Errorf("%q is left, %v", e.Key, err)
	}
}

// A limiter of its own for each of a few processes, as it were: together they let pass what the limit says.
func TestLimiters(t *testing.T) {
	c := httpratestore.New(open(t, nil), "limit/")
	limit := httprate.LimitBy(100, 24*time.Hour, httprate.Key("*"), httprate.WithLimitCounter(c))
	handler := limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := make(map[int]int)
	for range 8 {
		all.Go(func() {
			for range 50 {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
				mu.Lock()
				codes[w.Code]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if codes[200] != 100 || codes[429] != 300 {
		t.Errorf("%v", codes)
	}
}

func TestBadInput(t *testing.T) {
	db := open(t, nil)
	c := httpratestore.New(db, "limit/")
	now := time.Now()
	if err := c.Increment("", now); err != nil {
		t.Errorf("an empty key: %v", err)
	}
	long := strings.Repeat("k", 64<<10)
	if err := c.Increment(long, now); !errors.Is(err, ebb.ErrKeyTooLarge) {
		t.Errorf("a long key: %v", err)
	}
	if _, _, err := c.Get(long, now, now); !errors.Is(err, ebb.ErrKeyTooLarge) {
		t.Errorf("a long key: %v", err)
	}
	for _, window := range []time.Duration{-1, 0, 1, 1<<63 - 1} {
		c.Config(1, window)
		if err := c.Increment("k", now); err != nil {
			t.Errorf("windows of %v: %v", window, err)
		}
	}
	db.Close()
	if err := c.Increment("k", now); !errors.Is(err, ebb.ErrClosed) {
		t.Errorf("a closed database: %v", err)
	}
	if _, _, err := c.Get("k", now, now); !errors.Is(err, ebb.ErrClosed) {
		t.Errorf("a closed database: %v", err)
	}
}
