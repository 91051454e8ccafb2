package merge

import (
	"github.com/ebbdb/ebb/internal/kv"
)

// next moves a source by one entry in the direction of travel. If none is at hand, the source is asked for most entries at most.
func (s *source) next(reverse bool, most int) bool {
	if reverse {
		if s.at > 0 {
			s.at--
			s.entry = &s.run[s.at]
			return true
		}
	} else if s.at+1 < len(s.run) {
		s.at++
		s.entry = &s.run[s.at]
		return true
	}
	s.settle()
	if reverse {
		s.on = s.it.Prev()
	} else {
		s.on = s.it.Next()
	}
	if s.on {
		s.want = min(s.more()*s.want, maxWant)
		s.ask(reverse, min(s.want, most))
	}
	return s.on
}

// more returns how many times as many entries as last time a source is asked for. Of large ones those that nobody takes cost
// most.
func (s *source) more() int {
	const large = 512 // bytes
	if len(s.entry.Value) >= large {
		return 2
	}
	return 4
}

// settle moves the iterator of a source to the entry that the source stands on.
func (s *source) settle() {
	if n := s.at - s.from; n > 0 {
		s.runs.Pass(n, false)
	} else if n < 0 {
		s.runs.Pass(-n, true)
	}
	s.from = s.at
}

// ask takes over what the iterator of a source has at hand, from the entry that it stands on, up to want entries.
func (s *source) ask(reverse bool, want int) {
	s.at, s.from = 0, 0
	if s.runs == nil {
		s.entry = s.it.Entry()
		return
	}
	s.run, s.kept = s.runs.Run(want, reverse)
	if reverse {
		s.at, s.from = len(s.run)-1, len(s.run)-1
	}
	s.entry = &s.run[s.at]
}

// hand returns the entries of a source from the one that it stands on.
func (s *source) hand(reverse bool) []kv.Entry {
	if reverse {
		return s.run[:s.at+1]
	}
	return s.run[s.at:]
}

// Run returns entries at hand: see kv.Runner. They are all of the leading source, and no other source has their keys.
func (it *Iterator) Run(want int, reverse bool) (run []kv.Entry, kept bool) {
	it.wanted = want
	switch {
	case len(it.order) == 0:
		return nil, false
	case reverse != it.reverse || it.order[0].runs == nil: // the other sources do not stand where they would limit the run
		it.one[0] = *it.order[0].entry
		return it.one[:], false
	}
	s := it.order[0]
	run = s.hand(reverse)
	n := it.leads(run, want)
	for n == len(run) && n < want { // the source may have more of them
		s.settle()
		s.want = max(s.want, n+1, min(want, s.more()*n))
		if len(it.order) == 1 {
			s.want = max(s.want, want)
		}
		s.ask(reverse, s.want)
		if run = s.hand(reverse); len(run) <= n {
			break
		}
		n = it.leads(run, want)
	}
	if reverse {
		return run[len(run)-n:], s.kept
	}
	return run[:n], s.kept
}

// Pass moves to the entry of the last run that lies n entries further in the direction of travel.
func (it *Iterator) Pass(n int, reverse bool) {
	if n == 0 || len(it.order) == 0 {
		return
	}
	s := it.order[0]
	it.wanted -= n
	if reverse {
		n = -n
	}
	s.at += n
	s.entry = &s.run[s.at]
	if len(it.order) > 1 {
		s.head = it.heads.of(s.entry.Key, it.reverse)
	}
}

// leads returns how many entries of a run of the leading source, up to want of them, come before the entry of the source that
// is next. Sources that are interleaved give short runs, and one that holds most of the keys long ones: so the search begins
// with the second entry, as the first leads, goes on to the last, and then halves what is left.
func (it *Iterator) leads(run []kv.Entry, want int) int {
	n := min(len(run), want)
	if n <= 1 || len(it.order) == 1 {
		return n
	}
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
	low, high := 1, n-1
	if it.comesBefore(at(high), next) {
		return n
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
