package merge

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

var errBroken = errors.New("broken source")

// sliceIter is a kv.Iterator over sorted entries. As the contract allows, it stands nowhere once a call has returned
// false, and it hands out its entry in memory that the next call overwrites.
type sliceIter struct {
	entries []kv.Entry
	at      int // -1: nowhere
	entry   kv.Entry
	scratch []byte

	fail   int // positioning calls until one fails; 0: none does
	err    error
	closed int
}

func newSliceIter(entries []kv.Entry) *sliceIter { return &sliceIter{entries: entries, at: -1} }

func (it *sliceIter) stand(i int) bool {
	it.err = nil
	for i := range it.scratch {
		it.scratch[i] = 0xEE
	}
	if it.fail > 0 {
		if it.fail--; it.fail == 0 {
			it.at, it.err = -1, errBroken
			return false
		}
	}
	if i < 0 || i >= len(it.entries) {
		it.at = -1
		return false
	}
	it.at = i
	e := &it.entries[i]
	it.scratch = append(append(it.scratch[:0], e.Key...), e.Value...)
	it.entry = *e
	it.entry.Key, it.entry.Value = it.scratch[:len(e.Key):len(e.Key)], it.scratch[len(e.Key):]
	return true
}

func (it *sliceIter) search(key []byte) int {
	i, _ := slices.BinarySearchFunc(it.entries, key, func(e kv.Entry, k []byte) int { return kv.Compare(e.Key, k) })
	return i
}

func (it *sliceIter) First() bool            { return it.stand(0) }
func (it *sliceIter) Last() bool             { return it.stand(len(it.entries) - 1) }
func (it *sliceIter) SeekGE(key []byte) bool { return it.stand(it.search(key)) }
func (it *sliceIter) SeekLT(key []byte) bool { return it.stand(it.search(key) - 1) }
func (it *sliceIter) Next() bool             { return it.at >= 0 && it.stand(it.at+1) }
func (it *sliceIter) Prev() bool             { return it.at >= 0 && it.stand(it.at-1) }
func (it *sliceIter) Entry() *kv.Entry       { return &it.entry }
func (it *sliceIter) Err() error             { return it.err }
func (it *sliceIter) Close() error           { it.closed++; it.at = -1; return nil }

// runIter is a sliceIter that has up to most entries at hand beside its own, in memory that the next call overwrites.
type runIter struct {
	*sliceIter
	most int
	hand []kv.Entry
}

func (it *runIter) spoil() {
	for i := range it.hand {
		e := &it.hand[i]
		for i := range e.Key {
			e.Key[i] = 0xEE
		}
		*e = kv.Entry{Key: e.Key[:0]}
	}
}

func (it *runIter) stood(ok bool) bool { it.spoil(); return ok }

func (it *runIter) First() bool            { return it.stood(it.sliceIter.First()) }
func (it *runIter) Last() bool             { return it.stood(it.sliceIter.Last()) }
func (it *runIter) SeekGE(key []byte) bool { return it.stood(it.sliceIter.SeekGE(key)) }
func (it *runIter) SeekLT(key []byte) bool { return it.stood(it.sliceIter.SeekLT(key)) }
func (it *runIter) Next() bool             { return it.stood(it.sliceIter.Next()) }
func (it *runIter) Prev() bool             { return it.stood(it.sliceIter.Prev()) }

func (it *runIter) Run(want int, reverse bool) ([]kv.Entry, bool) {
	it.spoil()
	if it.at < 0 {
		return nil, false
	}
	n := min(want, 1+it.most)
	from, to := it.at, min(it.at+n, len(it.entries))
	if reverse {
		from, to = max(0, it.at+1-n), it.at+1
	}
	it.hand = nil
	for _, e := range it.entries[from:to] {
		e.Key = bytes.Clone(e.Key)
		it.hand = append(it.hand, e)
	}
	return it.hand, it.most%2 == 0
}

// Pass does not spoil the run: a walk may look at it still. It cannot fail.
func (it *runIter) Pass(n int, reverse bool) {
	if reverse {
		n = -n
	}
	fail := it.fail
	it.fail = 0
	if n != 0 && (it.at < 0 || !it.sliceIter.stand(it.at+n)) {
		panic("passed over the end")
	}
	it.fail = fail
}

// aimIter is a runIter that can be aimed, and holds whoever aims it to the contract: Fetch follows Aim, the seek that follows is the
// one that was announced, and no step comes between.
type aimIter struct {
	*runIter
	aimed  bool
	key    []byte
	before bool
}

func (it *aimIter) Aim(key []byte, before bool) {
	it.aimed, it.key, it.before = true, bytes.Clone(key), before
	aims++
}

func (it *aimIter) Fetch() {
	if !it.aimed {
		panic("fetches what was not aimed at")
	}
}

// aims is how often an aimIter was aimed.
var aims int

func (it *aimIter) sought(key []byte, before bool) {
	if it.aimed && (before != it.before || !bytes.Equal(key, it.key)) {
		panic("another seek than that which was aimed")
	}
	it.aimed = false
}

func (it *aimIter) stepped() {
	if it.aimed {
		panic("a step of an iterator that was aimed")
	}
}

func (it *aimIter) First() bool            { it.aimed = false; return it.runIter.First() }
func (it *aimIter) Last() bool             { it.aimed = false; return it.runIter.Last() }
func (it *aimIter) SeekGE(key []byte) bool { it.sought(key, false); return it.runIter.SeekGE(key) }
func (it *aimIter) SeekLT(key []byte) bool { it.sought(key, true); return it.runIter.SeekLT(key) }
func (it *aimIter) Next() bool             { it.stepped(); return it.runIter.Next() }
func (it *aimIter) Prev() bool             { it.stepped(); return it.runIter.Prev() }
func (it *aimIter) Close() error           { it.aimed = false; return it.runIter.Close() }

// run is a Part: some entries and bounds that may be wider than they are.
type run struct {
	start, end []byte
	entries    []kv.Entry
	it         *sliceIter
	runs       *runIter // it, with runs; nil: without
	aims       *aimIter // runs, which can be aimed; nil: they cannot
}

func (r *run) Bounds() (start, end []byte) { return r.start, r.end }

func openRun(r *run) kv.Iterator {
	switch {
	case r.aims != nil:
		return r.aims
	case r.runs != nil:
		return r.runs
	}
	return r.it
}

// runsOf cuts sorted entries into parts before the given indexes, some of which may be equal.
func runsOf(entries []kv.Entry, cuts []int) []*run {
	var runs []*run
	at := 0
	for _, cut := range append(slices.Clone(cuts), len(entries)) {
		r := &run{entries: entries[at:cut]}
		if r.it = newSliceIter(r.entries); len(r.entries)%2 == 1 {
			r.runs = &runIter{sliceIter: r.it, most: 5}
		}
		if len(r.entries)%4 == 1 {
			r.aims = &aimIter{runIter: r.runs}
		}
		switch {
		case cut > at:
			r.start, r.end = r.entries[0].Key, append(bytes.Clone(r.entries[len(r.entries)-1].Key), 0)
		case at > 0 && at < len(entries): // nothing but a range delete between two keys
			r.start, r.end = append(bytes.Clone(entries[at-1].Key), 0), entries[at].Key
		}
		if kv.Compare(r.start, r.end) < 0 {
			runs = append(runs, r)
		}
		at = cut
	}
	return runs
}

func newMerge(sources ...kv.Iterator) *Iterator {
	it := new(Iterator)
	it.Reset(sources)
	return it
}

func newConcat(t testing.TB, runs []*run) *Concat[*run] {
	t.Helper()
	c := new(Concat[*run])
	if err := c.Reset(runs, openRun); err != nil {
		t.Fatal(err)
	}
	return c
}

func entriesOf(seq uint64, keys ...string) []kv.Entry {
	var entries []kv.Entry
	for _, k := range keys {
		entries = append(entries, kv.Entry{Key: []byte(k), Value: []byte{byte(seq)}, Seq: seq})
	}
	return entries
}

// forward returns "key:seq" of all that First and Next show.
func forward(it kv.Iterator) []string {
	var got []string
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, describe(it.Entry()))
	}
	return got
}

func backward(it kv.Iterator) []string {
	var got []string
	for ok := it.Last(); ok; ok = it.Prev() {
		got = append(got, describe(it.Entry()))
	}
	return got
}

func describe(e *kv.Entry) string { return string(e.Key) + ":" + string(rune('0'+e.Seq)) }
