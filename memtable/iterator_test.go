package memtable

import (
	"fmt"
	"math"
	"testing"
)

// TestIteratorNowhere moves iterators that stand on nothing.
func TestIteratorNowhere(t *testing.T) {
	m := New(Hint{})
	for i := range 3 {
		mustSet(t, m, fmt.Sprint("key", i), "value", uint64(i+10))
	}
	closed := m.NewIterator(math.MaxUint64)
	closed.First()
	if err := closed.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	ended := m.NewIterator(math.MaxUint64)
	for ok := ended.First(); ok; {
		ok = ended.Next()
	}
	key := []byte("key1")
	for _, c := range []struct {
		name  string
		it    *Iterator
		seeks bool // whether First and the others find something
	}{
		{"zero", new(Iterator), false},
		{"closed", closed, false},
		{"fresh", m.NewIterator(math.MaxUint64), true},
		{"at the end", ended, true},
		{"empty memtable", New(Hint{}).NewIterator(math.MaxUint64), false},
		{"sequence before the first", m.NewIterator(9), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.it.Next() || c.it.Prev() {
				t.Errorf("Next or Prev from nowhere finds %q", c.it.Entry().Key)
			}
			for _, row := range []struct {
				name string
				seek func() bool
			}{
				{"First", c.it.First}, {"Last", c.it.Last},
				{"SeekGE", func() bool { return c.it.SeekGE(key) }}, {"SeekLT", func() bool { return c.it.SeekLT(key) }},
				{"SeekGE(nil)", func() bool { return c.it.SeekGE(nil) }},
				{"aimed SeekGE", func() bool { aim(c.it, key, false); return c.it.SeekGE(key) }},
				{"aimed SeekLT", func() bool { aim(c.it, key, true); return c.it.SeekLT(key) }},
			} {
				t.Run(row.name, func(t *testing.T) {
					if got := row.seek(); got != c.seeks {
						t.Errorf("%s = %t, want %t", row.name, got, c.seeks)
					}
				})
			}
			if c.it.SeekLT(nil) || c.it.Next() || c.it.Prev() {
				t.Errorf("there is something below the empty key: %q", c.it.Entry().Key)
			}
			if err := c.it.Err(); err != nil {
				t.Errorf("Err = %v", err)
			}
		})
	}
	if e := closed.Entry(); e.Key != nil || e.Value != nil {
		t.Error("a closed iterator keeps its entry")
	}
}

func aim(it *Iterator, key []byte, before bool) {
	it.Aim(key, before)
	it.Fetch()
}

// TestIteratorAimedAndReset resets an iterator that was aimed: what was found for the seek is not the other memtable's.
func TestIteratorAimedAndReset(t *testing.T) {
	a, b := New(Hint{}), New(Hint{})
	for i := range 9 {
		mustSet(t, a, fmt.Sprint("a", i), "value", 1)
		mustSet(t, b, fmt.Sprint("b", i), "value", 1)
	}
	it := a.NewIterator(1)
	for _, before := range []bool{false, true} {
		aim(it, []byte("a5"), before)
		if it.Reset(b, 1); it.Next() || it.Prev() {
			t.Errorf("before %t: reset, it moves to %q", before, it.Entry().Key)
		}
		if ok := it.SeekGE([]byte("a5")); !ok || string(it.Entry().Key) != "b0" {
			t.Errorf("before %t: SeekGE finds %q, %t", before, it.Entry().Key, ok)
		}
		if it.SeekLT([]byte("a5")) {
			t.Errorf("before %t: SeekLT finds %q", before, it.Entry().Key)
		}
		it.Reset(a, 1)
	}
}

// TestIteratorSkipsUnseen has long stretches of keys that are too new, between those that the iterator sees.
func TestIteratorSkipsUnseen(t *testing.T) {
	const keys = 4000
	m := New(Hint{})
	var want []string
	for i := range keys {
		key, seq := fmt.Sprintf("key%06d", i), uint64(2)
		if i%700 == 350 || i == keys-1 {
			seq = 1
			want = append(want, key)
		}
		mustSet(t, m, key, "", seq)
	}
	it := m.NewIterator(1)
	var up, down []string
	for ok := it.First(); ok; ok = it.Next() {
		up = append(up, string(it.Entry().Key))
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		down = append([]string{string(it.Entry().Key)}, down...)
	}
	if fmt.Sprint(up) != fmt.Sprint(want) || fmt.Sprint(down) != fmt.Sprint(want) {
		t.Errorf("up %v\ndown %v\nwant %v", up, down, want)
	}
}
