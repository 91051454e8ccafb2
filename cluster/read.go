package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
)

// ReadOption says how new what is read has to be.
type ReadOption struct {
	level level
	bound time.Duration
}

type level uint8

const (
	levelLeader level = iota
	levelLinearizable
	levelStale
)

var (
	// Leader reads what the leader has: every write that has returned, on any node, unless the leader has lost its office and
	// does not know yet. That lasts no longer than Config.Heartbeat, or, for a process that was stopped or a machine that was
	// suspended, until shortly after it goes on. It is the default. On a follower it costs a question to the leader.
	Leader = ReadOption{level: levelLeader}
	// Linearizable reads every write that had returned, on any node, when the read was called, whatever happens. It costs a
	// question to a majority of the voters, which reads that come together share.
	Linearizable = ReadOption{level: levelLinearizable}
)

// Stale reads what this node has, without asking anybody: an earlier state, but never a part of one. If the node has not heard
// from the leader for longer than bound, or has not applied what it has heard of, the error is ErrTooStale. A bound of 0 is
// none.
func Stale(bound time.Duration) ReadOption { return ReadOption{levelStale, bound} }

func (o ReadOption) String() string {
	switch o.level {
	case levelLeader:
		return "Leader"
	case levelLinearizable:
		return "Linearizable"
	}
	return fmt.Sprintf("Stale(%v)", o.bound)
}

// readPoint is where a read may begin.
type readPoint struct {
	index uint64 // 0: this node has come to it
	now   int64  // the time of the leader, Unix ms: what has expired by then is to be absent; 0: whatever the log says
	term  uint64 // in which the leader leads, or believes that it does; 0: no leader was asked
}

// ReadStale and the like are refused: one level at a time.
func levelOf(opts []ReadOption) (ReadOption, error) {
	switch len(opts) {
	case 0:
		return Leader, nil
	case 1:
		return opts[0], nil
	}
	return ReadOption{}, fmt.Errorf("%w: %v beside %v", ebb.ErrInvalidOptions, opts[1], opts[0])
}

// readable waits until the state of this node may be read at a level. ctx has a deadline.
func (db *DB) readable(ctx context.Context, opts []ReadOption) (readPoint, error) {
	o, err := levelOf(opts)
	if err != nil {
		return readPoint{}, err
	}
	if err := db.refusal(); err != nil {
		return readPoint{}, err
	}
	if o.level == levelStale {
		return readPoint{}, db.fresh(ctx, o.bound)
	}
	p, err := db.readPointOf(ctx, o)
	if err != nil || p.index == 0 {
		return p, err
	}
	return p, db.reach(ctx, p.index)
}

// readPointOf returns where a read at a level other than Stale may begin, which this node need not have come to.
func (db *DB) readPointOf(ctx context.Context, o ReadOption) (readPoint, error) {
	if term := db.ready.Load(); o.level == levelLeader && db.leads() {
		return readPoint{now: db.clock.now(), term: term}, nil // it has applied what it has acknowledged
	}
	pause := firstPause
	for {
		p, err := db.readIndex(ctx, o.level)
		if err == nil {
			return p, nil
		}
		var refused *NotLeaderError
		if db.config.NoForward && errors.As(err, &refused) || errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed) {
			return readPoint{}, err
		}
		select {
		case <-ctx.Done():
			return readPoint{}, fmt.Errorf("%w: %w", noLeader(ctx.Err()), err)
		case <-db.ctx.Done():
			return readPoint{}, ErrClosed
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// leads reports whether this node leads, as far as it knows, and has applied what came before.
func (db *DB) leads() bool {
	term := db.ready.Load()
	return term != 0 && db.raft.State() == raft.Leader && db.raft.CurrentTerm() == term
}

// fresh returns nil if this node has heard from the leader within a bound, and has applied what was committed by then.
func (db *DB) fresh(ctx context.Context, bound time.Duration) error {
	if bound <= 0 || db.leads() {
		return nil
	}
	contact := db.raft.LastContact()
	if age := time.Since(contact); contact.IsZero() || age > bound {
		return fmt.Errorf("%w: last heard of the leader %v ago, the bound is %v", ErrTooStale, age.Round(time.Millisecond), bound)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := db.reach(ctx, db.raft.CommitIndex()); err != nil {
		return fmt.Errorf("%w: entries up to %d were not applied in time", ErrTooStale, db.raft.CommitIndex())
	}
	return nil
}

// readIndex asks the leader up to which entry a read has to see.
func (db *DB) readIndex(ctx context.Context, l level) (readPoint, error) {
	if db.raft.State() == raft.Leader {
		return db.readIndexHere(ctx, l)
	}
	id, addr := db.leader()
	if db.config.NoForward || addr == "" || id == db.config.ID {
		return readPoint{}, &NotLeaderError{id, addr}
	}
	out, err := db.peers.get(id, addr).call(ctx, methodReadIndex, []byte{byte(l)})
	if err != nil {
		return readPoint{}, err
	}
	if len(out) != 24 {
		return readPoint{}, errAnswer
	}
	return readPoint{binary.LittleEndian.Uint64(out), int64(binary.LittleEndian.Uint64(out[8:])),
		binary.LittleEndian.Uint64(out[16:])}, nil
}

// readIndexHere answers readIndex on the leader.
//
// The entries up to the commit index are what a linearizable read has to see, as it has an entry of the leader's own term
// before it: see lead. What was acknowledged when the read was called was committed by then, by this leader, or by one before
// it if no later one was elected: which leads finds out.
func (db *DB) readIndexHere(ctx context.Context, l level) (readPoint, error) {
	term := db.ready.Load()
	if !db.leads() {
		return readPoint{}, &NotLeaderError{}
	}
	p := readPoint{index: db.raft.CommitIndex(), term: term}
	if l == levelLinearizable {
		if err := db.confirm.leads(ctx, term); err != nil {
			return readPoint{}, err
		}
	}
	p.now = db.clock.now()
	return p, nil
}

// reach waits until reads see an entry.
func (db *DB) reach(ctx context.Context, index uint64) error {
	m := db.machine
	seen := func() bool { return m.index.Load() >= index || m.cause.Load() != nil }
	for !seen() {
		// A configuration that this node has only got with a snapshot, or an entry of raft's own at the end of the log of a node
		// that begins, is never applied: it counts once all before it is.
		wait, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_ = m.waiters.wait(wait, index, seen)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("cluster: entry %d was not applied in time: %w", index, ctx.Err())
		}
	}
	return db.refusal()
}

// consistent calls fn, which pins a state and its time, until no time was published meanwhile: else fn may have seen a time
// that is later than what it has pinned, and take for expired what was given a longer life before that.
func consistent[T any](m *machine, fn func(*ebb.DB) (T, error), drop func(T)) (T, error) {
	for {
		db, pubs := m.db.Load(), m.pubs.Load()
		v, err := fn(db)
		if err != nil {
			if errors.Is(err, ebb.ErrClosed) && m.replaced(db) {
				continue
			}
			return v, err
		}
		if m.pubs.Load() == pubs {
			return v, nil
		}
		drop(v)
	}
}

// replaced reports whether a database has been, or is about to be, replaced by a snapshot: it waits for that.
func (m *machine) replaced(db *ebb.DB) bool {
	for m.db.Load() == db {
		select {
		case <-m.stopped:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}
