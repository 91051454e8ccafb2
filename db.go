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
	// A read takes no lock: see lsm.Set.EnterNewest. An iterator or a snapshot, which lives longer than one call, pins its
	// view.
	//
	// Locks are taken in this order:
	//
	// 1. freer.looking, sweeper.mu, ingesting, compacter.compacting, reporter.catching: one look for space, sweep, Ingest,
	//    compaction, report of expiries at a time. These locks are held for long.
	// 2. pipeline.mu, the commit lock. The background takes it to freeze, to look at the active memtable, to report expiries,
	//    and to mark the clock.
	// 3. flusher.flushing: one flush at a time. An Ingest flushes in its turn, holding the commit lock. A read-only database,
	//    where nothing is flushed, uses flushing for Refresh, which takes the commit lock while holding it.
	// 4. flusher.trim.mu; pipeline.snapshots.mu; and those of lsm, in its order.
	// 5. stall.mu, then that of events; damage.mu, and the locks of the log, of gaps and of the epoch: whoever has one of
	//    these takes no other of this list.
	//
	// No lock is held over I/O but: those of 1, flushing and trim.mu, for which no read and no write waits; the commit lock
	// over the log (an append is a copy into memory, and so is a rotation, unless appends have outrun the disk), over the
	// look-up of expired keys, where expiries are reported, and over the end of an Ingest; and the lock of lsm over the
	// manifest, for which no write waits, and of reads only those whose unpin is the last of a version.

	dir   directory // absolute
	opts  Options
	fs    vfs.FS // opts.fs, or opts.fs as the owner of the lock sees it
	lock  vfs.Lock
	log   *wal.Log
	clock *ttl.Clock
	cache *table.Cache

	health health
	live   lsm.Set // the memtables and tables that reads read

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

// background is the workers that run by themselves while the database is open.
type background struct {
	flusher   flusher
	compacter compacter
	sorter    worker // builds sorted views
	sweeper   sweeper
	settler   settler
	evicter   evicter
	bound     *bound // nil unless Options.MaxDisk
	freer     freer  // with bound
}

// wire makes the workers known to one another, and gives them the pipeline p and the live set.
func (b *background) wire(o *Options, h *health, p *pipeline, live *lsm.Set, n *counters) {
	f, c, w := &b.flusher, &b.compacter, &b.sweeper
	f.init("flush", h)
	f.pipeline, f.live, f.counters, f.compacter, f.writerIdle = p, live, n, &c.worker, o.WriterIdle
	f.last.sys, f.trim.flusher = &o.sys, &f.worker
	c.init("compact", h)
	c.pipeline, c.live, c.counters, c.lastFlush, c.buildMemory = p, live, n, &f.last, o.buildMemory
	c.damage.live, c.damage.events, c.damage.sys = live, h.events, &o.sys
	b.sorter.init("sort", h)
	w.requests, b.settler.requests = newRequests(), newRequests()
	w.pipeline, w.live, w.counters, w.compacter = p, live, n, &c.worker
	b.settler.pipeline, b.settler.live, b.settler.lastFlush, b.settler.compacter = p, live, &f.last, &c.worker
	b.evicter.pipeline, b.evicter.live, b.evicter.counters, b.evicter.compacter = p, live, n, &c.worker
	p.bound, c.bound = b.bound, b.bound
	if b.bound != nil {
		r := &b.freer
		r.bound, r.pipeline, r.flusher, r.compacter, r.evicter, r.live, r.manual = b.bound, p, f, c, &b.evicter, live, o.manual
		p.stall.bindTo(b.bound)
		b.bound.live, b.bound.look, b.bound.closing, b.bound.refused = live, r.look, h.refusal, &n.refused
		b.bound.sys, b.bound.clock = &o.sys, func() int64 { return p.clock.Now() }
	}
}

// start starts the workers. Requests that were made before are carried out.
func (b *background) start(h *health, live *lsm.Set) {
	h.workers.Go(func() { b.flusher.run(b.flusher.flushFrozen) })
	h.workers.Go(func() { b.compacter.run(b.compacter.compactPicked) })
	h.workers.Go(func() {
		b.sorter.run(func() error {
			if live.SortPaid() {
				live.Sort(func() bool { return h.work.Err() != nil })
			}
			return nil
		})
	})
	h.workers.Go(b.sweeper.loop)
	h.workers.Go(b.settler.loop)
	if b.bound != nil {
		h.workers.Go(b.freer.loop)
		b.bound.request() // the directory may have been filled under another MaxDisk
	}
}

// directory is where a database is.
type directory = dir.Dir

// Dir returns the directory of the database, as an absolute path; "" of one in memory. It may be called on a closed database.
func (db *DB) Dir() string {
	if db.opts.volatile {
		return ""
	}
	return string(db.dir)
}

// ReadOnly reports whether the database was opened with Options.ReadOnly. It may be called on a closed database.
func (db *DB) ReadOnly() bool { return db.opts.ReadOnly }

// Close writes the memtable to a table, so that the next Open has little to replay, and lets go of the directory. Close
// waits for calls that are under way, and ends an Ingest, a Compact or a Checkpoint among them. Later calls, on the database
// or on an iterator or a snapshot of it, return ErrClosed. A second Close does nothing and returns nil. A Close that fails
// loses nothing that was durable: the next Open replays the log.
func (db *DB) Close() error {
	// 1. Refuse new operations, and wake the writers that wait for the background: they return.
	// 2. Stop the background.
	// 3. Flush. A failure loses nothing: the log has every write.
	// 4. Close the log, which syncs it.
	// 5. Store a manifest that says how far the log went, so that the next Open notices if a part of the log is missing. After
	//    a crash before this step, or where the manifest cannot be stored, which Close reports, the older manifest is in force:
	//    the database is whole.
	// 6. Close the tables, when the last read has ended.
	if !db.health.close() {
		return nil
	}
	db.pipeline.waitForTurn()               // no write is under way any more,
	waitForHolder(&db.flusher.flushing)     // nor a call of Flush
	waitForHolder(&db.compacter.compacting) // or Compact,
	waitForHolder(&db.ingesting)            // or Ingest,
	db.live.Barrier()                       // nor does a Checkpoint begin; later calls find the database closed
	db.health.workers.Wait()
	db.flushOnClose()
	return db.release()
}

// waitForHolder returns when whoever holds mu has let go of it.
func waitForHolder(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

// release closes all that Open has opened, and has the last events told.
func (db *DB) release() error {
	defer db.events.stop()
	var errs []error
	if db.log != nil {
		errs = append(errs, db.closeLog())
	}
	db.health.workers.Wait() // the goroutines that commits have started
	errs = append(errs, db.live.Close())
	if db.cache != nil {
		db.cache.Close()
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	if db.opts.volatile { // who keeps db need not keep the data
		errs = append(errs, vfs.RemoveAll(db.opts.fs, string(db.dir)))
	}
	return errors.Join(errs...)
}

// closeLog takes steps 4 and 5 of Close.
//
// The manifest names a place that the log has reached: see wal.Anchor. While the database is open, this is the place that
// the log had reached when it was last rotated or opened, which costs nothing; after Close it is the very end. So a log that
// was closed and ends before it is damaged. A log that was not closed may have lost its end to the crash: there only a mark
// that the log has written behind synced records can prove damage.
func (db *DB) closeLog() error {
	if err := db.log.Close(); err != nil {
		return err
	}
	if err := db.lock.Check(); err != nil {
		return db.health.fail(err)
	}
	if db.health.failure() != nil {
		return nil // a manifest that replaces an uncertain one may not be durable
	}
	return noSpace(db.live.StoreAnchor())
}

// flushOnClose writes the memtables to tables if replaying them would take the next Open long. A failure loses nothing: the
// log has every write.
func (db *DB) flushOnClose() {
	const worth = 1 << 20
	if db.health.failure() != nil || db.log.Err() != nil {
		return // nothing may be written any more
	}
	if db.opts.volatile {
		return // there will be no next Open
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
	_ = db.pipeline.markClock() // entries that have expired in this run stay expired; the log has told an event of a failure
	if err != nil {
		db.events.backgroundError("flush on close", err, 0)
	}
}
