package memtable

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

func mustSet(t testing.TB, m *Memtable, key, value string, seq uint64) {
	t.Helper()
	if err := m.Set([]byte(key), []byte(value), seq, 0, kv.Put); err != nil {
		t.Fatalf("Set of %d + %d bytes: %v", len(key), len(value), err)
	}
}

func TestSetLimits(t *testing.T) {
	large := make([]byte, MaxValueSize+1) // never written to, so that it takes no memory
	for _, c := range []struct {
		name       string
		key, value int
		kind       kv.Kind
		err        error
	}{
		{"empty key", 0, 1, kv.Put, ErrSize},
		{"shortest key", 1, 1, kv.Put, nil},
		{"empty value", 1, 0, kv.Put, nil},
		{"longest key", MaxKeySize, 1, kv.Put, nil},
		{"key too long", MaxKeySize + 1, 1, kv.Put, ErrSize},
		{"longest shared entry", 1, maxShared - keyAt - 1, kv.Put, nil},
		{"shortest lone entry", 1, maxShared - keyAt, kv.Put, nil},
		{"value of a page", 1, pageSize, kv.Put, nil},
		{"value of several pages", MaxKeySize, 5 << 20, kv.Put, nil},
		{"value too long", 1, MaxValueSize + 1, kv.Put, ErrSize},
		{"tombstone, its value ignored", 1, 100, kv.Delete, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(Hint{})
			for seq := uint64(1); seq <= 2; seq++ { // a node, then a version
				key, value := bytes.Repeat([]byte("k"), c.key), large[:c.value]
				if err := m.Set(key, value, seq, 7, c.kind); !errors.Is(err, c.err) {
					t.Fatalf("Set = %v, want %v", err, c.err)
				}
				e, ok := m.Get(key, seq)
				if ok != (c.err == nil) {
					t.Fatalf("Get = %t after Set = %v", ok, c.err)
				}
				if !ok {
					continue
				}
				want := kv.Entry{Key: key, Value: value, Seq: seq, Deadline: 7, Kind: c.kind}
				if c.kind == kv.Delete {
					want.Value = nil
				}
				if d := differ(&e, &want); d != "" {
					t.Fatal(d)
				}
			}
		})
	}
}

func TestGetAtSequence(t *testing.T) {
	m := New(Hint{})
	key := []byte("key")
	mustSet(t, m, "key", "one", 10)
	if err := m.Set(key, nil, 20, 0, kv.Delete); err != nil {
		t.Fatal(err)
	}
	mustSet(t, m, "key", "three", 30)
	mustSet(t, m, "key", "three again", 30)
	for _, c := range []struct {
		seq  uint64
		want string
	}{
		{0, "none"}, {9, "none"}, {10, "one"}, {19, "one"}, {20, "deleted"}, {29, "deleted"}, {30, "three again"},
		{math.MaxUint64, "three again"},
	} {
		e, ok := m.Get(key, c.seq)
		got := string(e.Value)
		if !ok {
			got = "none"
		} else if e.Kind == kv.Delete {
			got = "deleted"
		}
		if got != c.want {
			t.Errorf("Get at %d = %s, want %s", c.seq, got, c.want)
		}
	}
}

// TestEntriesAreApart appends to what Get returned, which must not reach the neighbours in the arena.
func TestEntriesAreApart(t *testing.T) {
	m := New(Hint{})
	for i := range 3 {
		mustSet(t, m, fmt.Sprint("key", i), "", uint64(i+1))
	}
	e, _ := m.Get([]byte("key1"), 3)
	_ = append(e.Key, "overrun overrun overrun"...)
	_ = append(e.Value, "overrun overrun overrun"...)
	for i := range 3 {
		if e, ok := m.Get(fmt.Append(nil, "key", i), 3); !ok || len(e.Value) != 0 {
			t.Errorf("key%d: %t, %q", i, ok, e.Value)
		}
	}
}

func TestFull(t *testing.T) {
	m := New(Hint{})
	mustSet(t, m, "first", "value", 1)
	m.arena.next = maxPages - 1
	mustSet(t, m, "alone", strings.Repeat("x", maxShared), 2) // the last page
	if err := m.Set([]byte("new"), make([]byte, maxShared), 3, 0, kv.Put); !errors.Is(err, ErrFull) {
		t.Errorf("Set of a new key = %v, want ErrFull", err)
	}
	if err := m.Set([]byte("first"), make([]byte, maxShared), 4, 9, kv.Put); !errors.Is(err, ErrFull) {
		t.Errorf("Set of an old key = %v, want ErrFull", err)
	}
	if _, ok := m.Get([]byte("new"), math.MaxUint64); ok || m.Len() != 2 {
		t.Errorf("the failed Set left a key: %t, %d keys", ok, m.Len())
	}
	if e, ok := m.Get([]byte("first"), math.MaxUint64); !ok || string(e.Value) != "value" {
		t.Errorf("the failed Set changed a key: %t, %d bytes", ok, len(e.Value))
	}
	if s := m.Stats(); s.MaxSeq != 2 || s.Deadlines != 0 {
		t.Errorf("the failed Set counts: %+v", s)
	}
	mustSet(t, m, "small", "fits into the rest of the first chunk", 5)
	for i := 0; ; i++ { // fill the rest
		if err := m.Set(fmt.Append(nil, i), make([]byte, 1000), 6, 0, kv.Put); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Errorf("Set = %v, want ErrFull", err)
			}
			break
		}
	}
}

func TestStats(t *testing.T) {
	m := New(Hint{})
	if got := m.Stats(); got != (Stats{}) {
		t.Errorf("of an empty memtable: %+v", got)
	}
	for _, e := range []kv.Entry{
		{Key: []byte("a"), Seq: 12, Deadline: 500},
		{Key: []byte("a"), Seq: 13},
		{Key: []byte("b"), Seq: 14, Deadline: 400},
		{Key: []byte("c"), Seq: 11, Deadline: 900, Kind: kv.Delete},
	} {
		set(t, m, e)
	}
	m.DeleteRange([]byte("a"), []byte("b"), 15)
	want := Stats{MinSeq: 11, MaxSeq: 15, Deadlines: 3, MinDeadline: 400, RangeDeletes: 1}
	if got := m.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if m.Len() != 3 {
		t.Errorf("Len = %d", m.Len())
	}
}

func TestDeleteRange(t *testing.T) {
	m := New(Hint{})
	if m.RangeDeletes() != nil {
		t.Error("range deletes in an empty memtable")
	}
	for i := range uint64(100) {
		m.DeleteRange(fmt.Appendf(nil, "%02d", i), []byte("a"), i+1)
		if d := m.RangeDeletes(); d.Len() != int(i+1) || len(d.All()) != int(i+1) {
			t.Fatalf("after %d: %d, of which %d are to be seen", i+1, d.Len(), len(d.All()))
		}
	}
	for i, want := range []uint64{0, 1, 2, 50, 51, 51} {
		asOf := []uint64{0, 1, 2, 50, 51, math.MaxUint64}[i]
		if got := m.RangeDeletes().Seq([]byte("50"), asOf); got != want {
			t.Errorf("Seq as of %d = %d, want %d", asOf, got, want)
		}
	}
}

// Range deletes count in Size as what they are, so that Options.Memory bounds them.
func TestRangeDeletesSize(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		name       string
		start, end func(i int) int
		most       int64 // bytes each
	}{
		{"apart", func(i int) int { return i * 7919 % n * 10 }, func(i int) int { return i*7919%n*10 + 5 }, 800},
		{"overlapping", func(i int) int { return i * 7919 % n * 10 }, func(i int) int { return i*7919%n*10 + 500 }, 800},
		{"a log that is cut off", func(i int) int { return 0 }, func(i int) int { return i + 1 }, 250},
	} {
		var before, after runtime.MemStats
		m := New(Hint{})
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			m.DeleteRange(fmt.Appendf(nil, "key%09d", c.start(i)), fmt.Appendf(nil, "key%09d", c.end(i)), uint64(i+1))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used, size := int64(after.HeapAlloc-before.HeapAlloc), m.Size()
		if size < used*9/10 || size > used*12/10 || size > c.most*n {
			t.Errorf("%s: Size is %d, the heap has grown by %d, %d a delete", c.name, size, used, used/n)
		}
		if m.RangeDeletes().Len() != n {
			t.Errorf("%s: %d deletes", c.name, m.RangeDeletes().Len())
		}
	}
}

func TestSize(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := New(Hint{})
	mustSet(t, m, "key", "value", 1)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<10 {
		t.Errorf("a memtable with one key allocated %d bytes", got)
	}
	if m.Size() > 1000 {
		t.Errorf("Size with one key = %d", m.Size())
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100_000 {
		mustSet(t, m, fmt.Sprintf("user%020d", r.Uint64()), strings.Repeat("x", 100), uint64(i+2))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc - before.HeapAlloc)
	if m.Size() < held*9/10 || m.Size() > held*11/10 {
		t.Errorf("Size = %d, the heap has grown by %d", m.Size(), held)
	}
	size := m.Size()
	m.DeleteRange(make([]byte, 500), make([]byte, 500), 1)
	if m.Size() < size+1000 {
		t.Errorf("Size with a range delete of 1000 bytes = %d, without %d", m.Size(), size)
	}
	runtime.KeepAlive(m)
}

func TestAllocs(t *testing.T) {
	m := New(Hint{})
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([][]byte, 50_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user%020d", r.Uint64())
	}
	value := make([]byte, 100)
	seq := uint64(0)
	setNext := func() {
		seq++
		if err := m.Set(keys[seq%uint64(len(keys))], value, seq, 0, kv.Put); err != nil {
			t.Fatal(err)
		}
	}
	for range len(keys) / 2 {
		setNext()
	}
	it := new(Iterator)
	var none int
	for _, c := range []struct {
		name string
		runs int
		most float64
		f    func()
	}{
		{"insert", len(keys) / 2, 0.1, setNext},
		{"overwrite", len(keys), 0.01, setNext},
		{"get", 1000, 0, func() {
			if _, ok := m.Get(keys[7], seq); !ok {
				none++
			}
		}},
		{"scan with an iterator used before", 1000, 0, func() {
			it.Reset(m, seq)
			ok := it.SeekGE(keys[7])
			for i := 0; i < 100 && ok; i++ {
				ok = it.Next()
			}
			for i := 0; i < 200 && ok; i++ {
				ok = it.Prev()
			}
			if !it.SeekLT(keys[8]) || !it.First() || !it.Last() {
				none++
			}
			it.Close()
		}},
		{"open an iterator", 1000, 1, func() { it = m.NewIterator(seq); it.First() }},
		{"range deletes", 1000, 0, func() { m.RangeDeletes() }},
	} {
		// AllocsPerRun rounds down, which is no use for what must happen rarely.
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range c.runs {
			c.f()
		}
		runtime.ReadMemStats(&after)
		if got := float64(after.Mallocs-before.Mallocs) / float64(c.runs); got > c.most+0.005 {
			t.Errorf("%s: %.3f allocations, want at most %.3f", c.name, got, c.most)
		}
		if got := testing.AllocsPerRun(100, c.f); got > c.most {
			t.Errorf("%s: %.0f allocations by AllocsPerRun, want at most %.0f", c.name, got, c.most)
		}
	}
	if none > 0 {
		t.Errorf("%d reads found nothing", none)
	}
}

// TestOrder walks and seeks through key sets that are hard on the heads, with every kind of prefix.
func TestOrder(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(n, length int) (keys []string) {
		for range n {
			b := make([]byte, length)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			keys = append(keys, string(b))
		}
		return keys
	}
	numbered := func(format string, n int) (keys []string) {
		for i := range n {
			keys = append(keys, fmt.Sprintf(format, i))
		}
		return keys
	}
	longest := strings.Repeat("a", MaxKeySize)
	for _, c := range []struct {
		name string
		keys []string
	}{
		{"extreme bytes", []string{"\x00", "\x00\x00", "\x00\xff", "\xff", "\xff\x00", "\xff\xff",
			strings.Repeat("\xff", 30), strings.Repeat("\x00", 30)}},
		{"prefixes", []string{"u", "us", "use", "user", "user\x00", "user\xff", "user0", "user00", "uses", "t", "v"}},
		{"padding", []string{"user0", "user0\x00", "user0\x00\x00", "user0" + strings.Repeat("\x00", 13), "user0\x00\x01"}},
		{"longest", []string{longest, longest[:MaxKeySize-1] + "b", longest[:MaxKeySize-1], "a"}},
		{"random", random(3000, 16)},
		{"short", append(random(300, 2), random(200, 1)...)},
		{"sequential", numbered("user%020d", lastLook+3000)},
		{"one key", []string{"k"}},
		{"two long prefixes", append(numbered("tenant/000001/user/%d", 2000), numbered("tenant/000002/user/%d", 2000)...)},
		{"strays at the ends", append(numbered("user/profile/%08d", lastLook), "\x00", "a", "user", "user/profilf", "z", "\xff")},
		{"first ones differ", append(random(firstLook, 10), numbered("user/profile/%08d", lastLook)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			hints := []string{"user0", "", "\xff\xff", "user000000000000", "\x00", "zzz", strings.Repeat("a", 100)}
			if len(c.keys) > firstLook {
				hints = hints[:3]
			}
			for _, hint := range hints {
				t.Run(fmt.Sprintf("%s, %.10q", c.name, hint), func(t *testing.T) {
					shuffled := slices.Clone(c.keys)
					r.Shuffle(len(c.keys), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
					if strings.HasPrefix(c.name, "first") || c.name == "sequential" {
						shuffled = c.keys
					}
					m := New(Hint{prefix: hint})
					for i, key := range shuffled {
						mustSet(t, m, key, key[len(key)/2:], uint64(i+1))
					}
					checkOrder(t, m, slices.Compact(slices.Sorted(slices.Values(c.keys))))
				})
			}
		})
	}
}

// checkOrder walks m both ways and seeks every key and its neighbours.
func checkOrder(t *testing.T, m *Memtable, sorted []string) {
	t.Helper()
	it := m.NewIterator(math.MaxUint64)
	at := func(what string, ok bool, i int) {
		t.Helper()
		if want := i >= 0 && i < len(sorted); ok != want {
			t.Fatalf("%s = %t, want %t", what, ok, want)
		}
		if ok && string(it.Entry().Key) != sorted[i] {
			t.Fatalf("%s is at %.40q, want %.40q", what, it.Entry().Key, sorted[i])
		}
	}
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		at("walking up", ok, i)
		i++
	}
	if i != len(sorted) || m.Len() != i {
		t.Fatalf("walked over %d keys, Len = %d, want %d", i, m.Len(), len(sorted))
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		i--
		at("walking down", ok, i)
	}
	for i, key := range sorted {
		if e, ok := m.Get([]byte(key), math.MaxUint64); !ok || string(e.Value) != key[len(key)/2:] {
			t.Fatalf("Get(%.40q) = %t, %.40q", key, ok, e.Value)
		}
		if len(sorted) > firstLook && i%17 != 0 {
			continue
		}
		at("SeekGE", it.SeekGE([]byte(key)), i)
		at("SeekLT", it.SeekLT([]byte(key)), i-1)
		above, _ := slices.BinarySearch(sorted, key+"\x00\x00")
		at("SeekGE above", it.SeekGE([]byte(key+"\x00\x00")), above)
		at("SeekLT above", it.SeekLT([]byte(key+"\x00")), i)
	}
}
