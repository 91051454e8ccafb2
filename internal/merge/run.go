package merge

import (
	"github.com/ebbdb/ebb/internal/kv"
)

// Run returns entries at hand: see kv.Runner. They are all of the leading source, and no other source has their keys.
func (it *Iterator) Run(want int, reverse bool) (run []kv.Entry, kept bool) {
	switch {
	case len(it.order) == 0:
		return nil, false
	case reverse != it.reverse: // the other sources do not stand where they would limit the run
		it.one[0] = *it.order[0].entry
		return it.one[:], false
	}
	s := it.order[0]
	if s.runs == nil {
		it.one[0] = *s.entry
		return it.one[:], false
	}
	run, kept = s.runs.Run(want, reverse)
	s.entry = s.it.Entry() // Run may have moved it in memory
	if len(run) > 1 && len(it.order) > 1 {
		n := it.leads(run)
		if reverse {
			run = run[len(run)-n:]
		} else {
			run = run[:n]
		}
	}
	return run, kept
}

// Pass moves to the entry of the last run that lies n entries further in the direction of travel.
func (it *Iterator) Pass(n int, reverse bool) {
	if n == 0 || len(it.order) == 0 {
		return
	}
	s := it.order[0]
	s.runs.Pass(n, reverse)
	s.entry = s.it.Entry()
	if len(it.order) > 1 {
		s.head = it.heads.of(s.entry.Key, it.reverse)
	}
}

// leads returns how many entries of a run of the leading source come before the entry of the source that is next, the
// first of them not counted again: it leads. Sources that are interleaved give short runs, and one that holds most of the
// keys long ones: so the search begins with the next entry, goes on to the last, and then halves what is left.
func (it *Iterator) leads(run []kv.Entry) int {
	next := it.order[1]
	at := func(i int) *kv.Entry {
		if it.reverse {
			return &run[len(run)-1-i]
		}
		return &run[i]
	}
	if !it.comesBefore(at(1), next) {
		return 1
	}
	low, high := 1, len(run)-1
	if it.comesBefore(at(high), next) {
		return len(run)
	}
	for high-low > 1 { // low comes before next, and high does not
		if mid := int(uint(low+high) >> 1); it.comesBefore(at(mid), next) {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// comesBefore reports whether an entry comes before the one that a source stands on.
func (it *Iterator) comesBefore(e *kv.Entry, s *source) bool {
	if head := it.heads.of(e.Key, it.reverse); head != s.head {
		return head < s.head
	}
	c := kv.Compare(e.Key, s.entry.Key)
	return c < 0 && !it.reverse || c > 0 && it.reverse
}
