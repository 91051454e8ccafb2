package ebb

import (
	"errors"
	"fmt"
	"sync"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// DB is an open database. Make one with Open. Its methods may be called from any goroutine.
type DB struct {
	// A read takes no lock: see lsm.Set.EnterNewest. What it needs longer than one call, an iterator or a snapshot, it pins.
	//
	// Locks are taken in this order:
	//
	//  1. sweeper.mu, ingesting, compacter.compacting, reporter.catching: one sweep, Ingest, compaction, report of expiries at a
	//     time. They are held for long.
	//  2. pipeline.mu, the commit lock. The background takes it to freeze, to look at the active memtable, to report expiries,
	//     and to mark the clock.
	//  3. flusher.flushing: one flush at a time. An Ingest flushes in its turn, with the commit lock. A read-only database, where
	//     nothing is flushed, has it for Refresh, and takes the commit lock with it.
	//  4. flusher.trim.mu; and those of lsm, in its order.
	//  5. stall.mu, then that of events; damage.mu, and the locks of the log, of gaps and of the epoch: whoever has one of these
	//     takes no other of this list.
	//
	// No lock is held over I/O but: those of 1, flushing and trim.mu, for which no read and no write waits; the commit lock over
	// the log (an append is a copy into memory, and so is a rotation, unless appends have outrun the disk), over the look-up of
	// what has expired, where expiries are reported, and over the end of an Ingest; and the lock of lsm over the manifest, for
	// which only those wait that end with a table.

	dir   directory // absolute
	opts  Options
	fs    vfs.FS // opts.fs, or that as the owner of the lock sees it
	lock  vfs.Lock
	log   *wal.Log
	clock *ttl.Clock
	cache *table.Cache

	health health
	live   lsm.Set // what reads read

	pipeline pipeline
	reporter *reporter // nil unless Options.ExpiryEvents

	ingesting sync.Mutex // held by whoever ingests, one at a time

	stall     stall
	flusher   flusher
	compacter compacter
	sweeper   sweeper
	settler   settler

	cursors cursors
	txns    sync.Pool // of *txnState

	stats  counters
	events eventQueue
}

// directory is where a database is.
type directory = dir.Dir

// Open opens the database in a directory, or makes a new one there. o may be nil.
//
// An existing database comes back with every write that was acknowledged under the policy it was written with, and without
// anything that had expired or been deleted. Damage is an error that matches ErrCorrupt; then no file has been changed. A
// directory that another process has open is ErrLocked, unless Options.ReadOnly asks to look only; one that holds other
// things is ErrNotDatabase.
func Open(dir string, o *Options) (*DB, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	dir, err = opts.fs.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	db := &DB{dir: directory(dir), opts: opts, fs: opts.fs}
	db.wire()
	db.cursors.live, db.cursors.pool.New, db.txns.New = &db.live, newCursor, newTxnState
	if err := db.open(); err != nil {
		db.health.stopWork()
		return nil, errors.Join(fmt.Errorf("open %s: %w", dir, noSpace(err)), db.release())
	}
	if !opts.manual && !opts.ReadOnly {
		db.health.workers.Go(func() { db.flusher.run(db.flusher.flushFrozen) })
		db.health.workers.Go(func() { db.compacter.run(db.compacter.compactPicked) })
		db.health.workers.Go(db.sweeper.loop)
		db.health.workers.Go(db.settler.loop)
		db.health.workers.Go(func() { db.pipeline.marks.loop(db.health.work, db.pipeline.tickClock) })
		if db.reporter != nil {
			db.health.workers.Go(db.reporter.loop)
		}
	}
	db.flusher.request()
	db.compacter.request()
	return db, nil
}

// wire makes the parts of the database known to those that need them.
func (db *DB) wire() {
	o := &db.opts
	db.events.start(o, string(db.dir), &db.stats)
	db.health.init(&o.sys, &db.events, db.stall.wake)
	db.flusher.init("flush", &db.health)
	db.compacter.init("compact", &db.health)
	db.sweeper.requests, db.settler.requests = newRequests(), newRequests()
	s := &db.stall
	s.live, s.memtableSize, s.health, s.counters = &db.live, o.memtableSize, &db.health, &db.stats
	s.flush, s.compact, s.changed.L = &db.flusher.worker, &db.compacter.worker, &s.mu
	if o.manual {
		s.flushNow = db.flusher.flushFrozen
	}
	p := &db.pipeline
	p.policy, p.memtableSize, p.health, p.stall = o.Sync, o.memtableSize, &db.health, s
	p.flusher, p.sweeps, p.settles, p.precedences = &db.flusher.worker, db.sweeper.requests, db.settler.requests, make(chan struct{}, 1)
	p.live = &db.live
	p.marks.wake = newRequests()
	f := &db.flusher
	f.pipeline, f.live, f.counters, f.compacter, f.writerIdle = p, &db.live, &db.stats, &db.compacter.worker, o.WriterIdle
	f.last.sys, f.trim.flusher = &o.sys, &f.worker
	c := &db.compacter
	c.pipeline, c.live, c.counters, c.lastFlush = p, &db.live, &db.stats, &f.last
	c.damage.live, c.damage.events, c.damage.sys = &db.live, &db.events, &o.sys
	w := &db.sweeper
	w.pipeline, w.live, w.counters, w.compacter = p, &db.live, &db.stats, &c.worker
	db.settler.pipeline, db.settler.live = p, &db.live
}

// Close writes the memtable to a table, so that the next Open has little to replay, and lets go of the directory. It waits
// for what runs, and ends an Ingest, a Compact or a Checkpoint that does. Whatever is called later, on the database or on an
// iterator or a snapshot of it, is ErrClosed. A second Close does nothing and returns nil.
//
//  1. Refuse new operations, and let those that wait for the background go.
//  2. Stop the background.
//  3. Flush. If that fails nothing is lost: the log has it.
//  4. Close the log, which syncs it.
//  5. Store a manifest that says how far the log went, so that the next Open misses what is missing. After a crash before
//     that, or where it cannot be stored, which Close reports, the older manifest is in force: the database is whole.
//  6. Close the tables, when the last read has ended.
func (db *DB) Close() error {
	if !db.health.close() {
		return nil
	}
	db.pipeline.waitForTurn()               // no write is under way any more,
	waitForHolder(&db.flusher.flushing)     // nor a call of Flush
	waitForHolder(&db.compacter.compacting) // or Compact,
	waitForHolder(&db.ingesting)            // or Ingest,
	db.live.Barrier()                       // nor begins a Checkpoint; and later ones find the database closed
	db.health.workers.Wait()
	db.flushOnClose()
	return db.release()
}

// waitForHolder returns when whoever holds mu has let go of it.
func waitForHolder(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

// release closes what has been opened, and tells the last events.
func (db *DB) release() error {
	defer db.events.stop()
	var errs []error
	if db.log != nil {
		errs = append(errs, db.closeLog())
	}
	db.health.workers.Wait() // what commits have started
	errs = append(errs, db.live.Close())
	if db.cache != nil {
		db.cache.Close()
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// closeLog takes steps 4 and 5 of Close.
//
// The manifest says how far the log has gone, at least: see wal.Anchor. While the database is open that is a place which
// the log had reached when it was rotated or opened last, and costs nothing; after Close it is the very end. So what is
// missing of a log that was closed is damage. Of one that was not, the end may have been torn by the crash: there only a
// mark that the log has written behind what it had synced can prove the contrary.
func (db *DB) closeLog() error {
	if err := db.log.Close(); err != nil {
		return err
	}
	if err := db.lock.Check(); err != nil {
		return db.health.fail(err)
	}
	if db.health.failure() != nil {
		return nil // a manifest that replaces one in doubt may not be durable
	}
	return noSpace(db.live.StoreAnchor())
}

// initLive readies what is live, once the clock and the cache are there.
func (db *DB) initLive() {
	o := &db.opts
	db.live.Init(lsm.Config{
		FS:           db.fs,
		Dir:          db.dir,
		ReadOnly:     o.ReadOnly,
		MemtableSize: o.memtableSize,
		TableSize:    o.tableSize,
		BuildMemory:  o.buildMemory,
		Compression:  o.Compression,
		Cache:        db.cache,
		GapMemory:    o.Memory / gapShare,
		WorthGap:     o.worthGap,
		Closed:       &db.health.closed,
		Failure:      db.health.failure,
		Fail:         db.health.fail,
		Report:       func(task string, err error) { db.events.backgroundError(task, err, 0) },
		Workers:      &db.health.workers,
		Changed:      db.tablesChanged,
		Compact:      db.compacter.request,
		Clock:        db.clock.Now,
		Anchor:       func() wal.Anchor { return db.log.Anchor() },
		Now:          o.sys.now,
	})
}

// tablesChanged looks after what follows from a change of the tables.
func (db *DB) tablesChanged(v *lsm.View) {
	if v.Version.HasDeadlines() {
		db.sweeper.request() // an Ingest may have brought the first
	}
	db.stall.update()
}
