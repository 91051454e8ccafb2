package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// sentError ends the wait for an entry that was sent, to raft or to the leader: it may have been applied, or may be yet.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }
func (e *sentError) Unwrap() error { return e.err }

// proposeOnce has an entry applied by the leader, wherever that is.
func (db *DB) proposeOnce(ctx context.Context, entry []byte) (result, error) {
	write := entry[kindOffset] == byte(kindWrite)
	if db.raft.State() == raft.Leader {
		var r result
		var err error
		if write {
			r, err = db.calls.do(ctx, entry)
		} else {
			r, err = db.proposeHere(ctx, entry)
		}
		var refused *NotLeaderError
		if !errors.As(err, &refused) {
			return r, err
		}
	}
	id, addr := db.leader()
	if db.config.NoForward || addr == "" || id == db.config.ID {
		return result{}, &NotLeaderError{id, addr}
	}
	if write {
		return db.forwards.to(db, id, addr).do(ctx, entry)
	}
	return db.forward(ctx, id, addr, entry)
}

// leader returns who leads, as far as this node knows.
func (db *DB) leader() (id, addr string) {
	a, i := db.raft.LeaderWithID()
	return string(i), string(a)
}

func (db *DB) whyStopped() error { return fmt.Errorf("%w: %w", ErrStopped, db.machine.err()) }

// proposeHere has an entry applied by this node, if it leads. A *NotLeaderError says that it was not.
func (db *DB) proposeHere(ctx context.Context, entry []byte) (result, error) {
	response, err := db.apply(ctx, entry)
	if err != nil {
		return result{}, err
	}
	r, ok := response.(*result)
	if !ok || r.code == codeStopped {
		return result{}, &sentError{db.whyStopped()}
	}
	return *r, nil
}

// enqueueTimeout bounds how long an entry waits for raft to take it.
const enqueueTimeout = time.Second

// apply is proposeHere of an entry of any kind.
func (db *DB) apply(ctx context.Context, entry []byte) (response any, err error) {
	if db.raft.State() != raft.Leader {
		id, addr := db.leader()
		return nil, &NotLeaderError{id, addr}
	}
	setStamp(entry, db.clock.now())
	f := db.raft.Apply(entry, enqueueTimeout)
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		return nil, &sentError{ctx.Err()}
	case <-db.machine.stopped:
		return nil, &sentError{db.whyStopped()}
	}
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, &NotLeaderError{}
	case errors.Is(err, raft.ErrRaftShutdown) && db.closed.Load():
		return nil, &sentError{ErrClosed}
	case err != nil:
		return nil, &sentError{err}
	}
	return f.Response(), nil
}

// proposeCalls has calls applied by this node, in one entry.
func (db *DB) proposeCalls(calls []*waiting) {
	if len(calls) == 1 {
		r, err := db.proposeHere(db.ctx, calls[0].entry)
		calls[0].done <- outcome{r, err}
		return
	}
	size := headerSize + binary.MaxVarintLen32
	for _, w := range calls {
		size += callOverhead + len(w.entry) - headerSize
	}
	entry := appendHeader(make([]byte, 0, size), &header{kind: kindCalls})
	entry = binary.AppendUvarint(entry, uint64(len(calls)))
	for _, w := range calls {
		entry = appendCall(entry, w.entry)
	}
	response, err := db.apply(db.ctx, entry)
	results, ok := response.([]result)
	if err == nil && (!ok || len(results) != len(calls)) {
		err = &sentError{db.whyStopped()}
	}
	if err != nil {
		answerAll(calls, err)
		return
	}
	for i, w := range calls {
		w.done <- outcome{result: results[i]}
	}
}

// forward has an entry applied by another node.
func (db *DB) forward(ctx context.Context, id, addr string, entry []byte) (result, error) {
	out, err := db.peers.get(id, addr).call(ctx, methodPropose, entry)
	if err != nil {
		return result{}, err
	}
	r, ok := decodeResult(out)
	if !ok {
		return result{}, errAnswer
	}
	return r, nil
}

var errAnswer = errors.New("cluster: an answer that is none")

// forwards sends calls to the leader.
type forwards struct {
	mu struct {
		sync.Mutex
		id, addr string
		to       *gatherer
		giveUp   context.CancelFunc // ends the sends of to
		closed   bool
	}
}

// to returns what sends calls to a node.
func (f *forwards) to(db *DB, id, addr string) *gatherer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.to != nil && f.mu.id == id && f.mu.addr == addr {
		return f.mu.to
	}
	f.leaveLocked()
	ctx, giveUp := context.WithCancel(db.ctx)
	f.mu.id, f.mu.addr, f.mu.giveUp = id, addr, giveUp
	f.mu.to = &gatherer{work: &db.work, send: func(calls []*waiting) { db.forwardCalls(ctx, id, addr, calls) }}
	if f.mu.closed {
		f.mu.to.close(ErrClosed)
	}
	return f.mu.to
}

// lead says who leads. Calls that wait for the answer of another, or to be sent there, are asked again.
func (f *forwards) lead(id, addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if addr != "" && (f.mu.id != id || f.mu.addr != addr) {
		f.leaveLocked()
	}
}

func (f *forwards) leaveLocked() {
	if f.mu.to != nil {
		f.mu.to.close(errUnsent)
		f.mu.giveUp()
		f.mu.to = nil
	}
}

func (f *forwards) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.closed = true
	if f.mu.to != nil {
		f.mu.to.close(ErrClosed)
	}
}

// forwardCalls has calls applied by another node, which are sent in one message:
//
//	Calls  uvarint, and for each: its entry, a uvarint length and its bytes
//
// The answer has for each call, in the same order: a byte of status as that of an answer, and a uvarint length and as many bytes:
// the result, or the text of the failure.
func (db *DB) forwardCalls(ctx context.Context, id, addr string, calls []*waiting) {
	size := binary.MaxVarintLen32
	var until time.Time
	for _, w := range calls {
		size += binary.MaxVarintLen32 + len(w.entry)
		if w.until.After(until) {
			until = w.until
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if len(calls) == 1 {
		r, err := db.forward(ctx, id, addr, calls[0].entry)
		calls[0].done <- outcome{r, err}
		return
	}
	payload := binary.AppendUvarint(make([]byte, 0, size), uint64(len(calls)))
	for _, w := range calls {
		payload = appendBytes(payload, w.entry)
	}
	out, err := db.peers.get(id, addr).call(ctx, methodCalls, payload)
	if err != nil {
		answerAll(calls, err)
		return
	}
	in := reader{b: out}
	for _, w := range calls {
		var o outcome
		status, b := failure(in.byte()), in.bytes()
		switch {
		case in.bad:
			o.err = errAnswer
		case status != failNone:
			o.err = &callError{status, string(b)}
		default:
			var ok bool
			if o.result, ok = decodeResult(b); !ok {
				o.err = errAnswer
			}
		}
		w.done <- o
	}
}

// answerCalls answers forwardCalls.
func (db *DB) answerCalls(ctx context.Context, payload []byte) ([]byte, error) {
	if db.raft.State() != raft.Leader {
		return nil, &NotLeaderError{}
	}
	in := reader{b: payload}
	n := in.count()
	if n > maxGathered {
		return nil, errRefused
	}
	outcomes := make([]outcome, n)
	calls := make([]*waiting, n)
	queued := make([]*waiting, 0, n)
	until, _ := ctx.Deadline()
	for i := range n {
		entry := in.bytes()
		h, _, err := decodeHeader(entry)
		if err == nil && h.kind != kindWrite {
			err = errEntry
		}
		if err != nil {
			outcomes[i].err = fmt.Errorf("%w: %w", errRefused, err)
			continue
		}
		calls[i] = newWaiting(entry, until)
		queued = append(queued, calls[i])
	}
	if in.bad || len(in.b) > 0 {
		return nil, errRefused
	}
	db.calls.add(queued...)
	for i, w := range calls {
		if w != nil {
			outcomes[i].result, outcomes[i].err = db.calls.wait(ctx, w)
		}
	}
	var out, one []byte
	for i := range outcomes {
		if err := outcomes[i].err; err != nil {
			out = appendBytes(append(out, byte(failureOf(err))), []byte(err.Error()))
			continue
		}
		one = outcomes[i].append(one[:0])
		out = appendBytes(append(out, byte(failNone)), one)
	}
	return out, nil
}
