package ebb

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/ttl"
)

// health tells whether a database is open, and whether it takes writes.
//
// closed goes from false to true once, failed from nil to an error once: neither is ever reset.
type health struct {
	closed atomic.Bool
	failed atomic.Pointer[error] // why no write is taken any more; nil: writes are taken

	work     context.Context // of the background goroutines; done when Close begins
	stopWork context.CancelFunc
	workers  sync.WaitGroup // the background goroutines; Close waits for them

	sys    *system
	events *eventQueue
	wake   func() // lets writers that wait for the background look again
}

func (h *health) init(sys *system, events *eventQueue, wake func()) {
	h.work, h.stopWork = context.WithCancel(context.Background())
	h.sys, h.events, h.wake = sys, events, wake
}

// close refuses operations from now on, and stops the background. It is false if the database was closed before.
func (h *health) close() bool {
	if h.closed.Swap(true) {
		return false
	}
	h.stopWork()
	h.wake()
	return true
}

// fail refuses all writes from now on, with err as the reason unless there is one already. It returns the reason. Reads go
// on.
func (h *health) fail(err error) error {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	if h.failed.CompareAndSwap(nil, &err) {
		h.events.emit(Failed{err})
		h.wake()
	}
	return *h.failed.Load()
}

// failure returns why no writes are taken, or nil.
func (h *health) failure() error {
	if p := h.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// refusal returns why a write is not taken, or nil if it is.
func (h *health) refusal() error {
	if h.closed.Load() {
		return ErrClosed
	}
	return h.failure()
}

// system is the time, pauses and randomness that a database takes from the process. Files and the wall clock are passed in
// Options. No other file of the package asks for the time or for random numbers, so that a test can decide both.
type system struct {
	now    func() time.Time // with a monotonic reading: for durations and pauses, never for deadlines
	sleep  func(time.Duration)
	random func() uint64  // for numbers that only have to be spread
	secret func(b []byte) // fills b, for ids and names that nobody may guess or meet twice
}

// withDefaults returns a copy with every field set.
func (s system) withDefaults() system {
	if s.now == nil {
		s.now = time.Now //permit:time.Now the way in for time
	}
	if s.sleep == nil {
		s.sleep = time.Sleep //permit:time.Sleep the way in for pauses
	}
	if s.random == nil {
		s.random = rand.Uint64 //permit:rand.Uint64 the way in for chance
	}
	if s.secret == nil {
		s.secret = func(b []byte) { crand.Read(b) } //permit:crand.Read the way in for ids; it never fails
	}
	return s
}

// since returns how long ago start was, a moment that now has returned.
func (s *system) since(start time.Time) time.Duration { return s.now().Sub(start) }

// ResetClockOptions configure a ResetClock. The zero value works.
type ResetClockOptions struct {
	// DryRun changes nothing, and works while the database is open.
	DryRun bool
	// Options are the options that the database is opened with. ResetClock heeds Memory, Compression and Clock.
	Options *Options
}

// ClockReset says what a ResetClock does.
type ClockReset struct {
	Mark time.Time // how far the database's time had come
	To   time.Time // where it goes on: the time that was asked for, or that of the clock if this is later
	Back uint64    // keys that had expired at Mark and have not at To, as far as they are still on the disk
}

// ResetClock lets the time of a closed database go on at an earlier moment. Time never goes back by itself, so that nothing
// which has expired returns: a clock that was years ahead once has left a mark, and keys expire years too early from then on.
// If to is not before that mark there is nothing to do. o may be nil.
//
// Keys come back that had expired only by the wrong clock, as far as their bytes are still on the disk; those that a flush or
// a compaction has left out, or that Options.ExpiryEvents has reported, do not. Keys that were written meanwhile keep their
// deadlines, which are as far ahead as the clock was. A database that is open is ErrLocked. The log that Options.RetainLog
// keeps is dropped.
//
//  1. Count what comes back, reading all entries.
//  2. Open the database with the new time, deaf to marks, and flush the log: from then on no mark in it counts. The manifest
//     is committed with the new time and with the log's first segment behind the marks. A crash before leaves the old time.
func ResetClock(dir string, to time.Time, o *ResetClockOptions) (ClockReset, error) {
	if o == nil {
		o = &ResetClockOptions{}
	}
	var c Options
	if o.Options != nil {
		c = Options{Memory: o.Options.Memory, Compression: o.Options.Compression, Clock: o.Options.Clock}
		c.fs, c.memtableSize, c.tableSize, c.segmentSize = o.Options.fs, o.Options.memtableSize, o.Options.tableSize,
			o.Options.segmentSize
	}
	c.manual, c.clockTo, c.ReadOnly = true, max(to.UnixMilli(), 1), true
	info, err := resetClock(dir, &c, countBack)
	if err != nil || o.DryRun || !info.To.Before(info.Mark) {
		return info, err
	}
	c.ReadOnly = false
	_, err = resetClock(dir, &c, dropMarks)
	return info, err
}

// resetClock opens a database, does a step of ResetClock, and closes it.
func resetClock(dir string, c *Options, do func(*DB) (ClockReset, error)) (ClockReset, error) {
	db, err := Open(dir, c)
	if err != nil {
		return ClockReset{}, err
	}
	info, err := do(db)
	if err = errors.Join(err, db.Close()); err != nil {
		return ClockReset{}, fmt.Errorf("reset the clock of %s: %w", dir, err)
	}
	return info, nil
}

// countBack takes step 1 of ResetClock.
func countBack(db *DB) (ClockReset, error) {
	mark, now := db.pipeline.marks.found, db.clock.Now()
	info := ClockReset{Mark: ttl.Time(mark), To: ttl.Time(now)}
	if now >= mark {
		return info, nil
	}
	for e, err := range db.Range(nil) {
		if err != nil {
			return info, err
		}
		if kv.Expired(e.Deadline, mark) {
			info.Back++
		}
	}
	return info, nil
}

// dropMarks takes step 2 of ResetClock.
func dropMarks(db *DB) (info ClockReset, err error) {
	t := db.pipeline.lock()
	err = db.log.SkipTo(db.log.NextSeq()) // a new segment, even if there is nothing but marks in this one
	if err == nil {
		err = t.freeze()
	}
	t.end()
	if err == nil {
		err = db.flusher.flushFrozen()
	}
	return info, err
}
