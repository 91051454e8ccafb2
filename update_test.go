package ebb

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// slowSync makes syncs take half a millisecond of a bubble's time, in which nothing else takes any.
func slowSync() *Options {
	fs := vfstest.NewFault(vfstest.NewMem())
	fs.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			time.Sleep(500 * time.Microsecond)
		}
		return nil
	})
	o := manualOptions(fs, newFakeClock(), SyncAlways)
	o.memtableSize, o.segmentSize = 64<<20, 64<<20
	return o
}

// increment adds one to a key, by reading it and writing it.
func increment(db *DB, key string, attempts *atomic.Int64) error {
	return db.Update(func(tx *Txn) error {
		attempts.Add(1)
		value, err := tx.Get([]byte(key))
		if err != nil && err != ErrNotFound {
			return err
		}
		n, _ := strconv.Atoi(string(value))
		return tx.Put([]byte(key), strconv.AppendInt(nil, int64(n)+1, 10))
	})
}

// However many transactions read and write one key, and whoever else writes beside them, none of them is given up, and they
// share syncs.
func TestUpdateOfAHotKey(t *testing.T) {
	for _, writers := range []int{8, 32, 256} {
		synctest.Test(t, func(t *testing.T) {
			db := openTest(t, slowSync())
			const each = 10
			var attempts, conflicts atomic.Int64
			var wg sync.WaitGroup
			start := time.Now()
			for range writers {
				wg.Go(func() {
					for range each {
						if err := increment(db, "hot", &attempts); errors.Is(err, ErrConflict) {
							conflicts.Add(1)
						} else if err != nil {
							t.Error(err)
						}
						if err := db.Put([]byte("other"), nil); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			n, took := writers*each, time.Since(start)
			t.Logf("%d writers: %d of %d given up, %d attempts, %v", writers, conflicts.Load(), n, attempts.Load(), took)
			if conflicts.Load() > 0 {
				t.Errorf("%d of %d transactions were given up", conflicts.Load(), n)
			}
			content{db}.has(t, "hot", strconv.Itoa(n))
			must(t, db.Close())
		})
	}
}

// A transaction wins against any number of plain writes to what it reads.
func TestUpdateBesidePuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, slowSync())
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 256 {
			wg.Go(func() {
				for !stop.Load() {
					if err := db.Put([]byte("hot"), []byte("0")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var attempts atomic.Int64
		for range 20 {
			must(t, increment(db, "hot", &attempts))
		}
		stop.Store(true)
		wg.Wait()
		must(t, db.Close())
	})
}

// Precedence that lasts too long ends: those who wait go on, the transaction itself among them if its function writes.
func TestPrecedenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		key, runs := []byte("hot"), 0
		start := time.Now()
		err := db.attemptFirst(func(tx *Txn) error {
			if runs++; runs == 1 {
				must(t, db.Put(key, []byte("by itself")))
				if waited := time.Since(start); waited != precedenceLength {
					t.Errorf("a write waits for precedence of its own goroutine for %v", waited)
				}
				must(t, db.attemptFirst(func(tx *Txn) error { return tx.Put(key, []byte("with another precedence")) }, &params{}))
			}
			tx.Get(key)
			return tx.Put([]byte("other"), []byte("1"))
		}, &params{})
		if err != nil || runs != 2 {
			t.Errorf("%d runs: %v", runs, err)
		}
		content{db}.has(t, "hot", "with another precedence")
		if db.pipeline.mu.ahead != nil || len(db.pipeline.precedences) != 0 {
			t.Error("precedence is left over")
		}
		must(t, db.Close())
	})
}

// Who has read with precedence what is on no disk yet is told nothing before it is.
func TestTurnWaitsForTheDisk(t *testing.T) {
	failed := errors.New("fn failed")
	for _, fnErr := range []error{nil, failed} {
		synctest.Test(t, func(t *testing.T) {
			fs, release := vfstest.NewFault(vfstest.NewMem()), make(chan struct{})
			db := openTest(t, manualOptions(fs, newFakeClock(), SyncAlways))
			fs.Inject(func(op vfstest.Op) error {
				if op.Kind == vfstest.OpSync {
					<-release
				}
				return nil
			})
			put := make(chan error, 1)
			go func() { put <- db.Put([]byte("k"), []byte("new")) }()
			synctest.Wait()
			content{db}.lacks(t, "k")

			var read []byte
			update := make(chan error, 1)
			go func() {
				update <- db.attemptFirst(func(tx *Txn) (err error) {
					read, err = tx.Get([]byte("k"))
					must(t, err)
					return fnErr
				}, &params{sync: true})
			}()
			synctest.Wait()
			if len(update) > 0 || string(read) != "new" {
				t.Errorf("before the sync: returned: %t, has read %q", len(update) > 0, read)
			}
			close(release)
			if err := <-update; err != fnErr {
				t.Error(err)
			}
			must(t, <-put)
			content{db}.has(t, "k", "new")
			must(t, db.Close())
		})
	}
}
