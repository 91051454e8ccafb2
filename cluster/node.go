package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
)

// DB is one node of a cluster: the database, as it is replicated. Make one with Open. Its methods may be called from any
// goroutine, and on any node: see the package documentation.
type DB struct {
	config  Config
	dir     string
	machine *machine
	stores  stores
	raft    *raft.Raft
	net     *transport
	sender  *sender
	clock   *stampClock
	log     *slog.Logger

	ready    atomic.Uint64 // the term in which this node leads and has applied all that came before; 0: it does not
	confirm  confirmer
	client   client
	calls    gatherer // for raft, if this node leads
	forwards forwards // for the leader, if another does
	peers    peers

	work    sync.WaitGroup
	ctx     context.Context // done when the node closes
	cancel  context.CancelFunc
	closing sync.Once
	closed  atomic.Bool
}

// Open opens a node in a directory: a new one, as Config.Peers or Config.Join say, or one that was there before. When it
// returns, the node listens and takes part; a leader may not be there yet, for which calls wait. ctx bounds Open, where it
// asks to join.
//
// The directory of a database is ErrNotCluster, that of another node ErrOtherNode. Then, and if Config is wrong, nothing is
// changed.
func Open(ctx context.Context, dir string, c Config) (_ *DB, err error) {
	c, err = c.withDefaults()
	if err != nil {
		return nil, err
	}
	id, err := loadIdentity(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case fresh && len(c.Peers)+len(c.Join) == 0:
		return nil, fmt.Errorf("%w: %s is new, and there are neither Peers nor Join", ErrConfig, dir)
	case fresh:
		id = identity{Format: identityFormat, ID: c.ID}
		if len(c.Peers) > 0 {
			id.Cluster = clusterID(c.Peers)
		}
	case err != nil:
		return nil, err
	case id.ID != c.ID:
		return nil, fmt.Errorf("%w: %s is of the node %s, not %s", ErrOtherNode, dir, id.ID, c.ID)
	}
	db := &DB{config: c, dir: dir, log: c.Logger}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if db.net, err = listen(&c); err != nil {
		return nil, err
	}
	if fresh {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := id.store(dir); err != nil {
			return nil, err
		}
	}
	if err := db.open(ctx, &id, fresh); err != nil {
		return nil, err
	}
	return db, nil
}

// open starts a node whose directory has its identity.
//
//  1. Open the state. It says which entries are in it.
//  2. Open raft's log and snapshots, and if there is a snapshot that the state is behind, let raft restore it: the state was
//     lost, or never came.
//  3. In a new cluster write its first members into the log. A crash before leaves a log without any, which is made up for.
//  4. Start raft, which replays what is committed; what is in the state is skipped.
//  5. Listen. A node that was not taken in yet asks to be, and writes down into which cluster: a crash before that leaves it
//     asking again.
func (db *DB) open(ctx context.Context, id *identity, fresh bool) error {
	c := &db.config
	var err error
	if id.Format < identityFormat {
		id.Format = identityFormat // an earlier release would not know what this one is about to write
		if err := id.store(db.dir); err != nil {
			return err
		}
	}
	if db.machine, err = openMachine(c.FS, filepath.Join(db.dir, "state"), c.Options, db.retry); err != nil {
		return err
	}
	if err := removeBeside(db.machine.fs, db.machine.dir); err != nil {
		return err
	}
	if err := db.stores.open(db.dir, c); err != nil {
		return err
	}
	db.machine.installed = db.stores.newestSnapshot
	db.clock = newStampClock(db.machine.time.Load())
	db.machine.timePassed = db.clock.advance
	db.net.setClusterID(id.Cluster)
	db.net.serve, db.net.nodeAt = db.serve, db.nodeAt
	db.client.db, db.confirm.db, db.peers.net = db, db, db.net
	db.calls.work, db.calls.send = &db.work, db.proposeCalls
	db.calls.stopped, db.calls.cause = db.machine.stopped, db.whyStopped
	if err := db.startRaft(); err != nil {
		return err
	}
	db.net.start()
	db.work.Go(db.lead)
	db.work.Go(db.keepDurable)
	db.work.Go(db.watchMachine)
	if id.Cluster == "" {
		return db.join(ctx, id, fresh)
	}
	return nil
}

// maxAppendEntries is how many entries raft sends to a follower at a time.
const maxAppendEntries = 64

// startRaft takes steps 2 to 4 of open.
func (db *DB) startRaft() error {
	c := &db.config
	ahead := &pipelines{commit: db.commitIndex}
	db.stores.log.ahead = ahead.send
	trans := &sender{kept: db.stores.log, ahead: ahead, pace: newPace(c.SnapshotRate), leads: db.leadsIn, ctx: db.ctx}
	trans.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: db.net, MaxPool: 3, Timeout: 10 * time.Second, Logger: db.raftLogger(),
	})
	db.sender = trans
	db.stores.closers = append(db.stores.closers, trans)
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.ID)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = c.Heartbeat, c.Heartbeat, c.Heartbeat/2
	rc.CommitTimeout = min(10*time.Millisecond, c.Heartbeat/10)
	rc.MaxAppendEntries, rc.BatchApplyCh = maxAppendEntries, true
	rc.SnapshotThreshold, rc.SnapshotInterval, rc.TrailingLogs = c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs
	rc.ShutdownOnRemove, rc.NoLegacyTelemetry, rc.Logger = false, true, db.raftLogger()
	behind, err := behindSnapshot(db.machine, &db.stores)
	if err != nil {
		return err
	}
	rc.NoSnapshotRestoreOnStart = !behind
	has, err := raft.HasExistingState(db.stores.log, db.stores.stable, db.stores.snapshots)
	if err != nil {
		return err
	}
	if !has && len(c.Peers) > 0 {
		conf := configuration(c.Peers)
		if err := raft.BootstrapCluster(rc, db.stores.log, db.stores.stable, db.stores.snapshots, trans, conf); err != nil {
			return err
		}
	}
	db.raft, err = raft.NewRaft(rc, db.machine, db.stores.log, db.stores.stable, db.stores.snapshots, trans)
	return err
}

func (db *DB) raftLogger() *raftLogger { return &raftLogger{to: db.log.With("node", db.config.ID)} }

// commitIndex returns the last entry that is known to be committed.
func (db *DB) commitIndex() uint64 {
	if db.raft == nil {
		return 0
	}
	return db.raft.CommitIndex()
}

// nodeAt returns the id of the member at an address, "" if none is known there.
func (db *DB) nodeAt(addr string) string {
	if db.raft == nil {
		return ""
	}
	for _, s := range db.servers() {
		if string(s.Address) == addr {
			return string(s.ID)
		}
	}
	return ""
}

// servers returns the members, as the newest configuration in the log has them.
func (db *DB) servers() []raft.Server {
	f := db.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// retry waits for the next try of a batch for which the disk had no room. The node applies nothing meanwhile; if it leads,
// another may be able to.
func (db *DB) retry() bool {
	db.log.Warn("the disk is full: no entry is applied until there is room", "node", db.config.ID)
	if db.raft != nil && db.raft.State() == raft.Leader {
		db.raft.LeadershipTransfer()
	}
	select {
	case <-db.ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// keepDurable syncs the state now and then, so that what has expired may leave the disk.
func (db *DB) keepDurable() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-ticker.C:
		}
		if db.machine.durable.Load() < db.machine.settled.Load() {
			if err := db.machine.checkpoint(); err != nil && !errors.Is(err, ebb.ErrClosed) {
				db.log.Warn("the state was not synced", "node", db.config.ID, "err", err)
			}
		}
	}
}

// watchMachine ends raft on this node when it applies no more entries: others go on.
func (db *DB) watchMachine() {
	select {
	case <-db.ctx.Done():
	case <-db.machine.stopped:
		db.log.Error("the node stops", "node", db.config.ID, "err", db.machine.err())
		db.raft.Shutdown()
	}
}

// refusal returns why the node takes no call, or nil.
func (db *DB) refusal() error {
	if db.closed.Load() {
		return ErrClosed
	}
	if err := db.machine.err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return nil
}

// Close lets the node go. A leader first passes leadership on, if another node takes it at once. Calls that are under way end
// with ErrClosed, or ErrUndetermined.
func (db *DB) Close() error {
	var err error
	db.closing.Do(func() { err = db.close() })
	return err
}

func (db *DB) close() error {
	if db.raft != nil && db.raft.State() == raft.Leader && len(db.servers()) > 1 {
		f := db.raft.LeadershipTransfer()
		done := make(chan struct{})
		go func() { _ = f.Error(); close(done) }()
		select {
		case <-done:
		case <-time.After(db.config.Heartbeat):
		}
	}
	db.closed.Store(true)
	db.cancel()
	var errs []error
	if db.net != nil {
		errs = append(errs, db.net.Close())
	}
	if db.raft != nil {
		errs = append(errs, db.raft.Shutdown().Error())
	}
	db.peers.close()
	db.calls.close(ErrClosed)
	db.forwards.close()
	db.work.Wait()
	if db.net != nil {
		db.net.wait()
	}
	errs = append(errs, db.stores.close())
	if db.machine != nil {
		db.machine.shared.fail(ErrClosed)
		db.machine.pins.close()
		errs = append(errs, db.machine.db.Load().Close())
	}
	return errors.Join(errs...)
}

// Addr returns the address that other nodes reach this one at.
func (db *DB) Addr() net.Addr { return db.net.Addr() }

// ID returns the name of the node.
func (db *DB) ID() string { return db.config.ID }
