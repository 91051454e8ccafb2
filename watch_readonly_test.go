package ebb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"syscall"
	"testing"
	"testing/synctest"

	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// deathly is a file system whose locks the dead do not keep.
type deathly struct{ *vfstest.Mem }

func (deathly) Lock(string) (vfs.Lock, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Check() error { return nil }
func (noLock) Close() error { return nil }

// A watcher beside the owner follows it through flushes, its end, its death and those who come after, and what it reports
// can be read after Refresh.
func TestWatchReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMem()
		o := manualOptions(deathly{mem}, newFakeClock(), SyncNever)
		db, err := Open("db", o)
		must(t, err)
		must(t, db.Put([]byte("before"), nil))
		aside, err := Open("db", readOnly(o))
		must(t, err)
		changes := make(chan Change)
		done := make(chan error, 1)
		go func() {
			for c, err := range aside.Watch(context.Background(), nil) {
				if err != nil {
					done <- err
					return
				}
				c.Key = append([]byte(nil), c.Key...)
				changes <- c
			}
		}()
		expect := func(keys ...string) {
			t.Helper()
			for _, k := range keys {
				start := time.Now()
				c := <-changes
				if string(c.Key) != k || time.Since(start) > mostPause {
					t.Fatalf("%s after %v, want %s", c.text(), time.Since(start), k)
				}
			}
			must(t, aside.Refresh())
			for _, k := range keys {
				content{aside}.has(t, k, "")
			}
		}
		write := func(key string) {
			t.Helper()
			must(t, db.Put([]byte(key), nil))
		}
		write("one")
		expect("one")
		time.Sleep(time.Hour) // nothing happens
		write("two")
		must(t, db.Flush()) // what was in the log's first segment is gone before it has looked
		write("three")
		expect("two", "three")
		time.Sleep(time.Hour)
		must(t, db.Flush())
		must(t, db.Flush())
		write("four")
		expect("four")
		must(t, db.Close())
		time.Sleep(time.Hour)
		fault := vfstest.NewFault(deathly{mem})
		o.fs = fault
		db, err = Open("db", o)
		must(t, err)
		write("five")
		expect("five")
		write("six") // and this owner dies
		fault.Inject(func(vfstest.Op) error { return syscall.EIO })
		defer db.Close()
		o.fs = deathly{mem}
		db, err = Open("db", o)
		must(t, err)
		write("seven")
		expect("six", "seven")
		must(t, aside.Close())
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		must(t, db.Close())
	})
}

func TestWatchReadOnlyErrors(t *testing.T) {
	mem := vfstest.NewMem()
	o := manualOptions(mem, newFakeClock(), SyncAlways)
	db := openTest(t, o)
	for i := range 10 {
		must(t, db.Put(fmt.Appendf(nil, "k%d", i), nil))
		must(t, db.Flush())
	}
	aside := openTest(t, readOnly(o))
	defer aside.Close()
	watch := func(ctx context.Context, from uint64) error {
		return firstError(aside.Watch(ctx, &WatchOptions{From: from}))
	}
	if err := watch(t.Context(), 3); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("trimmed: %v", err)
	}
	if err := watch(t.Context(), 12); !errors.Is(err, ErrSequenceAhead) {
		t.Errorf("ahead: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if err := watch(ctx, 0); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}

	// One that does not read is not waited for.
	must(t, db.Put([]byte("seen"), nil))
	next, stop := iter.Pull2(aside.Watch(t.Context(), nil))
	defer stop()
	if c, err, ok := next(); !ok || err != nil || string(c.Key) != "seen" {
		t.Fatalf("%s, %v", c.text(), err)
	}
	must(t, db.Put([]byte("unseen"), nil))
	must(t, db.Flush())
	must(t, db.Put([]byte("last"), nil))
	must(t, db.Flush())
	for {
		c, err, _ := next()
		if errors.Is(err, ErrLogTrimmed) {
			break
		}
		if err != nil || string(c.Key) == "last" {
			t.Fatalf("%s, %v, with the one before lost", c.text(), err)
		}
	}

	must(t, db.Close())
	must(t, vfs.RemoveAll(mem, "db"))
	must(t, openTest(t, o).Close())
	if err := watch(t.Context(), 0); !errors.Is(err, ErrNotDatabase) {
		t.Errorf("another database: %v", err)
	}
}

// A watcher that begins at a batch, beside an owner whose full disk refuses writes, reports nothing that did not happen.
func TestWatchReadOnlyFullDisk(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	o := manualOptions(fault, newFakeClock(), SyncAlways)
	db := openTest(t, o)
	defer db.Close()
	aside := openTest(t, readOnly(manualOptions(mem, newFakeClock(), SyncAlways)))
	defer aside.Close()
	next, stop := iter.Pull2(aside.Watch(t.Context(), nil))
	defer stop()
	written := 0
	for i := range 30 {
		key := fmt.Appendf(nil, "k%02d", i)
		full := i%3 == 1
		fault.Inject(func(op vfstest.Op) error {
			if full && op.Kind == vfstest.OpWrite {
				return vfstest.Short(op.Len-1, syscall.ENOSPC)
			}
			return nil
		})
		err := db.Put(key, nil)
		if full != errors.Is(err, ErrNoSpace) {
			t.Fatalf("%s: %v", key, err)
		}
		if err != nil {
			continue
		}
		written++
		if c, err, _ := next(); err != nil || string(c.Key) != string(key) || c.Seq != uint64(written) {
			t.Fatalf("%s, %v, want %s as %d", c.text(), err, key, written)
		}
	}
}
