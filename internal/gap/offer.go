package gap

import (
	"bytes"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	// A gap has the sequence of its newest part, so a reader that began a moment earlier cannot use it and walks. So gaps are
	// joined only if they are small together, which bounds that walk, or older than any likely reader.
	small     = 1024 // entries
	youngSeqs = 256
	youngMs   = 100
	// manyHops is after how many gaps in a row it is time to join them.
	manyHops = 16
	// maxTouched bounds how many gaps an offer deals with.
	maxTouched = 64
)

// Run is a stretch of keys in which a reader has found nothing.
type Run struct {
	Start, End []byte // Start <= key < End; they are copied
	Moment            // the reader's
	Since      int64  // Unix ms; at the same sequence, the reader would have found nothing at any time from this on
	Dead       int    // how many deleted and expired entries it has walked over
	Hops       int    // how many gaps it has passed
}

// Offer remembers those parts of a long run that are not in the set yet. If nothing was put since the reader began, readers can
// use them from now on, otherwise once another reader has found nothing there.
func (s *Set) Offer(r *Run) {
	if s == nil || !s.worthy(r) || !s.news(r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	touched, end := s.touchedLocked(r)
	fresh := s.fillLocked(r, touched, end)
	if len(fresh) > 0 {
		s.publishLocked() // before applied is asked: see the package comment
	}
	applied := s.applied()
	for _, g := range fresh {
		if applied <= r.Seq {
			g.seq.Store(r.Seq)
		}
		g.asOf.Store(applied)
	}
	for _, g := range touched {
		if g.provenBy(r.Seq) {
			s.proveLocked(g, r)
		}
	}
	s.joinLocked(r, applied)
	s.evictLocked()
	s.publishLocked()
}

// worthy reports whether a run is long enough to be remembered, and its bounds are not too long.
func (s *Set) worthy(r *Run) bool {
	if int64(len(r.Start)+len(r.End)) > s.limit/8 || kv.Compare(r.Start, r.End) >= 0 {
		return false
	}
	return r.Dead >= s.worth || r.Hops >= manyHops || r.Dead >= max(s.worth/8, 1) && (r.Hops > 0 || s.adjoins(r))
}

// adjoins reports whether there is a gap behind a run or before it.
func (s *Set) adjoins(r *Run) bool {
	t := s.load()
	if t == nil {
		return false
	}
	g := before(t, r.Start)
	return g != nil && bytes.Equal(g.end, r.Start) || find(t, r.End) != nil
}

// news reports whether a run tells anything that is not known, or has passed so many gaps that they should be joined.
func (s *Set) news(r *Run) bool {
	t := s.load()
	if t == nil || r.Hops >= manyHops {
		return true
	}
	at, n, news := r.Start, 0, false
	overlapping(t, r.Start, r.End, func(g *gap) bool {
		n++
		news = kv.Compare(at, g.start) < 0 || g.provenBy(r.Seq)
		at = g.end
		return !news && n < maxTouched
	})
	return news || n < maxTouched && kv.Compare(at, r.End) < 0
}

// touchedLocked returns the gaps that a run has keys in common with, in order, and how far the run is looked at.
//
// +checklocks:s.mu.Mutex
func (s *Set) touchedLocked(r *Run) (touched []*gap, end []byte) {
	end = r.End
	overlapping(s.mu.gaps, r.Start, r.End, func(g *gap) bool {
		if len(touched) == maxTouched {
			end = g.start
			return false
		}
		touched = append(touched, g)
		return true
	})
	return touched, end
}

// fillLocked adds candidates where a run, up to end, touches no gap. The touched ones are in order.
//
// +checklocks:s.mu.Mutex
func (s *Set) fillLocked(r *Run, touched []*gap, end []byte) (fresh []*gap) {
	at := r.Start
	for _, g := range touched {
		fresh = appendCandidate(fresh, at, g.start, r.Since)
		at = g.end
	}
	fresh = appendCandidate(fresh, at, end, r.Since)
	for _, g := range fresh {
		g.dead = max(r.Dead/len(fresh), min(r.Dead, s.worth), 1)
		s.addLocked(g)
	}
	return fresh
}

// appendCandidate appends a candidate for start <= key < end, if there can be such a key.
func appendCandidate(list []*gap, start, end []byte, since int64) []*gap {
	if kv.Compare(start, end) >= 0 {
		return list
	}
	return append(list, newGap(bytes.Clone(start), bytes.Clone(end), never, never, since, 0))
}

// proveLocked makes a gap of that part of a candidate that lies in a run.
//
// +checklocks:s.mu.Mutex
func (s *Set) proveLocked(g *gap, r *Run) {
	s.removeLocked(g)
	start, end, parts := g.start, g.end, 1
	if kv.Compare(start, r.Start) < 0 {
		start = bytes.Clone(r.Start)
		parts++
	}
	if kv.Compare(r.End, end) < 0 {
		end = bytes.Clone(r.End)
		parts++
	}
	dead := g.dead / parts
	if kv.Compare(g.start, start) < 0 {
		s.addLocked(g.part(g.start, start, dead))
	}
	s.addLocked(newGap(start, end, r.Seq, g.asOf.Load(), r.Since, dead))
	if kv.Compare(end, g.end) < 0 {
		s.addLocked(g.part(end, g.end, dead))
	}
}

// joinLocked joins neighbours in a run and beside it.
//
// +checklocks:s.mu.Mutex
func (s *Set) joinLocked(r *Run, applied uint64) {
	var list []*gap
	if g := before(s.mu.gaps, r.Start); g != nil {
		list = append(list, g)
	}
	s.mu.gaps.AscendGreaterOrEqual(item{start: r.Start}, func(i item) bool {
		list = append(list, i.gap)
		return kv.Compare(i.start, r.End) < 0 && len(list) < 3*maxTouched
	})
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if !joinable(a, b, applied, r.Now) {
			continue
		}
		s.removeLocked(a)
		s.removeLocked(b)
		joined := newGap(a.start, b.end, max(a.seq.Load(), b.seq.Load()), never, max(a.now, b.now), a.dead+b.dead)
		joined.used.Store(a.used.Load() || b.used.Load())
		s.addLocked(joined)
		list[i] = joined
	}
}

// joinable reports whether two gaps are better one.
func joinable(a, b *gap, applied uint64, now int64) bool {
	if a.candidate() || b.candidate() || !bytes.Equal(a.end, b.start) {
		return false
	}
	old := func(g *gap) bool {
		return g.seq.Load()+youngSeqs <= applied && (g.now == 0 || g.now+youngMs <= now)
	}
	return a.dead+b.dead <= small || old(a) && old(b)
}
