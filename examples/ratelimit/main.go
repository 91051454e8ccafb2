// Command ratelimit lets each caller through so often, with bursts. It holds across restarts, and forgets callers by itself.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Limiter is a bucket of calls for each caller, which fills up again with time. Of a bucket one time has to be known: when it
// will be full. After that it is as one that was never used, so that is its deadline.
type Limiter struct {
	db    *ebb.DB
	full  *ebb.Typed[string, time.Time]
	every time.Duration // one call more
	burst int           // calls at once
}

// NewLimiter returns a limiter that keeps its state in a database.
func NewLimiter(db *ebb.DB, every time.Duration, burst int) *Limiter {
	return &Limiter{db: db, full: ebb.NewTyped(db, []byte("rate/"), codec.String(), codec.Time()), every: every, burst: burst}
}

// Allow counts a call, or says how long the caller has to wait. A power cut may take the last calls, which does no harm.
func (l *Limiter) Allow(caller string) (wait time.Duration, err error) {
	err = l.db.Update(func(tx *ebb.Txn) error {
		now, err := tx.Time()
		if err != nil {
			return err
		}
		callers := l.full.In(tx)
		full, err := callers.Get(caller)
		if errors.Is(err, ebb.ErrNotFound) {
			full, err = now, nil
		}
		if err != nil {
			return err
		}
		full = full.Add(l.every)
		if wait = full.Sub(now) - time.Duration(l.burst)*l.every; wait > 0 {
			return nil
		}
		wait = 0
		return callers.Put(caller, full, ebb.ExpireAt(full))
	}, ebb.NoSync)
	return wait, err
}

// Limit returns a handler that lets those through whom Allow does, and tells others when to come again.
func (l *Limiter) Limit(next http.Handler, caller func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait, err := l.Allow(caller(r))
		switch {
		case err != nil:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		case wait > 0:
			w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
			http.Error(w, "too many calls", http.StatusTooManyRequests)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func main() {
	dir, err := os.MkdirTemp("", "ebb-ratelimit-")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(run(dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	db, err := ebb.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	l := NewLimiter(db, 100*time.Millisecond, 3) // ten a second, three at once
	for i := range 10 {
		wait, err := l.Allow("alice")
		if err != nil {
			return err
		}
		fmt.Printf("call %d: wait %v\n", i+1, wait.Round(time.Millisecond))
		time.Sleep(30 * time.Millisecond)
	}
	return nil
}
