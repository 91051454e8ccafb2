// Package wal is a segmented write-ahead log of key-value records in the nori-wal record format.
//
// It stands alone: a [Log] appends puts, deletes, batches and range deletes, makes them durable as its [SyncPolicy] says,
// and after a crash gives back a prefix of the entries, at least up to the last acknowledged sync. It owns the
// record ([AppendRecord], [DecodeRecord]), the segments with their control records (drawn in format.go), group commit,
// rotation, preallocation and recovery. It never interprets keys, values or batches, never retries a failed fsync, and
// never changes a file that it finds damaged.
//
// Everything a [Log] offers may be called from any goroutine. A [Reader] is for one.
//
// The life of a record: [Log.Append] encodes it under the append lock and copies it into the active segment, usually
// through a mapping of pages that were zeroed ahead; from then on it survives the death of the process. To have it on the
// disk the caller waits in [Log.SyncTo], where one waiter syncs for all. When a segment is full it is sealed and followed by the
// next, which was made ahead, and whose header chains to it. A sync takes the older segment first. [Open] walks the chain,
// tells a torn tail from corruption, and cuts the former; [Replay] does the same by looking only, if need be beside the owner.
package wal
