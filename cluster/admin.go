package cluster

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// Admin is a connection to a node, for who operates a cluster without being one of its nodes: the command, for one. Its
// methods may be called from any goroutine.
type Admin struct {
	net    *transport
	addr   string
	caller caller
}

// AdminConfig says how to connect. TLS and Insecure are as in Config; Insecure is for addresses of the loopback.
type AdminConfig struct {
	TLS      *tls.Config
	Insecure bool
	Dial     func(ctx context.Context, addr string) (net.Conn, error) // default: a net.Dialer
}

// adminRequest is a call of an Admin.
type adminRequest struct {
	Status, Digest bool
	Member         *memberRequest
}

// adminDigest is a NodeDigest as it goes over the wire.
type adminDigest struct {
	ID     string
	Digest Digest
	Err    string
}

// Connect returns a connection to a node. It dials with the first call, and again when the connection was lost.
func Connect(addr string, c AdminConfig) (*Admin, error) {
	node := Config{ID: "admin", Listen: addr, TLS: c.TLS, Insecure: c.Insecure, Dial: c.Dial}
	node, err := node.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &transport{id: node.ID, dial: node.Dial}
	t.secure(node.TLS)
	a := &Admin{net: t, addr: addr}
	a.caller.connect = func(ctx context.Context) (net.Conn, error) { return t.connect(ctx, addr, connAdmin, "") }
	return a, nil
}

// Close ends the connection.
func (a *Admin) Close() { a.caller.close() }

func (a *Admin) call(ctx context.Context, r adminRequest, answer any) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	out, err := a.caller.call(ctx, methodAdmin, payload)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(out, answer)
}

// Status is DB.Status, asked of the node.
func (a *Admin) Status(ctx context.Context) (s Status, err error) {
	return s, a.call(ctx, adminRequest{Status: true}, &s)
}

// Digest is DB.Digest, asked of the node.
func (a *Admin) Digest(ctx context.Context) ([]NodeDigest, error) {
	var wire []adminDigest
	if err := a.call(ctx, adminRequest{Digest: true}, &wire); err != nil {
		return nil, err
	}
	list := make([]NodeDigest, len(wire))
	for i, w := range wire {
		list[i] = NodeDigest{ID: w.ID, Digest: w.Digest}
		if w.Err != "" {
			list[i].Err = errors.New(w.Err)
		}
	}
	return list, nil
}

func (a *Admin) member(ctx context.Context, r memberRequest) error {
	return a.call(ctx, adminRequest{Member: &r}, nil)
}

// AddVoter is DB.AddVoter.
func (a *Admin) AddVoter(ctx context.Context, id, addr string) error {
	return a.member(ctx, memberRequest{memberVoter, id, addr})
}

// AddNonvoter is DB.AddNonvoter.
func (a *Admin) AddNonvoter(ctx context.Context, id, addr string) error {
	return a.member(ctx, memberRequest{memberNonvoter, id, addr})
}

// Promote is DB.Promote.
func (a *Admin) Promote(ctx context.Context, id string) error {
	return a.member(ctx, memberRequest{Op: memberPromote, ID: id})
}

// Remove is DB.Remove.
func (a *Admin) Remove(ctx context.Context, id string) error {
	return a.member(ctx, memberRequest{Op: memberRemove, ID: id})
}

// TransferLeadership is DB.TransferLeadership.
func (a *Admin) TransferLeadership(ctx context.Context, id string) error {
	return a.member(ctx, memberRequest{Op: memberTransfer, ID: id})
}

// answerAdmin answers a call of an Admin.
func (db *DB) answerAdmin(ctx context.Context, payload []byte) ([]byte, error) {
	var r adminRequest
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	switch {
	case r.Status:
		s, err := db.Status(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(s)
	case r.Digest:
		list, err := db.Digest(ctx)
		if err != nil {
			return nil, err
		}
		wire := make([]adminDigest, len(list))
		for i, n := range list {
			wire[i] = adminDigest{ID: n.ID, Digest: n.Digest}
			if n.Err != nil {
				wire[i].Err = n.Err.Error()
			}
		}
		return json.Marshal(wire)
	case r.Member != nil:
		return nil, db.member(ctx, *r.Member)
	}
	return nil, errRefused
}

// A connection of kind connBackup carries a snapshot file in pieces: a u32 length and as many bytes; a length of 0 is the end,
// and backupFailed a failure, whose text follows up to the end of the connection.
const backupFailed = 1<<32 - 1

// serveBackup sends a backup.
func (db *DB) serveBackup(conn net.Conn) {
	ctx, cancel := context.WithCancel(db.ctx)
	defer cancel()
	var head [4]byte
	_, err := db.Backup(ctx, pieces{conn}, nil)
	if err != nil {
		binary.LittleEndian.PutUint32(head[:], backupFailed)
	}
	if _, werr := conn.Write(head[:]); werr == nil && err != nil {
		_, _ = io.WriteString(conn, err.Error())
	}
}

// pieces writes pieces to a connection.
type pieces struct{ to io.Writer }

// Write writes a piece.
func (p pieces) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(b)))
	if _, err := p.to.Write(head[:]); err != nil {
		return 0, err
	}
	return p.to.Write(b)
}

// Backup writes the state of the node as a snapshot file: see DB.Backup. What was written is whole only if it returns nil.
func (a *Admin) Backup(ctx context.Context, to io.Writer) error {
	conn, err := a.net.connect(ctx, a.addr, connBackup, "")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return fmt.Errorf("cluster: the backup was cut short: %w", err)
		}
		switch n := binary.LittleEndian.Uint32(head[:]); n {
		case 0:
			return nil
		case backupFailed:
			text, err := io.ReadAll(io.LimitReader(conn, 1<<16))
			return errors.Join(fmt.Errorf("cluster: %s", text), err)
		default:
			if _, err := io.CopyN(to, conn, int64(n)); err != nil {
				return err
			}
		}
	}
}
