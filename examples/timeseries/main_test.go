package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb"
)

func TestSeries(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var now atomic.Int64 // Unix ms
	now.Store(start.UnixMilli())
	open := func() (*Series, *ebb.DB) {
		t.Helper()
		db, err := ebb.Open(dir, &ebb.Options{Clock: func() time.Time { return time.UnixMilli(now.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		return NewSeries(db), db
	}
	s, db := open()
	for i := range 30 { // half an hour
		at := start.Add(time.Duration(i) * time.Minute)
		for name, value := range map[string]float64{"a": float64(i), "ab": -float64(i)} {
			if err := s.Add(name, at, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = open()
	defer func() { db.Close() }()
	type read func(name string, from, to time.Time, see func(time.Time, float64)) error
	shows := func(what string, read read, name string, from, to time.Time, want ...string) {
		t.Helper()
		var got []string
		err := read(name, from, to, func(at time.Time, value float64) {
			got = append(got, fmt.Sprintf("%s %g", at.Format("15:04"), value))
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s of %s: %q, %v, want %q", what, name, got, err, want)
		}
	}
	end := start.Add(time.Hour)
	shows("points", s.Between, "a", start.Add(28*time.Minute), end, "12:28 28", "12:29 29")
	shows("points", s.Between, "ab", start, start.Add(2*time.Minute), "12:00 0", "12:01 -1")
	shows("means", s.Means, "a", start, end, "12:00 4.5", "12:10 14.5", "12:20 24.5")
	if at, value, err := s.Last("a"); err != nil || value != 29 || !at.Equal(start.Add(29*time.Minute)) {
		t.Errorf("the last is %v of %v: %v", value, at, err)
	}

	now.Add((keepPoints + 28*time.Minute).Milliseconds())
	shows("points after a day", s.Between, "a", start, end, "12:29 29")
	shows("means after a day", s.Means, "a", start, end, "12:00 4.5", "12:10 14.5", "12:20 24.5")
	now.Add(time.Minute.Milliseconds())
	if _, _, err := s.Last("a"); !errors.Is(err, ebb.ErrNotFound) {
		t.Errorf("the last of what is gone: %v", err)
	}
	if err := s.Drop("a"); err != nil {
		t.Fatal(err)
	}
	shows("dropped means", s.Means, "a", start, end)
	shows("means", s.Means, "ab", start, start.Add(meanOver), "12:00 -4.5")
	now.Add(keepMeans.Milliseconds())
	shows("means after a year", s.Means, "ab", start, end)
	if got := (Mean{1, 3}).Value(); math.Abs(got-1.0/3) > 1e-9 {
		t.Error(got)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
