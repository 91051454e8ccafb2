package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// sender is raft's transport. What it adds is for nodes that are sent a snapshot: the bytes leave at the pace of
// Config.SnapshotRate, so that those who write meanwhile keep the disks, the network and the processors, and the log keeps what
// the node needs after it, however long that takes: see keptLog.
type sender struct {
	*raft.NetworkTransport
	pace  *pace
	kept  *keptLog
	ahead *pipelines
	leads func(term uint64) error // why a snapshot of a term's leader is not sent any further, or nil
	ctx   context.Context         // done when the node closes
	sends atomic.Int64            // snapshots, begun
}

var (
	_ raft.Transport   = (*sender)(nil)
	_ raft.WithPreVote = (*sender)(nil)
	_ raft.WithClose   = (*sender)(nil)
)

// InstallSnapshot sends a snapshot, and returns when the node has it as its state.
func (s *sender) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := s.kept.hold(id, args.LastLogIndex); err != nil {
		return err
	}
	s.sends.Add(1)
	data = &pacedReader{from: data, pace: s.pace, ctx: s.ctx, each: func() error {
		s.kept.moves(id)
		return s.leads(args.Term)
	}}
	err := s.NetworkTransport.InstallSnapshot(id, to, args, resp, data)
	if err != nil || !resp.Success {
		s.kept.release(id) // the next try is with the newest snapshot
		return err
	}
	s.kept.moves(id)
	return nil
}

// AppendEntries sends entries, and notes how far a node has come that was sent a snapshot.
func (s *sender) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	err := s.NetworkTransport.AppendEntries(id, to, args, resp)
	if err == nil && resp.Success {
		s.kept.has(id, args.PrevLogEntry)
	}
	return err
}

// AppendEntriesPipeline is AppendEntries for one request after another, and for entries that raft is about to store: see
// aheadPipeline.
func (s *sender) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := s.NetworkTransport.AppendEntriesPipeline(id, to)
	if err != nil {
		return nil, err
	}
	return s.ahead.open(inner, id, s.kept), nil
}

// pace bounds how many bytes pass a second, of all that it is asked for.
type pace struct {
	rate int64 // bytes a second; 0: no bound
	free chan time.Time
}

// paceBurst is how much time may be made up for that nothing passed, as timers are late.
const paceBurst = 20 * time.Millisecond

func newPace(rate int64) *pace {
	p := &pace{rate: max(rate, 0), free: make(chan time.Time, 1)}
	p.free <- time.Time{}
	return p
}

// piece is how many bytes pass at once: some four milliseconds' worth.
func (p *pace) piece() int {
	if p.rate == 0 {
		return 256 << 10
	}
	return int(min(max(p.rate/256, 4<<10), 256<<10))
}

// pass waits until some bytes may pass.
func (p *pace) pass(ctx context.Context, n int) error {
	if p.rate == 0 || n == 0 {
		return ctx.Err()
	}
	at := <-p.free
	now := time.Now()
	if oldest := now.Add(-paceBurst); at.Before(oldest) {
		at = oldest
	}
	p.free <- at.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	if wait := at.Sub(now); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// pacedReader reads at a pace.
type pacedReader struct {
	from io.Reader
	pace *pace
	ctx  context.Context
	each func() error // called for each piece; an error ends it
}

// Read is that of io.Reader.
func (r *pacedReader) Read(p []byte) (int, error) {
	if err := r.each(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p[:min(len(p), r.pace.piece())])
	if passed := r.pace.pass(r.ctx, n); passed != nil {
		return n, passed
	}
	return n, err
}

var errDeposed = errors.New("cluster: the node that was sending a snapshot leads no more")

// leadsIn returns why this node does not lead in a term, or nil.
func (db *DB) leadsIn(term uint64) error {
	if db.closed.Load() {
		return ErrClosed
	}
	if r := db.raft; r != nil && (r.State() != raft.Leader || r.CurrentTerm() != term) {
		return fmt.Errorf("%w: since term %d", errDeposed, term)
	}
	return nil
}
