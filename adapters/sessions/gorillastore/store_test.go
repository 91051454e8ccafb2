package gorillastore_test

import (
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/sessions/gorillastore"
	"github.com/gorilla/sessions"
)

var secret = []byte("a secret of thirty-two bytes, yes")

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store := gorillastore.New(db, "session/", secret)
	handler := func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "visits")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		n, _ := session.Values["n"].(int)
		session.Values["n"] = n + 1
		if err := session.Save(r, w); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "visit", n+1)
	}

	request := httptest.NewRequest("GET", "/", nil)
	for range 2 {
		response := httptest.NewRecorder()
		handler(response, request)
		fmt.Print(response.Body)
		request = httptest.NewRequest("GET", "/", nil)
		for _, c := range response.Result().Cookies() {
			request.AddCookie(c)
		}
	}
	// Output:
	// visit 1
	// visit 2
}

// clock is a time that tests move, in Unix milliseconds.
type clock struct{ atomic.Int64 }

func (c *clock) Now() time.Time      { return time.UnixMilli(c.Load()) }
func (c *clock) add(d time.Duration) { c.Add(d.Milliseconds()) }

// browser keeps cookies, but no time.
type browser struct {
	t       *testing.T
	store   *gorillastore.Store
	cookies map[string]*http.Cookie
}

// do is one request, which gets the session, and saves it if fn says so.
func (b *browser) do(fn func(*sessions.Session) (save bool)) error {
	b.t.Helper()
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	session, err := b.store.Get(r, "name")
	if session == nil {
		b.t.Fatal("no session")
	}
	if err != nil {
		return err
	}
	if fn(session) {
		if err := session.Save(r, w); err != nil {
			return err
		}
	}
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c
	}
	return nil
}

// check fails unless the session has a value; "": unless it is new.
func (b *browser) check(want string) {
	b.t.Helper()
	err := b.do(func(s *sessions.Session) bool {
		if got, _ := s.Values["v"].(string); got != want || s.IsNew != (want == "") || (s.ID == "") != (want == "") {
			b.t.Errorf("the session has %v, new: %v, id %q; want %q", s.Values, s.IsNew, s.ID, want)
		}
		return false
	})
	if err != nil {
		b.t.Error(err)
	}
}

func (b *browser) put(value string, age int) {
	b.t.Helper()
	err := b.do(func(s *sessions.Session) bool {
		s.Values["v"], s.Options.MaxAge = value, age
		return true
	})
	if err != nil {
		b.t.Error(err)
	}
}

func open(t *testing.T) (*browser, *ebb.DB, *clock) {
	c := new(clock)
	c.add(50 * 365 * 24 * time.Hour)
	db, err := ebb.OpenMemory(&ebb.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &browser{t, gorillastore.New(db, "s/", secret), map[string]*http.Cookie{}}, db, c
}

func TestLifetimes(t *testing.T) {
	b, _, c := open(t)
	b.store.Lifetime = time.Minute
	b.check("")
	b.put("one", 10)
	c.add(10*time.Second - time.Millisecond)
	b.check("one")
	c.add(time.Millisecond)
	b.check("")
	b.put("two", 0)
	c.add(time.Minute - time.Millisecond)
	b.check("two")
	c.add(time.Millisecond)
	b.check("")
	b.put("three", math.MaxInt)
	c.add(100 * 365 * 24 * time.Hour)
	b.check("three")
	b.put("three", -1)
	b.check("")
	b.put("four", -1)
	b.check("")
}

func TestSliding(t *testing.T) {
	b, db, c := open(t)
	b.store.Sliding = true
	b.put("one", 64)
	written := db.Stats().UserBytes
	b.check("one")
	if n := db.Stats().UserBytes; n != written {
		t.Error("a session was prolonged that had its life before it")
	}
	for range 5 {
		c.add(60 * time.Second)
		b.check("one")
	}
	c.add(64 * time.Second)
	b.check("")
	b.put("two", 0) // a life of its own, and not that of Options
	b.store.Lifetime = time.Hour
	c.add(23 * time.Hour)
	b.check("two")
	c.add(23 * time.Hour)
	b.check("two")
	c.add(24 * time.Hour)
	b.check("")
}

// A session that one request has ended is not brought back by another one that had it before.
func TestEnded(t *testing.T) {
	b, db, c := open(t)
	b.put("one", 60)
	err := b.do(func(s *sessions.Session) bool {
		b.put("", -1)
		s.Values["v"] = "two"
		return true
	})
	if !errors.Is(err, gorillastore.ErrEnded) {
		t.Errorf("saving a session that has ended: %v", err)
	}
	b.check("")
	for range db.Range(nil) {
		t.Error("a session is left")
	}
	b.put("three", 60)
	err = b.do(func(s *sessions.Session) bool {
		c.add(time.Minute)
		return true
	})
	if !errors.Is(err, gorillastore.ErrEnded) {
		t.Errorf("saving a session that has expired: %v", err)
	}
	b.put("four", 60)
	var id string
	err = b.do(func(s *sessions.Session) bool { // which ends, and begins anew
		id, s.Options.MaxAge = s.ID, -1
		if err := s.Save(nil, httptest.NewRecorder()); err != nil {
			t.Error(err)
		}
		s.Options.MaxAge = 60
		return true
	})
	if err != nil {
		t.Error(err)
	}
	b.check("four")
	if err := b.do(func(s *sessions.Session) bool {
		if s.ID == id {
			t.Error("a session that has ended is there again")
		}
		return false
	}); err != nil {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	b, db, _ := open(t)
	b.put("one", 60)
	good := *b.cookies["name"]
	for _, value := range []string{"", "x", good.Value[1:], good.Value + "x", strings.Repeat("x", 100<<10)} {
		b.cookies["name"] = &http.Cookie{Name: "name", Value: value}
		if err := b.do(func(*sessions.Session) bool { return false }); (err == nil) != (value == "") {
			t.Errorf("a cookie of %d bytes that does not verify: %v", len(value), err)
		}
	}
	other := gorillastore.New(db, "s/", []byte("another secret"), nil, secret) // keys were changed
	(&browser{t, other, map[string]*http.Cookie{"name": &good}}).check("one")
	b.cookies["name"] = &good
	if err := b.do(func(s *sessions.Session) bool { s.Values["v"] = func() {}; return true }); err == nil {
		t.Error("a function was stored")
	}
	b.check("one")
	for e, err := range db.Range(nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"", "\xff", "\x01", "\x01garbage"} {
			if err := db.Put(e.Key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			if err := b.do(func(*sessions.Session) bool { return false }); err == nil {
				t.Errorf("value %q is a session", value)
			}
		}
	}
	db.Close()
	if err := b.do(func(*sessions.Session) bool { return false }); !errors.Is(err, ebb.ErrClosed) {
		t.Errorf("a closed database: %v", err)
	}
}
