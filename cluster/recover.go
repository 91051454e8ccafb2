package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
)

// Recover makes the nodes that are left the members of a cluster that has lost the majority of them for good. dir is that of a
// node, which must not be open, and id its name: it keeps all that it has, applied or not, and its members are the peers from
// then on. It is done on every node that is left, with the same peers; the one that has the most entries should be opened
// first. What the lost nodes alone had acknowledged is lost.
//
// A node of the lost majority must never come back with its old directory: it does not know that it is no member.
func Recover(dir, id string, peers []Peer, o *ebb.Options) error {
	c := Config{ID: id, Listen: "127.0.0.1:0", Insecure: true, Peers: peers, Options: o}
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	node, err := loadIdentity(dir)
	if err != nil {
		return err
	}
	if node.ID != id {
		return fmt.Errorf("%w: %s is of the node %s, not %s", ErrOtherNode, dir, node.ID, id)
	}
	if node.Cluster == "" {
		return fmt.Errorf("%w: %s was never taken into a cluster", ErrNotCluster, dir)
	}
	m, err := openMachine(nil, filepath.Join(dir, "state"), c.Options, func() bool { return false })
	if err != nil {
		return err
	}
	var s stores
	err = s.open(dir, &c)
	if err == nil {
		err = recoverStores(&c, m, &s)
	}
	return errors.Join(err, s.close(), m.db.Load().Close())
}

func recoverStores(c *Config, m *machine, s *stores) error {
	rc := raft.DefaultConfig()
	rc.LocalID, rc.Logger = raft.ServerID(c.ID), &raftLogger{to: c.Logger}
	behind, err := behindSnapshot(m, s)
	if err != nil {
		return err
	}
	rc.NoSnapshotRestoreOnStart = !behind
	_, trans := raft.NewInmemTransportWithTimeout("", time.Second)
	defer trans.Close()
	return raft.RecoverCluster(rc, m, s.log, s.stable, s.snapshots, trans, configuration(c.Peers))
}

// configuration returns the members of a cluster that begins.
func configuration(peers []Peer) (c raft.Configuration) {
	for _, p := range peers {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Addr)})
	}
	return c
}
