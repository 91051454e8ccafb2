// Package snapstore keeps the snapshots of a raft node as ebb snapshot files.
//
// A Store is a raft.SnapshotStore of hashicorp/raft. A snapshot is two files: NAME.snap, which is what ebb.Snapshot.Backup
// writes, byte for byte, so that ebb.Restore and the command read it, and NAME.meta, which says what raft has to know of it
// (format.go). A snapshot is there once its meta is. It takes nothing but whole snapshot files, and gives out none that it has
// not read to its end and found right. It never interprets entries, and knows no database.
//
// All methods may be called from any goroutine. A sink and a reader are for one each.
package snapstore
