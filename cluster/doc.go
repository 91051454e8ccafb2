// Package cluster replicates an ebb database over three or five machines, on hashicorp/raft: a service keeps its verbs and
// goes on when a machine stops. A DB is one node of it, in the process of the service.
//
//	db, err := cluster.Open(ctx, "node", cluster.Config{
//		ID: "a", Listen: "10.0.0.1:7070", TLS: config,
//		Peers: []cluster.Peer{{"a", "10.0.0.1:7070"}, {"b", "10.0.0.2:7070"}, {"c", "10.0.0.3:7070"}},
//	})
//	err = db.Put(ctx, []byte("session:1"), token, ebb.TTL(30*time.Minute)) // on the disks of a majority when it returns
//	value, err := db.Get(ctx, []byte("session:1"))                        // on any node
//
// # What a call does
//
// A write becomes an entry of raft's log: the operation with its options, unevaluated. The leader stamps it with its time; a
// node that is not the leader passes it on. Once a majority has the entry on their disks every node applies it, to an ebb
// database of its own, in the order of the log. Calls that come while others are under way go on together, in one entry; each
// is then made as if it had been one of its own, and one that breaks the format is nobody else's loss. Conditions, counters,
// KeepTTL, deadlines, and whether a transaction has read what is still there, are decided when it is applied, the same on
// every node.
//
// Each call is applied once, whatever happens on the way. A node has a session in the cluster, and in it a slot for each call
// at a time, with a sequence that each call raises; the database remembers the last call of a slot and its result, which are
// written in the batch of its operations. So a call that a leader has lost sight of, which raft calls ErrLeadershipLost, is
// asked again by this package, and gets the result of whichever try was applied. Only a call that its context ends before is
// ErrUndetermined. A session that is idle for Config.SessionIdle by the time of the log is forgotten, and the node opens
// another.
//
// # Reads
//
// Reads are by level: Leader, which is the default, Linearizable, or Stale with a bound. A node that does not lead asks the
// leader up to which entry the read has to see, waits until it has applied that one, and reads its own database: so a read of
// a large range costs the leader nothing. For a linearizable read the leader asks the voters whether they still have its term;
// see confirmer for why it does not use raft's VerifyLeader.
//
// # Transactions
//
// Update runs its function on the state of this node, in ebb's own transaction, and writes into the log what it has written
// and what it has read: each key with the version that it had (none: it was absent), and for each range that was walked over a
// digest of the keys and versions in it. Where the entry is applied the same keys and ranges are read again, at the time of
// the entry. If all are as they were, the function, run there, would read the same and so write the same: the transaction has
// the effect of having run alone, at its place in the log. If not, nothing is written, on any node, and the function is called
// again. Versions are never used twice, so a key that was changed and changed back is not taken for the same, and what has
// expired meanwhile is absent, and not taken for the same either. A transaction that writes nothing reads one prefix of the
// log, at least as new as Leader promises. So all are serializable, in the order of the log, whatever nodes they run on.
//
// # Time
//
// The time of an entry is its stamp, or that of the entry before if that is later, and nothing but the log moves time on: the
// state is a function of the log, so that all nodes agree at each entry on what has expired. The leader's stamps follow a
// monotonic clock from there, and the wall clocks of the voters where a majority agrees: one wrong clock, the leader's among
// them, changes nothing (with three voters or more). While something is due and nothing is written the leader writes ticks. A
// read at Leader or Linearizable that comes upon a key whose deadline is past by the leader's clock writes a tick first, and
// returns that it is absent: so a key lives to its millisecond by the leader's clock, and for reads at Stale until the next
// entry. What is expired once stays so, on every node, at every level for which reads are monotonic.
//
// Reports of what expires (ebb.Options.ExpiryEvents) take versions, and so are a part of entries: each begins by reporting what has
// expired by its time, in the order of deadlines and keys. Nothing that was not reported leaves the disk, and nothing that has
// expired is replaced or deleted before it was reported. So what is reported follows from the entries alone, whatever a node's
// files look like, and whatever a crash has left of the reports. Whether there are any an entry says, which a leader writes when its
// options say otherwise than the log.
//
// # The state
//
// The state machine is an ebb.DB that is not synced with each write, as raft's log is. Each entry writes one record, with its
// index, term and time, in the batch of its operations, so the database says itself which entries are in it; after a crash,
// which may take the newest, those that are in it are skipped, and the others applied again. Operations are resolved before
// they are written: each entry takes the same sequences of the database on every node, in whatever batches it is applied, so
// versions agree, after a crash and after a snapshot too. The bytes of what has expired leave the disk only when a crash can no
// longer take back the entry that said so (host.Host.DropBefore). The records lie behind all other keys, where no user's key may
// be: see ErrReservedKey. DB.Digest compares nodes.
//
// An entry that this release does not know stops the node, and not the cluster: ErrStopped.
//
// # Goroutines
//
// All methods of a DB may be called from any goroutine. Slices are as with ebb: what is passed in is only read, and not after
// the call returns; what comes back is the caller's. The package prints nothing: see Config.Logger.
package cluster
