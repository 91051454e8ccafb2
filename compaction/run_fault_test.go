package compaction

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// trial is one Run over a copy of a store's files.
type trial struct {
	mem    *vfstest.Mem
	before *vfstest.Mem // the files as they were
	fault  *vfstest.Fault
	levels Levels
	plan   *Plan
	out    Output
	file   uint64
}

// newTrial opens a copy of the tables of s. No file can be mapped, so that every read is an operation.
func newTrial(t *testing.T, s *store) *trial {
	t.Helper()
	tr := &trial{mem: s.fs.Clone(), before: s.fs.Clone(), file: s.file}
	tr.fault = vfstest.NewFault(tr.mem)
	tr.inject(nil)
	tr.levels = s.reopen(t, tr.fault)
	p := newPicker(&tr.levels, s.now, Config{})
	tr.plan = p.rewrite("test", 0, 5, tr.levels[0])
	tr.out = s.out
	tr.out.FS = tr.fault
	tr.out.NextFile = func() uint64 { tr.file++; return tr.file }
	return tr
}

// inject makes operations fail, besides all attempts to map a file.
func (tr *trial) inject(fn vfstest.Injector) {
	tr.fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpMap {
			return vfs.ErrNotSupported
		}
		if fn != nil {
			return fn(op)
		}
		return nil
	})
}

// operations returns how many operations inject decides about in a Run that succeeds.
func operations(t *testing.T, s *store) int {
	t.Helper()
	tr, n := newTrial(t, s), 0
	tr.inject(func(vfstest.Op) error { n++; return nil })
	if _, err := Run(context.Background(), tr.plan, s.now, tr.out); err != nil {
		t.Fatal(err)
	}
	return n
}

// unchanged fails the test if anything but the inputs is there, or if they have changed.
func (tr *trial) unchanged(t *testing.T, what string) {
	t.Helper()
	if diff := tr.mem.Diff(tr.before); len(diff) > 0 {
		t.Errorf("%s: left or changed %v", what, diff)
	}
}

// again fails the test if the same plan does not work now.
func (tr *trial) again(t *testing.T, s *store, what string) {
	t.Helper()
	tr.inject(nil)
	result, err := Run(context.Background(), tr.plan, s.now, tr.out)
	if err != nil {
		t.Errorf("%s: again: %v", what, err)
		return
	}
	levels := tr.levels.Replace(tr.plan.Tables(), tr.plan.Level, result.Tables)
	if got := read(t, &levels, nil, s.now); len(got) != len(read(t, &s.levels, nil, s.now)) {
		t.Errorf("%s: again: %d keys", what, len(got))
	}
	if err := Discard(tr.out, result.Tables); err != nil {
		t.Errorf("%s: discard: %v", what, err)
	}
	tr.unchanged(t, what+", run again and discarded")
}

// close closes the inputs.
func (tr *trial) close(t *testing.T) {
	t.Helper()
	for _, table := range tr.levels.all() {
		if err := table.Reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Each operation fails once: the error comes out, what was made is gone and closed, and the same plan works afterwards.
func TestErrorAtEveryOperation(t *testing.T) {
	s := small(t)
	kinds := map[vfstest.OpKind]int{}
	for n := range operations(t, s) {
		tr := newTrial(t, s)
		var failed vfstest.Op
		at := 0
		tr.inject(func(op vfstest.Op) error {
			if at++; at == n+1 {
				failed = op
				return syscall.EIO
			}
			return nil
		})
		_, err := Run(context.Background(), tr.plan, s.now, tr.out)
		kinds[failed.Kind]++
		what := failed.Kind.String() + " " + failed.Name
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: %v", what, err)
		}
		tr.unchanged(t, what+" fails")
		tr.again(t, s, what+" failed")
		tr.close(t)
		opens := tr.fault.Count(vfstest.OpCreate) + tr.fault.Count(vfstest.OpOpen)
		if failed.Kind == vfstest.OpCreate || failed.Kind == vfstest.OpOpen {
			opens--
		}
		if closes := tr.fault.Count(vfstest.OpClose); closes < opens {
			t.Errorf("%s fails: %d files opened, %d closed", what, opens, closes)
		}
	}
	for _, kind := range []vfstest.OpKind{vfstest.OpCreate, vfstest.OpRead, vfstest.OpWrite, vfstest.OpSync, vfstest.OpClose,
		vfstest.OpOpen, vfstest.OpSyncDir} {
		if kinds[kind] == 0 {
			t.Errorf("no %v failed", kind)
		}
	}
}

// All operations fail from one on: nothing can be removed any more, but the inputs are as they were.
func TestErrorFromEveryOperationOn(t *testing.T) {
	s := small(t)
	for n := range operations(t, s) {
		tr := newTrial(t, s)
		tr.inject(vfstest.FailFrom(vfstest.OpAny, "", n+1, syscall.EIO))
		if _, err := Run(context.Background(), tr.plan, s.now, tr.out); !errors.Is(err, syscall.EIO) {
			t.Errorf("from operation %d on: %v", n, err)
		}
		tr.inject(nil)
		if got, want := read(t, &tr.levels, nil, s.now), read(t, &s.levels, nil, s.now); len(got) != len(want) {
			t.Errorf("from operation %d on: the inputs show %d keys, want %d", n, len(got), len(want))
		}
	}
}

func TestDiskFull(t *testing.T) {
	s := small(t)
	refused := 0
	for room := int64(0); ; room += 1000 {
		tr := newTrial(t, s)
		tr.fault.SetRoom(room)
		result, err := Run(context.Background(), tr.plan, s.now, tr.out)
		if err == nil {
			if len(result.Tables) == 0 || refused == 0 {
				t.Errorf("%d tables in %d bytes", len(result.Tables), room)
			}
			return
		}
		refused++
		if !vfs.NoSpace(err) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
		tr.unchanged(t, "disk full")
		if got := tr.fault.Room(); got != room {
			t.Errorf("room for %d bytes is room for %d afterwards", room, got)
		}
		tr.fault.SetRoom(-1)
		tr.again(t, s, "disk full")
	}
}

// Damage in a block of an input is reported with file and offset, and not copied.
func TestDamagedInput(t *testing.T) {
	s := small(t)
	for _, input := range s.into5().Tables() {
		name := testName(input.File)
		if input.Reader.Properties().Entries == 0 {
			continue
		}
		tr := newTrial(t, s)
		const inFirstBlock = 100 // the header has 50 bytes
		for _, mem := range []*vfstest.Mem{tr.mem, tr.before} {
			if err := mem.Corrupt(name, inFirstBlock, 0x10); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Run(context.Background(), tr.plan, s.now, tr.out)
		var ce *corrupt.Error
		if !errors.As(err, &ce) || ce.File != name || ce.Offset > inFirstBlock {
			t.Errorf("%s is damaged at %d: %v", name, inFirstBlock, err)
		}
		tr.unchanged(t, "damage")
	}
}

// Canceling a compaction ends it soon and leaves nothing.
func TestCancel(t *testing.T) {
	s := small(t)
	t.Run("before", func(t *testing.T) {
		tr := newTrial(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Run(ctx, tr.plan, s.now, tr.out); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		tr.unchanged(t, "canceled")
	})
	t.Run("in the middle", func(t *testing.T) {
		tr := newTrial(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		const entries = 20 * guarded
		source := &counted{n: entries, at: func(i int) {
			if i == entries/2 {
				cancel()
			}
		}}
		in := Input{Source: source, Older: tr.levels.Overlap, Now: s.now}
		tr.out.TargetSize = 10_000
		_, err := Build(ctx, in, tr.out)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if tr.file == s.file {
			t.Error("no table was begun before the cancellation")
		}
		if source.i > entries/2+2*guarded {
			t.Errorf("canceled at entry %d, ended at %d", entries/2, source.i)
		}
		tr.unchanged(t, "canceled")
	})
}

// counted is a source of n entries.
type counted struct {
	kv.Iterator
	n, i  int
	at    func(i int)
	entry kv.Entry
	key   [24]byte
	value [100]byte
}

func (c *counted) First() bool { c.i = -1; return c.Next() }

func (c *counted) Next() bool {
	if c.i++; c.i >= c.n {
		return false
	}
	if c.at != nil {
		c.at(c.i)
	}
	copy(c.key[:], "user00000000000000000000")
	for p, v := len(c.key)-1, c.i; v > 0; p, v = p-1, v/10 {
		c.key[p] = byte('0' + v%10)
	}
	c.entry = kv.Entry{Key: c.key[:], Value: c.value[:], Seq: uint64(c.i + 1)}
	return true
}

func (c *counted) Entry() *kv.Entry { return &c.entry }
func (c *counted) Err() error       { return nil }

// A source that fails after some entries fails the build, whatever it has shown.
func TestSourceError(t *testing.T) {
	s := small(t)
	tr := newTrial(t, s)
	in := Input{Source: &failing{counted{n: 5000}}, Older: tr.levels.Overlap, Now: s.now}
	tr.out.TargetSize = 10_000
	if _, err := Build(context.Background(), in, tr.out); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	tr.unchanged(t, "a failed source")
}

type failing struct{ counted }

func (*failing) Err() error { return io.ErrUnexpectedEOF }

// An input that somebody cuts short while it is mapped is an error, not the death of the process.
func TestFaultInMapping(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: a mapped file cannot be cut short here")
	}
	dir := filepath.ToSlash(t.TempDir())
	file := uint64(0)
	out := Output{FS: vfs.OS, Database: testDatabase, TargetSize: 1 << 30, NextFile: func() uint64 { file++; return file },
		Name: func(file uint64) string { return dir + "/" + filepath.Base(testName(file)) }}
	in := Input{Source: &counted{n: 10_000}, Older: func(start, end []byte) bool { return false }}
	built, err := Build(context.Background(), in, out)
	if err != nil {
		t.Fatal(err)
	}
	input := built.Tables[0]
	t.Cleanup(func() { input.Reader.Close() })
	if err := os.Truncate(out.Name(input.File), 8192); err != nil {
		t.Fatal(err)
	}
	plan := &Plan{Inputs: [][]*Table{{input}}, Level: bottom}
	if _, err := Run(context.Background(), plan, 0, out); !errors.Is(err, vfs.ErrFault) {
		t.Error(err)
	}
	files, err := vfs.OS.ReadDir(dir)
	if err != nil || !slices.Equal(files, []string{filepath.Base(testName(input.File))}) {
		t.Errorf("left %v, error %v", files, err)
	}
}

// Whatever a power cut leaves of a compaction, its inputs are whole; once it has returned, so are its outputs.
func TestCrashStates(t *testing.T) {
	s := small(t)
	mem := s.fs.Clone()
	mem.Record()
	levels := s.reopen(t, mem)
	p := newPicker(&levels, s.now, Config{})
	plan := p.rewrite("test", 0, 5, levels[0])
	out, file := s.out, s.file
	out.FS, out.NextFile = mem, func() uint64 { file++; return file }
	result, err := Run(context.Background(), plan, s.now, out)
	if err != nil {
		t.Fatal(err)
	}
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 4}, func(c *vfstest.Crash) error {
		for _, input := range s.levels.all() {
			want, err := s.fs.ReadFile(testName(input.File))
			got, gerr := c.FS.ReadFile(testName(input.File))
			if err != nil || gerr != nil || !slices.Equal(got, want) {
				return fmt.Errorf("input %d has changed: %v", input.File, errors.Join(err, gerr))
			}
		}
		if !c.Last {
			return nil
		}
		for _, output := range result.Tables {
			id := table.Identity{Database: testDatabase, File: output.File}
			r, err := table.Open(c.FS, testName(output.File), id, nil)
			if err == nil {
				err = errors.Join(r.Verify(context.Background()), r.Close())
			}
			if err != nil {
				return fmt.Errorf("output %d: %w", output.File, err)
			}
		}
		return nil
	})
}

// What a build allocates does not grow with the entries, but for what it needs for each block.
func TestBuildAllocations(t *testing.T) {
	s := newStore(t, 1<<30)
	allocs := func(n int) float64 {
		return testing.AllocsPerRun(2, func() {
			in := Input{Source: &counted{n: n}, Older: func(start, end []byte) bool { return false }}
			result, err := Build(context.Background(), in, s.out)
			if err == nil {
				err = Discard(s.out, result.Tables)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	const few, many = 10_000, 40_000
	if perEntry := (allocs(many) - allocs(few)) / (many - few); perEntry > 0.01 {
		t.Errorf("%.3f allocations for each entry", perEntry)
	}
}

// BenchmarkRun merges four overlapping tables of 250,000 entries of 124 bytes.
func BenchmarkRun(b *testing.B) {
	const tables, each = 4, 250_000
	dir := filepath.ToSlash(b.TempDir())
	file := uint64(0)
	out := Output{FS: vfs.OS, Database: testDatabase, TargetSize: 64 << 20, NextFile: func() uint64 { file++; return file },
		Name: func(file uint64) string { return dir + "/" + filepath.Base(testName(file)) }}
	plan := &Plan{Level: bottom}
	for i := range tables {
		source := &strided{counted{n: each}, i, tables}
		in := Input{Source: source, Older: func(start, end []byte) bool { return false }}
		o := out
		o.TargetSize = 1 << 40
		built, err := Build(context.Background(), in, o)
		if err != nil {
			b.Fatal(err)
		}
		plan.Inputs = append(plan.Inputs, built.Tables)
		b.Cleanup(func() { built.Tables[0].Reader.Close() })
	}
	b.SetBytes(tables * each * 124)
	b.ReportAllocs()
	for b.Loop() {
		result, err := Run(context.Background(), plan, 0, out)
		if err != nil {
			b.Fatal(err)
		}
		if result.Entries != tables*each {
			b.Fatalf("%d entries", result.Entries)
		}
		b.StopTimer()
		if err := Discard(out, result.Tables); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// strided shows every stride-th key, from first on.
type strided struct {
	counted
	first, stride int
}

func (c *strided) First() bool { c.i = -1; return c.Next() }

func (c *strided) Next() bool {
	if !c.counted.Next() {
		return false
	}
	i := c.i*c.stride + c.first
	for p, v := len(c.key)-1, i; p >= 4; p, v = p-1, v/10 {
		c.key[p] = byte('0' + v%10)
	}
	c.entry.Seq = uint64(i + 1)
	return true
}
