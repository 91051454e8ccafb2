package ebb

import (
	"context"
	"errors"
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

	stall stall
	background

	cursors cursors
	txns    sync.Pool // of *txnState

	stats  counters
	events eventQueue
}

// background is what works by itself while the database is open.
type background struct {
	flusher   flusher
	compacter compacter
	sweeper   sweeper
	settler   settler
}

// wire makes the parts of the background known to one another, and p and what is live to them.
func (b *background) wire(o *Options, h *health, p *pipeline, live *lsm.Set, n *counters) {
	f, c, w := &b.flusher, &b.compacter, &b.sweeper
	f.init("flush", h)
	f.pipeline, f.live, f.counters, f.compacter, f.writerIdle = p, live, n, &c.worker, o.WriterIdle
	f.last.sys, f.trim.flusher = &o.sys, &f.worker
	c.init("compact", h)
	c.pipeline, c.live, c.counters, c.lastFlush = p, live, n, &f.last
	c.damage.live, c.damage.events, c.damage.sys = live, h.events, &o.sys
	w.requests, b.settler.requests = newRequests(), newRequests()
	w.pipeline, w.live, w.counters, w.compacter = p, live, n, &c.worker
	b.settler.pipeline, b.settler.live = p, live
}

// start begins to work. Whatever has been asked for until then is done.
func (b *background) start(h *health) {
	h.workers.Go(func() { b.flusher.run(b.flusher.flushFrozen) })
	h.workers.Go(func() { b.compacter.run(b.compacter.compactPicked) })
	h.workers.Go(b.sweeper.loop)
	h.workers.Go(b.settler.loop)
}

// directory is where a database is.
type directory = dir.Dir

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

// flushOnClose writes what is in memory to a table if replaying it would take the next Open long. If that fails nothing is
// lost: the log has it.
func (db *DB) flushOnClose() {
	const worth = 1 << 20
	if db.health.failure() != nil || db.log.Err() != nil {
		return // nothing may be written any more
	}
	var err error
	t := db.pipeline.lock()
	if t.mem().Size() >= worth {
		err = t.freeze()
	}
	t.end()
	if err == nil {
		err = db.flusher.flushUntil(context.Background())
	}
	_ = db.pipeline.markClock() // what has expired in this run stays so; if it fails the log has told an event
	if err != nil {
		db.events.backgroundError("flush on close", err, 0)
	}
}
