package memtable

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestLoad checks that what was loaded and what is set afterwards come in one order, both ways and from any key, whatever the
// keys are like: so many that each way to sort them and to choose a prefix has its turn.
func TestLoad(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, shape := range []struct {
		name string
		key  func(i int) string
	}{
		{"random digits", func(int) string { return fmt.Sprintf("user%020d", random.Uint64()) }},
		{"counted", func(i int) string { return fmt.Sprintf("user%020d", i) }},
		{"counted down", func(i int) string { return fmt.Sprintf("user%020d", 1<<20-i) }},
		{"ties in the head", func(i int) string { return fmt.Sprintf("%c/the same for all of them/%d", 'a'+i%3, random.Uint32()) }},
		{"short and long", func(int) string { return string(make([]byte, random.IntN(40)+1)) + fmt.Sprint(random.IntN(1000)) }},
		{"strays", func(i int) string {
			if i%9 == 0 {
				return string([]byte{byte(random.Uint32()), byte(i), byte(i >> 8)})
			}
			return fmt.Sprintf("user%d", random.Uint64())
		}},
	} {
		for _, loaded := range []int{0, 1, 200, firstLook - 1, firstLook, 3 * firstLook} {
			t.Run(fmt.Sprint(shape.name, ", ", loaded), func(t *testing.T) {
				m := NewLoading()
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
				add(loaded)
				if len(want) != m.Len() {
					t.Fatalf("Len() = %d while loading, want %d", m.Len(), len(want))
				}
				m.EndLoad()
				checkSorted(t, m, want)
				add(firstLook)
				checkSorted(t, m, want)
				if loaded == firstLook {
					add(lastLook)
					checkSorted(t, m, want)
				}
			})
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
