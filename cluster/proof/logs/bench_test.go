package logs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"
	raftbench "github.com/hashicorp/raft/bench"

	"github.com/ebbdb/ebb/cluster/raftlog"
)

// store is what a raft log and its stable values are kept in.
type store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

var stores = []struct {
	name string
	open func(dir string) (store, error)
}{
	{"ebb", func(dir string) (store, error) { return raftlog.Open(dir, nil) }},
	{"raft-wal", func(dir string) (store, error) { return raftwal.Open(dir) }},
	{"raft-boltdb", func(dir string) (store, error) { return raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db")) }},
}

// each runs a benchmark with each store, a new one each time.
func each(b *testing.B, run func(b *testing.B, s store)) {
	for _, kind := range stores {
		b.Run(kind.name, func(b *testing.B) {
			s, err := kind.open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			run(b, s)
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Those of raft/bench. Its DeleteRange stores entries with gaps between them, which neither ebb nor raft-wal takes:
// BenchmarkDeleteRange is the same without.
func BenchmarkFirstIndex(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.FirstIndex(b, s) })
}

func BenchmarkLastIndex(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.LastIndex(b, s) })
}
func BenchmarkGetLog(b *testing.B) { each(b, func(b *testing.B, s store) { raftbench.GetLog(b, s) }) }
func BenchmarkStoreLog(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.StoreLog(b, fromOne{s}) })
}
func BenchmarkStoreLogs(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.StoreLogs(b, s) })
}
func BenchmarkSet(b *testing.B) { each(b, func(b *testing.B, s store) { raftbench.Set(b, s) }) }
func BenchmarkGet(b *testing.B) { each(b, func(b *testing.B, s store) { raftbench.Get(b, s) }) }
func BenchmarkSetUint64(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.SetUint64(b, s) })
}
func BenchmarkGetUint64(b *testing.B) {
	each(b, func(b *testing.B, s store) { raftbench.GetUint64(b, s) })
}

// fromOne stores an entry under the index after its own: raft/bench begins with 0, which raft-wal does not take and no raft log
// has.
type fromOne struct{ store }

func (s fromOne) StoreLog(l *raft.Log) error {
	l.Index++
	return s.store.StoreLog(l)
}

// A deletion of ten entries at the beginning, as raft does after a snapshot.
func BenchmarkDeleteRange(b *testing.B) {
	each(b, func(b *testing.B, s store) {
		fill(b, s, 10*b.N+1, 4)
		b.ResetTimer()
		for n := range uint64(b.N) {
			if err := s.DeleteRange(10*n+1, 10*n+10); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What raft's pipeline stores at a time: 64 entries of 1 KiB.
func BenchmarkStore64(b *testing.B) {
	each(b, func(b *testing.B, s store) {
		b.SetBytes(64 << 10)
		for n := range b.N {
			b.StopTimer()
			logs := batch(uint64(64*n+1), 64, 1<<10)
			b.StartTimer()
			if err := s.StoreLogs(logs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Reads all over a log of 20,000 entries of 100 bytes.
func BenchmarkGetLogRandom(b *testing.B) {
	each(b, func(b *testing.B, s store) {
		const n = 20_000
		fill(b, s, n, 100)
		random := rand.New(rand.NewPCG(1, 2))
		b.ResetTimer()
		for range b.N {
			if err := s.GetLog(1+random.Uint64N(n), new(raft.Log)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// fill stores n entries, from 1 on.
func fill(b *testing.B, s store, n, size int) {
	const at = 1000
	for i := 0; i < n; i += at {
		if err := s.StoreLogs(batch(uint64(i+1), min(at, n-i), size)); err != nil {
			b.Fatal(err)
		}
	}
}

func batch(from uint64, n, size int) (logs []*raft.Log) {
	for i := range uint64(n) {
		logs = append(logs, &raft.Log{Index: from + i, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, size), AppendedAt: time.Unix(1, 0)})
	}
	return logs
}
