package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// client makes the calls of this node: each as a call of a slot of the node's session, so that it may be sent again and is
// applied once. A slot has one call under way; there are as many slots as there ever were calls at a time.
type client struct {
	db *DB

	mu struct {
		sync.Mutex
		current *clientSession
		opening chan struct{} // closed when the session that is being opened is there, or not; nil: none is
	}
}

// clientSession is a session that was opened.
type clientSession struct {
	id uint64

	mu struct {
		sync.Mutex
		free []*clientSlot
		next uint16
	}
}

type clientSlot struct {
	number   uint16
	sequence uint64 // of the last call
}

const (
	maxSlots   = 1 << 15
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// take returns a slot that has no call under way.
func (s *clientSession) take() (*clientSlot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mu.free); n > 0 {
		slot := s.mu.free[n-1]
		s.mu.free = s.mu.free[:n-1]
		return slot, nil
	}
	if s.mu.next == maxSlots {
		return nil, fmt.Errorf("cluster: more than %d calls at a time", maxSlots)
	}
	s.mu.next++
	return &clientSlot{number: s.mu.next - 1}, nil
}

func (s *clientSession) give(slot *clientSlot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.free = append(s.mu.free, slot)
}

// callContext returns a context with a deadline.
func (db *DB) callContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, db.config.CallTimeout)
}

// write makes a call of a write whose body is that of an entry with room for a header in front.
func (c *client) write(ctx context.Context, entry []byte) (result, error) {
	if err := c.db.refusal(); err != nil {
		return result{}, err
	}
	if len(entry) > maxEntrySize {
		return result{}, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(entry), maxEntrySize)
	}
	ctx, cancel := c.db.callContext(ctx)
	defer cancel()
	for {
		r, again, err := c.once(ctx, entry)
		if !again {
			return r, err
		}
		entry = bytes.Clone(entry) // raft has the other, and may have a follower to send it to
	}
}

// once makes a call in the session that is open. again says that the session was unknown, and nothing was done.
func (c *client) once(ctx context.Context, entry []byte) (r result, again bool, err error) {
	s, err := c.session(ctx)
	if err != nil {
		return result{}, false, err
	}
	slot, err := s.take()
	if err != nil {
		return result{}, false, err
	}
	defer s.give(slot)
	slot.sequence++
	setCaller(entry, s.id, slot.number, slot.sequence)
	r, asked, err := c.propose(ctx, entry)
	switch {
	case err != nil:
		return result{}, false, err
	case r.code == codeNoSession && !asked:
		c.mu.Lock()
		if c.mu.current == s {
			c.mu.current = nil
		}
		c.mu.Unlock()
		return result{}, true, nil
	case r.code == codeNoSession, r.code == codeOldCall:
		return result{}, false, fmt.Errorf("%w: the session has expired meanwhile", ErrUndetermined)
	case r.code == codeInvalid:
		return result{}, false, errors.New("cluster: the call was refused as damaged")
	}
	return r, false, nil
}

// session returns the session of the node, and opens one if there is none.
func (c *client) session(ctx context.Context) (*clientSession, error) {
	for {
		c.mu.Lock()
		if s := c.mu.current; s != nil {
			c.mu.Unlock()
			return s, nil
		}
		if wait := c.mu.opening; wait != nil {
			c.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, noLeader(ctx.Err())
			}
		}
		wait := make(chan struct{})
		c.mu.opening = wait
		c.mu.Unlock()
		s, err := c.open(ctx)
		c.mu.Lock()
		c.mu.opening, c.mu.current = nil, s
		c.mu.Unlock()
		close(wait)
		if err != nil {
			return nil, err
		}
	}
}

// open opens a session. A second time does no harm, so it does not matter which of several tries was applied.
func (c *client) open(ctx context.Context) (*clientSession, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	s := &clientSession{id: binary.LittleEndian.Uint64(id[:]) | 1}
	entry := binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), s.id)
	_, asked, err := c.propose(ctx, entry)
	if err != nil && asked {
		err = fmt.Errorf("%w: no session was opened in time", ErrNoLeader) // the call itself was not made
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// propose has an entry applied, here or by the leader, and asks again until the outcome is known or ctx is done. asked says
// that it was asked more than once, so that an earlier try may have been applied too.
func (c *client) propose(ctx context.Context, entry []byte) (r result, asked bool, err error) {
	pause, unknown := firstPause, false
	for n := 0; ; n++ {
		if n > 0 {
			entry = bytes.Clone(entry) // raft may still have the other
		}
		r, err = c.db.proposeOnce(ctx, entry)
		if err == nil {
			return r, unknown, nil
		}
		var refused *NotLeaderError
		var failed *callError
		var sent *sentError
		unknown = unknown || errors.As(err, &sent)
		switch {
		case errors.Is(err, ErrClosed), errors.Is(err, ErrStopped) && (!unknown || c.db.machine.err() != nil):
			return result{}, unknown, c.outcome(err, unknown)
		case errors.As(err, &refused):
			if c.db.config.NoForward {
				return result{}, unknown, c.outcome(err, unknown)
			}
		case errors.Is(err, errUnsent):
		case errors.As(err, &failed) && failed.failure == failNotLeader:
		case errors.As(err, &failed) && failed.failure != failUnknown:
			return result{}, unknown, c.outcome(err, unknown)
		default:
			unknown = true
		}
		select {
		case <-ctx.Done():
			return result{}, unknown, c.outcome(fmt.Errorf("%w: %w", noLeader(ctx.Err()), err), unknown)
		case <-c.db.ctx.Done():
			return result{}, unknown, c.outcome(ErrClosed, unknown)
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// outcome returns the error of a call whose outcome may be unknown.
func (c *client) outcome(err error, unknown bool) error {
	if unknown {
		return fmt.Errorf("%w: %w", ErrUndetermined, err)
	}
	return err
}

// noLeader returns the error of a call for which no leader was found until its context was done.
func noLeader(err error) error { return fmt.Errorf("%w: %w", ErrNoLeader, err) }

// peers are the connections for calls to other nodes.
type peers struct {
	net *transport
	mu  struct {
		sync.Mutex
		byID   map[string]*peer
		closed bool
	}
}

type peer struct {
	addr   string
	caller *caller
}

// get returns the connection to a node.
func (p *peers) get(id, addr string) *caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.mu.byID[id]; q != nil {
		if q.addr == addr || p.mu.closed {
			return q.caller
		}
		go q.caller.close()
	}
	c := &caller{connect: p.connector(id, addr)}
	if p.mu.closed {
		c.mu.closed = true
		return c
	}
	if p.mu.byID == nil {
		p.mu.byID = make(map[string]*peer)
	}
	p.mu.byID[id] = &peer{addr, c}
	return c
}

func (p *peers) close() {
	p.mu.Lock()
	p.mu.closed = true
	list := p.mu.byID
	p.mu.byID = nil
	p.mu.Unlock()
	for _, q := range list {
		q.caller.close()
	}
}
