package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
)

func benchCommand() command {
	return command{"bench", "", "measure this machine: YCSB A, B and C for a few seconds each", 0, 0, tool, bench,
		"It loads records into a database in a temporary directory, which it removes, and then reads and updates them with\n" +
			"keys chosen as YCSB does, a few of them often. A is half updates, B one in twenty, C none. Figures are of this\n" +
			"machine at this moment; to compare stores there is the module bench."}
}

// workload is a mix of reads and updates.
type workload struct {
	name    string
	updates float64 // share of the operations
}

var workloads = []workload{{"A", 0.5}, {"B", 0.05}, {"C", 0}}

// benchmark is what bench was asked for.
type benchmark struct {
	records, valueSize, clients int
	duration                    time.Duration
	sync                        bool
	db                          *ebb.DB
}

func bench(flags *flag.FlagSet) action {
	var b benchmark
	flags.IntVar(&b.records, "records", 100_000, "how `many` records")
	flags.IntVar(&b.valueSize, "value", 100, "`bytes` of a value")
	flags.IntVar(&b.clients, "clients", 4, "how `many` do it at once")
	flags.DurationVar(&b.duration, "for", 2*time.Second, "how `long` each workload runs")
	flags.BoolVar(&b.sync, "sync", false, "wait for the disk with every update")
	parent := flags.String("in", "", "make the temporary directory in this `directory`")
	return func(ctx context.Context, s *session, _ []string) error {
		if b.records < 1 || b.records > 1e8 || b.valueSize < 0 || b.valueSize > 1<<20 || b.clients < 1 || b.clients > 1024 ||
			b.duration <= 0 {
			return &usageError{errors.New("1 to 1e8 records, values up to 1 MiB, 1 to 1024 clients, and some time"), nil}
		}
		dir, err := os.MkdirTemp(*parent, "ebb-bench-")
		if err != nil {
			return err
		}
		err = b.run(ctx, s, filepath.Join(dir, "db"))
		return errors.Join(err, os.RemoveAll(dir))
	}
}

// run loads the records and runs the workloads.
func (b *benchmark) run(ctx context.Context, s *session, dir string) (err error) {
	policy := ebb.SyncNever
	if b.sync {
		policy = ebb.SyncAlways
	}
	if b.db, err = ebb.Open(dir, &ebb.Options{Sync: policy}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.db.Close()) }()
	took, err := b.load(ctx, s)
	if err != nil {
		return err
	}
	err = s.out.line(fmt.Sprintf("loaded %d records in %v, %d a second", b.records, took.Round(time.Millisecond),
		perSecond(b.records, took)),
		field{"workload", "load"}, field{"operations", b.records}, field{"per_second", perSecond(b.records, took)})
	t := s.out.columns()
	for _, w := range workloads {
		if err != nil {
			return err
		}
		var l *latencies
		if l, took, err = b.workload(ctx, w); err != nil {
			return err
		}
		err = t.row(field{"workload", w.name}, field{"operations", l.n}, field{"per_second", perSecond(l.n, took)},
			field{"p50", l.quantile(0.5)}, field{"p99", l.quantile(0.99)}, field{"max", l.max})
	}
	return errors.Join(err, t.flush())
}

func perSecond(n int, took time.Duration) int { return int(float64(n) / took.Seconds()) }

// load writes all records, in the order of their hashes, as YCSB does.
func (b *benchmark) load(ctx context.Context, s *session) (time.Duration, error) {
	bar := s.progress(int64(b.records)*int64(b.valueSize+16), "loading")
	defer bar.Finish()
	start := time.Now()
	value := make([]byte, b.valueSize)
	l := loader{db: b.db}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b.records {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		fill(value, r)
		if err := l.put(benchKey(uint64(i)), value); err != nil {
			return 0, err
		}
		bar.Add(b.valueSize + 16)
	}
	if err := l.apply(); err != nil {
		return 0, err
	}
	return time.Since(start), b.db.Flush()
}

// benchKey returns the key of a record: a hash of its number, so that neighbours in number are none in order.
func benchKey(i uint64) []byte {
	i ^= i >> 31
	i *= 0x9e3779b97f4a7c15
	i ^= i >> 29
	return fmt.Appendf(nil, "%016x", i)
}

// fill fills b with bytes that do not compress.
func fill(b []byte, r *rand.Rand) {
	var word [8]byte
	for len(b) > 0 {
		binary.LittleEndian.PutUint64(word[:], r.Uint64())
		b = b[copy(b, word[:]):]
	}
}

// workload runs one of them with all clients and returns how long each operation took, and all of them together.
func (b *benchmark) workload(ctx context.Context, w workload) (*latencies, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]latencies, b.clients)
	var clients sync.WaitGroup
	start := time.Now()
	for i := range b.clients {
		clients.Go(func() {
			if err := b.client(ctx, w, uint64(i), start.Add(b.duration), &results[i]); err != nil {
				cancel(err)
			}
		})
	}
	clients.Wait()
	for i := range results[1:] {
		results[0].merge(&results[1+i])
	}
	return &results[0], time.Since(start), context.Cause(ctx)
}

// client reads and updates until a deadline, at least once.
func (b *benchmark) client(ctx context.Context, w workload, seed uint64, until time.Time, l *latencies) (err error) {
	r := rand.New(rand.NewPCG(seed, 3))
	// YCSB's exponent is 0.99; the standard library's generator begins above 1.
	hot := rand.NewZipf(r, 1.01, 1, uint64(b.records-1))
	value, buf := make([]byte, b.valueSize), []byte(nil)
	for last := time.Now(); l.n == 0 || last.Before(until); {
		if l.n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key := benchKey(hot.Uint64())
		if r.Float64() < w.updates {
			fill(value, r)
			err = b.db.Put(key, value)
		} else {
			buf, err = b.db.AppendGet(buf[:0], key)
		}
		if err != nil {
			return err
		}
		now := time.Now()
		l.add(now.Sub(last))
		last = now
	}
	return nil
}

// latencies counts durations in cells that are a sixteenth wide.
type latencies struct {
	n     int
	max   time.Duration
	cells [64 * 16]int
}

func (l *latencies) add(d time.Duration) {
	l.n++
	l.max = max(l.max, d)
	l.cells[cellOf(uint64(max(d, 0)))]++
}

// cellOf returns the cell of v: its highest bit and the four after it.
func cellOf(v uint64) int {
	if v < 16 {
		return int(v)
	}
	shift := bits.Len64(v) - 5
	return shift*16 + int(v>>shift)
}

// cellEnd returns the largest value of a cell.
func cellEnd(cell int) uint64 {
	if cell < 16 {
		return uint64(cell)
	}
	shift := cell/16 - 1
	return uint64(cell%16+16+1)<<shift - 1
}

func (l *latencies) merge(other *latencies) {
	l.n += other.n
	l.max = max(l.max, other.max)
	for i, n := range other.cells {
		l.cells[i] += n
	}
}

// quantile returns what a share of the durations is no longer than.
func (l *latencies) quantile(share float64) time.Duration {
	left := int(share * float64(l.n))
	for cell, n := range l.cells {
		if left -= n; left < 0 {
			return min(time.Duration(cellEnd(cell)), l.max)
		}
	}
	return l.max
}
