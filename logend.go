package ebb

import ()

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
	return noSpace(db.live.StoreAnchor())
}
