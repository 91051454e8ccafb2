package cluster

import (
	"sync"

	"github.com/ebbdb/ebb"
)

// pins are the states that were pinned to be compared: the last few.
type pins struct {
	mu struct {
		sync.Mutex
		list []pinned
	}
}

// pinned is the state after an entry.
type pinned struct {
	at   stateRecord
	snap *ebb.Snapshot
}

const maxPins = 2

// pin pins the state after an entry.
func (p *pins) pin(db *ebb.DB, at stateRecord) error {
	snap, err := db.Snapshot()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.list = append(p.mu.list, pinned{at, snap})
	for len(p.mu.list) > maxPins {
		p.mu.list[0].snap.Close()
		p.mu.list = p.mu.list[1:]
	}
	return nil
}

// take takes the state after an entry. The caller closes it.
func (p *pins) take(index uint64) (pinned, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, q := range p.mu.list {
		if q.at.index == index {
			p.mu.list = append(p.mu.list[:i:i], p.mu.list[i+1:]...)
			return q, true
		}
	}
	return pinned{}, false
}

// close unpins all.
func (p *pins) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.mu.list {
		q.snap.Close()
	}
	p.mu.list = nil
}
