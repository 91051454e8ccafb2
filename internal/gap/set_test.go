package gap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// version is what a key is from a sequence on.
type version struct {
	seq      uint64
	live     bool
	deadline int64 // 0: none
}

// world is a database of a few keys, of which all is known, with a set of gaps that it holds against that.
type world struct {
	keys     [][]byte
	versions [][]version // of each key, ascending
	applied  uint64
	visible  uint64
	now      int64
	inFlight int // the key of a put that was applied and not cut yet; -1: none
	set      *Set
	moments  []Moment
}

const worldKeys = 24

func newWorld(limit int64, worth int) *world {
	w := &world{versions: make([][]version, worldKeys), now: 1000, inFlight: -1}
	for i := range worldKeys {
		w.keys = append(w.keys, fmt.Appendf(nil, "k%02d", i))
	}
	w.set = NewSet(limit, worth, func() uint64 { return w.applied })
	return w
}

// live reports whether a reader sees a key.
func (w *world) live(key int, m Moment) bool {
	all := w.versions[key]
	for i := len(all) - 1; i >= 0; i-- {
		if v := all[i]; v.seq <= m.Seq {
			return v.live && (v.deadline == 0 || v.deadline > m.Now)
		}
	}
	return false
}

func (w *world) write(key int, v version) {
	v.seq = w.applied
	w.versions[key] = append(w.versions[key], v)
}

// begin applies a put; land cuts it out and shows it.
func (w *world) begin(key int, deadline int64) {
	w.land()
	w.applied++
	w.write(key, version{live: true, deadline: deadline})
	w.inFlight = key
}

func (w *world) land() {
	if w.inFlight >= 0 {
		w.set.Cut(w.keys[w.inFlight])
		w.inFlight = -1
	}
	w.visible = w.applied
}

func (w *world) delete(from, to int, remember bool) {
	w.land()
	w.applied++
	for k := from; k < to; k++ {
		w.write(k, version{})
	}
	if remember && from < to && to < len(w.keys) {
		w.set.Offer(&Run{Start: w.keys[from], End: w.keys[to], Moment: Moment{Seq: w.applied}, Dead: 100})
	}
}

// scan walks from a key on until something is live or limit is reached, and offers what it has passed.
func (w *world) scan(from, limit int, m Moment) error {
	r := Run{Start: w.keys[from], End: w.keys[from], Moment: m}
	for k := from; k < limit && !w.live(k, m); {
		if j := w.set.Forward(r.End, m); j.Hops > 0 {
			r.End, r.Hops, r.Since = j.To, r.Hops+j.Hops, max(r.Since, j.Since)
			for ; k < len(w.keys) && bytes.Compare(w.keys[k], j.To) < 0; k++ {
				if w.live(k, m) {
					return fmt.Errorf("a scan jumps over %s, which is there at %v", w.keys[k], m)
				}
			}
			continue
		}
		r.End = append(bytes.Clone(w.keys[k]), 0)
		r.pass(w, k)
		k++
	}
	w.set.Offer(&r)
	return nil
}

// scanBack is scan in reverse.
func (w *world) scanBack(from, limit int, m Moment) error {
	r := Run{Start: w.keys[from], End: w.keys[from], Moment: m}
	for k := from - 1; k >= limit && !w.live(k, m); {
		if j := w.set.Backward(r.Start, m); j.Hops > 0 {
			r.Start, r.Hops, r.Since = j.To, r.Hops+j.Hops, max(r.Since, j.Since)
			for ; k >= 0 && bytes.Compare(w.keys[k], j.To) >= 0; k-- {
				if w.live(k, m) {
					return fmt.Errorf("a scan back jumps over %s, which is there at %v", w.keys[k], m)
				}
			}
			continue
		}
		r.Start = w.keys[k]
		r.pass(w, k)
		k--
	}
	w.set.Offer(&r)
	return nil
}

// pass counts a key that a run has passed.
func (r *Run) pass(w *world, k int) {
	all := w.versions[k]
	for i := len(all) - 1; i >= 0; i-- {
		if v := all[i]; v.seq <= r.Seq {
			if r.Dead++; v.live {
				r.Since = max(r.Since, v.deadline)
			}
			return
		}
	}
}

// check holds that no reader is sent over what it should see, and that the set is in order.
func (w *world) check() error {
	for _, m := range append(w.moments, Moment{w.visible, w.now}) {
		for k, key := range w.keys {
			j := w.set.Forward(key, m)
			for i := k; j.Hops > 0 && i < len(w.keys) && bytes.Compare(w.keys[i], j.To) < 0; i++ {
				if w.live(i, m) || w.live(i, Moment{m.Seq, j.Since}) {
					return fmt.Errorf("at %v forward from %s to %s, over %s", m, key, j.To, w.keys[i])
				}
			}
			j = w.set.Backward(key, m)
			for i := k - 1; j.Hops > 0 && i >= 0 && bytes.Compare(w.keys[i], j.To) >= 0; i-- {
				if w.live(i, m) || w.live(i, Moment{m.Seq, j.Since}) {
					return fmt.Errorf("at %v back from %s to %s, over %s", m, key, j.To, w.keys[i])
				}
			}
		}
	}
	return w.set.check()
}

// check holds that the gaps are disjoint and not empty, that their bytes are counted and bounded, and that readers have
// what there is.
func (s *Set) check() error {
	var last *gap
	var err error
	s.mu.Lock()
	gaps, counted := s.mu.gaps, s.mu.bytes
	s.mu.Unlock()
	bytesOf, n := int64(0), 0
	gaps.Ascend(func(i item) bool {
		g := i.gap
		switch {
		case !bytes.Equal(i.start, g.start) || bytes.Compare(g.start, g.end) >= 0:
			err = fmt.Errorf("a gap from %q to %q under %q", g.start, g.end, i.start)
		case last != nil && bytes.Compare(last.end, g.start) > 0:
			err = fmt.Errorf("a gap from %q to %q, and one from %q", last.start, last.end, g.start)
		case g.candidate() && g.asOf.Load() == never:
			err = fmt.Errorf("a candidate from %q that nobody can prove", g.start)
		}
		last = g
		bytesOf += g.size()
		n++
		return err == nil
	})
	t := s.load()
	switch {
	case err != nil:
		return err
	case bytesOf != counted || bytesOf > s.limit:
		return fmt.Errorf("%d bytes, counted %d, of %d", bytesOf, counted, s.limit)
	case (t == nil) != (n == 0) || t != nil && t.Len() != n:
		return fmt.Errorf("%d gaps, of which readers see others", n)
	}
	if t != nil {
		t.Ascend(func(i item) bool {
			if find(gaps, i.start) != i.gap {
				err = fmt.Errorf("readers see another gap at %q", i.start)
			}
			return err == nil
		})
	}
	return err
}

// run does what the bytes say.
func (w *world) run(choices []byte) error {
	next := func(n int) int {
		if len(choices) == 0 {
			return 0
		}
		b := choices[0]
		choices = choices[1:]
		return int(b) % n
	}
	moment := func() Moment {
		if n := next(len(w.moments) + 2); n < len(w.moments) {
			return w.moments[n]
		}
		return Moment{w.visible, w.now}
	}
	for step := 0; len(choices) > 0; step++ {
		a, b := next(worldKeys), next(worldKeys)
		var err error
		switch next(12) {
		case 0:
			w.begin(a, 0)
		case 1:
			w.begin(a, w.now+int64(b)-3)
		case 2, 3:
			w.delete(a, a+1, false)
		case 4:
			w.delete(min(a, b), max(a, b), b%2 == 0)
		case 5:
			w.land()
		case 6:
			w.now += int64(b)
		case 7:
			if w.moments = append(w.moments, Moment{w.visible, w.now}); len(w.moments) > 4 {
				w.moments = w.moments[1:]
			}
		case 8, 9:
			err = w.scan(min(a, b), max(a, b), moment())
		case 10:
			err = w.scanBack(max(a, b), min(a, b), moment())
		case 11:
			w.applied += uint64(b) * 50 // writes elsewhere
			w.land()
		}
		if err == nil {
			err = w.check()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

// Random histories, with small sets that evict and large ones.
func TestSet(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 12
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 0))
		choices := make([]byte, 4*300)
		for i := range choices {
			choices[i] = byte(r.Uint32())
		}
		limit := int64(1 << 20)
		if seed%3 == 0 {
			limit = 1500
		}
		if err := newWorld(limit, 1+int(seed%4)).run(choices); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// Whoever applies a put after the set has asked how far that has come finds the candidate.
func TestPublishedBeforeAsked(t *testing.T) {
	asked := 0
	var s *Set
	s = NewSet(1<<20, 1, func() uint64 {
		if asked++; s.load() == nil || find(s.load(), []byte("k")) == nil {
			t.Error("the set asks before the candidate can be found")
		}
		return 5
	})
	s.Offer(&Run{Start: []byte("a"), End: []byte("z"), Moment: Moment{Seq: 4}, Dead: 10})
	if j := s.Forward([]byte("k"), Moment{Seq: 10}); asked != 1 || j.Hops != 0 {
		t.Errorf("asked %d times, and %d gaps for others", asked, j.Hops)
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, choices []byte) {
		if err := newWorld(1500, 2).run(choices); err != nil {
			t.Fatal(err)
		}
	})
}
