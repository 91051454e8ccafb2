package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// connector returns how to connect to a node for calls.
func (p *peers) connector(id, addr string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return p.net.connect(ctx, addr, connCall, id) }
}

// serve answers the calls of a connection.
func (db *DB) serve(conn net.Conn, kind byte) {
	if kind == connBackup {
		db.serveBackup(conn)
		return
	}
	serveCalls(conn, func(ctx context.Context, m method, payload []byte) ([]byte, error) {
		if (kind == connJoin) != (m == methodJoin) || (kind == connAdmin) != (m == methodAdmin) {
			return nil, fmt.Errorf("%w: method %d on such a connection", errRefused, m)
		}
		if err := db.refusal(); err != nil {
			return nil, err
		}
		return db.answer(ctx, m, payload)
	})
}

// answer answers a call.
func (db *DB) answer(ctx context.Context, m method, payload []byte) ([]byte, error) {
	switch m {
	case methodPropose:
		h, _, err := decodeHeader(payload)
		if err == nil && h.kind == kindCalls {
			err = errEntry // they come as methodCalls
		}
		if err != nil { // in the log it would stop every node
			return nil, fmt.Errorf("%w: %w", errRefused, err)
		}
		var r result
		if h.kind == kindWrite {
			r, err = db.calls.do(ctx, payload)
		} else {
			r, err = db.proposeHere(ctx, payload)
		}
		if err != nil {
			return nil, err
		}
		return r.append(nil), nil
	case methodCalls:
		return db.answerCalls(ctx, payload)
	case methodReadIndex:
		if len(payload) != 1 || payload[0] > byte(levelLinearizable) {
			return nil, errRefused
		}
		p, err := db.readIndexHere(ctx, level(payload[0]))
		if err != nil {
			return nil, err
		}
		out := binary.LittleEndian.AppendUint64(nil, p.index)
		out = binary.LittleEndian.AppendUint64(out, uint64(p.now))
		return binary.LittleEndian.AppendUint64(out, p.term), nil
	case methodTime:
		return db.voterState().append(nil), nil
	case methodJoin:
		return db.answerJoin(ctx, payload)
	case methodMember:
		return db.answerMember(ctx, payload)
	case methodStatus:
		return json.Marshal(db.nodeStatus())
	case methodDigest:
		return db.answerDigest(ctx, payload)
	case methodAdmin:
		return db.answerAdmin(ctx, payload)
	}
	return nil, fmt.Errorf("%w: method %d is unknown", errRefused, m)
}

// joinRequest asks to be taken into a cluster.
type joinRequest struct {
	ID      string
	Addr    string
	Voter   bool
	Resumed bool // it has asked before, and does not know the outcome
}

// joinAnswer says into which, or who is to be asked.
type joinAnswer struct {
	Cluster string
	Leader  string // its address; the one that was asked is not the leader
}

// memberRequest asks the leader to change the members.
type memberRequest struct {
	Op   memberOp
	ID   string
	Addr string
}

type memberOp uint8

const (
	memberVoter memberOp = iota
	memberNonvoter
	memberRemove
	memberPromote
	memberTransfer
)

// join asks the cluster to take this node in, and writes down which one that is.
func (db *DB) join(ctx context.Context, id *identity, fresh bool) error {
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	request, err := json.Marshal(joinRequest{ID: db.config.ID, Addr: db.net.advertise, Voter: !db.config.ReadReplica, Resumed: !fresh})
	if err != nil {
		return err
	}
	addrs := append([]string(nil), db.config.Join...)
	if len(addrs) == 0 {
		return fmt.Errorf("%w: the node was not taken into a cluster yet, and Join is empty", ErrConfig)
	}
	var last error
	for {
		for i := 0; i < len(addrs); i++ {
			answer, err := db.askJoin(ctx, addrs[i], request)
			switch {
			case err == nil && answer.Cluster != "":
				id.Cluster = answer.Cluster
				db.net.setClusterID(answer.Cluster)
				return id.store(db.dir)
			case err == nil && answer.Leader != "" && len(addrs) < len(db.config.Join)+8:
				addrs = append(addrs, answer.Leader)
				last = errors.New("cluster: nobody who was asked leads")
			case errors.Is(err, ErrNodeExists):
				return err
			case err != nil:
				last = err
			}
		}
		addrs = append(addrs[:0], db.config.Join...)
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("cluster: not taken in: %w", ctx.Err()), last)
		case <-time.After(lastPause):
		}
	}
}

func (db *DB) askJoin(ctx context.Context, addr string, request []byte) (joinAnswer, error) {
	c := caller{connect: func(ctx context.Context) (net.Conn, error) { return db.net.connect(ctx, addr, connJoin, "") }}
	defer c.close()
	out, err := c.call(ctx, methodJoin, request)
	if err != nil {
		return joinAnswer{}, err
	}
	var a joinAnswer
	return a, json.Unmarshal(out, &a)
}

// answerJoin takes a node in, if this one leads.
func (db *DB) answerJoin(ctx context.Context, payload []byte) ([]byte, error) {
	var r joinRequest
	if err := json.Unmarshal(payload, &r); err != nil || r.ID == "" || len(r.ID) > maxID || r.Addr == "" {
		return nil, fmt.Errorf("%w: a request to join that is none", errRefused)
	}
	if !db.leads() {
		_, addr := db.leader()
		return json.Marshal(joinAnswer{Leader: addr})
	}
	for _, s := range db.servers() {
		switch {
		case string(s.ID) == r.ID && string(s.Address) == r.Addr && r.Resumed:
			return json.Marshal(joinAnswer{Cluster: db.net.clusterID()})
		case string(s.ID) == r.ID:
			return nil, fmt.Errorf("%w: %s is at %s", ErrNodeExists, r.ID, s.Address)
		case string(s.Address) == r.Addr:
			return nil, fmt.Errorf("%w: %s is at %s", ErrNodeExists, s.ID, r.Addr)
		}
	}
	op := memberNonvoter
	if r.Voter {
		op = memberVoter
	}
	if err := db.change(ctx, memberRequest{op, r.ID, r.Addr}); err != nil {
		return nil, err
	}
	return json.Marshal(joinAnswer{Cluster: db.net.clusterID()})
}

// AddVoter adds a node to the members, with a vote; one that is a member without a vote gets one. A node that is opened with
// Config.Join asks for that itself.
func (db *DB) AddVoter(ctx context.Context, id, addr string) error {
	return db.member(ctx, memberRequest{memberVoter, id, addr})
}

// AddNonvoter adds a read replica to the members.
func (db *DB) AddNonvoter(ctx context.Context, id, addr string) error {
	return db.member(ctx, memberRequest{memberNonvoter, id, addr})
}

// Promote gives a read replica a vote.
func (db *DB) Promote(ctx context.Context, id string) error {
	return db.member(ctx, memberRequest{Op: memberPromote, ID: id})
}

// Remove takes a node from the members, whether it runs or not. Its name can be used anew after that, in a new directory.
func (db *DB) Remove(ctx context.Context, id string) error {
	return db.member(ctx, memberRequest{Op: memberRemove, ID: id})
}

// TransferLeadership makes another node the leader: the one with that name, or if id is empty the one that has come furthest.
func (db *DB) TransferLeadership(ctx context.Context, id string) error {
	return db.member(ctx, memberRequest{Op: memberTransfer, ID: id})
}

// member has the leader change the members. It may be asked again, but for memberTransfer: what is done is done.
func (db *DB) member(ctx context.Context, r memberRequest) error {
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for {
		err := db.memberOnce(ctx, r, payload)
		var refused *NotLeaderError
		var failed *callError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused) && db.config.NoForward, errors.Is(err, errRefused):
			return err
		case errors.As(err, &failed) && failed.failure != failNotLeader && failed.failure != failUnknown:
			return err
		case r.Op == memberTransfer && !errors.As(err, &refused) && !errors.As(err, &failed):
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", noLeader(ctx.Err()), err)
		case <-db.ctx.Done():
			return ErrClosed
		case <-time.After(lastPause):
		}
	}
}

func (db *DB) memberOnce(ctx context.Context, r memberRequest, payload []byte) error {
	if err := db.refusal(); err != nil {
		return err
	}
	if db.leads() {
		return db.change(ctx, r)
	}
	id, addr := db.leader()
	if db.config.NoForward || addr == "" || id == db.config.ID {
		return &NotLeaderError{id, addr}
	}
	_, err := db.peers.get(id, addr).call(ctx, methodMember, payload)
	return err
}

func (db *DB) answerMember(ctx context.Context, payload []byte) ([]byte, error) {
	var r memberRequest
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if !db.leads() {
		return nil, &NotLeaderError{}
	}
	return nil, db.change(ctx, r)
}

// change changes the members. This node leads.
func (db *DB) change(ctx context.Context, r memberRequest) error {
	var at *raft.Server
	servers := db.servers()
	for i, s := range servers {
		if string(s.ID) == r.ID {
			at = &servers[i]
		}
	}
	wait := db.config.CallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	id, addr := raft.ServerID(r.ID), raft.ServerAddress(r.Addr)
	var f raft.Future
	switch {
	case r.Op == memberVoter && r.ID != "" && r.Addr != "":
		f = db.raft.AddVoter(id, addr, 0, wait)
	case r.Op == memberNonvoter && at != nil:
		return fmt.Errorf("%w: %w: %s", errRefused, ErrNodeExists, r.ID)
	case r.Op == memberNonvoter && r.ID != "" && r.Addr != "":
		f = db.raft.AddNonvoter(id, addr, 0, wait)
	case r.Op == memberRemove && at == nil:
		return nil
	case r.Op == memberRemove:
		f = db.raft.RemoveServer(id, 0, wait)
	case r.Op == memberTransfer && r.ID == "":
		f = db.raft.LeadershipTransfer()
	case at == nil:
		return fmt.Errorf("%w: there is no member %q", errRefused, r.ID)
	case r.Op == memberPromote:
		f = db.raft.AddVoter(id, at.Address, 0, wait)
	case r.Op == memberTransfer && r.ID == db.config.ID:
		return nil
	case r.Op == memberTransfer:
		f = db.raft.LeadershipTransferToServer(id, at.Address)
	default:
		return fmt.Errorf("%w: operation %d is unknown", errRefused, r.Op)
	}
	err := f.Error()
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return &NotLeaderError{}
	}
	return err
}
