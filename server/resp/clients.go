package resp

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// clients are the connections that there are.
type clients struct {
	lastID atomic.Int64

	mu  sync.Mutex
	set map[int64]*client // by id, guarded by mu
}

func newClients() *clients { return &clients{set: make(map[int64]*client)} }

// add takes a client in unless there are limit already.
func (cs *clients) add(c *client, limit int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.set) >= limit {
		return false
	}
	cs.set[c.id] = c
	return true
}

func (cs *clients) remove(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.set, c.id)
}

func (cs *clients) len() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.set)
}

// list returns the clients, by id.
func (cs *clients) list() []*client {
	cs.mu.Lock()
	all := make([]*client, 0, len(cs.set))
	for _, c := range cs.set {
		all = append(all, c)
	}
	cs.mu.Unlock()
	slices.SortFunc(all, func(a, b *client) int { return cmp.Compare(a.id, b.id) })
	return all
}
