package merge

import (
	"errors"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

func TestNewestWins(t *testing.T) {
	it := newMerge(
		newSliceIter(entriesOf(3, "b", "d")),
		newSliceIter(entriesOf(2, "a", "b", "e")),
		newSliceIter(entriesOf(1, "a", "b", "c", "d", "e", "f")),
	)
	want := []string{"a:2", "b:3", "c:1", "d:3", "e:2", "f:1"}
	if got := forward(it); !slices.Equal(got, want) {
		t.Errorf("forward %q, want %q", got, want)
	}
	slices.Reverse(want)
	if got := backward(it); !slices.Equal(got, want) {
		t.Errorf("backward %q, want %q", got, want)
	}
}

func TestNoSources(t *testing.T) {
	for _, c := range []struct {
		name string
		it   *Iterator
	}{{"zero", &Iterator{}}, {"empty", newMerge(newSliceIter(nil), newSliceIter(nil))}} {
		t.Run(c.name, func(t *testing.T) {
			if c.it.First() || c.it.Last() || c.it.SeekGE([]byte("a")) || c.it.SeekLT([]byte("a")) || c.it.Next() || c.it.Prev() {
				t.Error("it stands somewhere")
			}
			if c.it.Err() != nil || c.it.Entry() == nil || c.it.Close() != nil {
				t.Errorf("error %v, entry %v", c.it.Err(), c.it.Entry())
			}
		})
	}
}

func TestCloseClosesAll(t *testing.T) {
	a, b := newSliceIter(entriesOf(1, "a")), newSliceIter(entriesOf(2, "a"))
	failing := &failingClose{*newSliceIter(nil)}
	it := newMerge(a, failing, b)
	it.First()
	if err := it.Close(); !errors.Is(err, errBroken) {
		t.Errorf("Close() = %v, want the error of a source", err)
	}
	if a.closed != 1 || b.closed != 1 {
		t.Errorf("closed %d and %d times, want once each", a.closed, b.closed)
	}
	if it.First() || it.Next() {
		t.Error("it goes on after Close")
	}
	if err := it.Close(); err != nil || a.closed != 1 {
		t.Errorf("second Close: %v, a source closed %d times", err, a.closed)
	}
}

type failingClose struct{ sliceIter }

func (*failingClose) Close() error { return errBroken }

func TestConcatErrors(t *testing.T) {
	entries := entriesOf(1, "a", "b", "c", "d")
	t.Run("a part fails", func(t *testing.T) {
		runs := runsOf(entries, []int{2})
		c := newConcat(t, runs)
		runs[1].it.fail = 1
		if got := forward(c); len(got) != 2 || c.Err() != errBroken {
			t.Errorf("showed %q, error %v", got, c.Err())
		}
		if c.Next() || c.Prev() {
			t.Error("it went on after an error")
		}
		if got := forward(c); len(got) != 4 || c.Err() != nil {
			t.Errorf("afresh it showed %q, error %v", got, c.Err())
		}
	})
	t.Run("closing a part fails", func(t *testing.T) {
		runs := runsOf(entries, []int{2})
		var c Concat[*run]
		if err := c.Reset(runs, func(r *run) kv.Iterator { return &failingClose{*r.it} }); err != nil {
			t.Fatal(err)
		}
		if got := forward(&c); len(got) != 2 || !errors.Is(c.Err(), errBroken) {
			t.Errorf("showed %q, error %v", got, c.Err())
		}
		if c.SeekLT([]byte("b")); c.Err() != nil {
			t.Errorf("afresh: %v", c.Err())
		}
		if err := c.Close(); !errors.Is(err, errBroken) {
			t.Errorf("Close() = %v", err)
		}
	})
}

// A seek that fails leaves the sources aimed that it has not come to, and whatever follows does not mind.
func TestErrorLeavesAimed(t *testing.T) {
	moves := map[string]func(*Iterator) bool{
		"First":  (*Iterator).First,
		"Last":   (*Iterator).Last,
		"SeekGE": func(it *Iterator) bool { return it.SeekGE([]byte("b")) },
		"SeekLT": func(it *Iterator) bool { return it.SeekLT([]byte("c")) },
	}
	want := map[string]string{"First": "a", "Last": "d", "SeekGE": "b", "SeekLT": "b"}
	for _, seek := range []string{"SeekGE", "SeekLT"} {
		for then, move := range moves {
			left := &aimIter{runIter: &runIter{sliceIter: newSliceIter(entriesOf(2, "a", "c")), most: 3}}
			oldest := newSliceIter(entriesOf(1, "b", "d")) // the oldest is sought first
			it := newMerge(left, oldest)
			oldest.fail = 1
			if moves[seek](it) || it.Err() != errBroken || !left.aimed {
				t.Fatalf("%s of a source that fails: error %v, aimed %t", seek, it.Err(), left.aimed)
			}
			if it.Next() || it.Prev() || it.Err() != errBroken || !left.aimed {
				t.Fatalf("it went on after an error of %s: error %v, aimed %t", seek, it.Err(), left.aimed)
			}
			if !move(it) || string(it.Entry().Key) != want[then] || it.Err() != nil || left.aimed {
				t.Errorf("%s after an error of %s: %q, error %v, aimed %t", then, seek, it.Entry().Key, it.Err(), left.aimed)
			}
		}
	}
}

// It opens what it needs, when it needs it, and has one part open at a time.
func TestConcatIsLazy(t *testing.T) {
	runs := runsOf(entriesOf(1, "a", "b", "c", "d", "e", "f"), []int{2, 4})
	var opened []string
	var c Concat[*run]
	err := c.Reset(runs, func(r *run) kv.Iterator {
		opened = append(opened, string(r.start))
		return r.it
	})
	if err != nil || len(opened) != 0 {
		t.Fatalf("Reset opened %q, error %v", opened, err)
	}
	if !c.SeekGE([]byte("c")) || !c.Next() || !slices.Equal(opened, []string{"c"}) {
		t.Errorf("a seek and a step within a part opened %q", opened)
	}
	if !c.Next() || !slices.Equal(opened, []string{"c", "e"}) || runs[1].it.closed != 1 {
		t.Errorf("a step out of a part opened %q, closed it %d times", opened, runs[1].it.closed)
	}
	if !c.SeekLT([]byte("c")) || !slices.Equal(opened, []string{"c", "e", "a"}) || runs[0].it.closed != 0 {
		t.Errorf("a seek opened %q", opened)
	}
	if err := c.Close(); err != nil || runs[0].it.closed != 1 {
		t.Errorf("Close: %v, part closed %d times", err, runs[0].it.closed)
	}
}

func TestAllocations(t *testing.T) {
	runs := runsOf(entriesOf(1, "user1", "user3", "user5", "user7"), []int{2})
	var c Concat[*run]
	sources := []kv.Iterator{newSliceIter(entriesOf(3, "user1", "user2")), newSliceIter(entriesOf(2, "user2", "user4", "x")), &c}
	key := []byte("user4")
	var it Iterator
	all := func() {
		if err := c.Reset(runs, openRun); err != nil {
			t.Fatal(err)
		}
		it.Reset(sources)
		for ok := it.First(); ok; ok = it.Next() {
		}
		for ok := it.Last(); ok; ok = it.Prev() {
		}
		if !it.SeekGE(key) || !it.Prev() || !it.SeekLT(key) || !it.Next() {
			t.Error("a step failed")
		}
	}
	all()
	if n := testing.AllocsPerRun(100, all); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
