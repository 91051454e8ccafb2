package certstorage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/ebbdb/ebb"
	certstorage "github.com/ebbdb/ebb/adapters/certmagic"
)

func Example() {
	db, err := ebb.OpenMemory(nil) // ebb.Open("dir", nil) for one that lasts
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	certmagic.Default.Storage = certstorage.New(db, "certs/")

	ctx := context.Background()
	if err := certmagic.Default.Storage.Store(ctx, "acme/example.com/example.com.crt", []byte("...")); err != nil {
		log.Fatal(err)
	}
	keys, err := certmagic.Default.Storage.List(ctx, "acme", false)
	fmt.Println(keys, err)
	// Output: [acme/example.com] <nil>
}

func open(t *testing.T) *ebb.DB {
	t.Helper()
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBesideFiles does the same with certmagic's own storage, in files, and compares.
func TestBesideFiles(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	db, ctx := open(t), t.Context()
	must(t, errors.Join(db.Put([]byte("s/"), nil), db.Put([]byte("s/f"), nil), db.Put([]byte("s/g/a"), nil)))
	ours, files := certstorage.New(db, "s/"), &certmagic.FileStorage{Path: t.TempDir()}
	must(t, errors.Join(files.Store(ctx, "x", nil), files.Delete(ctx, "x"))) // makes the root
	dirs, names := []string{"", "a", "a/b", "ab", "a/b/c"}, []string{"1.crt", "2.key", "3-.json"}
	file := func() string { return path.Join(dirs[r.IntN(len(dirs))], names[r.IntN(len(names))]) }
	some := func() string {
		switch r.IntN(8) {
		case 0, 1:
			return dirs[1+r.IntN(len(dirs)-1)]
		case 2:
			return "a/" // as the root, which nobody deletes in files
		case 3:
			return "a/../none"
		}
		return file()
	}
	same := func(a, b error) bool {
		return (a == nil) == (b == nil) && errors.Is(a, fs.ErrNotExist) == errors.Is(b, fs.ErrNotExist)
	}
	for i := range 2000 {
		fail := func(what string, got, want any) {
			t.Helper()
			t.Fatalf("seed %d, step %d: %s: %v, files have %v", seed, i, what, got, want)
		}
		switch k := some(); r.IntN(6) {
		case 0, 1:
			k, value := file(), fmt.Append(nil, i)
			if a, b := ours.Store(ctx, k, value), files.Store(ctx, k, value); a != nil || b != nil {
				fail("store "+k, a, b)
			}
		case 2:
			if r.IntN(3) > 0 {
				k = file()
			}
			a, b := ours.Delete(ctx, k), files.Delete(ctx, k)
			if !same(a, b) {
				fail("delete "+k, a, b)
			}
			tidy(t, files, dirs)
		case 3:
			a, errA := ours.Load(ctx, k)
			b, errB := files.Load(ctx, k)
			if string(a) != string(b) || errors.Is(errA, fs.ErrNotExist) != (errB != nil) { // a directory is another error there
				fail("load "+k, errA, errB)
			}
		case 4:
			a, errA := ours.Stat(ctx, k)
			b, errB := files.Stat(ctx, k)
			if b.IsTerminal && (a.Size != b.Size || a.Modified.Sub(b.Modified).Abs() > time.Minute) ||
				a.Key != b.Key || a.IsTerminal != b.IsTerminal || !same(errA, errB) || ours.Exists(ctx, k) != files.Exists(ctx, k) {
				fail("stat "+k, fmt.Sprint(a, errA), fmt.Sprint(b, errB))
			}
		case 5:
			if r.IntN(4) == 0 {
				k = ""
			}
			recursive := r.IntN(2) == 0
			a, errA := ours.List(ctx, k, recursive)
			b, errB := files.List(ctx, k, recursive)
			slices.Sort(a)
			slices.Sort(b)
			if !same(errA, errB) || !slices.Equal(a, b) {
				fail(fmt.Sprintf("list %q, %v", k, recursive), fmt.Sprint(a, errA), fmt.Sprint(b, errB))
			}
		}
	}
	for _, k := range []string{"s/", "s/f", "s/g/a"} {
		if has, err := db.Has([]byte(k)); !has || err != nil {
			t.Errorf("%q, of another use, is gone: %v", k, err)
		}
	}
}

// tidy removes directories without files, which a storage of keys does not have.
func tidy(t *testing.T, files *certmagic.FileStorage, dirs []string) {
	for _, dir := range slices.Backward(dirs[1:]) {
		if keys, err := files.List(t.Context(), dir, true); err == nil && len(keys) == 0 {
			if info, err := files.Stat(t.Context(), dir); err == nil && !info.IsTerminal {
				must(t, files.Delete(t.Context(), dir))
			}
		}
	}
	if keys, err := files.List(t.Context(), "a", true); err == nil && len(keys) == 0 {
		must(t, files.Delete(t.Context(), "a"))
	}
}

// One has a lock at a time, and who waits gets it as soon as it is free.
func TestLocks(t *testing.T) {
	db, ctx := open(t), t.Context()
	s := certstorage.New(db, "s/")
	var all sync.WaitGroup
	inside, count := 0, 0
	for range 8 {
		all.Go(func() {
			for range 20 {
				if err := s.Lock(ctx, "name"); err != nil {
					t.Error(err)
					return
				}
				if inside++; inside != 1 { // the race detector looks on
					t.Error("two have the lock")
				}
				count++
				inside--
				if err := s.Unlock(ctx, "name"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if count != 160 {
		t.Errorf("%d times", count)
	}
	for e := range db.Range(nil) {
		t.Errorf("%q is left", e.Key)
	}
}

func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, ctx := open(t), t.Context()
		defer db.Close()
		s, other := certstorage.New(db, "s/"), certstorage.New(db, "s/")
		try := func(s *certstorage.Storage, want bool) {
			t.Helper()
			if got, err := s.TryLock(ctx, "name"); got != want || err != nil {
				t.Errorf("the lock: %v, %v, want %v", got, err, want)
			}
		}
		try(s, true)
		try(s, false)
		time.Sleep(10 * time.Minute) // renewed all the while
		try(other, false)
		if err := other.Unlock(ctx, "name"); err == nil {
			t.Error("another one has ended the lock")
		}
		waiting, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := other.Lock(waiting, "name"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting until the context ends: %v", err)
		}
		cancel()
		got := make(chan time.Time, 1)
		go func() {
			if err := other.Lock(ctx, "name"); err != nil {
				t.Error(err)
			}
			got <- time.Now()
		}()
		time.Sleep(time.Second + time.Millisecond)
		must(t, s.Unlock(ctx, "name"))
		ended := time.Now()
		if d := (<-got).Sub(ended); d > time.Second {
			t.Errorf("who waits has the lock %v later", d)
		}
		must(t, other.Unlock(ctx, "name"))

		// A holder that has died: its lease ends.
		try(s, true)
		must(t, s.RenewLockLease(ctx, "name", time.Hour))
		must(t, s.RenewLockLease(ctx, "name", time.Second)) // no earlier
		if left, err := db.TTL([]byte("s/l/name")); left != time.Hour || err != nil {
			t.Errorf("%v are left, %v", left, err)
		}
		// A holder that was stopped for too long: its lock is gone, and another has it.
		must(t, db.Delete([]byte("s/l/name")))
		try(other, true)
		if err := s.RenewLockLease(ctx, "name", time.Hour); err == nil {
			t.Error("a lock that was lost is prolonged")
		}
		must(t, s.Unlock(ctx, "name"))
		try(s, false)
		must(t, other.RenewLockLease(ctx, "name", time.Hour))
		must(t, other.Unlock(ctx, "name"))
		try(s, true)
		must(t, s.Unlock(ctx, "name"))
		if err := s.RenewLockLease(ctx, "name", time.Hour); err == nil {
			t.Error("a lock that is not held is prolonged")
		}
	})
}

func TestBadInput(t *testing.T) {
	db, ctx := open(t), t.Context()
	s := certstorage.New(db, "")
	long := strings.Repeat("k", 64<<10)
	for key, want := range map[string]error{"": ebb.ErrKeyEmpty, "..": ebb.ErrKeyEmpty, long: ebb.ErrKeyTooLarge} {
		if err := s.Store(ctx, key, nil); !errors.Is(err, want) {
			t.Errorf("storing a key of %d bytes: %v", len(key), err)
		}
		if _, err := s.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("loading a key of %d bytes: %v", len(key), err)
		}
	}
	if s.Exists(ctx, long) {
		t.Error("a key that is too long exists")
	}
	must(t, s.Delete(ctx, long))
	must(t, errors.Join(s.Store(ctx, "/../a/b/", []byte("v")), s.Store(ctx, "c", nil)))
	if v, err := s.Load(ctx, "a/b"); string(v) != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	must(t, s.Delete(ctx, ""))
	if keys, err := s.List(ctx, "", true); len(keys) != 0 || err != nil {
		t.Errorf("%v, %v", keys, err)
	}
	must(t, db.Put([]byte("f/other"), []byte("v")))
	if _, err := s.Load(ctx, "other"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what another has written: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	calls := func(ctx context.Context) map[string]error {
		errs := map[string]error{"store": s.Store(ctx, "k", nil), "delete": s.Delete(ctx, "k"), "lock": s.Lock(ctx, "k")}
		_, errs["load"] = s.Load(ctx, "k")
		_, errs["stat"] = s.Stat(ctx, "k")
		_, errs["list"] = s.List(ctx, "", true)
		_, errs["try"] = s.TryLock(ctx, "k")
		return errs
	}
	for name, err := range calls(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", name, err)
		}
	}
	db.Close()
	for name, err := range calls(ctx) {
		if !errors.Is(err, ebb.ErrClosed) {
			t.Errorf("%s of a closed database: %v", name, err)
		}
	}
}

// BenchmarkStorage stores and loads certificates of 4 KiB beside certmagic's own storage, in files. Both sync what they store.
func BenchmarkStorage(b *testing.B) {
	db, err := ebb.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	value, ctx := []byte(strings.Repeat("c", 4<<10)), b.Context()
	for _, store := range []struct {
		name string
		certmagic.Storage
	}{{"ebb", certstorage.New(db, "s/")}, {"files", &certmagic.FileStorage{Path: b.TempDir()}}} {
		i := 0
		key := func() string { i++; return fmt.Sprintf("acme/site-%03d/site.crt", i%500) }
		b.Run("store/storage="+store.name, func(b *testing.B) {
			for b.Loop() {
				if err := store.Store(ctx, key(), value); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("load/storage="+store.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Load(ctx, fmt.Sprintf("acme/site-%03d/site.crt", 1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
