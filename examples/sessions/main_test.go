package main

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

func TestSessions(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64 // Unix ms
	now.Store(1_900_000_000_000)
	open := func() (*Sessions, *ebb.DB) {
		t.Helper()
		db, err := ebb.Open(dir, &ebb.Options{Clock: func() time.Time { return time.UnixMilli(now.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		return NewSessions(db, 30*time.Minute), db
	}
	s, db := open()
	start := func(user, agent string) string {
		t.Helper()
		token, err := s.Start(user, agent)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	agents := func(user string, want ...string) {
		t.Helper()
		got, err := s.List(user)
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", user, got, err, want)
		}
	}
	used, idle := start("al", "a"), start("al", "b")
	start("alice", "c")
	agents("al", "a", "b") // and not those of alice

	now.Add((20 * time.Minute).Milliseconds())
	if session, err := s.Use("al", used); err != nil || session.Agent != "a" {
		t.Errorf("in use: %+v, %v", session, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = open()
	defer func() { db.Close() }()
	now.Add((10 * time.Minute).Milliseconds())
	agents("al", "a")
	if _, err := s.Use("al", idle); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("idle for half an hour: %v", err)
	}
	if _, err := s.Use("alice", used); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("another's token: %v", err)
	}

	ended := start("alice", "d")
	if session, err := s.End("alice", ended); err != nil || session.Agent != "d" {
		t.Errorf("ended: %+v, %v", session, err)
	}
	if _, err := s.End("alice", ended); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	other := start("alice", "e")
	if err := s.EndAll("al"); err != nil {
		t.Fatal(err)
	}
	agents("al")
	agents("alice", "e")
	if _, err := s.Use("alice", other); err != nil {
		t.Error(err)
	}
	now.Add((30 * time.Minute).Milliseconds())
	if _, err := s.Use("alice", other); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("half an hour after its use: %v", err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
