package cluster

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ebbdb/ebb"
)

// NodeStatus is how far a node has come.
type NodeStatus struct {
	ID      string
	Addr    string
	Voter   bool
	State   string // "Leader", "Follower", "Candidate", "Shutdown"; "" if it has not answered
	Err     string // why it has not, or why it applies nothing
	Term    uint64
	Last    uint64    // the last entry of its log
	Commit  uint64    // that it knows to be committed
	Applied uint64    // that reads on it see
	Time    time.Time // by which reads on it tell what has expired
	Contact time.Time // when it last heard of the leader; zero: never, or it leads
	Version uint64    // the newest version in its state
}

// Status is how a cluster is.
type Status struct {
	Cluster string // its id
	Leader  string // the id of the node that leads, as far as the node that was asked knows; "": none
	Nodes   []NodeStatus
}

// Status asks every member how far it has come, and waits for answers until ctx is done, or Config.CallTimeout is over.
func (db *DB) Status(ctx context.Context) (Status, error) {
	if db.closed.Load() {
		return Status{}, ErrClosed
	}
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	id, _ := db.leader()
	servers := db.servers()
	s := Status{Cluster: db.net.clusterID(), Leader: id, Nodes: make([]NodeStatus, len(servers))}
	answered := make(chan struct{})
	for i, m := range servers {
		go func() {
			defer func() { answered <- struct{}{} }()
			n := &s.Nodes[i]
			if string(m.ID) == db.config.ID {
				*n = db.nodeStatus()
			} else {
				out, err := db.peers.get(string(m.ID), string(m.Address)).call(ctx, methodStatus)
				if err == nil {
					err = json.Unmarshal(out, n)
				}
				if err != nil {
					*n = NodeStatus{Err: err.Error()}
				}
			}
			n.ID, n.Addr, n.Voter = string(m.ID), string(m.Address), m.Suffrage == 0
		}()
	}
	for range servers {
		<-answered
	}
	return s, nil
}

// nodeStatus returns how far this node has come.
func (db *DB) nodeStatus() NodeStatus {
	s := NodeStatus{
		ID: db.config.ID, Addr: db.net.advertise, State: db.raft.State().String(), Term: db.raft.CurrentTerm(),
		Last: db.raft.LastIndex(), Commit: db.raft.CommitIndex(), Applied: db.machine.index.Load(),
		Time: unixMilli(db.machine.time.Load()), Contact: db.raft.LastContact(),
	}
	if err := db.machine.err(); err != nil {
		s.Err = err.Error()
	}
	if snap, err := db.machine.db.Load().Snapshot(); err == nil {
		s.Version = snap.Seq()
		snap.Close()
	}
	return s
}

// Stats has figures of this node.
type Stats struct {
	Node NodeStatus
	DB   ebb.Stats         // of the state
	Raft map[string]string // what raft says of itself
}

// Stats returns figures of this node. It asks nobody.
func (db *DB) Stats() Stats {
	return Stats{Node: db.nodeStatus(), DB: db.machine.db.Load().Stats(), Raft: db.raft.Stats()}
}
