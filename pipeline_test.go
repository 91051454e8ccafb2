package ebb

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// endings are the ways to end a turn.
var endings = []struct {
	name string
	end  func(turn) error
}{
	{"end", func(t turn) error { t.end(); return nil }},
	{"put", func(t turn) error { return t.put([]byte("k"), nil, &params{}) }},
	{"write", func(t turn) error {
		return t.write(wal.Entry{Kind: wal.KindDelete, Key: []byte("k")}, &params{sync: true})
	}},
	{"refused write", func(t turn) error {
		err := t.write(wal.Entry{Kind: 99, Key: []byte("k")}, &params{})
		if err == nil {
			return errors.New("an unknown kind is written")
		}
		return nil
	}},
	{"leave", func(t turn) error { return t.leave(&params{}) }},
	{"leave, synced", func(t turn) error { return t.leave(&params{sync: true}) }},
	{"refuse", func(t turn) error {
		if err := t.refuse(ErrNotFound, &params{}); err != ErrNotFound {
			return fmt.Errorf("refused with %w", err)
		}
		return nil
	}},
}

// Each ending of a turn lets the next begin, once.
func TestTurnEnds(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
			must(t, db.Put([]byte("before"), nil))
			turn, err := db.pipeline.begin()
			must(t, err)
			must(t, e.end(turn))
			if !db.pipeline.mu.TryLock() {
				t.Fatal("the commit lock is not free")
			}
			db.pipeline.mu.Unlock()
		})
	}
}

// A turn that has ended is not used, neither before nor after the next has begun.
func TestTurnIsOver(t *testing.T) {
	if !invariant.On {
		t.Skip("needs -tags invariants")
	}
	panics := func(use func()) (message any) {
		defer func() { message = recover() }()
		use()
		return nil
	}
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
			turn, err := db.pipeline.begin()
			must(t, err)
			must(t, e.end(turn))
			for _, later := range []bool{false, true} {
				next := turn
				if later {
					next, err = db.pipeline.begin()
					must(t, err)
				}
				for name, use := range map[string]func(){
					"lastSeq": func() { turn.lastSeq() }, "mem": func() { turn.mem() }, "end": turn.end,
					"freeze": func() { turn.freeze() }, "put": func() { turn.put([]byte("k"), nil, &params{}) },
					"leave": func() { turn.leave(&params{}) }, "leave, synced": func() { turn.leave(&params{sync: true}) },
				} {
					if m, _ := panics(use).(string); !strings.Contains(m, "a turn is used after its end") {
						t.Errorf("%s, with another turn %t: %q", name, later, m)
					}
				}
				if later {
					next.end()
				}
			}
		})
	}
}

// begin waits while writers are stopped, and no longer than there is something to wait for. Who makes no write does not wait.
func TestBeginWaitsForTheBackground(t *testing.T) {
	failure := errors.New("no flush")
	for _, c := range []struct {
		name string
		ends func(db *DB)
		want error
	}{
		{"no pressure", func(db *DB) { db.stall.pressure.Store(pressureNone); db.stall.wake() }, nil},
		{"slow", func(db *DB) { db.stall.pressure.Store(pressureSlow); db.stall.wake() }, nil},
		{"failed flush", func(db *DB) { db.flusher.failed.Store(&failure); db.stall.wake() }, failure},
		{"failed database", func(db *DB) { db.health.fail(syscall.EIO) }, ErrFailed},
		{"close", func(db *DB) { db.health.close() }, ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := Open("db", manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
				must(t, err)
				db.stall.flushNow = nil // somebody else is to flush
				db.stall.pressure.Store(pressureFlush)
				begun := make(chan error, 1)
				go func() {
					turn, err := db.pipeline.begin()
					if err == nil {
						turn.end()
					}
					begun <- err
				}()
				synctest.Wait()
				db.pipeline.lock().end()
				select {
				case err := <-begun:
					t.Fatalf("begun: %v", err)
				default:
				}
				c.ends(db)
				if err := <-begun; !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				db.stall.pressure.Store(pressureNone)
				db.Close()
				db.release()
			})
		})
	}
}

// Other writes wait while an Update has precedence, and the next Update that wants it, but for no longer than is said.
func TestPrecedence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
		defer db.Close()
		p, start := &db.pipeline, time.Now()
		a := p.takePrecedence()
		own, err := p.beginAhead(a.own(), claimRoom)
		must(t, err)
		own.end()
		other := make(chan time.Duration)
		go func() {
			turn, err := p.begin()
			must(t, err)
			turn.end()
			other <- time.Since(start)
		}()
		next := make(chan *precedence)
		go func() { next <- p.takePrecedence() }()
		time.Sleep(precedenceLength / 2)
		a.end()
		if waited := <-other; waited != precedenceLength/2 {
			t.Errorf("a write has waited %v", waited)
		}
		b := <-next
		if _, ok := a.turn(); ok || b == nil {
			t.Errorf("after the end a turn: %t; another has precedence: %t", ok, b != nil)
		}
		a.end() // not b's
		if turn, ok := b.turn(); !ok {
			t.Error("the end of one ends another")
		} else {
			turn.end()
		}
		start = time.Now()
		turn, err := p.begin()
		must(t, err)
		turn.end()
		if waited := time.Since(start); waited != precedenceLength {
			t.Errorf("a write has waited %v", waited)
		}
		if _, ok := b.turn(); ok {
			t.Error("precedence outlasts precedenceLength")
		}
		if p.mu.ahead != nil || len(p.precedences) != 0 {
			t.Error("precedence is left over")
		}
	})
}

// What waits for the disk is shown when it is there, by whoever waits first; and a write that asks for less shows what is
// before it.
func TestVisible(t *testing.T) {
	for _, c := range []struct {
		name  string
		call  func(p *pipeline, seq uint64, end wal.Position) error
		waits bool
	}{
		{"await", func(p *pipeline, seq uint64, end wal.Position) error { return p.await(seq, end) }, true},
		{"synced leave", func(p *pipeline, _ uint64, _ wal.Position) error { return p.lock().leave(&params{sync: true}) }, true},
		{"leave", func(p *pipeline, _ uint64, _ wal.Position) error { return p.lock().leave(&params{}) }, false},
		{"put", func(p *pipeline, _ uint64, _ wal.Position) error { return p.lock().put([]byte("b"), nil, &params{}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fault := vfstest.NewFault(vfstest.NewMem())
				db := openTest(t, manualOptions(fault, newFakeClock(), SyncAlways))
				defer db.Close()
				p, gate := &db.pipeline, make(chan struct{})
				fault.Inject(func(op vfstest.Op) error {
					if op.Kind == vfstest.OpSync {
						<-gate
					}
					return nil
				})
				seq, done := lastSeq(db)+1, make(chan error, 2)
				go func() { done <- db.Put([]byte("a"), nil) }()
				synctest.Wait()
				if v := p.live.Visible(); v >= seq || lastSeq(db) != seq {
					t.Fatalf("before the disk has it reads see up to %d, the last write is %d", v, lastSeq(db))
				}
				go func() { done <- c.call(p, seq, db.log.End()) }()
				synctest.Wait()
				if seen := p.live.Visible() >= seq; seen == c.waits {
					t.Errorf("seen before the disk has it: %t", seen)
				}
				close(gate)
				must(t, <-done)
				must(t, <-done)
				if p.live.Visible() < seq {
					t.Error("not seen when the disk has it")
				}
			})
		})
	}
}
