package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/kv"
)

// Digest says what a node has after an entry: of nodes that agree it is the same, whatever their files look like.
type Digest struct {
	Index   uint64 // of the entry
	Time    int64  // of the entry, Unix ms
	Entries uint64 // keys that are present, the cluster's own among them
	Sum     [sha256.Size]byte
}

// String returns the index and the first bytes of the sum.
func (d Digest) String() string {
	return fmt.Sprintf("%d:%s:%d", d.Index, hex.EncodeToString(d.Sum[:8]), d.Entries)
}

// NodeDigest is the digest of a node, or why there is none.
type NodeDigest struct {
	ID     string
	Digest Digest
	Err    error
}

// ErrPinned says that a node has no state of the entry that a digest is asked of, any more or yet.
var ErrPinned = errors.New("cluster: no state was pinned at this entry")

// digestOf makes a digest of a state: of each key the value, the version and the deadline.
func digestOf(at stateRecord, snap *ebb.Snapshot) (Digest, error) {
	d := Digest{Index: at.index, Time: at.time}
	h := sha256.New()
	for _, o := range []*ebb.IterOptions{nil, {Prefix: reserved}} {
		for e, err := range snap.Range(o) {
			if err != nil {
				return Digest{}, err
			}
			if kv.Expired(e.Deadline, at.time) {
				continue // the time of the snapshot is that of an earlier entry
			}
			addEntry(h, &e)
			d.Entries++
		}
	}
	h.Sum(d.Sum[:0])
	return d, nil
}

func addEntry(h hash.Hash, e *ebb.Entry) {
	var b [4 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(b[:], uint64(len(e.Key)))
	n += binary.PutUvarint(b[n:], uint64(len(e.Value)))
	n += binary.PutUvarint(b[n:], e.Version)
	n += binary.PutVarint(b[n:], e.Deadline)
	h.Write(b[:n])
	h.Write(e.Key)
	h.Write(e.Value)
}

// Digest asks every member for a digest of what it has after one entry, which it has written for that. It reads all data, on
// every node. Nodes that do not answer, or have not come so far in time, have an Err. Of two calls at a time one may find
// ErrPinned.
func (db *DB) Digest(ctx context.Context) ([]NodeDigest, error) {
	if err := db.refusal(); err != nil {
		return nil, err
	}
	ctx, cancel := db.callContext(ctx)
	defer cancel()
	r, _, err := db.client.propose(ctx, appendHeader(nil, &header{kind: kindPin}))
	if err != nil {
		return nil, err
	}
	index := binary.LittleEndian.AppendUint64(nil, r.version)
	servers := db.servers()
	list := make([]NodeDigest, len(servers))
	answered := make(chan struct{})
	for i, m := range servers {
		go func() {
			defer func() { answered <- struct{}{} }()
			n := &list[i]
			n.ID = string(m.ID)
			if n.ID == db.config.ID {
				n.Digest, n.Err = db.digestAt(ctx, r.version)
				return
			}
			var out []byte
			if out, n.Err = db.peers.get(n.ID, string(m.Address)).call(ctx, methodDigest, index); n.Err == nil {
				n.Digest, n.Err = decodeDigest(out)
			}
		}()
	}
	for range servers {
		<-answered
	}
	return list, nil
}

// digestAt makes the digest of the state that was pinned at an entry, once the node has come to it.
func (db *DB) digestAt(ctx context.Context, index uint64) (Digest, error) {
	if err := db.reach(ctx, index); err != nil {
		return Digest{}, err
	}
	p, ok := db.machine.pins.take(index)
	if !ok {
		return Digest{}, ErrPinned
	}
	defer p.snap.Close()
	return digestOf(p.at, p.snap)
}

func (db *DB) answerDigest(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) != 8 {
		return nil, errRefused
	}
	d, err := db.digestAt(ctx, binary.LittleEndian.Uint64(payload))
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint64(nil, d.Index)
	out = binary.LittleEndian.AppendUint64(out, uint64(d.Time))
	out = binary.LittleEndian.AppendUint64(out, d.Entries)
	return append(out, d.Sum[:]...), nil
}

func decodeDigest(b []byte) (d Digest, err error) {
	if len(b) != 24+len(d.Sum) {
		return Digest{}, errors.New("cluster: an answer that is none")
	}
	d.Index, d.Time = binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))
	d.Entries = binary.LittleEndian.Uint64(b[16:])
	copy(d.Sum[:], b[24:])
	return d, nil
}
