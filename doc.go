// Package ebb is an embedded key-value store whose keys know when to leave.
//
// A [DB] keeps sorted keys in one directory. A write goes through a write-ahead log into a btree memtable; full memtables
// become immutable sorted tables, which compaction keeps few. A key may have a deadline: from that millisecond on it is
// absent for every read, and soon after its bytes leave the disk, mostly by deleting whole files.
//
//	db, err := ebb.Open("sessions", nil)
//	err = db.Put([]byte("session:1"), token, ebb.TTL(30*time.Minute))
//	value, err := db.Get([]byte("session:1")) // ebb.ErrNotFound once it has expired
//
// A [Typed] is the part of a database under a prefix, with keys and values as Go types.
//
// A directory has one owner at a time. Options.ReadOnly looks at it without becoming that, whatever its owner does.
//
// DB.Backup writes a running database, or what has changed in it, as a stream that [Restore] and DB.Ingest read.
// DB.Checkpoint makes a second directory out of links to the files of the first.
//
// All methods of a DB and of a [Snapshot] may be called from any goroutine; an [Iterator] and a [Batch] are for one at a
// time. Slices that a caller passes in are only read, and not after the call returns; slices that come back are the
// caller's own, but for those of an Iterator.
//
// [DB.Watch] reports every change in order, and with Options.ExpiryEvents every expiry, once.
//
// The package never prints and never exits. What it does in the background it tells Options.OnEvent and Options.Logger, and
// DB.Stats has figures.
package ebb
