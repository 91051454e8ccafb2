package compaction

import (
	"context"
	"errors"
	"math"
	"path"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/wal"
)

// Input describes the entries and range deletes that tables are built from.
type Input struct {
	// Source has at most one entry a key: the newest. It may read mapped memory.
	Source Source
	// Deletes are the range deletes of the sources that Source merges.
	Deletes []kv.RangeDelete
	// Older reports whether anything that is older than the input, and not part of it, overlaps [start, end).
	Older func(start, end []byte) bool
	// Now is the time by which entries have expired, Unix ms.
	Now int64
	// Evictions take entries as if they had expired.
	Evictions kv.Evictions
	// BaseSeq is a sequence that nothing in the input is below.
	BaseSeq uint64
}

// Source is the part of a kv.Iterator that Build uses.
type Source interface {
	First() bool
	Next() bool
	Entry() *kv.Entry
	Err() error
}

// Output says how tables are built.
type Output struct {
	FS          vfs.FS
	Name        func(file uint64) string // of a table's file; all are in one directory
	NextFile    func() uint64            // a number that no table has had
	Database    [16]byte
	Compression wal.Compression // as it is for the last level, which most data is in: see At
	TargetSize  int64           // the size at which the next table is begun
	Memory      int64           // bytes that the keys of a table may take while it is built: with more the next is begun. 0: any
	Whole       bool            // make one table, whatever its size and memory, unless that is more than a table can hold
	Growing     bool            // let a table grow to the size of all before it: few tables, whatever the size of the input
	Filter      bool            // give the tables filters: see table.Filter
	Huge        bool            // let huge pages map the tables: see table.Options
	Cuts        [][]byte        // ascending; an entry at or behind one is in another table than those before it
	Cache       *table.Cache
}

// At returns how the tables of a level are built: above the last they are not compressed, as they are soon written again. Tables
// of level 0, which may be many, have filters, and are written as it costs least.
func (o Output) At(level int) Output {
	o.Filter, o.Huge = level == 0, level > 0
	if level < bottom {
		o.Compression = wal.CompressionNone
	}
	return o
}

// Result describes the tables that an input became.
type Result struct {
	Tables  []*Table // open, in key order, and durable with their names
	Entries uint64   // read
	Expired uint64   // of these, had expired
	Evicted uint64   // of these, had not, and were evicted
	Bytes   int64    // written
}

// guarded is how many entries, and guardedBytes about how many bytes of values, are read under one guard of mapped memory
// and before the context is asked again.
const (
	guarded      = 1024
	guardedBytes = 1 << 20
)

const (
	// maxDeleteBytes bounds the range deletes of one table: opening the table reads all of them into memory.
	maxDeleteBytes = 64 << 20
	deleteFrame    = 8 // bytes of a range delete in a table, beside its bounds
)

// Build writes the tables of an input: none, if nothing of it is needed. When it returns nil they and their names are durable,
// so that the owner may commit them. A failure leaves no file, unless one cannot be removed; a crash leaves files that nothing
// names.
func Build(ctx context.Context, in Input, out Output) (Result, error) {
	// 1. Each table is written and synced. A crash leaves files that no manifest names, which the next open of the database
	//    removes. A failure leaves none, unless a file cannot be removed.
	// 2. The directory is synced: the names last. From here on the owner may commit the tables.
	deletes := kv.NewRangeDeletes(in.Deletes)
	b := builder{in: in, out: out, deletes: deletes.Walk(math.MaxUint64), entries: true}
	for _, d := range deletes.All() {
		if in.Older(d.Start, d.End) {
			b.kept = append(b.kept, d)
		}
	}
	err := b.run(ctx)
	if err == nil && len(b.result.Tables) > 0 {
		err = out.FS.SyncDir(path.Dir(out.Name(b.result.Tables[0].File)))
	}
	if err != nil {
		return Result{}, errors.Join(err, b.abort())
	}
	return b.result, nil
}

// BuildMemtable is Build for a memtable that nothing is written to any more: the newest entry of each key, and all its range
// deletes, become one table of level 0, as each table there costs every look-up. older is Input.Older, evictions are
// Input.Evictions beside those of the memtable.
func BuildMemtable(ctx context.Context, m *memtable.Memtable, older func(start, end []byte) bool, now int64,
	evictions kv.Evictions, out Output) (Result, error) {
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	out = out.At(0)
	out.TargetSize = math.MaxInt64
	in := Input{Source: it, Deletes: m.RangeDeletes().All(), Older: older, Now: now,
		Evictions: evictions.With(m.Evictions()), BaseSeq: m.Stats().MinSeq}
	return Build(ctx, in, out)
}

// Discard closes and removes tables that were built but are not to become live.
func Discard(out Output, tables []*Table) error {
	var errs []error
	for _, t := range tables {
		errs = append(errs, t.Reader.Close(), out.FS.Remove(out.Name(t.File)))
	}
	return errors.Join(errs...)
}

// builder writes the tables of one input.
type builder struct {
	in      Input
	out     Output
	deletes kv.RangeWalk // the range deletes of the input: entries that they cover are dropped

	kept      []kv.RangeDelete // the range deletes that the output needs and no finished table has, in the order of keys
	taken     int              // how many of kept belong to the table that is written, as far as they reach
	keptBytes int64            // of the taken ones

	writer  *table.Writer // nil between tables
	file    uint64
	lower   []byte // where the table that is written begins: smaller keys belong to tables before it. nil: it is the first
	entries bool   // the source has more
	result  Result
	after   []byte // scratch: the key after one
}

// run reads the source to its end.
func (b *builder) run(ctx context.Context) error {
	var err error
	next, after := b.in.Source.First, b.in.Source.Next // a method value allocates: not once an entry
	for b.entries && err == nil {
		if err = ctx.Err(); err != nil {
			return err
		}
		fault := vfs.Guard(func() {
			for i, size := 0, 0; i < guarded && size < guardedBytes && b.entries && err == nil; i++ {
				if b.entries = next(); b.entries {
					e := b.in.Source.Entry()
					size += len(e.Value)
					err = b.add(e)
				}
				next = after
			}
		})
		if fault != nil {
			return fault
		}
	}
	if err == nil {
		err = b.in.Source.Err()
	}
	if err != nil {
		return err
	}
	if err := b.takeDeletes(nil); err != nil {
		return err
	}
	return b.finish(nil)
}

// add writes one entry: as it is, as a tombstone if it has expired or was evicted, or not at all if it is unneeded.
func (b *builder) add(e *kv.Entry) error {
	b.result.Entries++
	out := *e
	expired := e.Kind == kv.Put && kv.Expired(e.Deadline, b.in.Now)
	evicted := e.Kind == kv.Put && !expired && b.in.Evictions.Cover(e, math.MaxUint64)
	if expired {
		b.result.Expired++
	}
	if evicted {
		b.result.Evicted++
	}
	if expired || evicted || e.Kind == kv.Delete {
		out = kv.Entry{Key: e.Key, Seq: e.Seq, Kind: kv.Delete}
	}
	if b.unneeded(&out) {
		return nil
	}
	if err := b.takeDeletes(out.Key); err != nil {
		return err
	}
	if b.cut(out.Key) || b.full() {
		if err := b.finish(out.Key); err != nil {
			return err
		}
	}
	if b.writer == nil {
		if err := b.begin(); err != nil {
			return err
		}
	}
	err := b.writer.Add(&out)
	if errors.Is(err, table.ErrFull) {
		if err = b.finish(out.Key); err == nil {
			err = b.begin()
		}
		if err == nil {
			err = b.writer.Add(&out)
		}
	}
	return err
}

// cut reports whether a key lies behind one of the cuts that the entries before it lie before.
func (b *builder) cut(key []byte) (cut bool) {
	for len(b.out.Cuts) > 0 && kv.Compare(b.out.Cuts[0], key) <= 0 {
		b.out.Cuts, cut = b.out.Cuts[1:], true
	}
	return cut
}

// full reports whether the table that is written, if one is, is to be finished.
func (b *builder) full() bool {
	return b.writer != nil && !b.out.Whole && (b.writer.EstimatedSize()+b.keptBytes >= b.target() || b.keptBytes >= maxDeleteBytes ||
		b.out.Memory > 0 && b.writer.Memory() >= b.out.Memory)
}

// takeDeletes takes the range deletes that begin at a key or before, nil for all that are left, into the table that is
// written, and into more where it is full.
func (b *builder) takeDeletes(key []byte) error {
	for b.taken < len(b.kept) && (key == nil || kv.Compare(b.kept[b.taken].Start, key) <= 0) {
		d := &b.kept[b.taken]
		if b.full() && kv.Compare(d.Start, b.lower) > 0 {
			if err := b.finish(d.Start); err != nil {
				return err
			}
			continue // finish has kept the range deletes that reach into the next table
		}
		if b.writer == nil && (key == nil || kv.Compare(d.Start, key) < 0 && kv.Compare(b.lower, key) < 0) {
			if err := b.begin(); err != nil { // the range delete begins before the key
				return err
			}
		}
		b.taken++
		b.keptBytes += int64(len(d.Start)+len(d.End)) + deleteFrame
	}
	return nil
}

// target returns the size at which the next table is begun.
func (b *builder) target() int64 {
	if b.out.Growing {
		return max(b.out.TargetSize, b.result.Bytes)
	}
	return b.out.TargetSize
}

// unneeded reports whether an entry can be left out: a put that a range delete covers, and a tombstone that hides nothing.
// Under a range delete no tombstone is needed: the entries that it hides are older than both, so the range delete hides them,
// too; and if the range delete is not kept, there are none.
func (b *builder) unneeded(e *kv.Entry) bool {
	covered, _ := b.deletes.Seq(e.Key)
	if e.Kind == kv.Put {
		return covered > e.Seq
	}
	if covered > 0 {
		return true
	}
	b.after = append(append(b.after[:0], e.Key...), 0)
	return !b.in.Older(e.Key, b.after)
}

// begin starts the next table.
func (b *builder) begin() error {
	b.file = b.out.NextFile()
	var err error
	b.writer, err = table.NewWriter(b.out.FS, b.out.Name(b.file), table.Options{
		ID:          table.Identity{Database: b.out.Database, File: b.file},
		BaseSeq:     b.in.BaseSeq,
		Created:     max(b.in.Now, 0),
		Compression: b.out.Compression,
		Huge:        b.out.Huge,
	})
	return err
}

// finish completes the table that is written, if one is. It ends before upper; nil: it is the last.
func (b *builder) finish(upper []byte) error {
	if b.writer == nil {
		return nil
	}
	if err := b.addDeletes(upper); err != nil {
		return err
	}
	p, err := b.writer.Finish()
	if err != nil {
		return err
	}
	w := b.writer
	b.writer = nil
	b.lower = append([]byte(nil), upper...)
	id := table.Identity{Database: b.out.Database, File: b.file}
	r, err := table.Open(b.out.FS, b.out.Name(b.file), id, b.out.Cache)
	if err != nil {
		return errors.Join(err, b.out.FS.Remove(b.out.Name(b.file)))
	}
	if b.out.Filter {
		r.SetFilter(w.Filter())
	}
	b.result.Tables = append(b.result.Tables, NewTable(r))
	b.result.Bytes += p.FileSize
	return nil
}

// addDeletes adds the range deletes to the table that is written, as far as they lie within it. It keeps those that reach
// behind it.
func (b *builder) addDeletes(upper []byte) error {
	whole := 0
	for _, d := range b.kept[:b.taken] {
		if kv.Compare(d.Start, b.lower) < 0 {
			d.Start = b.lower
		}
		if upper != nil && kv.Compare(d.End, upper) > 0 {
			d.End = upper
		} else {
			whole++ // the others before it are, too
		}
		if kv.Compare(d.Start, d.End) < 0 {
			if err := b.writer.AddRangeDelete(d); err != nil {
				return err
			}
		}
	}
	b.kept, b.taken, b.keptBytes = b.kept[whole:], 0, 0
	return nil
}

// abort removes the tables that have been written.
func (b *builder) abort() error {
	var err error
	if b.writer != nil {
		err = b.writer.Abort()
	}
	return errors.Join(err, Discard(b.out, b.result.Tables))
}
