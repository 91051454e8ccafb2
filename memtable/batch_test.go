package memtable

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// What comes in batches, large and small, is in one order with what is set alone, whatever of it is new, and a reader beside them
// sees at an older sequence what was there.
func TestBatch(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, shape := range []struct {
		name string
		key  func(i int) string
	}{
		{"random digits", func(int) string { return fmt.Sprintf("user%020d", random.Uint64()) }},
		{"counted", func(i int) string { return fmt.Sprintf("user%020d", i) }},
		{"one again and again", func(i int) string { return "key" }},
		{"many again", func(int) string { return fmt.Sprint("a/key/of/some/length/", random.IntN(9000)) }},
		{"other keys later", func(i int) string { return fmt.Sprintf("%04d/%d", i/(firstLook+50), random.Uint32()) }},
	} {
		for _, sizes := range [][]int{{minBatch}, {10, minBatch}, {900, 3 * minBatch, 1, minBatch}, {minBatch, 100, 9 * minBatch, minBatch, 10}} {
			t.Run(fmt.Sprint(shape.name, ", ", sizes), func(t *testing.T) {
				m := New(Hint{prefix: "use", walked: true}) // else a batch is in the list, as all is: see TestOrderBesideWrites
				var seen atomic.Uint64                      // the sequence that readers may see
				keys := []int{0}                            // how many there are at each sequence
				want := make(map[string]uint64)
				var stop atomic.Bool
				var mu sync.Mutex
				var reader sync.WaitGroup
				reader.Go(func() {
					for !stop.Load() {
						seq := seen.Load()
						mu.Lock()
						n := keys[seq]
						mu.Unlock()
						it := m.NewIterator(seq)
						for ok := it.First(); ok; ok = it.Next() {
							n--
						}
						it.Close()
						if n != 0 {
							t.Errorf("as of %d: %d keys are missing", seq, n)
							return
						}
					}
				})
				seq := uint64(0)
				for i, n := range sizes {
					m.BeginBatch(n)
					for range n {
						seq++
						key := shape.key(int(seq))
						want[key] = seq
						if err := m.Set([]byte(key), nil, seq, 0, kv.Put); err != nil {
							t.Fatal(err)
						}
						mu.Lock()
						keys = append(keys, len(want))
						mu.Unlock()
						if e, ok := m.Get([]byte(key), math.MaxUint64); !ok || e.Seq != seq {
							t.Fatalf("in a batch %s is %v, %v", key, e, ok)
						}
					}
					m.EndBatch()
					seen.Store(seq)
					if m.Len() != len(want) {
						t.Fatalf("Len() = %d, want %d", m.Len(), len(want))
					}
					if i > 0 && i < 3 || i == len(sizes)-1 {
						checkSorted(t, m, want)
					}
				}
				stop.Store(true)
				reader.Wait()
			})
		}
	}
}
