package ebb

import (
	"fmt"
	"testing"
)

// TestLastWrites holds that a gap and too many operations are noticed.
func TestLastWrites(t *testing.T) {
	var l lastWrites
	all := &stretch{endless: true}
	if l.has(0, 1) {
		t.Error("an empty list has an operation")
	}
	for seq := uint64(10); seq < 20; seq++ {
		l.note(seq, fmt.Append(nil, seq), nil)
	}
	for _, c := range []struct {
		since, upTo uint64
		has         bool
	}{{9, 19, true}, {8, 19, false}, {9, 20, false}, {15, 15, true}, {0, 5, false}} {
		if l.has(c.since, c.upTo) != c.has {
			t.Errorf("has %d to %d: %t", c.since, c.upTo, !c.has)
		}
	}
	if l.touch(all, 19, 19) || !l.touch(all, 18, 19) || l.touch(&stretch{start: []byte("2"), endless: true}, 9, 19) {
		t.Error("touch")
	}
	l.note(30, []byte("k"), []byte("m"))
	if l.has(19, 30) || !l.has(29, 30) || !l.touch(&stretch{start: []byte("l"), endless: true}, 29, 30) {
		t.Error("after a gap")
	}
	for seq := uint64(31); seq < 31+uint64(len(l.ops)); seq++ {
		l.note(seq, []byte("k"), nil)
	}
	for i := range l.ops {
		if n := cap(l.ops[i].start) + cap(l.ops[i].end); n > 2*maxNoted {
			t.Fatalf("%d bytes are kept of an operation", n)
		}
	}
	if l.has(29, 40) || !l.has(30, 30+uint64(len(l.ops))) {
		t.Error("after too many")
	}
	l.note(400, []byte("k"), nil)
	l.note(401, make([]byte, MaxKeySize), nil)
	if l.has(399, 401) || l.has(400, 401) || l.has(399, 400) {
		t.Error("an operation on a long key is noted")
	}
	l.note(402, []byte("k"), make([]byte, maxNoted-1))
	if l.has(400, 402) || !l.has(401, 402) || !l.touch(all, 401, 402) {
		t.Error("after a long key")
	}
}
