package cluster

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// keptLog is raft's log. It keeps, beside Config.TrailingLogs, the entries that a node needs after a snapshot that it is being
// sent: else a node for which sending takes longer than it takes the others to write TrailingLogs entries would be sent another
// snapshot after each, for ever.
//
// Entries are held from the one of the snapshot on while it is sent, and then from the newest on that the node is known to have,
// until the rest is within TrailingLogs. A node of which nothing is seen for a while, or that comes no nearer to the end of the log,
// is not waited for: see holdGrace. The entry of the newest snapshot is always kept: whoever is sent that one is asked whether it
// has it, and so can be, if there is a newer snapshot by then.
type keptLog struct {
	*raft.LogCache
	trailing uint64
	newest   func() uint64          // the index of the newest snapshot
	ahead    func(logs []*raft.Log) // told of entries before they are stored; nil: nobody is
	holds    atomic.Int32           // how many there are

	mu struct {
		sync.Mutex
		holds map[raft.ServerID]*hold
	}
}

// StoreLogs stores entries. Followers are sent them meanwhile, if this node leads: see pipelines.
func (k *keptLog) StoreLogs(logs []*raft.Log) error {
	if k.ahead != nil {
		k.ahead(logs)
	}
	return k.LogCache.StoreLogs(logs)
}

// hold is the entries that a node will need: those from index on.
type hold struct {
	index uint64
	began time.Time
	moved time.Time // the node has last taken a part of the snapshot, or been nearer to the end of the log than ever
	least uint64    // how many entries it had not then; 0: it has asked for none yet
}

// holdGrace is how long entries are held for a node that gains nothing, beside the time that it took it to get where it is: it
// verifies the snapshot and makes its state of it, and then asks for entries. A node for which more is written than it can take would
// make the log grow for ever: it is sent another snapshot in the end.
const holdGrace = time.Minute

var errOvertaken = errors.New("cluster: the log does not go back to the snapshot any more")

// hold has entries from a snapshot's on kept for a node. If the log has not the one after it any more that is an error.
func (k *keptLog) hold(id raft.ServerID, index uint64) error {
	now := time.Now()
	k.mu.Lock()
	if k.mu.holds == nil {
		k.mu.holds = make(map[raft.ServerID]*hold)
	}
	k.mu.holds[id] = &hold{index: index, began: now, moved: now}
	k.holds.Store(int32(len(k.mu.holds)))
	k.mu.Unlock()
	first, err := k.FirstIndex()
	if err == nil && first > index+1 { // a newer snapshot was made before the hold
		err = fmt.Errorf("%w: it begins at %d, the snapshot is of %d", errOvertaken, first, index)
	}
	if err != nil {
		k.release(id)
	}
	return err
}

// moves notes that a node has taken a part of its snapshot.
func (k *keptLog) moves(id raft.ServerID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.mu.holds[id]; h != nil {
		h.moved = time.Now()
	}
}

// has notes that a node has the entries up to one.
func (k *keptLog) has(id raft.ServerID, index uint64) {
	if index == 0 || k.holds.Load() == 0 {
		return
	}
	last, err := k.LastIndex()
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.mu.holds[id]
	if h == nil || index < h.index {
		return
	}
	h.index = index
	if err != nil {
		return
	}
	lacks := last - min(last, index)
	if lacks < h.least || h.least == 0 {
		h.least, h.moved = lacks, time.Now()
	}
	if lacks <= k.trailing/2 {
		k.releaseLocked(id)
	}
}

// release lets the entries go that are held for a node.
func (k *keptLog) release(id raft.ServerID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.releaseLocked(id)
}

func (k *keptLog) releaseLocked(id raft.ServerID) {
	delete(k.mu.holds, id)
	k.holds.Store(int32(len(k.mu.holds)))
}

// keepFrom returns the first entry that is kept, of those up to one; the one after it if none is.
func (k *keptLog) keepFrom(upTo uint64) uint64 {
	from := min(upTo+1, k.newest())
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, h := range k.mu.holds {
		if now.Sub(h.moved) > holdGrace+h.moved.Sub(h.began) {
			k.releaseLocked(id)
			continue
		}
		from = min(from, h.index)
	}
	return from
}

// DeleteRange deletes entries: of the beginning of the log those before all that are held. raft deletes the rest with those of
// its next snapshot.
func (k *keptLog) DeleteRange(first, last uint64) error {
	end, err := k.LastIndex()
	if err != nil {
		return err
	}
	if last < end { // not the newest, which others do not have, nor all of them, which a snapshot has taken the place of
		from := k.keepFrom(last)
		if from <= first {
			return nil
		}
		last = from - 1
	}
	return k.LogCache.DeleteRange(first, last)
}
