//go:build !race

package ebb

import (
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestTypedAllocations: a look-up allocates what it returns. The race detector lets pools forget, so it is left out
// there.
func TestTypedAllocations(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	pairs := codec.PairOf(codec.String(), codec.Int64())
	numbers := NewTyped(db, []byte("n/"), pairs, codec.Uint64())
	lives := NewTyped(db, []byte("l/"), pairs, codec.Uint64(), DefaultTTL(time.Hour))
	texts := NewTyped(db, []byte("t/"), codec.Uint64(), codec.String())
	key := codec.Pair[string, int64]{First: "a\x00b", Second: 1}
	must(t, numbers.Put(key, 7))
	must(t, texts.Put(1, "a text that does not fit into a word"))
	for _, row := range []struct {
		name string
		most float64
		f    func()
	}{
		{"a number", 0, func() { numbers.Get(key) }},
		{"a text", 1, func() { texts.Get(1) }},
		{"has", 0, func() { texts.Has(1) }},
		{"a put with a default life", 0, func() { lives.Put(key, 7, NoSync) }},
		{"absent", 0, func() { texts.Get(2) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(1000, row.f); n > row.most {
				t.Errorf("%v allocations, want at most %v", n, row.most)
			}
		})
	}
}
