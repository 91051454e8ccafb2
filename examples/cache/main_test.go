package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

func TestCache(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		loaded := ""
		var fails error
		upper := func(_ context.Context, key string) (string, error) {
			loaded += key
			time.Sleep(time.Second)
			if key == "x" {
				return "", ebb.ErrNotFound
			}
			return strings.ToUpper(key), fails
		}
		open := func() (*Cache[string], *ebb.DB) {
			t.Helper()
			db, err := ebb.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return New(db, "upper", time.Hour, upper), db
		}
		c, db := open()
		get := func(key, want, load string) {
			t.Helper()
			loaded = ""
			got, err := c.Get(t.Context(), key)
			synctest.Wait()
			if got != want || (err != nil) != (want == "") || loaded != load {
				t.Errorf("%s: %q, %v, loaded %q, want %q", key, got, err, loaded, want)
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if got, err := c.Get(t.Context(), "a"); got != "A" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		if all.Wait(); loaded != "a" {
			t.Errorf("loaded %q", loaded)
		}
		get("a", "A", "")
		get("x", "", "x")
		get("x", "", "")
		time.Sleep(30 * time.Minute)
		get("x", "", "x")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		c, db = open()
		defer func() { db.Close() }()
		get("a", "A", "")
		time.Sleep(31 * time.Minute)
		get("a", "A", "a") // the old one, at once
		time.Sleep(time.Second)
		get("a", "A", "")
		if err := errors.Join(c.Forget("a"), c.Forget("x")); err != nil {
			t.Fatal(err)
		}
		get("a", "A", "a")
		get("x", "", "x")
		other := New(db, "other", time.Hour, upper)
		if _, err := other.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := c.Clear(); err != nil {
			t.Fatal(err)
		}
		get("a", "A", "a")
		loaded = ""
		if _, err := other.Get(t.Context(), "a"); err != nil || loaded != "" {
			t.Errorf("of the other cache %q was loaded: %v", loaded, err)
		}
		fails = errors.New("down")
		if _, err := c.Get(t.Context(), "e"); !errors.Is(err, fails) {
			t.Errorf("what cannot be loaded: %v", err)
		}
		fails = nil
		get("e", "E", "e")
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
