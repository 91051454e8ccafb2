package scsstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/sessions/scsstore"
)

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	manager := scs.New()
	manager.Store = scsstore.New(db, "session/")

	mux := http.NewServeMux()
	mux.HandleFunc("/put", func(_ http.ResponseWriter, r *http.Request) { manager.Put(r.Context(), "user", "ada") })
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, manager.GetString(r.Context(), "user"))
	})
	handler := manager.LoadAndSave(mux)

	first := httptest.NewRecorder()
	handler.ServeHTTP(first, httptest.NewRequest("GET", "/put", nil))
	request := httptest.NewRequest("GET", "/get", nil)
	for _, c := range first.Result().Cookies() {
		request.AddCookie(c)
	}
	second := httptest.NewRecorder()
	handler.ServeHTTP(second, request)
	fmt.Print(second.Body)
	// Output: ada
}

// clock is a time that tests move, in Unix milliseconds.
type clock struct{ atomic.Int64 }

func (c *clock) Now() time.Time      { return time.UnixMilli(c.Load()) }
func (c *clock) add(d time.Duration) { c.Add(d.Milliseconds()) }

func open(t *testing.T) (*ebb.DB, *clock) {
	c := new(clock)
	c.add(50 * 365 * 24 * time.Hour)
	db, err := ebb.OpenMemory(&ebb.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, c
}

func check(t *testing.T, s *scsstore.Store, token, want string) {
	t.Helper()
	b, found, err := s.Find(token)
	if err != nil || found != (want != "") || string(b) != want {
		t.Errorf("token %q: %q, %v, %v, want %q", token, b, found, err, want)
	}
}

// The checks that the stores of scs share, and more.
func TestStore(t *testing.T) {
	db, c := open(t)
	s, other := scsstore.New(db, "s/", ebb.NoSync), scsstore.New(db, "t/")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(t, s, "missing", "")
	must(s.Commit("a", []byte("one"), c.Now().Add(time.Minute)))
	check(t, s, "a", "one")
	check(t, other, "a", "")
	must(s.Commit("a", []byte("two"), c.Now().Add(2*time.Minute))) // replaces data and expiry
	c.add(time.Minute)
	check(t, s, "a", "two")
	must(s.Commit("b", []byte("three"), c.Now().Add(time.Minute+time.Millisecond)))
	must(other.Commit("c", []byte("four"), c.Now().Add(time.Hour)))
	all, err := s.All()
	must(err)
	if len(all) != 2 || string(all["a"]) != "two" || string(all["b"]) != "three" {
		t.Errorf("all are %q", all)
	}
	c.add(time.Minute) // the deadline itself
	check(t, s, "a", "")
	check(t, s, "b", "three")
	must(s.Delete("b"))
	must(s.Delete("b"))
	check(t, s, "b", "")
	all, err = s.All()
	if err != nil || all == nil || len(all) != 0 {
		t.Errorf("all are %q, %v", all, err)
	}
	must(s.Commit("empty", nil, c.Now().Add(time.Minute)))
	if b, found, err := s.Find("empty"); len(b) != 0 || !found || err != nil {
		t.Errorf("a session without data: %q, %v, %v", b, found, err)
	}
	for _, past := range []time.Time{c.Now(), c.Now().Add(-time.Hour), {}} {
		must(s.Commit("d", []byte("five"), c.Now().Add(time.Minute)))
		must(s.Commit("d", []byte("five"), past))
		check(t, s, "d", "")
	}
	data := []byte("six")
	must(s.Commit("e", data, c.Now().Add(time.Minute)))
	data[0] = 'n'
	check(t, s, "e", "six")
	b, _, _ := s.Find("e")
	b[0] = 'n'
	check(t, s, "e", "six")
}

func TestBadInput(t *testing.T) {
	db, c := open(t)
	s := scsstore.New(db, "s/")
	for token, want := range map[string]error{"": ebb.ErrKeyEmpty, strings.Repeat("x", 64<<10): ebb.ErrKeyTooLarge} {
		check(t, s, token, "")
		if err := s.Delete(token); err != nil {
			t.Errorf("deleting a token of %d bytes: %v", len(token), err)
		}
		if err := s.Commit(token, []byte("v"), c.Now().Add(time.Minute)); !errors.Is(err, want) {
			t.Errorf("storing a token of %d bytes: %v", len(token), err)
		}
	}
	check(t, s, string(bytes.Repeat([]byte{0xff}, 100)), "")
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.CommitCtx(ctx, "a", []byte("v"), c.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if b, found, err := s.FindCtx(ctx, "a"); string(b) != "v" || !found || err != nil {
		t.Errorf("%q, %v, %v", b, found, err)
	}
	cancel()
	calls := func(s *scsstore.Store, ctx context.Context) map[string]error {
		_, _, find := s.FindCtx(ctx, "a")
		_, all := s.AllCtx(ctx)
		return map[string]error{"find": find, "all": all, "delete": s.DeleteCtx(ctx, "a"),
			"commit": s.CommitCtx(ctx, "a", nil, c.Now())}
	}
	for name, err := range calls(s, ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	}
	check(t, s, "a", "v")
	db.Close()
	for name, err := range calls(s, t.Context()) {
		if !errors.Is(err, ebb.ErrClosed) {
			t.Errorf("%s of a closed database: %v", name, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	db, c := open(t)
	s := scsstore.New(db, "s/")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				token := fmt.Sprint(g, "-", i%10)
				if err := s.Commit(token, []byte(token), c.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				check(t, s, token, token)
			}
		})
	}
	all.Wait()
	if got, err := s.All(); len(got) != 80 || err != nil {
		t.Errorf("%d sessions, %v", len(got), err)
	}
}
