package merge

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"pgregory.net/rapid"
)

// keys are drawn so that many are equal, many share a long prefix, some are prefixes of others, and some have bytes that
// heads map to their limits.
func drawKey(t *rapid.T) string {
	prefix := rapid.SampledFrom([]string{"", "user", "user000000000000", "user0000000000001",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff"}).
		Draw(t, "prefix")
	if rapid.Bool().Draw(t, "number") {
		return prefix + fmt.Sprintf("%010d", rapid.IntRange(0, 60).Draw(t, "n"))
	}
	return prefix + rapid.StringOfN(rapid.SampledFrom([]rune("\x00ab\x7f")), 0, 4, -1).Draw(t, "suffix")
}

// drawSource returns the entries of one source, each with the source's number for a sequence.
func drawSource(t *rapid.T, seq uint64) []kv.Entry {
	keys := make(map[string]bool)
	for range rapid.IntRange(0, 40).Draw(t, "entries") {
		keys[drawKey(t)] = true
	}
	return entriesOf(seq, slices.Sorted(maps.Keys(keys))...)
}

// model is what an iterator should show, and where it should stand.
type model struct {
	entries []kv.Entry
	at      int  // -1: nowhere
	reverse bool // the direction of travel
}

func (m *model) stand(i int) bool {
	m.at = -1
	if i >= 0 && i < len(m.entries) {
		m.at = i
	}
	return m.at >= 0
}

func (m *model) search(key []byte) int {
	return sort.Search(len(m.entries), func(i int) bool { return kv.Compare(m.entries[i].Key, key) >= 0 })
}

// move makes one random positioning call on both and reports whether they agree about what it returned.
func (m *model) move(t *rapid.T, it kv.Iterator) (call string, got, want bool) {
	switch op := rapid.SampledFrom([]string{"Next", "Next", "Next", "Prev", "Prev", "Prev",
		"SeekGE", "SeekLT", "aimed", "First", "Last", "Run", "Run", "Run"}).Draw(t, "op"); op {
	case "Run":
		return op, m.run(t, it.(kv.Runner)), m.at >= 0
	case "aimed":
		return m.aimed(t, it)
	case "Next":
		m.reverse = false
		return op, it.Next(), m.at >= 0 && m.stand(m.at+1)
	case "Prev":
		m.reverse = true
		return op, it.Prev(), m.at >= 0 && m.stand(m.at-1)
	case "First":
		m.reverse = false
		return op, it.First(), m.stand(0)
	case "Last":
		m.reverse = true
		return op, it.Last(), m.stand(len(m.entries) - 1)
	case "SeekGE":
		m.reverse = false
		key := []byte(drawKey(t))
		return fmt.Sprintf("SeekGE(%q)", key), it.SeekGE(key), m.stand(m.search(key))
	default:
		m.reverse = true
		key := []byte(drawKey(t))
		return fmt.Sprintf("SeekLT(%q)", key), it.SeekLT(key), m.stand(m.search(key) - 1)
	}
}

// aimed makes a call that follows Aim: the seek that was announced, or First or Last. An iterator that cannot be aimed makes the
// call alone.
func (m *model) aimed(t *rapid.T, it kv.Iterator) (call string, got, want bool) {
	key, before := []byte(drawKey(t)), rapid.Bool().Draw(t, "before")
	if a, ok := it.(kv.Aimer); ok {
		for range rapid.IntRange(0, 1).Draw(t, "aimed in vain") {
			a.Aim([]byte(drawKey(t)), rapid.Bool().Draw(t, "vainly before"))
			a.Fetch()
		}
		if a.Aim(key, before); rapid.Bool().Draw(t, "fetch") {
			a.Fetch()
		}
	}
	m.reverse = before
	first := rapid.IntRange(0, 3).Draw(t, "to the edge") == 0
	switch {
	case first && before:
		return "Last after Aim", it.Last(), m.stand(len(m.entries) - 1)
	case first:
		return "First after Aim", it.First(), m.stand(0)
	case before:
		return fmt.Sprintf("aimed SeekLT(%q)", key), it.SeekLT(key), m.stand(m.search(key) - 1)
	}
	return fmt.Sprintf("aimed SeekGE(%q)", key), it.SeekGE(key), m.stand(m.search(key))
}

// run checks a run, mostly in the direction of travel, and passes over some of it. It returns whether there was one.
func (m *model) run(t *rapid.T, it kv.Runner) bool {
	want, reverse := rapid.IntRange(1, 20).Draw(t, "want"), m.reverse
	if turned := rapid.IntRange(0, 9).Draw(t, "turned") == 0; turned {
		reverse = !reverse
	}
	run, _ := it.Run(want, reverse)
	if m.at < 0 || len(run) == 0 {
		return len(run) > 0
	}
	first := m.at
	if reverse {
		first = m.at + 1 - len(run)
	}
	if len(run) > want || first < 0 || first+len(run) > len(m.entries) {
		t.Fatalf("a run of %d entries at %d of %d, reverse %t, wanted %d", len(run), m.at, len(m.entries), reverse, want)
	}
	for i := range run {
		if e, want := &run[i], &m.entries[first+i]; kv.Compare(e.Key, want.Key) != 0 || e.Seq != want.Seq {
			t.Fatalf("entry %d of a run is %q of source %d, want %q of %d", i, e.Key, e.Seq, want.Key, want.Seq)
		}
	}
	longest = max(longest, len(run))
	n := rapid.IntRange(0, len(run)-1).Draw(t, "pass")
	if it.Pass(n, reverse); reverse {
		n = -n
	}
	m.at += n
	return true
}

// longest is the length of the longest run that a model has seen.
var longest int

func (m *model) check(t *rapid.T, it kv.Iterator, call string, got, want bool) {
	if got != want || it.Err() != nil {
		t.Fatalf("%s returned %v, want %v; error %v", call, got, want, it.Err())
	}
	if !got {
		if e := it.Entry(); len(e.Key) != 0 {
			t.Fatalf("after %s it stands nowhere and shows %q", call, e.Key)
		}
		return
	}
	if e, want := it.Entry(), &m.entries[m.at]; kv.Compare(e.Key, want.Key) != 0 || e.Seq != want.Seq {
		t.Fatalf("%s moved to %q of source %d, want %q of %d", call, e.Key, e.Seq, want.Key, want.Seq)
	}
}

// merged returns the model of a merge of sources given newest first.
func merged(sources [][]kv.Entry) *model {
	newest := make(map[string]kv.Entry)
	for _, entries := range slices.Backward(sources) {
		for _, e := range entries {
			newest[string(e.Key)] = e
		}
	}
	m := &model{at: -1}
	for _, k := range slices.Sorted(maps.Keys(newest)) {
		m.entries = append(m.entries, newest[k])
	}
	return m
}

func TestIteratorModel(t *testing.T) {
	var it Iterator // one for all, so that what is left of an earlier use would show
	rapid.Check(t, func(t *rapid.T) {
		var all [][]kv.Entry
		var sources []kv.Iterator
		for seq := range rapid.IntRange(0, 9).Draw(t, "sources") {
			all = append(all, drawSource(t, uint64(seq)))
			sources = append(sources, drawIterator(t, all[seq]))
		}
		m := merged(all)
		it.Reset(sources)
		for range rapid.IntRange(1, 100).Draw(t, "moves") {
			call, got, want := m.move(t, &it)
			m.check(t, &it, call, got, want)
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if longest < 2 || aims == 0 {
		t.Errorf("the longest run had %d entries; sources were aimed %d times", longest, aims)
	}
}

// drawIterator returns an iterator over the entries, a plain one or a Concat.
func drawIterator(t *rapid.T, entries []kv.Entry) kv.Iterator {
	switch rapid.IntRange(0, 4).Draw(t, "plain") {
	case 0:
		return newSliceIter(entries)
	case 1, 2:
		return &runIter{sliceIter: newSliceIter(entries), most: rapid.IntRange(0, 20).Draw(t, "most")}
	case 3:
		return &aimIter{runIter: &runIter{sliceIter: newSliceIter(entries), most: 3}}
	}
	cuts := rapid.SliceOfN(rapid.IntRange(0, len(entries)), 0, 6).Draw(t, "cuts")
	slices.Sort(cuts)
	c := new(Concat[*run])
	if err := c.Reset(runsOf(entries, cuts), openRun); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConcatModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawSource(t, 1)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(entries)), 0, 8).Draw(t, "cuts")
		slices.Sort(cuts)
		runs := runsOf(entries, cuts)
		var c Concat[*run]
		if err := c.Reset(runs, openRun); err != nil {
			t.Fatal(err)
		}
		m := &model{entries: entries, at: -1}
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			call, got, want := m.move(t, &c)
			m.check(t, &c, call, got, want)
		}
		if rapid.Bool().Draw(t, "aimed at the end") {
			c.Aim([]byte(drawKey(t)), rapid.Bool().Draw(t, "before"))
			if err := c.Reset(runs, openRun); err != nil || c.Next() || c.Prev() {
				t.Fatalf("aimed and reset it stands on %q; error %v", c.Entry().Key, err)
			}
			m.at = -1
			call, got, want := m.move(t, &c)
			m.check(t, &c, call, got, want)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for i, r := range runs {
			if r.it.at >= 0 {
				t.Fatalf("part %d of %d was left open", i, len(runs))
			}
		}
	})
}

// An error of any source at any moment ends the iteration, shows in Err, and is forgotten by the next absolute positioning.
func TestIteratorErrorModel(t *testing.T) {
	failed := 0
	rapid.Check(t, func(t *rapid.T) {
		var all [][]kv.Entry
		var sources []kv.Iterator
		var bottom []*sliceIter
		for seq := range rapid.IntRange(1, 5).Draw(t, "sources") {
			all = append(all, drawSource(t, uint64(seq)))
			s, some := drawFailing(t, all[seq])
			bottom, sources = append(bottom, some...), append(sources, s)
		}
		m, it := merged(all), newMerge(sources...)
		broken := rapid.SampledFrom(bottom).Draw(t, "broken")
		broken.fail = rapid.IntRange(1, 30).Draw(t, "fail")
		for moves := 0; broken.fail > 0 && moves < 300; moves++ { // it may be an empty part that no move comes to
			call, got, want := m.move(t, it)
			if broken.fail > 0 {
				m.check(t, it, call, got, want)
				continue
			}
			failed++
			if got || it.Err() != errBroken {
				t.Fatalf("%s returned %v after a source failed; Err() = %v", call, got, it.Err())
			}
			if it.Next() || it.Prev() || it.Err() != errBroken {
				t.Fatalf("it went on after an error; Err() = %v", it.Err())
			}
		}
		broken.fail = 0
		call, got, want := m.aimed(t, it)
		m.check(t, it, call, got, want)
		for range 20 {
			call, got, want := m.move(t, it)
			m.check(t, it, call, got, want)
		}
	})
	if failed == 0 {
		t.Error("no source failed")
	}
}

// drawFailing returns an iterator over the entries, and the iterators that it walks, which can fail.
func drawFailing(t *rapid.T, entries []kv.Entry) (kv.Iterator, []*sliceIter) {
	s := newSliceIter(entries)
	switch rapid.IntRange(0, 3).Draw(t, "failing") {
	case 0:
		return newMerge(s), []*sliceIter{s}
	case 1:
		return &aimIter{runIter: &runIter{sliceIter: s, most: 3}}, []*sliceIter{s}
	case 2:
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(entries)), 0, 6).Draw(t, "cuts")
		slices.Sort(cuts)
		runs := runsOf(entries, cuts)
		c := new(Concat[*run])
		if err := c.Reset(runs, openRun); err != nil {
			t.Fatal(err)
		}
		bottom := []*sliceIter{s} // where there is no part, nothing fails
		for i, r := range runs {
			bottom = append(bottom[:i], r.it)
		}
		return c, bottom
	}
	return s, []*sliceIter{s}
}
