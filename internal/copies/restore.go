package copies

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// RestoreOptions say how Restore makes a database. All fields but Compression and Report are needed.
type RestoreOptions struct {
	FS           vfs.FS
	Clock        func() time.Time
	Random       func([]byte) // for the id of the database, and the name of the directory in which it is built
	MemtableSize int64
	TableSize    int64 // of the last level
	Memory       int64 // for the keys of a table that is built
	Compression  wal.Compression
	Report       func(entries uint64, bytes int64) // called now and then with how much has been read
}

// Restore makes a database of a full snapshot file and increments, in their order.
func Restore(ctx context.Context, target string, o *RestoreOptions, files []io.Reader) (err error) {
	readers, err := openAll(files)
	if err != nil {
		return err
	}
	var mark int64
	for _, f := range readers {
		mark = max(mark, f.Header().Clock)
	}
	r := restore{ctx: ctx, opts: o, progress: NewProgress(o.Report)}
	r.state = manifest.New(o.Random, ttl.NewClock(mark, o.Clock).Now())
	if r.dir, err = dir.Make(o.FS, target, "restore", o.Random); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.dir.Remove())
		}
	}()
	err = r.build(readers)
	if err = errors.Join(err, r.closeTables()); err != nil {
		return err
	}
	r.state.Tables = r.levels.Manifest()
	if err := finish(o.FS, r.dir, r.state); err != nil {
		return err
	}
	return r.dir.Publish()
}

// restore is one Restore.
type restore struct {
	ctx      context.Context
	opts     *RestoreOptions
	progress *Progress

	dir    *dir.New
	state  *manifest.State
	levels compaction.Levels
}

// build builds the tables of all files.
func (r *restore) build(files []*snapfile.Reader) error {
	if err := r.full(files[0]); err != nil {
		return err
	}
	for _, f := range files[1:] {
		if err := r.increment(f); err != nil {
			return err
		}
	}
	return nil
}

// full builds the tables of the last level from a full file.
func (r *restore) full(f *snapfile.Reader) error {
	source := NewSource(f, r.progress)
	built, err := compaction.Build(r.ctx, compaction.Input{
		Source:  source,
		Older:   func(_, _ []byte) bool { return false },
		Now:     r.state.Clock,
		BaseSeq: 1,
	}, r.output())
	if err != nil {
		return err
	}
	r.levels[compaction.NumLevels-1] = built.Tables
	r.finished(f, source.writers)
	return nil
}

// increment puts the operations of an increment on top of the tables. Operations that the tables have already are skipped.
func (r *restore) increment(f *snapfile.Reader) error {
	var it snapfile.Item
	var writers []manifest.Writer
	m := memtable.New(memtable.Hint{})
	for n := 0; ; n++ {
		err := f.Next(&it)
		if err == io.EOF {
			break
		}
		if err == nil && n%guardedItems == 0 {
			r.progress.at(f)
			err = r.ctx.Err()
		}
		if err != nil {
			return err
		}
		if it.Kind == snapfile.KindWriter {
			writers = append(writers, manifest.Writer(it.Writer))
		}
		if err := apply(m, &it, r.state.LastSeq); err != nil {
			return err
		}
		if m.Size() >= r.opts.MemtableSize {
			hint := m.Hint() // before the walk of the flush
			if err := r.flush(m); err != nil {
				return err
			}
			m = memtable.New(hint)
		}
	}
	r.finished(f, writers)
	return r.flush(m)
}

// guardedItems is how many items are read before the context is asked again.
const guardedItems = 1024

// apply takes an item that is after a sequence into a memtable.
func apply(m *memtable.Memtable, it *snapfile.Item, after uint64) error {
	e, d := &it.Entry, &it.Range
	switch {
	case it.Kind == snapfile.KindEntry && e.Seq > after:
		return m.Set(e.Key, e.Value, e.Seq, e.Deadline, e.Kind)
	case it.Kind == snapfile.KindRangeDelete && d.Seq > after:
		m.DeleteRange(d.Start, d.End, d.Seq)
	case it.Kind == snapfile.KindEviction && it.Evict.Seq > after:
		m.Evict(it.Evict.Horizon, it.Evict.Seq)
	}
	return nil
}

// flush makes tables of level 0 of a memtable, unless the memtable is empty.
func (r *restore) flush(m *memtable.Memtable) error {
	if m.Empty() {
		return nil
	}
	built, err := compaction.BuildMemtable(r.ctx, m, r.levels.Overlap, r.state.Clock, r.state.Evictions, r.output())
	if err != nil {
		return err
	}
	r.levels = r.levels.AddNewest(built.Tables)
	r.state.Evictions = r.state.Evictions.With(m.Evictions())
	return nil
}

// finished takes over the last sequence and the writers of a file that was read to its end.
func (r *restore) finished(f *snapfile.Reader, writers []manifest.Writer) {
	r.progress.End(f)
	if through := f.Header().Through; through >= r.state.LastSeq {
		r.state.LastSeq, r.state.Writers = through, writers
	}
}

// output returns how the tables of the last level are built.
func (r *restore) output() compaction.Output {
	return compaction.Output{FS: r.opts.FS, Name: r.dir.Table, Database: r.state.Database, Compression: r.opts.Compression,
		TargetSize: r.opts.TableSize, Memory: r.opts.Memory,
		NextFile: func() uint64 { r.state.NextFile++; return r.state.NextFile - 1 }}
}

func (r *restore) closeTables() error {
	var errs []error
	for _, t := range r.levels.All() {
		errs = append(errs, t.Reader.Close())
	}
	return errors.Join(errs...)
}
