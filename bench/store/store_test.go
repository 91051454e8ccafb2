package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// eachStore runs a test with every store that answers.
func eachStore(t *testing.T, test func(t *testing.T, info Info, o Options)) {
	for _, info := range All() {
		for _, commit := range []bool{false, true} {
			if info.Answers {
				t.Run(fmt.Sprintf("%s/commit=%v", info.Name, commit), func(t *testing.T) {
					test(t, info, Options{Dir: t.TempDir(), Commit: commit, Threads: 4})
				})
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// list returns what a scan shows, as "key=value key=value".
func list(t *testing.T, s Store, start string, n int) string {
	t.Helper()
	var out []string
	must(t, s.Scan([]byte(start), n, func(key, value []byte) bool {
		out = append(out, fmt.Sprintf("%s=%s", key, value))
		return true
	}))
	return strings.Join(out, " ")
}

func TestStores(t *testing.T) {
	eachStore(t, func(t *testing.T, info Info, o Options) {
		s, err := info.Open(o)
		must(t, err)
		for _, k := range []string{"d", "b", "a", "c"} {
			must(t, s.Put([]byte(k), []byte("old "+k)))
		}
		must(t, s.Put([]byte("b"), []byte("new")))
		must(t, s.Delete([]byte("c")))
		must(t, s.Delete([]byte("never there")))
		must(t, s.Apply([]Op{{Key: []byte("e"), Value: []byte("5")}, {Key: []byte("a"), Delete: true}}))
		for range 2 {
			got, err := s.Get([]byte("b"), make([]byte, 10))
			if err != nil || string(got) != "new" {
				t.Errorf("b is %q, %v", got, err)
			}
			for _, gone := range []string{"a", "c"} {
				if _, err := s.Get([]byte(gone), nil); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %v", gone, err)
				}
			}
			for _, c := range []struct {
				start string
				n     int
				want  string
			}{{"a", 9, "b=new d=old d e=5"}, {"bb", 1, "d=old d"}, {"f", 1, ""}} {
				if got := list(t, s, c.start, c.n); got != c.want {
					t.Errorf("from %s up to %d: %q, not %q", c.start, c.n, got, c.want)
				}
			}
			seen := 0
			must(t, s.Scan([]byte("a"), 9, func(_, _ []byte) bool { seen++; return false }))
			if seen != 1 {
				t.Errorf("a scan that was stopped went on for %d", seen)
			}
			if info.Volatile {
				break
			}
			must(t, s.Close())
			s, err = info.Open(o)
			must(t, err)
		}
		must(t, s.Close())
	})
}

func TestConcurrentWriters(t *testing.T) {
	eachStore(t, func(t *testing.T, info Info, o Options) {
		s, err := info.Open(o)
		must(t, err)
		var wg sync.WaitGroup
		for w := range o.Threads {
			wg.Go(func() {
				for i := range 5 {
					if err := s.Put(fmt.Appendf(nil, "%d-%d", w, i), []byte("v")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := len(strings.Fields(list(t, s, "0", 100))); got != 5*o.Threads {
			t.Errorf("%d keys", got)
		}
		must(t, s.Close())
	})
}

// TestExpired puts keys that have expired already and keys that will not.
func TestExpired(t *testing.T) {
	eachStore(t, func(t *testing.T, info Info, o Options) {
		s, e, err := info.OpenExpiring(o)
		must(t, err)
		for i := range 10 {
			deadline := time.Now().Add(time.Hour)
			if i%2 == 0 {
				deadline = time.Now().Add(-time.Hour)
			}
			must(t, e.PutUntil(fmt.Appendf(nil, "k%d", i), []byte("v"), deadline))
		}
		if _, err := s.Get([]byte("k0"), nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("k0 has expired: %v", err)
		}
		if got, err := s.Get([]byte("k1"), nil); err != nil || string(got) != "v" {
			t.Errorf("k1 has not: %q, %v", got, err)
		}
		if got := list(t, s, "a", 3); got != "k1=v k3=v k5=v" && info.Name != "buntdb" { // it hides them when it has swept
			t.Errorf("a scan shows %q", got)
		}
		must(t, s.Close())
	})
}

// TestSweep has the index of deadlines swept at moments of the test's choice.
func TestSweep(t *testing.T) {
	inner, err := btreeInfo.Open(Options{})
	must(t, err)
	x := &indexed{Store: inner, stop: make(chan struct{})}
	base := time.UnixMilli(1_000_000)
	for i := range 1000 { // several slices
		must(t, x.PutUntil(fmt.Appendf(nil, "k%03d", i), []byte("v"), base.Add(time.Duration(i)*time.Second)))
	}
	must(t, x.PutUntil([]byte("k000"), []byte("renewed"), base.Add(time.Hour)))
	must(t, x.Put([]byte("stays"), []byte("v")))
	count := func() (rows, keys int) {
		must(t, inner.Scan(nil, 1<<30, func(key, _ []byte) bool {
			if bytes.HasPrefix(key, indexPrefix) {
				rows++
			} else {
				keys++
			}
			return true
		}))
		return rows, keys
	}
	for _, c := range []struct {
		after      time.Duration
		rows, keys int
	}{
		{-1, 1001, 1001}, {0, 1000, 1001}, {699 * time.Second, 301, 302}, {time.Hour - 1, 1, 2}, {time.Hour, 0, 1},
	} {
		must(t, x.sweep(indexRow(0), base.Add(c.after)))
		if rows, keys := count(); rows != c.rows || keys != c.keys {
			t.Errorf("after %v: %d rows and %d keys, not %d and %d", c.after, rows, keys, c.rows, c.keys)
		}
	}
}

// TestRaw reads the file of the bare group commit: every record that was acknowledged is in it.
func TestRaw(t *testing.T) {
	s, err := rawInfo.Open(Options{Dir: t.TempDir(), Commit: true})
	must(t, err)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Put(fmt.Appendf(nil, "<%d-%d>", w, i), []byte("value")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	written := make([]byte, 1<<20)
	_, err = s.(*rawStore).file.ReadAt(written, 0)
	must(t, err)
	for w := range writers {
		for i := range each {
			if key := fmt.Appendf(nil, "<%d-%d>value", w, i); bytes.Count(written, key) != 1 {
				t.Errorf("%s is there %d times", key, bytes.Count(written, key))
			}
		}
	}
	must(t, s.Close())
	if s.Put([]byte("k"), []byte("v")) == nil {
		t.Error("a write to a closed file is acknowledged")
	}
}

func TestLookup(t *testing.T) {
	if _, err := Lookup("nothing"); err == nil {
		t.Error("there is a store of any name")
	}
	for _, info := range append(All(), others...) {
		if got, err := Lookup(info.Name); err != nil || got.Name != info.Name || info.Settings == "" || info.TTL == "" {
			t.Errorf("%s: %+v, %v", info.Name, got, err)
		}
	}
}
