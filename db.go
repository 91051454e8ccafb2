package ebb

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// DB is an open database. Make one with Open. Its methods may be called from any goroutine.
//
// A read takes no lock: see lsm.Set.EnterNewest. What it needs longer than one call, an iterator or a snapshot, it pins.
//
// Lock order: ingesting, compacting, commit, flushing, and then those of lsm. The background goroutines
// take commit only to freeze. No lock is held over I/O, but for commit over the log (an append is a copy into memory, and
// so is a rotation, unless appends have outrun the disk) and over the end of an Ingest, and the lock of the
// tables over the manifest, which nobody else waits for.
type DB struct {
	dir   directory // absolute
	opts  Options
	fs    vfs.FS // opts.fs, or that as the owner of the lock sees it
	lock  vfs.Lock
	log   *wal.Log
	clock *ttl.Clock
	cache *table.Cache

	health health
	live   lsm.Set // what reads read

	commit   commit
	trim     logTrim
	expiries *expiries // nil unless Options.ExpiryEvents
	marks    clockMarks

	damage damagedSet

	// flushing is held by whoever flushes, compacting by whoever compacts, ingesting by whoever ingests: one of each at a time.
	flushing   sync.Mutex
	compacting sync.Mutex
	ingesting  sync.Mutex

	stall     stall
	flusher   worker
	compacter worker
	sweeps    requests
	settles   requests

	cursors     sync.Pool     // of *cursor, for iterators
	txns        sync.Pool     // of *txnState
	precedences chan struct{} // holds an element while an Update has precedence, or is about to
	lastFlush   flushTime
	swept       sweeper // the sweeper's own

	stats  counters
	events eventQueue
}

// commit is what one write at a time owns.
type commit struct {
	sync.Mutex
	mem        *lsm.Mem // the active memtable, also in view
	lastSeq    uint64
	writers    writers
	precedence *precedence // of a transaction that others wait for; nil: nobody has one
	now        int64       // by which the write under way tells what has expired, once it has had to: Unix ms
	last       lastWrites
	gaps       *gap.Set          // those of the view; nil while the log is replayed
	scout      memtable.Iterator // of offerRange
	scans      atomic.Int32      // transactions that need last
	sweeps     bool              // the sweeper knows that mem has deadlines
	settling   bool              // the settler does not rest
	entries    [1]wal.Entry      // scratch
	counter    [maxCounter]byte  // scratch

	userBytes int64 // of the keys and values of puts, since Open
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
	opts := o.withDefaults()
	dir, err := opts.fs.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	db := &DB{dir: directory(dir), opts: opts, fs: opts.fs}
	db.wire()
	db.cursors.New, db.txns.New = newCursor, newTxnState
	if err := db.open(); err != nil {
		db.health.stopWork()
		return nil, errors.Join(fmt.Errorf("open %s: %w", dir, noSpace(err)), db.release())
	}
	if !opts.manual && !opts.ReadOnly {
		db.health.workers.Go(func() { db.flusher.run(db.flushFrozen) })
		db.health.workers.Go(func() { db.compacter.run(db.compactPicked) })
		db.health.workers.Go(db.sweepLoop)
		db.health.workers.Go(db.settleLoop)
		db.health.workers.Go(db.marks.loop)
		if db.expiries != nil {
			db.health.workers.Go(db.expiries.loop)
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
	db.flusher, db.compacter = newWorker("flush", &db.health), newWorker("compact", &db.health)
	db.sweeps, db.settles, db.precedences = newRequests(), newRequests(), make(chan struct{}, 1)
	s := &db.stall
	s.live, s.memtableSize, s.health, s.counters = &db.live, o.memtableSize, &db.health, &db.stats
	s.flush, s.compact, s.changed.L = &db.flusher, &db.compacter, &s.mu
	if o.manual {
		s.flushNow = db.flushFrozen
	}
	db.marks, db.damage.sys, db.lastFlush.sys = newClockMarks(db), &o.sys, &o.sys
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
	pass(&db.commit.Mutex) // no write is under way any more,
	pass(&db.flushing)     // nor a call of Flush
	pass(&db.compacting)   // or Compact,
	pass(&db.ingesting)    // or Ingest,
	db.live.Barrier()      // nor begins a Checkpoint; and later ones find the database closed
	db.health.workers.Wait()
	db.flushOnClose()
	return db.release()
}

// pass returns when whoever holds mu has let go of it.
func pass(mu *sync.Mutex) {
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
		db.sweeps.request() // an Ingest may have brought the first
	}
	db.stall.update()
}
