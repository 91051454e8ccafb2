package fiberstorage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	fiberstorage "github.com/ebbdb/ebb/adapters/fiber"
	fiberv2 "github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v3"
)

var (
	_ fiber.Storage   = (*fiberstorage.Storage)(nil)
	_ fiberv2.Storage = (*fiberstorage.Storage)(nil)
)

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	storage := fiberstorage.New(db, "fiber/")
	if err := storage.Set("greeting", []byte("hello"), time.Minute); err != nil {
		log.Fatal(err)
	}
	value, err := storage.Get("greeting")
	fmt.Printf("%s %v\n", value, err)
	// Output: hello <nil>
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

func check(t *testing.T, s *fiberstorage.Storage, key, want string) {
	t.Helper()
	got, err := s.Get(key)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("key %q: %q, %v, want %q", key, got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKit has what the test kit of gofiber/storage checks, and more: set, override, get, expiration, absent and empty keys and
// values, delete, reset, close, connection, and contexts that have ended.
func TestKit(t *testing.T) {
	db, c := open(t)
	s, other := fiberstorage.New(db, "s/", ebb.NoSync), fiberstorage.New(db, "s0")
	if s.Conn() != db {
		t.Error("the connection is another database")
	}
	check(t, s, "missing", "")
	value := []byte("doe")
	must(t, s.Set("john", value, 0))
	value[0] = 'r'
	check(t, s, "john", "doe")
	got, _ := s.Get("john")
	got[0] = 'r'
	check(t, s, "john", "doe")
	must(t, s.Set("john", []byte("roe"), 0))
	check(t, s, "john", "roe")
	check(t, other, "john", "")

	must(t, s.Set("john", []byte("doe"), time.Second))
	c.add(time.Second - time.Millisecond)
	check(t, s, "john", "doe")
	c.add(time.Millisecond)
	check(t, s, "john", "")
	must(t, s.Set("john", []byte("doe"), time.Second))
	must(t, s.Set("john", []byte("doe"), 0)) // for good
	c.add(1000 * time.Hour)
	check(t, s, "john", "doe")
	must(t, s.Set("john", []byte("doe"), -time.Second))
	check(t, s, "john", "")

	must(t, s.Set("", []byte("doe"), 0))
	check(t, s, "", "")
	must(t, s.Delete(""))
	must(t, s.Set("john", []byte("doe"), 0))
	must(t, s.Set("john", nil, 0)) // ignored
	check(t, s, "john", "doe")

	must(t, s.Delete("john"))
	must(t, s.Delete("john"))
	check(t, s, "john", "")

	must(t, other.Set("john", []byte("doe"), 0))
	for i := range 100 {
		must(t, s.Set(fmt.Sprint(i), []byte("doe"), time.Duration(i%2)*time.Hour))
	}
	must(t, s.Reset())
	for i := range 100 {
		check(t, s, fmt.Sprint(i), "")
	}
	check(t, other, "john", "doe")

	must(t, s.Close())
	check(t, other, "john", "doe")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	all(t, s, t.Context(), ebb.ErrClosed)
	all(t, other, ended, context.Canceled)
	check(t, other, "john", "doe")
	db.Close()
	all(t, other, t.Context(), ebb.ErrClosed)
}

// all fails unless each call returns an error.
func all(t *testing.T, s *fiberstorage.Storage, ctx context.Context, want error) {
	t.Helper()
	_, get := s.GetWithContext(ctx, "john")
	for name, err := range map[string]error{
		"get": get, "set": s.SetWithContext(ctx, "john", []byte("roe"), 0), "delete": s.DeleteWithContext(ctx, "john"),
		"reset": s.ResetWithContext(ctx),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	db, _ := open(t)
	s := fiberstorage.New(db, "")
	long := strings.Repeat("k", 64<<10+1)
	check(t, s, long, "")
	must(t, s.Delete(long))
	if err := s.Set(long, []byte("doe"), 0); !errors.Is(err, ebb.ErrKeyTooLarge) {
		t.Errorf("a long key: %v", err)
	}
	must(t, s.Set("\x00\xff", bytes.Repeat([]byte("v"), 4<<20), 0))
	check(t, s, "\x00\xff", strings.Repeat("v", 4<<20))
	must(t, s.Reset())
	check(t, s, "\x00\xff", "")
}
