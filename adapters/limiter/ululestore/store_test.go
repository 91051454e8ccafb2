package ululestore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/limiter/ululestore"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
	"github.com/ulule/limiter/v3/drivers/store/tests"
)

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	limits := limiter.New(ululestore.New(db, "limit/"), limiter.Rate{Limit: 2, Period: time.Minute})
	for range 3 {
		got, err := limits.Get(context.Background(), "alice")
		fmt.Println(got.Remaining, got.Reached, err)
	}
	// Output:
	// 1 false <nil>
	// 0 false <nil>
	// 0 true <nil>
}

func open(tb testing.TB, o *ebb.Options) *ebb.DB {
	db, err := ebb.OpenMemory(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// The suite that the stores of limiter pass.
func TestSuite(t *testing.T) {
	t.Run("sequential", func(t *testing.T) { tests.TestStoreSequentialAccess(t, ululestore.New(open(t, nil), "limit")) })
	t.Run("concurrent", func(t *testing.T) { tests.TestStoreConcurrentAccess(t, ululestore.New(open(t, nil), "limit")) })
}

// Nothing is counted twice or not at all, whoever counts beside.
func TestExact(t *testing.T) {
	s, rate := ululestore.New(open(t, nil), "limit"), limiter.Rate{Limit: 1000, Period: time.Hour}
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[int64]int)
	for range 8 {
		all.Go(func() {
			for range 125 {
				got, err := s.Increment(t.Context(), "k", 1, rate)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[got.Remaining]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for i := range int64(1000) {
		if seen[i] != 1 {
			t.Fatalf("%d requests were told that %d remain", seen[i], i)
		}
	}
	if got, err := s.Get(t.Context(), "k", rate); !got.Reached || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPeriods(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	db := open(t, &ebb.Options{Clock: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	add := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s, other, rate := ululestore.New(db, "a", ebb.Sync), ululestore.New(db, "b"), limiter.Rate{Limit: 3, Period: time.Minute}
	ends := now.Add(time.Minute).Unix()
	check := func(what string, got limiter.Context, err error, remaining int64) {
		t.Helper()
		if err != nil || got.Remaining != remaining || got.Limit != 3 || got.Reset != ends {
			t.Errorf("%s: %+v, %v, want %d until %d", what, got, err, remaining, ends)
		}
	}
	got, err := s.Get(t.Context(), "k", rate)
	check("the first", got, err, 2)
	add(time.Minute - time.Millisecond)
	got, err = s.Get(t.Context(), "k", rate)
	check("the last of the period", got, err, 1)
	got, err = s.Peek(t.Context(), "k", rate)
	check("a look", got, err, 1)
	if got, err := other.Peek(t.Context(), "k", rate); got.Remaining != 3 || err != nil {
		t.Errorf("another store: %+v, %v", got, err)
	}
	add(time.Millisecond)
	if got, err := s.Peek(t.Context(), "k", rate); got.Remaining != 3 || err != nil {
		t.Errorf("the next period: %+v, %v", got, err)
	}
	ends = now.Add(time.Minute).Unix()
	got, err = s.Increment(t.Context(), "k", 3, rate)
	check("three at once", got, err, 0)
	for range 2 {
		if got, err := s.Increment(t.Context(), "none", 1, limiter.Rate{Limit: 3}); got.Remaining != 2 || err != nil {
			t.Errorf("a period of 0: %+v, %v", got, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	db := open(t, nil)
	s, rate := ululestore.New(db, "p"), limiter.Rate{Limit: 3, Period: time.Minute}
	calls := func(ctx context.Context, key string) map[string]error {
		_, get := s.Get(ctx, key, rate)
		_, peek := s.Peek(ctx, key, rate)
		_, reset := s.Reset(ctx, key, rate)
		return map[string]error{"get": get, "peek": peek, "reset": reset}
	}
	all := func(ctx context.Context, key string, want error) {
		t.Helper()
		for name, err := range calls(ctx, key) {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
	all(t.Context(), "", nil)
	all(t.Context(), strings.Repeat("k", 64<<10), ebb.ErrKeyTooLarge)
	if _, err := ululestore.New(db, "").Get(t.Context(), "", rate); !errors.Is(err, ebb.ErrKeyEmpty) {
		t.Errorf("no key at all: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	all(ended, "k", context.Canceled)
	if _, err := s.Increment(t.Context(), "k", math.MaxInt64, rate); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "k", rate); !errors.Is(err, ebb.ErrOverflow) {
		t.Errorf("a sum that is too large: %v", err)
	}
	if err := db.Put([]byte("pk"), []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Peek(t.Context(), "k", rate); !errors.Is(err, ebb.ErrNotCounter) {
		t.Errorf("what is no counter: %v", err)
	}
	db.Close()
	all(t.Context(), "k", ebb.ErrClosed)
}

func BenchmarkStore(b *testing.B) {
	dir, err := ebb.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	for name, s := range map[string]limiter.Store{
		"store=ebb": ululestore.New(dir, "limit"), "store=memory": memory.NewStore(),
	} {
		b.Run("sequential/"+name, func(b *testing.B) { tests.BenchmarkStoreSequentialAccess(b, s) })
		b.Run("concurrent/"+name, func(b *testing.B) { tests.BenchmarkStoreConcurrentAccess(b, s) })
	}
}
