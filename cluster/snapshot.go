package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/vfs"
)

// machineSnapshot is the state after an entry. It is a snapshot file of the database.
type machineSnapshot struct {
	m    *machine
	snap *ebb.Snapshot
}

// Snapshot pins the state. What is written since does not change it, nor time.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.failed != nil {
		return nil, m.failed
	}
	snap, err := m.db.Load().Snapshot()
	if err != nil {
		return nil, err
	}
	return &machineSnapshot{m, snap}, nil
}

// Persist writes the file. When it returns raft may drop the entries before it: so first the database is synced, which a crash
// would else leave behind the snapshot.
func (s *machineSnapshot) Persist(sink raft.SnapshotSink) error {
	err := s.m.checkpoint()
	if err == nil {
		_, err = s.snap.Backup(context.Background(), sink, nil)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release unpins the state.
func (s *machineSnapshot) Release() { s.snap.Close() }

const newSuffix = ".new"

// Restore makes a snapshot file the state.
//
//  1. Restore the file beside the database, which reads and verifies all of it. A failure leaves all as it was. A crash leaves
//     the new database beside the old one: openMachine removes it.
//  2. Close the old one. Reads on it end; those that begin wait for the new one.
//  3. Swap their names. A crash leaves either one, whole: see ebb.Swap.
//  4. Open the new one. From here on reads see it, and a watcher of the old one is told of a gap.
//  5. Remove the old one.
func (m *machine) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	beside := m.dir + newSuffix
	if err := vfs.RemoveAll(m.fs, beside); err != nil {
		return err
	}
	began := unixMilli(1) // the clock of the file counts
	o := *m.opts          // with the file system
	o.Clock = func() time.Time { return began }
	if err := ebb.Restore(context.Background(), beside, &ebb.RestoreOptions{Options: &o}, rc); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	err := m.db.Load().Close()
	if err == nil {
		err = host.Root.Swap(m.fs, m.dir, beside)
	}
	var db *ebb.DB
	if err == nil {
		db, err = ebb.Open(m.dir, m.opts)
	}
	if err == nil {
		err = m.take(db)
	}
	if err != nil {
		err = fmt.Errorf("cluster: the state after a snapshot: %w", err)
		m.fail(err)
		return err
	}
	// The snapshot may be as of a later entry than the last that left something in the state.
	m.reach(stateRecord{index: m.installed(), term: m.at.term})
	m.timePassed(m.at.time)
	return removeBeside(m.fs, m.dir)
}

// removeBeside removes what a Restore has left beside the state, which is open.
func removeBeside(fs vfs.FS, dir string) error {
	names, err := fs.ReadDir(filepath.Dir(dir))
	if err != nil {
		return err
	}
	base := filepath.Base(dir)
	for _, n := range names {
		if n == base+newSuffix || strings.HasPrefix(n, base+".swap.") {
			err = errors.Join(err, vfs.RemoveAll(fs, filepath.Join(filepath.Dir(dir), n)))
		}
	}
	return err
}
