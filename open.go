package ebb

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/known"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	replaypkg "github.com/ebbdb/ebb/internal/replay"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/memfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// Open opens the database in a directory, or makes a new one there. o may be nil.
//
// An existing database comes back with every write that was acknowledged under the policy it was written with, and without
// any entry that had expired or been deleted. Damage is an error that matches ErrCorrupt; then no file has been changed. A
// directory that another process has open is ErrLocked, unless Options.ReadOnly is set; a directory that holds other things
// is ErrNotDatabase.
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
	if db.bound = newBound(&db.opts, dir); db.bound != nil {
		db.opts.fs, db.fs = db.bound.disk, db.bound.disk
	}
	db.wire()
	db.cursors.live, db.cursors.pool.New, db.txns.New = &db.live, newCursor, newTxnState
	if err := db.open(); err != nil {
		db.health.stopWork()
		return nil, errors.Join(fmt.Errorf("open %s: %w", dir, noSpace(err)), db.release())
	}
	if !opts.manual && !opts.ReadOnly {
		db.background.start(&db.health, &db.live)
		db.health.workers.Go(func() { db.pipeline.marks.loop(db.health.work, db.pipeline.tickClock) })
		if db.reporter != nil {
			db.health.workers.Go(db.reporter.loop)
		}
		if r := hostReporterOf(db); r != nil {
			db.health.workers.Go(r.loop)
		}
	}
	db.flusher.request()
	db.compacter.request()
	return db, nil
}

// OpenMemory makes a database in the memory of the process, for tests and for caches: it does all that one in a directory
// does, writes nothing to any disk, and is gone with Close. o may be nil.
//
// What would be files is memory on top of Options.Memory: tables and log, Stats.DiskBytes. Large tables lie outside of Go's
// heap, where the system allows it. Syncs have nothing to do, so
// Options.Sync and SyncEvery do not matter; ReadOnly is ErrInvalidOptions. A Backup keeps what is in the database, or a
// Checkpoint, which makes a directory of the file system; Ingest of a full backup brings it back.
func OpenMemory(o *Options) (*DB, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.ReadOnly {
		return nil, fmt.Errorf("open in memory: %w", invalid("ReadOnly", true, "false"))
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("open in memory: %w", err)
	}
	if c.targets = c.fs; c.targets == nil {
		c.targets = vfs.OS
	}
	c.Sync, c.fs, c.volatile = SyncNever, memfs.New(), true
	return Open(memoryDir, &c)
}

// memoryDir is what a database in memory calls its directory: in errors.
const memoryDir = "memory"

// wire makes the parts of the database known to those that need them.
func (db *DB) wire() {
	o := &db.opts
	db.events.start(o, string(db.dir), &db.stats)
	db.health.init(&o.sys, &db.events, db.stall.wake)
	s, p := &db.stall, &db.pipeline
	p.stall = s
	db.background.wire(o, &db.health, p, &db.live, &db.stats)
	s.live, s.memtableSize, s.health, s.counters = &db.live, o.memtableSize, &db.health, &db.stats
	s.flush, s.compact, s.changed.L, s.pace.least = &db.flusher.worker, &db.compacter.worker, &s.mu, o.memtableSize/2
	if o.manual {
		s.flushNow = db.flusher.flushFrozen
	}
	p.policy, p.memtableSize, p.health = o.Sync, o.memtableSize, &db.health
	p.flusher, p.sweeps, p.settles, p.precedences = &db.flusher.worker, db.sweeper.requests, db.settler.requests,
		make(chan struct{}, 1)
	p.live, p.trail.known = &db.live, known.NewSet(o.Memory/knownShare)
	p.mu.writers.past.snapshots = &p.snapshots
	p.marks.wake = newRequests()
}

// open brings the database to the state in which reads and writes can begin.
//
//  1. Lock the directory, which a Swap that a crash has cut short may have left under another name. From here on an operation
//     by name fails if the name no longer leads into the locked directory.
//  2. Read the manifest. A new database gets its first manifest here, with its id; a crash before leaves an empty directory.
//  3. Open the tables that the manifest names. An existing database has not been changed so far.
//  4. Open the log, which repairs a torn tail once all of the log was applied to memtables without an error.
//  5. If the manifest is the first, or of an older version, store one that says how far the log goes. After a crash before
//     that, the loss of the log would not be noticed; no write in it was acknowledged.
//  6. Remove the tables that the manifest does not name: a crash has left them of a flush, a compaction or an Ingest.
func (db *DB) open() error {
	if db.opts.ReadOnly {
		return db.openReadOnly()
	}
	if err := db.dir.Recover(db.fs); err != nil {
		return err
	}
	if err := vfs.MkdirAllSync(db.fs, string(db.dir)); err != nil {
		return err
	}
	if err := db.dir.Check(db.fs); err != nil {
		return err // before a lock file is left there
	}
	lock, err := db.fs.Lock(db.dir.Lock())
	if err != nil {
		return err
	}
	db.lock, db.fs = lock, vfs.Owned(db.fs, lock, db.health.fail)
	if db.bound != nil {
		if err := db.bound.disk.Scan(); err != nil {
			return err
		}
	}
	state, err := db.loadState()
	if err != nil {
		return err
	}
	if err := db.initLive(state); err != nil {
		return err
	}
	if err := vfs.MkdirAllSync(db.fs, db.dir.Tables()); err != nil {
		return err
	}
	tables := db.live.NewLoader()
	defer tables.Close()
	if err := tables.Load(state); err != nil {
		return err
	}
	if err := db.openLog(state, tables); err != nil {
		return err
	}
	if state.Log == (wal.Anchor{}) {
		if err := db.live.StoreAnchor(); err != nil {
			return err
		}
	}
	switch {
	case db.opts.host != nil:
		db.pipeline.observer = newHostReporter(db)
	case db.opts.ExpiryEvents:
		db.reporter = &reporter{
			pipeline: &db.pipeline, counters: &db.stats, manual: db.opts.manual,
			live:     &db.live,
			upcoming: ttl.NewUpcoming(db.opts.expiryMemory),
		}
		db.pipeline.observer, db.evicter.reporter = db.reporter, db.reporter
	}
	return db.live.RemoveOrphans()
}

// loadState reads the manifest, or makes the first.
func (db *DB) loadState() (*manifest.State, error) {
	state, err := manifest.Load(db.fs, string(db.dir))
	if err == nil {
		if err := state.Features.Writable(); err != nil {
			return nil, fmt.Errorf("%s: %w", db.dir.Manifest(), err)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return state, err
	}
	if err := db.dir.Check(db.fs); err != nil {
		return nil, err
	}
	state = manifest.New(db.opts.sys.secret, ttl.NewClock(0, db.opts.Clock).Now())
	return state, manifest.Store(db.fs, string(db.dir), state)
}

// openLog replays the log on top of the tables.
func (db *DB) openLog(state *manifest.State, tables *lsm.Loader) error {
	start := db.opts.sys.now()
	r := newReplay(state, &db.opts, db.clock)
	o := db.logOptions(state, r.Entry)
	o.ReplayEnd = r.Applied
	log, err := wal.Open(db.dir.Log(), o)
	if failed := r.Finish(); failed != nil {
		return failed // err is that, or of a place after it
	}
	if err != nil {
		return err
	}
	db.log, db.flusher.trim.log = log, log
	db.recovered(log.Recovery(), len(state.Tables), db.opts.sys.since(start))
	db.pipeline.marks.found = max(state.Clock, r.marked)
	if r.marked > db.clock.Now() && db.opts.clockTo == 0 {
		db.clock.Reset(r.marked)
	}
	if ahead := db.clock.Ahead(); ahead > time.Minute {
		db.events.emit(ClockSetBack{By: ahead})
	}
	tables.Publish(r.mem, r.frozen, log.NextSeq()-1, nil)
	db.pipeline.start(log, db.clock, r.writers)
	db.stall.update()
	return nil
}

// recovered emits what Open has found in the log.
func (db *DB) recovered(r wal.Recovery, tables int, took time.Duration) {
	e := Recovered{Segments: r.Segments, Bytes: r.Bytes, Entries: r.Entries, Tables: tables, Clean: r.Clean, Duration: took}
	if r.Cut != nil {
		e.CutBytes = r.Cut.Bytes
		db.stats.logCut.Store(e.CutBytes)
	}
	db.events.emit(e)
}

// logOptions returns the options of the log that belongs to a manifest.
func (db *DB) logOptions(state *manifest.State, replay func(*wal.Entry) error) *wal.Options {
	return &wal.Options{
		Sync:         db.opts.Sync,
		Interval:     db.opts.SyncEvery,
		SegmentSize:  db.opts.segmentSize,
		ID:           state.Database,
		FirstSegment: state.FirstSegment,
		Retain:       db.opts.RetainLog,
		MinNextSeq:   state.Reached() + 1,
		Anchor:       state.Log,
		Replay:       replay,
		Now:          db.clock.Now,
		OnEvent:      db.logEvent,
		FS:           db.opts.fs, // not db.fs: the log has a lock of its own
	}
}

// logEvent passes events of the log on. Rotations and deletions of segments are of no use to anybody else.
func (db *DB) logEvent(e wal.Event) {
	switch e := e.(type) {
	case wal.TailCut:
		db.events.emit(TailCut(e))
	case wal.HistoryLost:
		db.events.backgroundError("keep "+e.File+" for watchers", e.Err, 0)
	case wal.DiskFull:
		db.stats.noSpace.Add(1)
		db.events.emit(DiskFull(e))
	case wal.Failed:
		db.events.emit(Failed(e))
		db.stall.wake()
	}
}

// replay puts the log's entries into as many memtables as they fill. The caller hands each entry to Entry, and calls Finish in
// the end, whether there was an error or not: the results are there after that.
type replay struct {
	*replaypkg.Pipe
	memtableSize int64
	clock        *ttl.Clock
	mem          *lsm.Mem
	frozen       []*lsm.Mem // newest first
	writers      writers    // those of the manifest and of the log
	marked       int64      // the latest time that is marked in the log
}

// batchShare is the part of a memtable that a batch of a replay is at most: with a small Options.Memory batches are small, too.
const batchShare = 16

// newReplay returns a replay of the log that follows a manifest.
func newReplay(state *manifest.State, o *Options, clock *ttl.Clock) *replay {
	r := &replay{memtableSize: o.memtableSize, clock: clock}
	batch := o.replayBatch
	if batch == 0 {
		batch = int(min(replaypkg.Batch, o.memtableSize/batchShare))
	}
	r.Pipe = replaypkg.New(batch, r.apply)
	r.mem = lsm.NewMem(memtable.Hint{}, state.FirstSegment, clock.Now())
	r.writers.open(state.Writers, o.WriterIdle)
	return r
}

// apply applies an entry.
func (r *replay) apply(e *wal.Entry) error {
	if e.Kind == wal.KindClock {
		r.marked = max(r.marked, e.Time)
		return nil
	}
	if r.mem.Size() >= r.memtableSize {
		r.mem.LastSeq = e.Seq - 1
		r.frozen = append([]*lsm.Mem{r.mem}, r.frozen...)
		r.mem = lsm.NewMem(memtable.Hint{}, e.Pos.Segment, r.clock.Now())
	}
	if err := applyEntry(e, r.mem, &r.writers, nil, r.clock); err != nil {
		return corrupt.New(fmt.Sprintf("log position %v", e.Pos), int64(e.Pos.Offset), "log entry", err)
	}
	return nil
}

// initLive readies the clock, the block cache and db.live for the database of a manifest.
func (db *DB) initLive(state *manifest.State) (err error) {
	o := &db.opts
	mark := state.Clock
	if o.clockTo != 0 {
		mark = o.clockTo
	}
	db.clock = ttl.NewClock(mark, o.Clock)
	if o.host != nil {
		db.clock = ttl.NewExactClock(o.host.Now)
		db.pipeline.dropBefore, db.cursors.hidden = o.host.DropBefore, o.host.Hidden
	}
	if o.clockTo != 0 {
		for i := range state.Writers {
			w := &state.Writers[i]
			w.Used = min(w.Used, db.clock.Now())
		}
	}
	mapped := o.volatile && o.Compression == CompressionNone // every block is: a cache would have nothing to keep
	if !o.manual && !mapped {
		if db.cache, err = table.NewCache(o.cacheMemory()); err != nil {
			return err
		}
	}
	db.live.Init(lsm.Config{
		FS:           db.fs,
		Dir:          db.dir,
		ReadOnly:     o.ReadOnly,
		MemtableSize: o.memtableSize,
		Bounded:      o.MaxDisk > 0,
		TableSize:    o.tableSize,
		BuildMemory:  o.buildMemory,
		Compression:  o.Compression,
		Cache:        db.cache,
		GapMemory:    o.Memory / gapShare,
		SortedMemory: o.sortedMemory,
		WorthGap:     o.worthGap,
		Closed:       &db.health.closed,
		Failure:      db.health.failure,
		Fail:         db.health.fail,
		Report:       func(task string, err error) { db.events.backgroundError(task, err, 0) },
		Workers:      &db.health.workers,
		Changed:      db.tablesChanged,
		Compact:      db.compacter.request,
		Sort:         db.sorter.request,
		Clock:        db.clock.Now,
		Anchor:       func() wal.Anchor { return db.log.Anchor() },
		Now:          o.sys.now,
	})
	return nil
}

// tablesChanged is called after each change of the tables: it asks for a sweep if any has deadlines, and updates the stall.
func (db *DB) tablesChanged(v *lsm.View) {
	if v.Version.HasDeadlines() {
		db.sweeper.request() // an Ingest may have brought the first
	}
	if db.bound != nil {
		db.bound.changed()
	}
	db.stall.update()
}
