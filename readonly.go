package ebb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/wal"
)

// A read-only database shows what a directory holds, while an owner may be changing the directory. It takes no lock: so a
// file can be deleted after its name was read and before it is opened.
//
// Why a view is nevertheless the database at one moment, not before the call that made it:
//   - The manifest is read first, then the tables that it names are opened, then the log is read from its first segment on.
//     The owner deletes a file only after it has committed a manifest that does not need the file. So while all files are
//     there they belong together, even if there is a newer manifest by now: the log still has what that manifest has in
//     tables.
//   - If a file is gone, there is a newer manifest, and the reading begins again. Tables that have been opened stay open
//     meanwhile, so each attempt has less to do than the one before.
//   - Tables do not change. wal.Replay says how the log is read while it grows.

// patience bounds how often the reading of a view is attempted. As a rule the owner has committed a flush or a compaction
// between two attempts.
const patience = 100

// openReadOnly is open for a read-only database.
func (db *DB) openReadOnly() error {
	refusal := ErrReadOnly
	db.health.failed.Store(&refusal)
	state, err := db.loadManifest()
	if err != nil {
		return err
	}
	if err := db.initLive(state); err != nil {
		return err
	}
	start := db.opts.sys.now()
	if err := db.refresh(); err != nil {
		return err
	}
	found := db.live.View().Log.Recovery
	if found.Cut != nil {
		db.logEvent(*found.Cut)
	}
	db.recovered(found, len(db.live.Manifest().Tables), db.opts.sys.since(start))
	return nil
}

// Refresh makes a read-only database show what its directory holds now: all that was written before the call. Reads under
// way, iterators and snapshots keep the state that they began with. If Refresh fails, the database shows what it did before.
//
// Refresh reads the log anew, as Open does after a crash, and opens only the tables that are not open yet. Meanwhile the
// memtables of the old state and those of the new one are in memory. A database that is not read-only shows every write at
// once: there Refresh does nothing.
func (db *DB) Refresh() error {
	db.flusher.flushing.Lock() // Close waits for whoever holds it
	defer db.flusher.flushing.Unlock()
	if db.health.closed.Load() {
		return ErrClosed
	}
	if !db.opts.ReadOnly {
		return nil
	}
	if err := db.refresh(); err != nil {
		return fmt.Errorf("refresh %s: %w", db.dir, err)
	}
	return nil
}

// refresh replaces the view by one of what the directory holds. One call runs at a time.
func (db *DB) refresh() error {
	l := loader{db: db, tables: db.live.NewLoader()}
	defer l.tables.Close()
	if err := db.steadily(l.load); err != nil {
		return err
	}
	l.publish()
	return nil
}

// steadily calls read with the manifest until read succeeds. It returns a failure that the next attempt repeats under the
// same manifest. Any other failure may come from what the owner does.
func (db *DB) steadily(read func(*manifest.State) error) error {
	var before *manifest.State
	var failure error
	for range patience {
		state, err := db.loadManifest()
		if err != nil {
			return err
		}
		if err = read(state); err == nil || db.health.closed.Load() {
			return err
		}
		if failure != nil && err.Error() == failure.Error() && reflect.DeepEqual(state, before) {
			return err
		}
		before, failure = state, err
	}
	return fmt.Errorf("files changed %d times while they were read, the last time: %v", patience, failure)
}

// loadManifest reads the manifest of a database that must be there.
func (db *DB) loadManifest() (*manifest.State, error) {
	state, err := manifest.Load(db.fs, string(db.dir))
	if !errors.Is(err, fs.ErrNotExist) {
		return state, err
	}
	if err := db.dir.Check(db.fs); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: there is no %s", ErrNotDatabase, manifest.Name)
}

// loader loads a view from the directory.
type loader struct {
	db     *DB
	tables *lsm.Loader

	// Results of load.
	replay *replay
	log    wal.Replayed
	clock  int64
}

// load opens the tables of a manifest and replays the log into memtables.
func (l *loader) load(state *manifest.State) error {
	if id := l.db.live.Manifest().Database; l.db.live.View() != nil && id != state.Database {
		return fmt.Errorf("%w: another one has taken its place", ErrNotDatabase)
	}
	if err := l.tables.Load(state); err != nil {
		return err
	}
	l.replay = newReplay(state, &l.db.opts, l.db.clock)
	log, err := l.db.replayLog(state, l.replay.Entry)
	if failed := l.replay.Finish(); failed != nil {
		err = failed // what replayLog has returned is that, or of a place after it
	}
	if err != nil {
		return err
	}
	l.log, l.clock = log, max(state.Clock, l.replay.marked)
	return nil
}

// publish makes what was loaded the newest view. Reads of the old view may end first.
func (l *loader) publish() {
	db := l.db
	if db.opts.clockTo == 0 {
		db.clock.Advance(l.clock)
	}
	t := db.pipeline.lock()
	db.pipeline.marks.found = l.clock
	t.writers().replace(l.replay.writers)
	t.end()
	l.tables.Publish(l.replay.mem, l.replay.frozen, l.log.NextSeq-1, &l.log)
}

// replayLog calls entry with each entry of the log, until the database is closed.
func (db *DB) replayLog(state *manifest.State, entry func(*wal.Entry) error) (wal.Replayed, error) {
	return wal.Replay(db.dir.Log(), db.logOptions(state, func(e *wal.Entry) error {
		if db.health.closed.Load() {
			return ErrClosed
		}
		return entry(e)
	}))
}

// verifyLogFiles is verifyLog for a read-only database: it reads the log files as they are now.
func (db *DB) verifyLogFiles(ctx context.Context) error {
	n := 0
	return db.steadily(func(state *manifest.State) error {
		_, err := db.replayLog(state, func(*wal.Entry) error {
			if n++; n%1024 == 0 {
				return ctx.Err()
			}
			return nil
		})
		return err
	})
}
