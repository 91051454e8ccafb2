package memtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// history is a fixed sequence of operations: operation i, which has sequence i+1, writes the key ops[i]. What a reader at
// a sequence must see follows from it alone.
type history struct {
	keys   [][]byte // ascending
	ops    []int    // index in keys
	writes [][]int  // of each key: the sequences, ascending
}

func newHistory(seed uint64, keys, ops int) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &history{writes: make([][]int, keys)}
	for i := range keys {
		h.keys = append(h.keys, fmt.Appendf(nil, "user/%06d/%s", i/3, strings.Repeat("x", i%3)))
	}
	slices.SortFunc(h.keys, kv.Compare)
	fresh := r.Perm(keys)
	for seq := 1; seq <= ops; seq++ {
		k := r.IntN(keys)
		if seq%2 == 0 && len(fresh) > 0 {
			k, fresh = fresh[0], fresh[1:]
		}
		h.ops = append(h.ops, k)
		h.writes[k] = append(h.writes[k], seq)
	}
	return h
}

// apply writes the operation with this sequence: every seventh is a tombstone, every eleventh a range delete besides.
func (h *history) apply(t *testing.T, m *Memtable, seq int) {
	e := h.entry(h.ops[seq-1], seq)
	if err := m.Set(e.Key, e.Value, e.Seq, e.Deadline, e.Kind); err != nil {
		t.Errorf("Set: %v", err)
	}
	if seq%1100 == 0 {
		m.DeleteRange(e.Key, append(bytes.Clone(e.Key), 0), uint64(seq))
	}
}

// entry returns what the operation with this sequence wrote to its key.
func (h *history) entry(k, seq int) kv.Entry {
	e := kv.Entry{Key: h.keys[k], Seq: uint64(seq), Deadline: int64(seq % 3)}
	if seq%7 == 0 {
		e.Kind = kv.Delete
		return e
	}
	e.Value = binary.AppendUvarint(bytes.Repeat(e.Key, seq%4), uint64(seq))
	return e
}

// newest returns the sequence of the write to key k that a reader at seq sees, 0 if there is none.
func (h *history) newest(k, seq int) int {
	writes := h.writes[k]
	i, found := slices.BinarySearch(writes, seq)
	if found {
		return seq
	}
	if i == 0 {
		return 0
	}
	return writes[i-1]
}

// checkEntry fails unless e is exactly what a reader at seq must see of key k.
func (h *history) checkEntry(t *testing.T, what string, e *kv.Entry, ok bool, k, seq int) {
	want := h.newest(k, seq)
	if ok != (want > 0) {
		t.Errorf("%s at %d: key %d is there: %t, want a version: %d", what, seq, k, ok, want)
		return
	}
	if !ok {
		return
	}
	wantEntry := h.entry(k, want)
	if d := differ(e, &wantEntry); d != "" {
		t.Errorf("%s at %d: %s", what, seq, d)
	}
}

// checkWalk walks everything that seq sees, from somewhere in the middle to one end, to the other and back.
func (h *history) checkWalk(t *testing.T, it *Iterator, m *Memtable, seq, k int) {
	it.Reset(m, uint64(seq))
	next := func(k, step int) int {
		for k += step; k >= 0 && k < len(h.keys) && h.newest(k, seq) == 0; k += step {
		}
		return k
	}
	check := func(what string, ok bool, k int) bool {
		if inside := k >= 0 && k < len(h.keys); ok != inside {
			t.Errorf("%s at %d: %t, want key %d", what, seq, ok, k)
			return false
		}
		if ok {
			h.checkEntry(t, what, it.Entry(), true, k, seq)
		}
		return ok && !t.Failed()
	}
	aim := func(before bool) { // half of the seeks find their nodes before
		if seq%2 == 0 {
			it.Aim(h.keys[k], before)
			it.Fetch()
		}
	}
	at := next(k-1, 1)
	aim(false)
	for ok := check("SeekGE", it.SeekGE(h.keys[k]), at); ok; ok = check("Next", it.Next(), at) {
		at = next(at, 1)
	}
	at = next(k, -1)
	aim(true)
	for ok := check("SeekLT", it.SeekLT(h.keys[k]), at); ok; ok = check("Prev", it.Prev(), at) {
		at = next(at, -1)
	}
	at = next(-1, 1)
	if !check("First", it.First(), at) {
		return
	}
	for i := range 300 { // to and fro across the ends of what was read ahead
		step, move := 1, it.Next
		if i%5 > 2 && next(at, -1) >= 0 {
			step, move = -1, it.Prev
		}
		at = next(at, step)
		if !check("zigzag", move(), at) {
			return
		}
	}
}

// TestConcurrency has one writer and several readers, who check that they see exactly the prefix of the history that was
// there when they began. Enough keys come in for the prefix to be chosen twice, with a first one that is wrong; or for many to
// be there before anybody walks.
func TestConcurrency(t *testing.T) {
	t.Run("walked at once", func(t *testing.T) { testConcurrency(t, 0) })
	t.Run("walked later", func(t *testing.T) { testConcurrency(t, 30_000) })
}

func testConcurrency(t *testing.T, walksFrom int) {
	const seed, keys, ops = 11, lastLook + 1000, 45_000
	h := newHistory(seed, keys, ops)
	m := New(Hint{prefix: "user/000000/xxxxxxxx"})
	var applied atomic.Int64
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(reader)+1))
			it := new(Iterator)
			for seq := 0; seq < ops && !t.Failed(); {
				seq = int(applied.Load())
				for range 200 {
					k, asOf := r.IntN(keys), r.IntN(seq+1)
					if r.IntN(2) == 0 {
						asOf = seq
					}
					e, ok := m.Get(h.keys[k], uint64(asOf))
					h.checkEntry(t, "Get", &e, ok, k, asOf)
				}
				if got, least := m.RangeDeletes().Len(), seq/1100; got < least {
					t.Errorf("at %d: %d range deletes, want %d or more", seq, got, least)
				}
				if s := m.Stats(); s.MaxSeq < uint64(seq) || m.Size() < int64(seq) {
					t.Errorf("at %d: %+v, %d bytes", seq, s, m.Size())
				}
				if reader%2 == 0 && seq >= walksFrom {
					h.checkWalk(t, it, m, seq, r.IntN(keys))
				}
			}
		})
	}
	for seq := 1; seq <= ops; seq++ {
		h.apply(t, m, seq)
		applied.Store(int64(seq))
	}
	wg.Wait()
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	if got := m.Hint(); got.prefix != "user/" {
		t.Errorf("the prefix is %q", got.prefix)
	}
}

// TestWriterDoesNotWait inserts, reads and overwrites while a scan holds the tree, or puts in order what came before it.
func TestWriterDoesNotWait(t *testing.T) {
	t.Run("tree", func(t *testing.T) { testWriterDoesNotWait(t, Hint{walked: true}, maxQueue) })
	t.Run("list", func(t *testing.T) { testWriterDoesNotWait(t, Hint{}, 10*maxQueue) })
}

func testWriterDoesNotWait(t *testing.T, hint Hint, keys int) {
	m := New(hint)
	m.tree.list.sorting.Lock()
	m.tree.mu.Lock()
	for i := range keys {
		key := fmt.Append(nil, i)
		for seq := range uint64(2) {
			if err := m.Set(key, nil, seq, 0, kv.Put); err != nil {
				t.Fatal(err)
			}
			if e, ok := m.Get(key, seq); !ok || e.Seq != seq {
				t.Fatalf("Get(%s) = %t, %d", key, ok, e.Seq)
			}
		}
	}
	if m.Len() != keys || m.Size() == 0 {
		t.Errorf("Len = %d, Size = %d", m.Len(), m.Size())
	}
	m.tree.mu.Unlock()
	m.tree.list.sorting.Unlock()
	it, n := m.NewIterator(1), 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if n != keys {
		t.Errorf("the next scan finds %d of %d keys", n, keys)
	}
}

// TestPrefixBesideScans lets the prefix change, many times, while others scan.
func TestPrefixBesideScans(t *testing.T) {
	for round := range 30 {
		m := New(Hint{prefix: "zzz"})
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				it := new(Iterator)
				for {
					before := ""
					it.Reset(m, uint64(firstLook))
					for ok := it.First(); ok; ok = it.Next() {
						if key := string(it.Entry().Key); key <= before {
							t.Errorf("round %d: %q after %q", round, key, before)
						} else {
							before = key
						}
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for i := range firstLook + maxQueue {
			mustSet(t, m, fmt.Sprintf("user%d", i*7919%10007), "", uint64(i+1))
		}
		close(done)
		wg.Wait()
		mustSet(t, m, "user", "", firstLook+maxQueue+1) // the others may all have come before the first walk had an order
		it, n := m.NewIterator(uint64(firstLook)), 0
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		if n != firstLook || m.Hint().prefix != "us" {
			t.Fatalf("round %d: %d keys, prefix %q", round, n, m.Hint().prefix)
		}
	}
}
