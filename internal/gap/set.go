package gap

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
)

// maxChain is how many gaps are passed at a time.
const maxChain = 256

// Set is a set of gaps that do not overlap, and candidates among them. A nil Set is always empty. It may be used by any
// goroutine. Forward, Backward and a Cut of a key that is in no gap take no lock.
type Set struct {
	applied   func() uint64        // up to where puts have been applied
	limit     int64                // of bytes
	worth     int                  // see NewSet
	published atomic.Pointer[tree] // a clone of gaps after the last change; nil: empty

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		gaps *tree
		// +checklocks:Mutex
		bytes int64 // that gaps take, about
		// +checklocks:Mutex
		hand []byte // where to look next for one that goes: see evictLocked
	}
}

// NewSet returns an empty set that takes about limit bytes at most. It remembers runs of worth entries or more, and shorter ones
// behind a gap. applied returns the sequence up to which puts have been applied: it must cover a put before the put's key is
// Cut. It is called with a lock of the set held.
func NewSet(limit int64, worth int, applied func() uint64) *Set {
	s := &Set{applied: applied, limit: limit, worth: worth}
	s.mu.gaps = newTree()
	return s
}

// Worth is how many entries make a run worth remembering.
func (s *Set) Worth() int { return s.worth }

// load returns the gaps for a reader, nil if there are none.
func (s *Set) load() *tree {
	if s == nil {
		return nil
	}
	return s.published.Load()
}

// Jump says how far a reader can go.
type Jump struct {
	To    []byte // not the caller's to change
	Since int64  // the reader would find nothing at any time from this on
	Hops  int    // how many gaps it passes; 0: none, it cannot go anywhere
}

// over makes the jump one over another gap.
func (j *Jump) over(g *gap, to []byte) {
	g.use()
	j.To, j.Since, j.Hops = to, max(j.Since, g.now), j.Hops+1
}

// Forward tells how far a reader can go from key on: there is nothing for it from there up to but not including To. It has
// got its sequence before the call.
func (s *Set) Forward(key []byte, m Moment) (j Jump) {
	t := s.load()
	if t == nil {
		return j
	}
	g := find(t, key)
	if g == nil || !g.serves(m) {
		return j
	}
	j.over(g, g.end)
	t.AscendGreaterOrEqual(item{start: g.end}, func(i item) bool {
		on := j.Hops < maxChain && bytes.Equal(i.start, j.To) && i.gap.serves(m)
		if on {
			j.over(i.gap, i.gap.end)
		}
		return on
	})
	return j
}

// Backward is Forward in the other direction: there is nothing from To up to but not including key.
func (s *Set) Backward(key []byte, m Moment) (j Jump) {
	t := s.load()
	if t == nil {
		return j
	}
	g := before(t, key)
	if g == nil || kv.Compare(key, g.end) > 0 || !g.serves(m) {
		return j
	}
	j.over(g, g.start)
	t.DescendLessOrEqual(item{start: g.start}, func(i item) bool {
		if i.gap == g {
			return true
		}
		on := j.Hops < maxChain && bytes.Equal(i.gap.end, j.To) && i.gap.serves(m)
		if on {
			j.over(i.gap, i.start)
		}
		return on
	})
	return j
}

// Cut takes a key out of the gap that it is in, if any: it has got a value, of which applied tells already and which no
// reader sees yet. The rest of the gap stays, as far as it is worth it. On which side its entries lie is not known: each side
// is taken to have half of them.
func (s *Set) Cut(key []byte) {
	t := s.load()
	if t == nil || find(t, key) == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := find(s.mu.gaps, key)
	if g == nil {
		return
	}
	s.removeLocked(g)
	after := append(append(make([]byte, 0, len(key)+1), key...), 0)
	left, right := kv.Compare(g.start, key) < 0, kv.Compare(after, g.end) < 0
	dead := g.dead
	if left && right {
		dead /= 2
	}
	if left && dead >= s.worth/2 {
		s.addLocked(g.part(g.start, after[:len(key):len(key)], dead))
	}
	if right && dead >= s.worth/2 {
		s.addLocked(g.part(after, g.end, dead))
	}
	s.evictLocked()
	s.publishLocked()
}

// +checklocks:s.mu.Mutex
func (s *Set) addLocked(g *gap) {
	s.mu.gaps.ReplaceOrInsert(item{g.start, g})
	s.mu.bytes += g.size()
}

// +checklocks:s.mu.Mutex
func (s *Set) removeLocked(g *gap) {
	s.mu.gaps.Delete(item{start: g.start})
	s.mu.bytes -= g.size()
}

// publishLocked lets readers see the gaps as they are.
//
// +checklocks:s.mu.Mutex
func (s *Set) publishLocked() {
	if s.mu.gaps.Len() == 0 {
		s.published.Store(nil)
		return
	}
	s.published.Store(s.mu.gaps.Clone())
}

// evictLocked removes gaps until the rest is within the limit. It goes round, and spares those once that have been used
// since it last came by, as a clock does (Corbató, A Paging Experiment with the Multics System, 1968).
//
// +checklocks:s.mu.Mutex
func (s *Set) evictLocked() {
	const spare = 16 // at a time
	for spared := 0; s.mu.bytes > s.limit; {
		var g *gap
		s.mu.gaps.AscendGreaterOrEqual(item{start: s.mu.hand}, func(i item) bool {
			g = i.gap
			return false
		})
		if g == nil {
			s.mu.hand = nil // round again; there is one, as bytes is not 0
			continue
		}
		s.mu.hand = g.end
		if spared < spare && g.used.Swap(false) {
			spared++
			continue
		}
		s.removeLocked(g)
	}
}
