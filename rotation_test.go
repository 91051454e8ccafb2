package ebb

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Filling memtables, and flushing them by hand, makes no write wait for the disk: who holds the commit lock copies into
// memory.
func TestFreezeWaitsForNoDisk(t *testing.T) {
	var mu sync.Mutex
	waited, operations := map[vfstest.OpKind]int{}, 0
	fault := vfstest.NewFault(vfstest.NewMem())
	fault.Inject(func(op vfstest.Op) error {
		var stack [8 << 10]byte
		trace := stack[:runtime.Stack(stack[:], false)]
		underLock := bytes.Contains(trace, []byte("ebb.turn.freeze")) || bytes.Contains(trace, []byte("rotateLocked"))
		mu.Lock()
		defer mu.Unlock()
		operations++
		if underLock {
			waited[op.Kind]++
		}
		return nil
	})
	o := tinyOptions(fault, newFakeClock())
	db := openTest(t, o)
	rotations := 0
	for i := range 400 {
		must(t, db.log.Prepare()) // which the background does soon, but not before a moment that a test can name
		before := db.log.Stats().Rotations
		must(t, db.Put(fmt.Appendf(nil, "%06d", i), make([]byte, 500)))
		if i%100 == 99 {
			must(t, db.Flush())
		}
		rotations += int(db.log.Stats().Rotations - before)
	}
	must(t, db.Close())
	mu.Lock()
	defer mu.Unlock()
	for kind, n := range waited {
		if kind != vfstest.OpWrite {
			t.Errorf("%d x %v under the commit lock, in %d rotations", n, kind, rotations)
		}
	}
	if rotations < 8 || waited[vfstest.OpWrite] < 2*rotations || operations < 10*rotations {
		t.Errorf("%d rotations, %d writes by them, %d operations in all", rotations, waited[vfstest.OpWrite], operations)
	}
}

// A transaction that begins when a frozen memtable holds a write that is on no disk yet, and so not seen, conflicts with it.
func TestTransactionBesideAnUnsyncedFreeze(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	o := tinyOptions(fault, newFakeClock())
	o.Sync, o.manual = SyncAlways, true
	db := openTest(t, o)
	key := []byte("k")
	must(t, db.Put(key, []byte("old")))
	must(t, db.log.Prepare())
	reached, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			once.Do(func() {
				close(reached)
				<-gate
			})
		}
		return nil
	})
	written := make(chan error)
	go func() { written <- db.Put(key, []byte("new")) }()
	<-reached
	must(t, freeze(db))
	tries := 0
	must(t, db.Update(func(tx *Txn) error {
		tries++
		v, err := tx.Get(key)
		if err != nil {
			return err
		}
		if want := map[bool]string{true: "old", false: "new"}[tries == 1]; string(v) != want {
			t.Errorf("try %d: %q, want %q", tries, v, want)
		}
		if tries == 1 {
			close(gate)
			must(t, <-written)
		}
		return tx.Put([]byte("seen"), v)
	}))
	if v, err := db.Get([]byte("seen")); string(v) != "new" || err != nil || tries != 2 {
		t.Errorf("%q, %v, after %d tries", v, err, tries)
	}
	must(t, db.Close())
}
