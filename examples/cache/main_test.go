package main

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

func TestCache(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64 // Unix ms
	now.Store(1_900_000_000_000)
	var loaded []string
	var fails error
	upper := func(keys []string) ([]string, error) {
		loaded = append(loaded, keys...)
		values := make([]string, len(keys))
		for i, k := range keys {
			values[i] = strings.ToUpper(k)
		}
		return values, fails
	}
	open := func() (*Cache[string], *ebb.DB) {
		t.Helper()
		db, err := ebb.Open(dir, &ebb.Options{Clock: func() time.Time { return time.UnixMilli(now.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		return New(db, "upper", time.Hour, upper), db
	}
	c, db := open()
	get := func(keys string, want, load string) {
		t.Helper()
		loaded = nil
		got, err := c.Get(strings.Fields(keys)...)
		if err != nil || !slices.Equal(got, strings.Fields(want)) || !slices.Equal(loaded, strings.Fields(load)) {
			t.Errorf("%s: %q, %v, loaded %q, want %s", keys, got, err, loaded, load)
		}
	}
	get("a b", "A B", "a b")
	get("b", "B", "")
	now.Add((30 * time.Minute).Milliseconds())
	get("c b d a", "C B D A", "c d")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c, db = open()
	defer func() { db.Close() }()
	now.Add((30 * time.Minute).Milliseconds())
	get("a b c d", "A B C D", "a b")
	if err := c.Forget("c"); err != nil {
		t.Fatal(err)
	}
	get("c d", "C D", "c")
	other := New(db, "other", time.Hour, upper)
	if _, err := other.Get("a"); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	get("a d", "A D", "a d")
	loaded = nil
	if _, err := other.Get("a"); err != nil || loaded != nil {
		t.Errorf("of the other cache %q was loaded: %v", loaded, err)
	}
	fails = errors.New("down")
	if _, err := c.Get("a", "e"); !errors.Is(err, fails) {
		t.Errorf("what cannot be loaded: %v", err)
	}
	fails = nil
	get("e", "E", "e")
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
