package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/wal"
)

// counters are the moving parts of Stats.
type counters struct {
	flushes, compactions, dropped, sweeps atomic.Int64
	flushed, compacted                    atomic.Int64 // bytes written
	slowed, stopped, stoppedFor           atomic.Int64
}

// LevelStats says what is in one level.
type LevelStats struct {
	Tables  int
	Bytes   int64 // of files
	Entries uint64
}

// Stats says what a database holds and has done since it was opened.
type Stats struct {
	MemtableBytes int64 // of all memtables
	Frozen        int   // memtables that wait for their flush
	Levels        []LevelStats
	TableBytes    int64 // of all tables

	DeadlineEntries uint64 // entries with a deadline, in tables
	ExpiredBytes    uint64 // of keys and values that have expired and are still in tables; a lower bound

	Log wal.Stats

	Flushes        int64
	FlushedBytes   int64
	Compactions    int64
	CompactedBytes int64 // written by compactions
	DroppedTables  int64 // tables that went whole and unread, all in them having expired
	Sweeps         int64

	SlowedWrites  int64         // writes that were slowed for the background to catch up
	StoppedWrites int64         // writes that were stopped for it,
	StoppedFor    time.Duration // and for how long in all
}

// Stats returns the database's figures.
func (db *DB) Stats() Stats {
	c := &db.stats
	s := Stats{
		Flushes: c.flushes.Load(), FlushedBytes: c.flushed.Load(),
		Compactions: c.compactions.Load(), CompactedBytes: c.compacted.Load(), DroppedTables: c.dropped.Load(),
		Sweeps: c.sweeps.Load(), SlowedWrites: c.slowed.Load(), StoppedWrites: c.stopped.Load(),
		StoppedFor: time.Duration(c.stoppedFor.Load()),
		Levels:     make([]LevelStats, compaction.NumLevels),
		Log:        db.log.Stats(),
	}
	v, now := db.view.Load(), db.clock.Now()
	s.Frozen = len(v.frozen)
	s.MemtableBytes = v.mem.Size()
	for _, m := range v.frozen {
		s.MemtableBytes += m.Size()
	}
	for level, tables := range v.tables.levels {
		for _, t := range tables {
			p := t.Reader.Properties()
			l := &s.Levels[level]
			l.Tables++
			l.Bytes += t.Size
			l.Entries += p.Entries
			s.TableBytes += t.Size
			s.DeadlineEntries += p.DeadlineEntries
			s.ExpiredBytes += p.ExpiredBytes(now)
		}
	}
	return s
}

// Verify reads the whole database, its tables and its log, and checks every byte of it. It returns the first damage it
// finds, an error that matches ErrCorrupt. Reads and writes go on meanwhile.
func (db *DB) Verify(ctx context.Context) error {
	v, _, err := db.pinView()
	if err != nil {
		return err
	}
	defer db.unref(v.tables)
	for _, tables := range v.tables.levels {
		for _, t := range tables {
			if err := db.verifyTable(ctx, t); err != nil {
				return err
			}
		}
	}
	return db.verifyLog(ctx)
}

// verifyTable verifies one table. Close of the database waits for it.
func (db *DB) verifyTable(ctx context.Context, t *compaction.Table) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.work, cancel)()
	defer cancel()
	ticket := db.epoch.enter(uint32(t.File))
	defer db.epoch.exit(ticket)
	if db.closed.Load() {
		return ErrClosed
	}
	err := t.Reader.Verify(ctx)
	if db.closed.Load() && errors.Is(err, context.Canceled) {
		return ErrClosed
	}
	return err
}

// verifyLog reads the log from its beginning to its end.
func (db *DB) verifyLog(ctx context.Context) error {
	for {
		r, err := db.log.NewReader(db.log.First())
		if err == nil {
			err = readAll(ctx, r)
			r.Close()
		}
		if !errors.Is(err, wal.ErrDeleted) { // otherwise a flush has deleted what was to be read: begin again
			return closedLog(err)
		}
	}
}

func readAll(ctx context.Context, r *wal.Reader) error {
	var e wal.Entry
	for n := 0; ; n++ {
		if err := r.Next(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("verify log: %w", err)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
