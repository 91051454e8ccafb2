package ebb

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestBegin holds that Commit writes all or nothing, that Discard writes nothing, and that neither leaves anything pinned.
func TestBegin(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	k := []byte("k")
	must(t, db.Put(k, []byte("1"), TTL(time.Minute)))
	begin := func(writable bool) *Txn {
		t.Helper()
		tx, err := db.Begin(writable)
		must(t, err)
		return tx
	}
	add := func(tx *Txn) { t.Helper(); must(t, second(tx.Add(k, 1))) }
	var version uint64
	for _, row := range []struct {
		name     string
		do       func(*Txn) error
		writable bool
		want     error
		value    string
	}{
		{"commit", func(tx *Txn) error { add(tx); return tx.Commit(Sync, VersionTo(&version)) }, true, nil, "2"},
		{"a scan", func(tx *Txn) error { must(t, second(tx.First(nil))); add(tx); return tx.Commit() }, true, nil, "3"},
		{"discard", func(tx *Txn) error { must(t, second(tx.Last(nil))); add(tx); tx.Discard(); return nil }, true, nil, "3"},
		{"nothing", func(tx *Txn) error { must(t, second(tx.Get(k))); return tx.Commit() }, true, nil, "3"},
		{"read only", func(tx *Txn) error { must(t, second(tx.Get(k))); return tx.Commit() }, false, nil, "3"},
		{"a write where it only reads", func(tx *Txn) error { return tx.Put(k, nil) }, false, ErrReadOnly, "3"},
		{"an option that is not for it", func(tx *Txn) error { add(tx); return tx.Commit(TTL(1)) }, true, ErrInvalidOption, "3"},
		{"conflict", func(tx *Txn) error { add(tx); must(t, second(db.Add(k, 10))); return tx.Commit() }, true, ErrConflict, "13"},
		{"blind", func(tx *Txn) error {
			must(t, tx.Put(k, []byte("20"), KeepTTL, FoundTo(new(bool))))
			return tx.Commit()
		}, true, nil, "20"},
		{"expired since", func(tx *Txn) error { add(tx); clock.add(time.Hour); return tx.Commit() }, true, ErrConflict, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			tx := begin(row.writable)
			if err := row.do(tx); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
			tx.Discard()
			if err := errors.Join(tx.Commit(), second(tx.Get(k))); !errors.Is(err, ErrTxnDone) {
				t.Errorf("after the end: %v", err)
			}
			if row.value == "" {
				content{db}.lacks(t, "k")
			} else {
				content{db}.has(t, "k", row.value)
			}
		})
	}
	if version == 0 {
		t.Error("no version is told")
	}
	if refs := db.live.View().Version.Pins(); refs != 1 {
		t.Errorf("%d references to the tables are left", refs)
	}
	must(t, db.Update(func(tx *Txn) error {
		if err := tx.Commit(); !errors.Is(err, ErrTxnManaged) {
			t.Errorf("commit in an Update: %v", err)
		}
		return nil
	}))
	err := db.Update(func(tx *Txn) error { defer tx.Discard(); return tx.Put(k, []byte("discarded")) })
	if !errors.Is(err, ErrTxnDone) {
		t.Errorf("discard in an Update: %v", err)
	}
	content{db}.lacks(t, "k")
	open := begin(true)
	must(t, open.Put(k, nil))
	must(t, db.Close())
	if err := errors.Join(second(open.Get([]byte("other"))), open.Commit()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	open.Discard()
	if _, err := db.Begin(false); !errors.Is(err, ErrClosed) {
		t.Errorf("begin after Close: %v", err)
	}
}

// TestForgottenTransaction holds that a transaction that nobody can reach any more is told of, and unpinned.
func TestForgottenTransaction(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	told := make(chan TransactionLeaked, 1)
	o.OnEvent = func(e Event) {
		if e, ok := e.(TransactionLeaked); ok {
			told <- e
		}
	}
	db := openTest(t, o)
	func() {
		tx, err := db.Begin(true)
		must(t, err)
		must(t, tx.Put([]byte("k"), nil))
		if _, err := tx.First(nil); err != nil && err != ErrNotFound {
			t.Error(err)
		}
	}()
	for {
		runtime.GC()
		select {
		case e := <-told:
			if !e.Writable || !strings.Contains(e.Begun, "leak_test.go:") {
				t.Errorf("%+v", e)
			}
			if refs := db.live.View().Version.Pins(); refs != 1 {
				t.Errorf("%d references to the tables are left", refs)
			}
			content{db}.lacks(t, "k")
			must(t, db.Close())
			return
		default:
			runtime.Gosched()
		}
	}
}
