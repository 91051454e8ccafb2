package ebb

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Operations of every kind and size come back as they were added, also where a batch is used again.
func TestBatchOps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ttls := []WriteOption{{}, TTL(time.Second), TTL(-1), ExpireAt(time.UnixMilli(1)), TTL(0)}
	sizes := []int{0, 1, 127, 128, 5000, maxOpChunk - 1, 2 * maxOpChunk}
	var l batchOps
	for round := range 30 {
		var want []batchOp
		for range rng.IntN(40) {
			o := batchOp{key: make([]byte, 1+rng.IntN(300)), kind: kv.Delete}
			if rng.IntN(3) > 0 {
				o.kind, o.ttl = kv.Put, ttls[rng.IntN(len(ttls))]
				o.value = make([]byte, sizes[rng.IntN(min(2+round, len(sizes)))])
			}
			for i := range o.key {
				o.key[i] = byte(rng.Uint32())
			}
			l.add(&o)
			want = append(want, o)
		}
		n, encoded := 0, 0
		for o := range l.all {
			w := &want[n]
			if string(o.key) != string(w.key) || len(o.value) != len(w.value) || o.kind != w.kind || o.ttl != w.ttl {
				t.Fatalf("round %d: operation %d is %.20q of %d bytes, %v", round, n, o.key, len(o.value), o.ttl)
			}
			encoded += len(o.key) + len(o.value)
			n++
		}
		if n != len(want) || l.count != n || l.encodedSize() < encoded {
			t.Fatalf("round %d: %d operations of %d, %d in %d bytes", round, n, l.count, encoded, l.encodedSize())
		}
		before := l.memory()
		l.reset()
		if l.memory() != before {
			t.Error("reset gives memory up")
		}
		for range l.all {
			t.Error("an empty batch has operations")
		}
	}
}

// A batch takes memory for its operations twice, as they are added and as they are encoded, however many there are: beside
// what the memtable takes, which Options.Memory bounds.
func TestLargeBatchMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's slices.Grow allocates twice")
	}
	const n, size = 60_000, 16 + 270
	for _, ttl := range [][]WriteOption{nil, {TTL(time.Hour)}} {
		o := manualOptions(vfs.OS, newFakeClock(), SyncNever)
		o.memtableSize, o.segmentSize = 64<<20, 64<<20
		db, err := Open(t.TempDir(), o)
		must(t, err)
		must(t, db.Put([]byte("first"), nil)) // makes what is made once
		key, value := make([]byte, 16), make([]byte, 270)
		start := allocated()
		var b Batch
		for i := range n {
			must(t, b.Put(fmt.Appendf(key[:0], "key%013d", i), value, ttl...))
		}
		e, err := b.encode(0)
		must(t, err)
		encoded := slices.Clip(e.Value)
		total := allocated() - start
		if limit := uint64(2*n*(size+16) + 2*maxOpChunk); total > limit {
			t.Errorf("a batch of %d bytes, %d encoded, has allocated %d, want at most %d", n*size, len(encoded), total, limit)
		}
		start = allocated()
		must(t, db.Apply(&b))
		total = allocated() - start
		if limit := uint64(db.pipeline.mu.mem.Size()) * 3 / 2; total > limit {
			t.Errorf("Apply of %d bytes has allocated %d, the memtable has %d", n*size, total, db.pipeline.mu.mem.Size())
		}
		t.Logf("Apply has allocated %d for a memtable of %d", total, db.pipeline.mu.mem.Size())
		must(t, db.Close())
	}
}

// allocated returns how many bytes have been allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
