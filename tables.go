package ebb

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/manifest"
)

// tables is what the database knows of its table files.
type tables struct {
	// flushing is held by who flushes, compacting by who compacts, ingesting by who ingests: one of each at a time.
	flushing   sync.Mutex
	compacting sync.Mutex
	ingesting  sync.Mutex

	mu sync.Mutex
	// Guarded by mu.
	state manifest.State // as last committed; its Tables are those of the view
	refs  map[*compaction.Table]int
	// linking is how many checkpoints are under way. While there are any, a table keeps its name as long as it is open.
	linking int
}

// nextFile returns a number that no table has had. The manifest that names the table makes it last.
func (db *DB) nextFile() uint64 {
	db.tables.mu.Lock()
	defer db.tables.mu.Unlock()
	n := db.tables.state.NextFile
	db.tables.state.NextFile++
	return n
}

// install commits a change of what is live: to the manifest, then to the view. The tables that are no longer live go when
// the last that reads them is done.
//
// If the manifest cannot be written, nothing has changed. If it is unknown whether it was, then the next Open may find
// either: the tables that both name are kept, and no write is taken any more.
func (db *DB) install(change func(*manifest.State, *compaction.Levels), also func(*view)) error {
	t := &db.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := db.health.failure(); err != nil {
		return err // a manifest that replaces one in doubt may not be durable, and what only that one names would go
	}
	old := db.view.Load().tables
	levels := old.levels
	state := t.state
	change(&state, &levels)
	state.Clock = db.clock.Now()
	state.Log = db.log.Anchor()
	state.Tables = levels.Manifest()
	if err := manifest.Store(db.fs, string(db.dir), &state); err != nil {
		if errors.Is(err, manifest.ErrUncertain) {
			return db.health.fail(err)
		}
		return noSpace(err)
	}
	state.NextFile = t.state.NextFile
	t.state = state

	v := newVersion(levels, &db.reads)
	dropped := old.without(v)
	for _, tables := range levels {
		for _, table := range tables {
			t.refs[table]++
		}
	}
	db.setView(func(view *view) {
		view.tables = v
		also(view)
		db.replaced.add(old, dropped)
	})
	if v.deadlines {
		db.sweeps.request() // an Ingest may have brought the first
	}
	if invariants {
		db.checkTables()
	}
	db.unlink(dropped)
	db.health.workers.Go(func() {
		db.epoch.Wait() // nobody reads from old any more who has not pinned it
		db.unref(old)
	})
	return nil
}

// unlink removes the names of tables that are no longer live, so that they leave the directory at once. Who still reads
// them has them open. Where the system does not remove open files, and while a checkpoint wants to link them, closing does.
func (db *DB) unlink(dropped []*compaction.Table) {
	if db.tables.linking > 0 {
		return
	}
	for _, t := range dropped {
		db.fs.Remove(db.dir.Table(t.File)) // if not now, then by unref, or by the next Open
	}
}

// replaced is what was live and is still held by somebody.
type replaced struct {
	versions map[*version]time.Time // and when each was replaced
	tables   int                    // not closed yet, and not in the newest version
	bytes    int64                  // of their files

	memtables oldMemtables
}

// add takes note of a version that was replaced and the tables that went with it.
func (r *replaced) add(old *version, dropped []*compaction.Table) {
	if r.versions == nil {
		r.versions = make(map[*version]time.Time)
	}
	r.versions[old] = time.Now()
	r.tables += len(dropped)
	for _, t := range dropped {
		r.bytes += t.Size
	}
}

// unref gives a reference to a version up. With the last one, its tables lose one each, and those that nobody refers to
// any more are closed.
func (db *DB) unref(v *version) {
	n := v.refs.Add(-1)
	if invariants {
		invariant(n >= 0, "tables have lost a reference too many")
	}
	if n > 0 {
		return
	}
	var closed []*compaction.Table
	defer func() { db.released(v, closed) }()
	db.tables.mu.Lock()
	defer db.tables.mu.Unlock()
	if db.tables.refs == nil {
		return // the database is closed, and the tables with it
	}
	for _, tables := range v.levels {
		for _, t := range tables {
			if db.tables.refs[t]--; db.tables.refs[t] == 0 {
				delete(db.tables.refs, t)
				closed = append(closed, t)
				if err := db.closeDropped(t); err != nil {
					db.events.backgroundError("close table", err, 0)
				}
			}
		}
	}
}

// released takes note that nobody holds a version any more, and that tables went with it.
func (db *DB) released(v *version, closed []*compaction.Table) {
	db.viewMu.Lock()
	defer db.viewMu.Unlock()
	delete(db.replaced.versions, v)
	db.replaced.tables -= len(closed)
	for _, t := range closed {
		db.replaced.bytes -= t.Size
	}
}

// closeDropped closes a table that is no longer live, and removes it if that has not succeeded before.
func (db *DB) closeDropped(t *compaction.Table) error {
	err := t.Reader.Close()
	if db.opts.ReadOnly {
		return err
	}
	if rerr := db.fs.Remove(db.dir.Table(t.File)); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// closeTables closes all tables that are open, at the end. The epoch has passed.
func (db *DB) closeTables() error {
	db.tables.mu.Lock()
	defer db.tables.mu.Unlock()
	v := db.view.Load()
	live := make(map[*compaction.Table]bool)
	if v != nil {
		for _, tables := range v.tables.levels {
			for _, t := range tables {
				live[t] = true
			}
		}
	}
	var errs []error
	for t := range db.tables.refs {
		if v == nil || live[t] { // without a view Open has failed: every table is one that the manifest names
			errs = append(errs, t.Reader.Close())
		} else {
			errs = append(errs, db.closeDropped(t))
		}
	}
	db.tables.refs = nil
	return errors.Join(errs...)
}
