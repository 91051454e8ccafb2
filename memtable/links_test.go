package memtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// looks returns how many versions a reader at a sequence looks at, links included.
func (m *Memtable) looks(key []byte, seq uint64) (n int) {
	a := &m.arena
	node := m.index.find(a, key, m.index.hash(key))
	for version := a.latest(node).Load(); version != 0; n++ {
		b := a.bytes(version)
		s := binary.LittleEndian.Uint64(b[seqAt:])
		if s&^hasLinks <= seq {
			break
		}
		if s&hasLinks != 0 {
			n += 2
		}
		version = a.older(b, seq)
	}
	return n
}

// A read at an old sequence looks at about as many versions whatever the number of newer ones.
func TestOldVersion(t *testing.T) {
	m := New(Hint{})
	key := []byte("hot")
	worst := make(map[int]int)
	r := rand.New(rand.NewPCG(1, 1))
	for n := 1; n <= 160_000; n++ {
		deadline := int64(0)
		if n%3 == 0 {
			deadline = int64(n)
		}
		kind := kv.Put
		if n%5 == 0 {
			kind, deadline = kv.Delete, 0
		}
		if err := m.Set(key, fmt.Append(nil, n), uint64(10*n), deadline, kind); err != nil {
			t.Fatal(err)
		}
		if n != 10_000 && n != 40_000 && n != 160_000 {
			continue
		}
		total := 0
		for range 1000 {
			seq := r.Uint64N(uint64(10*n)) + 10
			total += m.looks(key, seq)
			at := int(seq / 10)
			e, ok := m.Get(key, seq)
			want := kv.Entry{Key: key, Value: fmt.Append(nil, at), Seq: uint64(10 * at)}
			if at%3 == 0 {
				want.Deadline = int64(at)
			}
			if at%5 == 0 {
				want.Kind, want.Deadline, want.Value = kv.Delete, 0, nil
			}
			if !ok || fmt.Sprint(e) != fmt.Sprint(want) {
				t.Fatalf("Get as of %d = %v, %t, want %v", seq, e, ok, want)
			}
		}
		worst[n] = total / 1000
		if first := m.looks(key, 10); first > 200 {
			t.Errorf("after %d overwrites the oldest takes %d looks", n, first)
		}
		if _, ok := m.Get(key, 9); ok {
			t.Errorf("there is something before the first version")
		}
	}
	for _, n := range []int{40_000, 160_000} {
		if worst[n] > worst[n/4]+20 || worst[n] > 120 {
			t.Errorf("looks at %d versions after %d overwrites, at %d after %d", worst[n], n, worst[n/4], n/4)
		}
	}
	t.Log(worst)
}

// Links are for keys that are written again and again: others take no more memory than they did.
func TestLinksAreForHotKeys(t *testing.T) {
	m := New(Hint{})
	const keys = 2000
	for round := range uint64(fewest + 1) {
		for k := range keys {
			if err := m.Set(fmt.Appendf(nil, "key%05d", k), []byte("12345678"), round*keys+uint64(k)+1, 0, kv.Put); err != nil {
				t.Fatal(err)
			}
		}
	}
	const node, version = 40, 24 // 18 + 8 + 8, and 16 + 8, in units of 8
	want := int64(keys * (node + fewest*version))
	if got := m.arena.used.Load(); got > want+want/50+keys*linksSize/linkEvery {
		t.Errorf("%d bytes in use, want about %d", got, want)
	}
}
