package lsm

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/wal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a Set with all that a database is to it, on a file system that can fail.
type bench struct {
	*Set
	t     *testing.T
	fault *vfstest.Fault

	seq     uint64 // of the newest operation
	segment uint32 // of the log, which is not there
	clock   int64
	now     time.Time

	closed  atomic.Bool
	workers sync.WaitGroup

	mu      sync.Mutex
	failed  error
	reports []error
	changed int
}

var errFailed = errors.New("no commits any more")

// newBench returns a bench that is closed with the test.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, fault: vfstest.NewFault(vfstest.NewMem()), Set: new(Set), segment: 1, clock: 1000}
	must(t, vfs.MkdirAllSync(b.fault, dir.Dir("db").Tables()))
	state := manifest.New(func(id []byte) { id[0] = 1 }, b.clock)
	must(t, manifest.Store(b.fault, "db", state))
	b.open(state, false)
	t.Cleanup(b.close)
	return b
}

// open publishes a manifest in a new Set.
func (b *bench) open(state *manifest.State, readOnly bool) {
	b.t.Helper()
	b.Set = new(Set)
	b.Init(Config{
		FS: b.fault, Dir: "db", ReadOnly: readOnly,
		MemtableSize: 1 << 20, TableSize: 1 << 20, BuildMemory: 1 << 20, GapMemory: 1 << 16, WorthGap: 2, SortedMemory: 1 << 10,
		Closed: &b.closed, Workers: &b.workers,
		Failure: func() error { b.mu.Lock(); defer b.mu.Unlock(); return b.failed },
		Fail: func(err error) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.failed = fmt.Errorf("%w: %w", errFailed, err)
			return b.failed
		},
		Report:  func(_ string, err error) { b.mu.Lock(); defer b.mu.Unlock(); b.reports = append(b.reports, err) },
		Changed: func(*View) { b.changed++ },
		Compact: func() {},
		Sort:    func() {},
		Clock:   func() int64 { return b.clock },
		Anchor:  func() wal.Anchor { return wal.Anchor{Position: wal.Position{Segment: b.segment}} },
		Now:     func() time.Time { return b.now },
	})
	l := b.NewLoader()
	defer l.Close()
	must(b.t, l.Load(state))
	var log *wal.Replayed
	if readOnly {
		log = &wal.Replayed{NextSeq: b.seq + 1}
	}
	l.Publish(NewMem(memtable.Hint{}, b.segment, b.clock), nil, b.seq, log)
}

// close closes the set as a database does, and holds that every table is closed.
func (b *bench) close() {
	if b.closed.Swap(true) {
		return
	}
	b.Barrier()
	b.workers.Wait()
	must(b.t, b.Close())
	for _, err := range b.reports {
		b.t.Errorf("reported: %v", err)
	}
}

// put applies and shows a put of each of some keys to the active memtable.
func (b *bench) put(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.seq++
		value := fmt.Appendf(nil, "%s@%d", key, b.seq)
		must(b.t, b.View().Mem.Apply(&op.Op{Kind: op.Put, Seq: b.seq, Key: []byte(key), Value: value}))
		b.Show(b.seq)
	}
}

// freeze begins a new memtable.
func (b *bench) freeze() *Mem {
	b.segment++
	old := b.View().Mem
	b.Freeze(NewMem(old.Hint(), b.segment, b.clock), b.seq, wal.Position{Segment: b.segment})
	return old
}

// build builds the tables of a memtable.
func (b *bench) build(m *Mem) []*compaction.Table {
	b.t.Helper()
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	built, err := compaction.Build(b.t.Context(), compaction.Input{Source: it, Deletes: m.RangeDeletes().All(),
		Older: func(_, _ []byte) bool { return true }, Now: b.clock, BaseSeq: m.Stats().MinSeq}, b.Output(0))
	must(b.t, err)
	return built.Tables
}

// flushEdit freezes the active memtable and returns the edit that flushes it.
func (b *bench) flushEdit() *Edit {
	b.t.Helper()
	m := b.freeze()
	return &Edit{Add: b.build(m), FirstSegment: b.View().After(m).Segment, LastSeq: m.LastSeq, Flushed: m,
		Writers: m.WritersAfter(b.Manifest().Writers, 0)}
}

// flush flushes some puts.
func (b *bench) flush(keys ...string) *compaction.Table {
	b.t.Helper()
	b.put(keys...)
	e := b.flushEdit()
	must(b.t, b.Commit(e))
	return e.Add[0]
}

// files returns the tables in the directory.
func (b *bench) files() []string {
	b.t.Helper()
	names, err := b.fault.ReadDir(dir.Dir("db").Tables())
	must(b.t, err)
	slices.Sort(names)
	return names
}

// stored returns the manifest on the disk.
func (b *bench) stored() *manifest.State {
	b.t.Helper()
	s, err := manifest.Load(b.fault, "db")
	must(b.t, err)
	return s
}

func fileNames(tables ...*compaction.Table) (names []string) {
	for _, t := range tables {
		names = append(names, path.Base(dir.Dir("db").Table(t.File)))
	}
	slices.Sort(names)
	return names
}

// isOpen reports whether a table is open, as far as the set knows.
func (b *bench) isOpen(t *compaction.Table) bool {
	b.Set.mu.Lock()
	defer b.Set.mu.Unlock()
	return b.Set.mu.refs[t] > 0
}

// reads holds what a view says of a key as of a sequence.
func (b *bench) reads(v *View, seq uint64, key, want string) {
	b.t.Helper()
	var e kv.Entry
	got, found, err := v.Get(nil, []byte(key), seq, WithValue, &e)
	if err != nil || string(got) != want || found != (want != "") {
		b.t.Errorf("%s as of %d is %q, %v, %v, want %q", key, seq, got, found, err, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
