package memtable

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestSample holds a sample of few keys against an iterator, entry by entry, and one of many against the figure, beside the
// writer.
func TestSample(t *testing.T) {
	m := New(Hint{})
	const few, keys = 200, 30_000
	key := func(i int) []byte { return fmt.Appendf(nil, "k%05d", i*7919%keys) }
	for i := range few {
		kind := kv.Put
		if i%3 == 0 {
			kind = kv.Delete
		}
		if err := m.Set(key(i), []byte("v"), uint64(2*i+1), 0, kind); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			mustSet(t, m, string(key(i)), "newer", uint64(2*i+2))
		}
	}
	for _, seq := range []uint64{0, 1, 77, math.MaxUint64} {
		for _, r := range [][2]string{{"", ""}, {"k1", ""}, {"", "k2"}, {"k00100", "k03"}, {"k3", "k2"}} {
			it := m.NewIterator(seq)
			ok := it.SeekGE([]byte(r[0]))
			if r[0] == "" {
				ok = it.First()
			}
			scale := m.Sample([]byte(r[0]), []byte(r[1]), seq, func(e *kv.Entry, first kv.Kind) {
				if !ok {
					t.Fatalf("as of %d, %q: %q too many", seq, r, e.Key)
				}
				if d := differ(e, it.Entry()); d != "" {
					t.Fatalf("as of %d, %q: %s", seq, r, d)
				}
				if oldest, _ := m.Get(e.Key, (e.Seq-1)|1); oldest.Kind != first {
					t.Fatalf("%q began as %v, not %v", e.Key, oldest.Kind, first)
				}
				ok = it.Next()
			})
			if ok && (r[1] == "" || string(it.Entry().Key) < r[1]) || scale != 1 {
				t.Fatalf("as of %d, %q: %q is missing, scaled by %v", seq, r, it.Entry().Key, scale)
			}
		}
	}
	var writer sync.WaitGroup
	for i := range keys {
		mustSet(t, m, string(key(i)), "v", uint64(1000+i))
	}
	writer.Go(func() {
		for i := range 3000 {
			if err := m.Set(fmt.Appendf(nil, "new%d", i), nil, uint64(100_000+i), 0, kv.Put); err != nil {
				t.Error(err)
			}
		}
	})
	defer writer.Wait()
	for _, r := range [][2]string{{"", ""}, {"k0", "k1"}, {"k2", ""}} {
		want := 10_000
		if r[0] == "" {
			want = keys
		}
		n := 0
		scale := m.Sample([]byte(r[0]), []byte(r[1]), 99_999, func(*kv.Entry, kv.Kind) { n++ })
		if got := scale * float64(n); math.Abs(got-float64(want)) > 0.1*float64(want) || n < want/4 {
			t.Errorf("%q: %d times %v, there are %d", r, n, scale, want)
		}
	}
}
