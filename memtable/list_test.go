package memtable

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestList checks that what was set before the first walk and what is set afterwards come in one order, both ways and from any key,
// whatever the keys are like: so many that each way to sort them and to choose a prefix has its turn.
func TestList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, shape := range []struct {
		name string
		key  func(i int) string
	}{
		{"random digits", func(int) string { return fmt.Sprintf("user%020d", random.Uint64()) }},
		{"counted", func(i int) string { return fmt.Sprintf("user%020d", i) }},
		{"counted down", func(i int) string { return fmt.Sprintf("user%020d", 1<<20-i) }},
		{"ties in the head", func(i int) string { return fmt.Sprintf("%c/the same for all of them/%d", 'a'+i%3, random.Uint32()) }},
		{"ties again and again", func(i int) string {
			key := ""
			for bits := random.Uint32N(1 << 16); bits > 0; bits /= 2 {
				key += string(byte('a'+bits%2)) + "the same for all"
			}
			return key + "."
		}},
		{"short and long", func(int) string { return string(make([]byte, random.IntN(40)+1)) + fmt.Sprint(random.IntN(1000)) }},
		{"strays", func(i int) string {
			if i%9 == 0 {
				return string([]byte{byte(random.Uint32()), byte(i), byte(i >> 8)})
			}
			return fmt.Sprintf("user%d", random.Uint64())
		}},
	} {
		for _, before := range []int{0, 1, 200, firstLook - 1, firstLook, 3 * firstLook} {
			t.Run(fmt.Sprint(shape.name, ", ", before), func(t *testing.T) {
				m := New(Hint{prefix: "use"})
				if before == 3*firstLook {
					m.tree.list.max = 2 * firstLook // the others go to the tree before the list is in order
				}
				seq := uint64(0)
				want := make(map[string]uint64)
				add := func(n int) {
					for range n {
						seq++
						key := shape.key(int(seq))
						want[key] = seq
						if err := m.Set([]byte(key), nil, seq, 0, kv.Put); err != nil {
							t.Fatal(err)
						}
					}
				}
				add(before)
				if len(want) != m.Len() {
					t.Fatalf("Len() = %d before the first walk, want %d", m.Len(), len(want))
				}
				checkSpan(t, m, want)
				checkSorted(t, m, want)
				checkSpan(t, m, want)
				add(firstLook)
				checkSpan(t, m, want)
				checkSorted(t, m, want)
				if before == firstLook {
					add(lastLook)
					checkSorted(t, m, want)
				}
			})
		}
	}
}

// checkSpan compares the span of a memtable with few keys.
func checkSpan(t *testing.T, m *Memtable, want map[string]uint64) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	least, greatest := m.Span()
	switch {
	case len(keys) == 0:
		if least != nil || greatest != nil {
			t.Fatalf("Span() of nothing is %q, %q", least, greatest)
		}
	case string(least) != keys[0] || string(greatest) != keys[len(keys)-1]:
		t.Fatalf("Span() is %q, %q, want %q, %q", least, greatest, keys[0], keys[len(keys)-1])
	}
}

// TestSpanAsksForNoOrder has the span of many keys before and after a walk, the list being full or not.
func TestSpanAsksForNoOrder(t *testing.T) {
	for _, most := range []int64{100, maxList} {
		m, want := New(Hint{}), make(map[string]uint64)
		m.tree.list.max = most
		for i := range 300 {
			key := fmt.Sprintf("%06d", i*7919%1000)
			want[key] = uint64(i)
			mustSet(t, m, key, "", uint64(i))
			checkSpan(t, m, want)
		}
		if m.InOrder() || m.Hint().walked {
			t.Error("Span has asked for the order")
		}
		m.NewIterator(0).First()
		checkSpan(t, m, want)
	}
}

// TestPrefixOfTheLast has a walk begin that finds too few keys to choose a prefix for, and many come before it ends.
func TestPrefixOfTheLast(t *testing.T) {
	m := New(Hint{prefix: "zzz"})
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			mustSet(t, m, fmt.Sprintf("user/profile/%d", i), "", uint64(i+1))
		}
	}
	fill(10_000, 10_010)
	if prefix := m.tree.choosePrefix(false); string(prefix) != "zzz" {
		t.Fatalf("of ten keys the prefix is %q", prefix)
	}
	fill(10_010, 10_000+lastLook+2*minLeft)
	m.NewIterator(0).First()
	if got := m.Hint().prefix; got != "user/profil" {
		t.Errorf("the prefix is %q", got)
	}
	if m.tree.choosePrefix(false); m.Hint().prefix != "user/profil" {
		t.Errorf("in the end the prefix is %q", m.Hint().prefix)
	}
}

// TestClosedListKeepsItsPrefix has the node come that makes a prefix worth choosing when the list is closed and its nodes are sorted.
func TestClosedListKeepsItsPrefix(t *testing.T) {
	m, want := New(Hint{prefix: "zzz"}), make(map[string]uint64)
	set := func(i int) {
		key := fmt.Sprintf("user/profile/%d", i*7919%10007)
		want[key] = uint64(i)
		mustSet(t, m, key, "", uint64(i))
	}
	for i := 1; i < firstLook; i++ {
		set(i)
	}
	m.tree.choosePrefix(true)
	base := m.tree.sorted(m.tree.list.after(0), m.tree.choosePrefix(false))
	m.tree.list.closed.Store(false) // as the writer has seen it
	set(firstLook)
	m.tree.list.closed.Store(true)
	m.tree.choosePrefix(false)
	set(firstLook + 1)
	m.tree.mu.Lock()
	m.tree.mu.base, m.tree.mu.taken = base, int64(len(base))
	m.tree.list.ordered.Store(true)
	m.tree.mu.Unlock()
	checkSorted(t, m, want)
}

// TestNobodyWalks checks that what nobody walks is put in no order, nor is what comes after it; and that what comes after what
// somebody walks is, for as long as somebody does.
func TestNobodyWalks(t *testing.T) {
	m := New(Hint{})
	fill := func(want bool) {
		t.Helper()
		for i := range 2 * maxQueue {
			if err := m.Set(fmt.Append(nil, i), nil, 1, 0, kv.Put); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := m.Get([]byte("7"), 1); !ok {
			t.Fatal("a key is not there")
		}
		if got := m.tree.list.ordered.Load(); got != want {
			t.Fatalf("the nodes are in order: %t, want %t", got, want)
		}
	}
	fill(false)
	m = New(m.Hint())
	fill(false)
	m.NewIterator(1).First()
	fill(true)
	m = New(m.Hint())
	fill(true)
	m = New(m.Hint())
	fill(false)
}

// TestOrderBesideWrites lets the first walks begin anywhere in many rounds of writes, in batches among them: each sees the keys of
// its sequence, in order.
func TestOrderBesideWrites(t *testing.T) {
	const seed, keys = 7, 6000
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 60 {
		m := New(Hint{prefix: "7"})
		if r.IntN(2) == 0 {
			m.tree.list.max = 1500
		}
		var applied atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			from := int64(r.IntN(keys))
			wg.Go(func() {
				it := new(Iterator)
				for seq := int64(0); seq < keys && !t.Failed(); {
					if seq = applied.Load(); seq < from {
						runtime.Gosched()
						continue
					}
					it.Reset(m, uint64(seq))
					n, before := int64(0), ""
					for ok := it.First(); ok; ok = it.Next() {
						if key := string(it.Entry().Key); key <= before {
							t.Errorf("seed %d, round %d: %q after %q", seed, round, key, before)
						} else {
							before = key
						}
						n++
					}
					if n != seq {
						t.Errorf("seed %d, round %d: %d keys as of %d", seed, round, n, seq)
					}
				}
			})
		}
		batch := 1 + r.IntN(2)*minBatch
		for seq := int64(1); seq <= keys; {
			n := min(int64(batch), keys+1-seq)
			m.BeginBatch(int(n))
			for range n {
				key := fmt.Appendf(nil, "%04d/%d", seq*7919%keys, round)
				if err := m.Set(key, nil, uint64(seq), 0, kv.Put); err != nil {
					t.Error(err)
				}
				seq++
			}
			m.EndBatch()
			applied.Store(seq - 1)
		}
		wg.Wait()
		if n := m.Len(); n != keys {
			t.Errorf("seed %d, round %d: Len() = %d", seed, round, n)
		}
	}
}

// checkSorted walks a memtable, which must hold these keys with these sequences.
func checkSorted(t *testing.T, m *Memtable, want map[string]uint64) {
	t.Helper()
	var keys []string
	for key := range want {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	check := func(what string, ok bool, i int) {
		t.Helper()
		if ok != (i >= 0 && i < len(keys)) || ok && (string(it.Entry().Key) != keys[i] || it.Entry().Seq != want[keys[i]]) {
			t.Fatalf("%s: %t, entry %q, %d; key %d of %d is meant", what, ok, it.Entry().Key, it.Entry().Seq, i, len(keys))
		}
	}
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		check("Next", ok, i)
		i++
	}
	check("the end", false, i)
	for ok := it.Last(); ok; ok = it.Prev() {
		i--
		check("Prev", ok, i)
	}
	check("the beginning", false, i-1)
	for i, key := range keys {
		if i%17 == 0 {
			check("SeekGE", it.SeekGE([]byte(key)), i)
			check("SeekLT", it.SeekLT([]byte(key)), i-1)
			check("SeekGE after", it.SeekGE([]byte(key+"\x00")), i+1)
		}
	}
}
