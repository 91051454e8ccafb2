package cluster

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/cluster/raftlog"
	"github.com/ebbdb/ebb/cluster/snapstore"
	"github.com/ebbdb/ebb/internal/snapfile"
)

// stores are where raft keeps its log, its votes and snapshots.
type stores struct {
	log       *keptLog
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	closers   []io.Closer
}

func (s *stores) close() (err error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i].Close())
	}
	return err
}

// cachedEntries is how many of the newest entries are kept in memory, for followers. Those of several calls have 128 KiB at most.
const cachedEntries = 256

// open opens the stores of a node.
func (s *stores) open(dir string, c *Config) error {
	store, err := raftlog.Open(filepath.Join(dir, "log"), &raftlog.Options{FS: c.FS})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, store)
	s.stable = store
	cache, err := raft.NewLogCache(cachedEntries, store)
	if err != nil {
		return err
	}
	s.log = &keptLog{LogCache: cache, trailing: c.TrailingLogs, newest: s.newestSnapshot}
	snaps, err := snapstore.Open(filepath.Join(dir, "snapshots"), &snapstore.Options{FS: c.FS})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, snaps)
	s.snapshots = snaps
	return nil
}

// newestSnapshot returns the index of the newest snapshot, 0 if there is none.
func (s *stores) newestSnapshot() uint64 {
	list, err := s.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[0].Index
}

// behindSnapshot reports whether the state lacks entries that the newest snapshot has. Sequences tell it: they are the same on
// every node. The index of a snapshot may be that of an entry of raft's own, which leaves nothing in the state.
func behindSnapshot(m *machine, s *stores) (bool, error) {
	list, err := s.snapshots.List()
	if err != nil || len(list) == 0 {
		return false, err
	}
	_, rc, err := s.snapshots.Open(list[0].ID)
	if err != nil {
		return true, nil // raft tries this one, and those before it
	}
	defer rc.Close()
	r, err := snapfile.NewReader(rc, list[0].ID)
	if err != nil {
		return true, nil
	}
	return m.sequence < r.Header().Through, nil
}
