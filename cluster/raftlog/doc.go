// Package raftlog keeps a raft log, and the few values that raft must not forget, in ebb's own log format.
//
// A Store is a raft.LogStore, raft.MonotonicLogStore, raft.CommitTrackingLogStore and raft.StableStore of hashicorp/raft on a
// wal.Log. It owns the records in that log (format.go), the index from a raft index to a place in a segment, which is in
// memory and made anew by each Open, and the file END, which tells a log that was cut short after a Close. It never changes a
// record, never rewrites a segment, and never retries a failed fsync.
//
// The life of a log: StoreLogs appends a record for each entry and waits for one fdatasync. DeleteRange at the end, where a
// follower drops what its new leader does not have, appends a record that says so; at the beginning, after a snapshot, it
// appends a checkpoint, with all that is still needed of what the older segments say, and deletes the segments that hold
// nothing else. Open replays what there is. So each change is one record, whole or not there after a crash.
//
// All methods may be called from any goroutine. Writers wait for each other; readers wait for no disk but their own.
package raftlog
