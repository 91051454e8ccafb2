// Package ebb is an embedded key-value store whose keys know when to leave.
//
// A [DB] keeps sorted keys in one directory. A write goes through a write-ahead log into a btree memtable; full memtables
// become immutable sorted tables, which compaction keeps few. A key may have a deadline: from that millisecond on the key is
// absent for every read, and soon after its bytes leave the disk, mostly by deleting whole files.
//
//	db, err := ebb.Open("sessions", nil)
//	err = db.Put([]byte("session:1"), token, ebb.TTL(30*time.Minute))
//	value, err := db.Get([]byte("session:1")) // ebb.ErrNotFound once it has expired
//
// A [Typed] is the part of a database under a prefix, with keys and values as Go types.
//
// A directory has one owner at a time. Options.ReadOnly opens a directory without becoming its owner, whether it has one or
// not.
//
// DB.Backup writes a running database, or its changes since an earlier backup, as a stream that [Restore] and DB.Ingest
// read. DB.Checkpoint makes a second directory out of links to the files of the first.
//
// All methods of a DB and of a [Snapshot] may be called from any goroutine; an [Iterator] and a [Batch] are for one at a
// time. Slices that a caller passes in are only read, and not after the call returns; slices that come back are the
// caller's own, but for those of an Iterator.
//
// [DB.Watch] reports every change in order, and with Options.ExpiryEvents every expiry, once.
//
// The package never prints and never exits. Options.OnEvent and Options.Logger are told what happens in the background, and
// DB.Stats has figures.
package ebb
