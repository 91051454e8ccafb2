package cluster

import (
	"errors"
	"fmt"
)

// Errors. Compare with errors.Is. Those of a database come as they are: ebb.ErrNotFound, *ebb.ConditionError, ...
var (
	// ErrConfig refuses a Config. The message names the field.
	ErrConfig = errors.New("cluster: invalid config")
	// ErrClosed is returned by everything once the node is closed.
	ErrClosed = errors.New("cluster: closed")
	// ErrNotCluster says that a directory holds something else: a single database, for one.
	ErrNotCluster = errors.New("cluster: not the directory of a node")
	// ErrOtherCluster says that a node is of another cluster.
	ErrOtherCluster = errors.New("cluster: a node of another cluster")
	// ErrOtherNode says that a directory, or an address, is another node's.
	ErrOtherNode = errors.New("cluster: another node")
	// ErrNodeExists refuses a new node with the name of one that the cluster has. Remove that one first.
	ErrNodeExists = errors.New("cluster: a node of this name is a member")
	// ErrNoLeader says that no leader was found in time. Nothing was done.
	ErrNoLeader = errors.New("cluster: no leader")
	// ErrUndetermined says that a call has ended, by its context, before its outcome was known: it may have been done, may be
	// done yet, or never.
	ErrUndetermined = errors.New("cluster: outcome unknown")
	// ErrTooStale says that a node has not heard from the leader within the bound of a Stale read.
	ErrTooStale = errors.New("cluster: too stale")
	// ErrStopped says that the node applies no more entries: an entry of a newer release, a failed disk. The cause is in its
	// chain. Other nodes go on.
	ErrStopped = errors.New("cluster: node has stopped")
	// ErrTooLarge refuses a call of more than 64 MiB.
	ErrTooLarge = errors.New("cluster: call too large")
)

// NotLeaderError refuses a call to a node that is not the leader, with Config.NoForward. Nothing was done.
type NotLeaderError struct {
	Leader string // its id; empty: there is none known
	Addr   string // its address
}

func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "cluster: not the leader, and none is known"
	}
	return fmt.Sprintf("cluster: not the leader: that is %s at %s", e.Leader, e.Addr)
}

// Is makes the error match ErrNoLeader if no leader is known.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNoLeader && e.Leader == "" }
