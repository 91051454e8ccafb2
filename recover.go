package ebb

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// open brings the database to the state in which reads and writes can begin.
//
//  1. Lock the directory. From here on nothing is done by a name that does not lead there any more.
//  2. Read the manifest. A new database gets its first one here, with its id; a crash before leaves an empty directory.
//  3. Open the tables that it names. Nothing has been changed so far.
//  4. Open the log, which repairs a torn tail, and replay it into memtables.
//  5. If the manifest is the first, or of an older version, store one that tells of the log. A crash before leaves a log that
//     may be gone without a trace; nobody has been told of anything in it.
//  6. Remove the tables that the manifest does not name: what a crash has left of a flush or a compaction.
func (db *DB) open() error {
	if db.opts.ReadOnly {
		return db.openReadOnly()
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
	state, err := db.loadState()
	if err != nil {
		return err
	}
	db.clock = ttl.NewClock(state.Clock, db.opts.Clock)
	if err := db.openCache(); err != nil {
		return err
	}
	levels, err := db.openTables(state)
	if err != nil {
		return err
	}
	if err := db.openLog(state, levels); err != nil {
		return err
	}
	if state.Log == (wal.Anchor{}) {
		if err := db.anchorLog(); err != nil {
			return err
		}
	}
	if db.opts.ExpiryEvents {
		db.expiries = newExpiries(db)
	}
	return db.removeOrphans()
}

// openCache makes the block cache.
func (db *DB) openCache() (err error) {
	if !db.opts.manual {
		db.cache, err = table.NewCache(db.opts.cacheMemory())
	}
	return err
}

// loadState reads the manifest, or makes the first.
func (db *DB) loadState() (*manifest.State, error) {
	state, err := manifest.Load(db.fs, string(db.dir))
	if !errors.Is(err, fs.ErrNotExist) {
		return state, err
	}
	if err := db.dir.Check(db.fs); err != nil {
		return nil, err
	}
	state = manifest.New(ttl.NewClock(0, db.opts.Clock).Now())
	return state, manifest.Store(db.fs, string(db.dir), state)
}

// openTables opens what the manifest names.
func (db *DB) openTables(state *manifest.State) (compaction.Levels, error) {
	var levels compaction.Levels
	if err := vfs.MkdirAllSync(db.fs, db.dir.Tables()); err != nil {
		return levels, err
	}
	db.tables.state = *state
	db.tables.refs = make(map[*compaction.Table]int)
	for _, ref := range state.Tables {
		t, err := db.openTable(state, ref)
		if err != nil {
			return levels, err
		}
		db.tables.refs[t] = 1
		levels[ref.Level] = append(levels[ref.Level], t)
	}
	return levels, nil
}

// openTable opens one table that the manifest names.
func (db *DB) openTable(state *manifest.State, ref manifest.Table) (*compaction.Table, error) {
	name := db.dir.Table(ref.File)
	r, err := table.Open(db.fs, name, table.Identity{Database: state.Database, File: ref.File}, db.cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt.New(name, 0, "table", fmt.Errorf("missing: %w", err))
	}
	if err != nil {
		return nil, err
	}
	if p := r.Properties(); p.Entries != ref.Entries || p.FileSize != ref.Size {
		err := corrupt.New(name, 0, "table", errors.New("another size or number of entries than the manifest says"))
		return nil, errors.Join(err, r.Close())
	}
	return compaction.NewTable(r), nil
}

// openLog replays the log on top of the tables.
func (db *DB) openLog(state *manifest.State, levels compaction.Levels) error {
	start := time.Now()
	db.commit.writers.open(state.Writers, db.opts.WriterIdle)
	r := replay{db: db, commit: &db.commit, mem: newMem(memtable.Hint{}, state.FirstSegment, db.clock.Now())}
	log, err := wal.Open(db.dir.Log(), db.logOptions(state, r.entry))
	if err != nil {
		return err
	}
	db.log = log
	db.recovered(log.Recovery(), len(state.Tables), time.Since(start))
	db.commit.mem = r.mem
	db.commit.lastSeq = log.NextSeq() - 1
	db.visible.Store(db.commit.lastSeq)
	if r.clock > db.clock.Now() {
		db.clock.Reset(r.clock)
	}
	if ahead := db.clock.Ahead(); ahead > time.Minute {
		db.events.emit(ClockSetBack{By: ahead})
	}
	db.commit.gaps = db.newGaps()
	db.view.Store(&view{mem: r.mem, frozen: r.frozen, tables: newVersion(levels, &db.reads), gaps: db.commit.gaps})
	db.marks.wanted = db.view.Load().hasDeadlines()
	db.stall.update()
	return nil
}

// recovered tells what Open found.
func (db *DB) recovered(r wal.Recovery, tables int, took time.Duration) {
	e := Recovered{Segments: r.Segments, Bytes: r.Bytes, Entries: r.Entries, Tables: tables, Clean: r.Clean, Duration: took}
	if r.Cut != nil {
		e.CutBytes = r.Cut.Bytes
		db.stats.logCut.Store(e.CutBytes)
	}
	db.events.emit(e)
}

// logOptions are those of the log that belongs to a manifest.
func (db *DB) logOptions(state *manifest.State, replay func(*wal.Entry) error) *wal.Options {
	return &wal.Options{
		Sync:         db.opts.Sync,
		Interval:     db.opts.SyncEvery,
		SegmentSize:  db.opts.segmentSize,
		ID:           state.Database,
		FirstSegment: state.FirstSegment,
		Retain:       db.opts.RetainLog,
		MinNextSeq:   state.LastSeq + 1,
		Anchor:       state.Log,
		Replay:       replay,
		Now:          db.clock.Now,
		OnEvent:      db.logEvent,
		FS:           db.opts.fs, // of which the log is an owner itself
	}
}

// logEvent tells what the log did. What it has rotated and deleted is of no use to anybody else.
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

// replay takes the log's entries into memtables, as many as they fill.
type replay struct {
	db     *DB
	commit *commit // whose writers get to know those in the log
	mem    *mem
	frozen []*mem // newest first
	clock  int64  // the latest that the log has seen
}

func (r *replay) entry(e *wal.Entry) error {
	if e.Kind == wal.KindClock {
		r.clock = max(r.clock, e.Time)
		return nil
	}
	if r.mem.Size() >= r.db.opts.memtableSize {
		r.mem.lastSeq = e.Seq - 1
		r.frozen = append([]*mem{r.mem}, r.frozen...)
		r.mem = newMem(r.mem.Hint(), e.Pos.Segment, r.db.clock.Now())
	}
	if err := r.commit.apply(r.mem, e, r.db.clock); err != nil {
		return corrupt.New(fmt.Sprintf("log position %v", e.Pos), int64(e.Pos.Offset), "log entry", err)
	}
	return nil
}

// removeOrphans removes the tables that the manifest does not name.
func (db *DB) removeOrphans() error {
	names, err := db.fs.ReadDir(db.dir.Tables())
	if err != nil {
		return err
	}
	live := make(map[uint64]bool)
	for _, t := range db.tables.state.Tables {
		live[t.File] = true
	}
	for _, name := range names {
		file, ok := dir.TableNumber(name)
		if !ok || live[file] {
			continue
		}
		if err := db.fs.Remove(path.Join(db.dir.Tables(), name)); err != nil {
			return err
		}
		// The manifest may not have come to this number: no later table must have it, as a crash can bring the file back.
		db.tables.state.NextFile = max(db.tables.state.NextFile, file+1)
	}
	return nil
}
