package merge

import (
	"bytes"
	"errors"

	"github.com/ebbdb/ebb/internal/kv"
)

// Iterator merges sorted sources, each with at most one entry a key. Of the entries of one key it shows that of the
// newest source. It is a kv.Runner: a run of it is the stretch of the leading source's run that lies before the keys of all
// others.
//
// The zero Iterator has no sources; Reset gives it some. It allocates only where it gets more of them than ever before.
// The first error of a source ends the iteration; First, Last and the seeks start afresh. When a positioning call has
// returned false, it stands nowhere until one of those.
//
// It keeps the sources sorted by the keys they stand on, and puts the one that has moved back in its place. For the few
// sources that there are, this takes fewer comparisons than a heap, one where a source holds a run of neighbours, and
// they are of eight bytes each: see heads.
type Iterator struct {
	sources []source
	// order holds the sources that stand on an entry, sorted by key in the direction of travel, a newer one first among
	// equals. Every source, those that have ended included, stands on its first key in that direction that is not behind
	// the key of order[0].
	order   []*source
	reverse bool
	wanted  int // how many entries from the current one on the last Run wants; more than maxWant if there was none
	passed  int // how many entries it has moved on by since it was positioned
	heads   heads
	err     error
	nothing kv.Entry    // Entry's result where there is none
	one     [1]kv.Entry // the run of a source that gives none
}

type source struct {
	it    kv.Iterator
	runs  kv.Runner // it, if it gives runs; otherwise nil
	aims  kv.Aimer  // it, if it can be aimed; otherwise nil
	entry *kv.Entry // the one that the source stands on
	head  uint64    // of entry's key; complemented in reverse, so that the smaller one is always first
	age   int       // 0 is the newest
	on    bool      // it stands on an entry

	// What it had at hand in the direction of travel when it was last moved. To move within that takes no call.
	run  []kv.Entry
	at   int  // of entry in run
	from int  // of the entry that it stands on
	kept bool // see kv.Runner
	want int  // how many entries to ask it for next time
	came int  // how many entries the merge had passed when it was asked last
}

// maxWant is how many entries a source is asked for at most. A source that is walked is asked for one, and four times as many
// each time.
const maxWant = 64

var _ kv.Runner = (*Iterator)(nil)

// Reset makes it an iterator over the sources, the newest first. It keeps nothing of the slice. The sources it had are
// neither used nor closed any more.
func (it *Iterator) Reset(sources []kv.Iterator) {
	clear(it.sources)
	it.sources, it.order, it.err, it.one[0], it.wanted = it.sources[:0], it.order[:0], nil, kv.Entry{}, maxWant+1
	for i, s := range sources {
		runs, _ := s.(kv.Runner)
		aims, _ := s.(kv.Aimer)
		it.sources = append(it.sources, source{it: s, runs: runs, aims: aims, age: i, want: 1})
	}
}

// Close closes the sources. Only Reset may follow.
func (it *Iterator) Close() error {
	var err error
	for i := range it.sources {
		if e := it.sources[i].it.Close(); e != nil {
			err = errors.Join(err, e)
		}
	}
	it.Reset(nil)
	return err
}

// Entry returns the entry it stands on, which is a source's own: its slices are valid until the next positioning call.
func (it *Iterator) Entry() *kv.Entry {
	if len(it.order) == 0 {
		return &it.nothing
	}
	return it.order[0].entry
}

// Err returns the error that ended the iteration, nil if none did.
func (it *Iterator) Err() error { return it.err }

// First moves to the smallest key.
func (it *Iterator) First() bool { return it.position(first, nil) }

// Last moves to the largest key.
func (it *Iterator) Last() bool { return it.position(last, nil) }

// SeekGE moves to the first key >= key.
func (it *Iterator) SeekGE(key []byte) bool { return it.position(seekGE, key) }

// SeekLT moves to the last key < key.
func (it *Iterator) SeekLT(key []byte) bool { return it.position(seekLT, key) }

// Next moves to the next larger key.
func (it *Iterator) Next() bool {
	if it.reverse {
		return it.turn()
	}
	if len(it.order) == 1 {
		return it.alone(it.order[0])
	}
	return it.step()
}

// Prev moves to the next smaller key.
func (it *Iterator) Prev() bool {
	if !it.reverse {
		return it.turn()
	}
	if len(it.order) == 1 {
		return it.alone(it.order[0])
	}
	return it.step()
}

// Skip moves on in the direction of travel, and lets some of the sources, those whose place in the slice given to Reset is
// true, pass their entries before to: they go on to their first key that is not before it or, in reverse, that is. If Next or
// Prev turns round after that, it may show entries that were passed.
func (it *Iterator) Skip(to []byte, which []bool) bool {
	at := 1 // the sources before it stand on the current key
	for at < len(it.order) && it.order[0].same(it.order[at]) {
		at++
	}
	for i, s := range it.order {
		c := kv.Compare(s.entry.Key, to)
		switch {
		case which[s.age] && it.reverse && c >= 0:
			s.on = s.it.SeekLT(to)
		case which[s.age] && !it.reverse && c < 0:
			s.on = s.it.SeekGE(to)
		case i >= at || it.next(s):
			continue
		}
		if !it.stand(s) {
			return false
		}
	}
	return it.arrange()
}

// alone makes a step of the only source in the order, which needs no head: until all are positioned anew, there is no other.
// One source is common, and this takes half the time of step.
func (it *Iterator) alone(s *source) bool {
	if it.next(s) {
		return true
	}
	it.order = it.order[:0]
	it.end(s)
	return false
}

// step moves on in the direction of travel: every source that stands on the current key does.
func (it *Iterator) step() bool {
	n := min(1, len(it.order))
	for n < len(it.order) && it.order[0].same(it.order[n]) {
		n++
	}
	it.passed++
	for i := n - 1; i >= 0; i-- { // the last first, so that those behind are always sorted
		s := it.order[i]
		if !it.next(s) {
			if !it.end(s) {
				return false
			}
			it.order = append(it.order[:i], it.order[i+1:]...)
			continue
		}
		s.head = it.heads.of(s.entry.Key, it.reverse)
		it.sink(i)
	}
	if it.heads.worn() {
		it.rehead()
	}
	return len(it.order) > 0
}

// sink puts order[i], which has moved, in its place among those behind it.
func (it *Iterator) sink(i int) {
	s := it.order[i]
	for ; i+1 < len(it.order) && it.before(it.order[i+1], s); i++ {
		it.order[i] = it.order[i+1]
	}
	it.order[i] = s
}

// before reports whether a comes before b in the order.
func (it *Iterator) before(a, b *source) bool {
	if a.head != b.head {
		return a.head < b.head
	}
	c := kv.Compare(a.entry.Key, b.entry.Key)
	if c == 0 {
		return a.age < b.age
	}
	it.heads.ties++
	return c < 0 != it.reverse
}

// same reports whether both stand on the same key.
func (s *source) same(o *source) bool {
	return s.head == o.head && bytes.Equal(s.entry.Key, o.entry.Key)
}

// position is an absolute positioning call.
type position uint8

const (
	first position = iota
	last
	seekGE
	seekLT
)

func (s *source) position(p position, key []byte) bool {
	switch p {
	case first:
		return s.it.First()
	case last:
		return s.it.Last()
	case seekGE:
		return s.it.SeekGE(key)
	}
	return s.it.SeekLT(key)
}

// position moves all sources and sorts them.
func (it *Iterator) position(p position, key []byte) bool {
	it.err, it.reverse, it.passed = nil, p == last || p == seekLT, 0
	if p == seekGE || p == seekLT {
		it.aim(key)
	}
	for i := len(it.sources) - 1; i >= 0; i-- {
		s := &it.sources[i]
		s.want = 1
		if s.on = s.position(p, key); !it.stand(s) {
			return false
		}
	}
	return it.arrange()
}

// aim aims the sources at a key, if there are several. The oldest are the first to fetch, and to be sought: what a table needs
// comes from memory while a memtable, which is newer, is searched, and what that needs while the table is.
func (it *Iterator) aim(key []byte) {
	if len(it.sources) <= 1 {
		return
	}
	for i := len(it.sources) - 1; i >= 0; i-- {
		if s := &it.sources[i]; s.aims != nil {
			s.aims.Aim(key, it.reverse)
		}
	}
	for i := len(it.sources) - 1; i >= 0; i-- {
		if s := &it.sources[i]; s.aims != nil {
			s.aims.Fetch()
		}
	}
}

// turn moves by one step against the direction of travel. Every source stands on its first key that is not behind the
// current one, so that one step back takes it to its first key behind; one that has ended has all its keys behind.
func (it *Iterator) turn() bool {
	if len(it.order) == 0 {
		return false
	}
	it.reverse = !it.reverse
	for i := range it.sources {
		s := &it.sources[i]
		if s.on {
			s.settle()
		}
		switch {
		case it.reverse && s.on:
			s.on = s.it.Prev()
		case it.reverse:
			s.on = s.it.Last()
		case s.on:
			s.on = s.it.Next()
		default:
			s.on = s.it.First()
		}
		if !it.stand(s) {
			return false
		}
	}
	return it.arrange()
}

// stand takes over where a source has moved to. It returns false if the source stands nowhere because of an error.
func (it *Iterator) stand(s *source) bool {
	if !s.on {
		return it.end(s)
	}
	it.ask(s, s.want)
	return true
}

// end deals with a source that does not stand on an entry. It returns false if that is because of an error.
func (it *Iterator) end(s *source) bool {
	if it.err = s.it.Err(); it.err != nil {
		it.order = it.order[:0]
		return false
	}
	return true
}

// arrange sorts the sources after all of them have moved.
func (it *Iterator) arrange() bool {
	it.order = it.order[:0]
	for i := range it.sources {
		if s := &it.sources[i]; s.on {
			it.order = append(it.order, s)
		}
	}
	if len(it.order) > 1 {
		it.rehead()
		for i := len(it.order) - 2; i >= 0; i-- {
			it.sink(i)
		}
	}
	return len(it.order) > 0
}

// rehead chooses the place of the heads anew, from the keys that the sources stand on.
func (it *Iterator) rehead() {
	if len(it.order) == 0 {
		return
	}
	key := it.order[0].entry.Key
	common, shortest := len(key), len(key)
	for _, s := range it.order[1:] {
		common = commonPrefix(key[:common], s.entry.Key)
		shortest = min(shortest, len(s.entry.Key))
	}
	it.heads.choose(key[:common], shortest)
	for _, s := range it.order {
		s.head = it.heads.of(s.entry.Key, it.reverse)
	}
}
