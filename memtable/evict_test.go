package memtable

import (
	"runtime"
	"testing"
)

// Recording evictions costs each about the same, however many there are, and lists that readers have do not change.
func TestManyEvictions(t *testing.T) {
	const n = 4096
	m := New(Hint{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		m.Evict(int64(n-i), uint64(i+1))
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(n*200); got > most {
		t.Errorf("%d evictions allocate %d bytes, want at most %d", n, got, most)
	}
	held := m.Evictions()
	m.Evict(1, n+1)
	if now := m.Evictions(); len(held) != n || len(now) != n+1 || now[n].Seq != n+1 {
		t.Fatalf("%d evictions were held, and %d are there", len(held), len(now))
	}
	for i, e := range held {
		if e.Seq != uint64(i+1) || e.Horizon != int64(n-i) {
			t.Fatalf("eviction %d is %+v", i, e)
		}
	}
}
