package ebb

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A put waits until as much of the flush has passed as of the memtable is full, beyond what was when pacing began.
func TestPace(t *testing.T) {
	var p pace
	at := func(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }
	const size = 1 << 20
	p.begin(at(0), 0, size)
	if d := p.wait(at(0), 0.9); d != 0 {
		t.Errorf("no flush is known, and a put waits for %v", d)
	}
	p.flushBegins(at(0))
	p.flushEnds(at(100*time.Millisecond), size, nil)
	p.flushBegins(at(100 * time.Millisecond))
	p.flushEnds(at(time.Hour), size, syscall.ENOSPC)
	p.flushBegins(at(2 * time.Hour))
	p.flushEnds(at(2*time.Hour+300*time.Millisecond), size, nil)
	// A flush is taken to last 200 ms: half of what is new, and half of what was.
	for _, c := range []struct {
		name        string
		began, from time.Duration // -1: the flush has not begun
		fill        float64       // when pacing began
		now         time.Duration
		full        float64
		want        time.Duration
	}{
		{"in step", 0, 0, 0, 50 * time.Millisecond, 0.25, 0},
		{"a little ahead", 0, 0, 0, 50 * time.Millisecond, 0.252, 0},
		{"ahead", 0, 0, 0, 50 * time.Millisecond, 0.5, 50 * time.Millisecond},
		{"far ahead", 0, 0, 0, 0, 1, mostPace},
		{"behind", 0, 0, 0, 150 * time.Millisecond, 0.5, 0},
		{"begun before", 0, 100 * time.Millisecond, 0.5, 100 * time.Millisecond, 0.75, 50 * time.Millisecond},
		{"not begun", -1, 100 * time.Millisecond, 0, 200 * time.Millisecond, 0.75, 50 * time.Millisecond},
		{"overdue", 0, 250 * time.Millisecond, 0, 250 * time.Millisecond, 1, 0},
		{"full", 0, 0, 1, 0, 1, 0},
	} {
		if p.began = (time.Time{}); c.began >= 0 {
			p.flushBegins(at(c.began))
		}
		p.begin(at(c.from), c.fill, size)
		if got := p.wait(at(c.now), c.full); got < c.want-time.Microsecond || got > c.want+time.Microsecond {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Puts into the last memtable that there is room for are spread over the flush under way, and none waits for most of it. They are
// not paced before, nor once a memtable was flushed.
func TestPacedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
		var longest time.Duration
		o.sys.now = time.Now
		o.sys.sleep = func(d time.Duration) { longest = max(longest, d); time.Sleep(d) }
		db := openTest(t, o)
		db.stall.flushNow = nil // somebody else flushes
		put := func(i int) { must(t, db.Put(fmt.Appendf(nil, "%03d", i), make([]byte, o.memtableSize/100))) }
		i := 0
		for ; len(db.live.View().Frozen) < lsm.MaxFrozen; i++ {
			put(i)
		}
		if longest > 0 {
			t.Errorf("a put has waited for %v before", longest)
		}
		const flush = time.Second
		p := &db.stall.pace
		p.flushBegins(time.Now())
		time.Sleep(flush)
		p.flushEnds(time.Now(), db.live.View().Oldest().Size(), nil)
		p.flushBegins(time.Now())
		db.stall.update()
		start := time.Now()
		for !db.stall.full(db.live.View()) {
			put(i)
			i++
		}
		if took := time.Since(start); took < flush*9/10 || took > flush || longest > flush/20 {
			t.Errorf("puts were spread over %v of %v, and the longest has waited for %v", took, flush, longest)
		}
		if s := db.Stats(); s.SlowedFor != time.Since(start) || s.StoppedWrites > 0 {
			t.Errorf("%d writes were slowed, for %v, and %d stopped", s.SlowedWrites, s.SlowedFor, s.StoppedWrites)
		}
		must(t, db.flusher.flushFrozen())
		longest = 0
		put(i)
		if longest > 0 {
			t.Errorf("a put has waited for %v after the flush", longest)
		}
		must(t, db.Close())
	})
}

// What takes no less time for a small memtable than for a full one does not count as if it were of the small one's bytes: after the
// flush of a small memtable puts are not held up for long.
func TestPaceAfterASmallFlush(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	var now time.Time
	var slept time.Duration
	o.sys.now = func() time.Time { now = now.Add(time.Millisecond); return now } // a flush takes some milliseconds, whatever its size
	o.sys.sleep = func(d time.Duration) { slept += d }
	db := openTest(t, o)
	must(t, db.Put([]byte("small"), nil))
	must(t, db.Flush())
	db.stall.flushNow = nil // somebody else flushes
	put := func(i int) { must(t, db.Put(fmt.Appendf(nil, "%03d", i), make([]byte, o.memtableSize/100))) }
	i := 0
	for ; len(db.live.View().Frozen) < lsm.MaxFrozen; i++ {
		put(i)
	}
	for range 20 {
		put(i)
		i++
	}
	if slept > 0 {
		t.Errorf("20 puts have waited for %v: a flush takes a few milliseconds", slept)
	}
	must(t, db.flusher.flushFrozen())
	if db.stall.pace.perByte == 0 {
		t.Error("the flush of a full memtable tells nothing of the next")
	}
	must(t, db.Close())
}

// Close does not wait for a writer that is paced, which finds the database closed.
func TestCloseBesideAPacedWriter(t *testing.T) {
	for name, write := range map[string]func(db *DB) error{
		"Put":    func(db *DB) error { return db.Put([]byte("key"), nil) },
		"Update": func(db *DB) error { return db.Update(func(tx *Txn) error { return tx.Put([]byte("key"), nil) }) },
	} {
		t.Run(name, func(t *testing.T) {
			o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
			asleep, awake := make(chan struct{}), make(chan struct{})
			o.sys.sleep = func(time.Duration) { close(asleep); <-awake }
			db := openTest(t, o)
			db.stall.flushNow = nil // somebody else flushes
			for i := 0; len(db.live.View().Frozen) < lsm.MaxFrozen; i++ {
				must(t, db.Put(fmt.Appendf(nil, "%03d", i), make([]byte, o.memtableSize/100)))
			}
			must(t, db.Put([]byte("half"), make([]byte, o.memtableSize/2)))
			p := &db.stall.pace
			p.flushBegins(time.Now().Add(-time.Hour))
			p.flushEnds(time.Now(), db.live.View().Oldest().Size(), nil)
			p.flushBegins(time.Now())
			p.begin(time.Now(), 0, db.live.View().Oldest().Size())
			wrote := make(chan error)
			go func() { wrote <- write(db) }()
			<-asleep
			must(t, db.Close())
			close(awake)
			if err := <-wrote; !errors.Is(err, ErrClosed) {
				t.Errorf("a write after Close: %v", err)
			}
		})
	}
}
