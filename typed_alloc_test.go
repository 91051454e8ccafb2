//go:build !race

package ebb

import (
	"context"
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
	type pair = codec.Pair[string, int64]
	key := pair{First: "a\x00b", Second: 1}
	must(t, numbers.Put(key, 7))
	must(t, lives.Put(key, 7))
	must(t, texts.Put(1, "a text that does not fit into a word"))
	load := func(context.Context, pair) (uint64, error) { return 7, nil }
	none, nowhere := pair{First: "b"}, func(context.Context, pair) (uint64, error) { return 0, ErrNotFound }
	numbers.GetOrLoad(t.Context(), none, time.Hour, nowhere, LoadNegative(time.Hour))
	for _, row := range []struct {
		name string
		most float64
		f    func()
	}{
		{"a number", 0, func() { numbers.Get(key) }},
		{"a hit", 0, func() { numbers.GetOrLoad(t.Context(), key, time.Hour, load) }},
		{"a hit with options", 0, func() { lives.GetOrLoad(t.Context(), key, time.Hour, load, LoadStale(time.Minute), LoadJitter(0.1)) }},
		{"none, remembered", 0, func() { numbers.GetOrLoad(t.Context(), none, time.Hour, nowhere, LoadNegative(time.Hour)) }},
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
