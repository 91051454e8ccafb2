package merge

import (
	"github.com/ebbdb/ebb/internal/kv"
)

// next moves a source by one entry in the direction of travel.
func (it *Iterator) next(s *source) bool {
	if it.reverse {
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
	if it.reverse {
		s.on = s.it.Prev()
	} else {
		s.on = s.it.Next()
	}
	if s.on {
		s.want = min(s.more()*s.want, maxWant)
		it.ask(s, min(s.want, it.most(s)))
	}
	return s.on
}

// most returns how many entries a source that has none at hand any more is asked for at most: a walk that is soon done should not
// pay for those that it never comes to. Of the entries that are still wanted the source is taken to have as large a part as of
// those since it was asked last.
func (it *Iterator) most(s *source) int {
	most := max(it.wanted-1, 1)
	if passed := it.passed - s.came; passed > len(s.run) {
		most = most*len(s.run)/passed + 1
	}
	return most
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
func (it *Iterator) ask(s *source, want int) {
	s.at, s.from, s.came = 0, 0, it.passed
	if s.runs == nil {
		s.entry = s.it.Entry()
		return
	}
	s.run, s.kept = s.runs.Run(want, it.reverse)
	if it.reverse {
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
		more := s.more()
		switch len(it.order) {
		case 1:
			more = want
		case 2: // a level and a memtable, most often, of which one has most of the keys
			more *= 4
		}
		s.want = max(s.want, n+1, min(want, more*n))
		it.ask(s, s.want)
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
	it.passed += n
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
