package ebb

import (
	"github.com/ebbdb/ebb/internal/manifest"
)

// The manifest says how far the log has gone, at least: see wal.Anchor. While the database is open that is a place which
// the log had reached when it was rotated or opened last, and costs nothing; after Close it is the very end. So what is
// missing of a log that was closed is damage. Of one that was not, the end may have been torn by the crash: there only a
// mark that the log has written behind what it had synced can prove the contrary.

// closeLog takes steps 4 and 5 of Close.
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
	return db.anchorLog()
}

// anchorLog stores a manifest that says how far the log has gone, unless it is the one there is.
func (db *DB) anchorLog() error {
	t := &db.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.state
	if state.Log = db.log.Anchor(); state.Log == t.state.Log {
		return nil
	}
	state.Clock = db.clock.Now()
	if err := manifest.Store(db.fs, string(db.dir), &state); err != nil {
		return noSpace(err)
	}
	t.state = state
	return nil
}
