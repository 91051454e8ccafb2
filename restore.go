package ebb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// RestoreOptions configure a Restore. The zero value works.
type RestoreOptions struct {
	// Options are those that the database will be opened with. Of interest are Memory, Compression and Clock.
	Options *Options
	// Progress, if not nil, is called now and then by the goroutine that called Restore.
	Progress func(Progress)
}

// Restore makes a database in a directory, which must not exist or be empty, from snapshot files: a full one, and then
// increments in their order. o may be nil. The database has the sequences, the deadlines and the states of writers of the
// one that was backed up, as of the last file, and an id of its own; what has expired is left out.
//
// All files are verified to their ends before dir is a database; until then it is built in a directory beside dir or, where
// dir is there, in it, so that it may be a mount point or a symbolic link. That goes if Restore fails; a crash may leave it,
// but no database or all of it. Damaged, truncated or altered files are errors that match
// ErrCorrupt, whole ones that do not follow one another ErrSnapshotOrder.
func Restore(ctx context.Context, dir string, o *RestoreOptions, files ...io.Reader) error {
	if o == nil {
		o = &RestoreOptions{}
	}
	r := restore{ctx: ctx, opts: o.Options.withDefaults(), progress: progress{report: o.Progress}}
	if err := r.run(dir, files); err != nil {
		return fmt.Errorf("restore %s: %w", dir, noSpace(err))
	}
	return nil
}

// restore is one Restore.
type restore struct {
	ctx      context.Context
	opts     Options
	progress progress

	dir    *dir.New
	state  *manifest.State
	levels compaction.Levels
}

func (r *restore) run(target string, files []io.Reader) (err error) {
	readers, err := openSnapshots(files)
	if err != nil {
		return err
	}
	var mark int64
	for _, f := range readers {
		mark = max(mark, f.Header().Clock)
	}
	r.state = manifest.New(ttl.NewClock(mark, r.opts.Clock).Now())
	if r.dir, err = dir.Make(r.opts.fs, target, "restore", secret); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.dir.Remove())
		}
	}()
	err = r.tables(readers)
	if err = errors.Join(err, r.closeTables()); err != nil {
		return err
	}
	r.state.Tables = manifestTables(&r.levels)
	if err := finishDir(r.opts.fs, r.dir, r.state); err != nil {
		return err
	}
	return r.dir.Publish()
}

// openSnapshots reads the headers of snapshot files and checks that the files follow one another.
func openSnapshots(files []io.Reader) ([]*snapfile.Reader, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no file at all", ErrSnapshotOrder)
	}
	var readers []*snapfile.Reader
	for i, file := range files {
		f, err := openSnapshot(file, i)
		if err != nil {
			return nil, err
		}
		h := f.Header()
		switch {
		case h.Full() != (i == 0):
			return nil, fmt.Errorf("%w: file %d is an increment since %d; 0 would be full", ErrSnapshotOrder, i+1, h.Since)
		case i > 0 && h.Database != readers[0].Header().Database:
			return nil, fmt.Errorf("%w: file %d is of another database", ErrSnapshotOrder, i+1)
		case i > 0 && h.Since > readers[i-1].Header().Through:
			return nil, fmt.Errorf("%w: file %d begins after %d, the one before ends with %d", ErrSnapshotOrder,
				i+1, h.Since, readers[i-1].Header().Through)
		}
		readers = append(readers, f)
	}
	return readers, nil
}

// openSnapshot reads the header of a snapshot file. Errors call it by its name, or by its place if it has none.
func openSnapshot(r io.Reader, i int) (*snapfile.Reader, error) {
	name := fmt.Sprintf("file %d", i+1)
	if n, ok := r.(interface{ Name() string }); ok {
		name = n.Name()
	}
	return snapfile.NewReader(r, name)
}

// tables builds the tables of all files.
func (r *restore) tables(files []*snapfile.Reader) error {
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

// full makes the last level of a full file.
func (r *restore) full(f *snapfile.Reader) error {
	source := &snapshotSource{file: f, progress: &r.progress}
	built, err := compaction.Build(r.ctx, compaction.Input{
		Source:  source,
		Older:   func(_, _ []byte) bool { return false },
		Now:     r.state.Clock,
		BaseSeq: 1,
	}, r.output(compaction.NumLevels-1, r.opts.tableSize))
	if err != nil {
		return err
	}
	r.levels[compaction.NumLevels-1] = built.Tables
	r.finished(f, source.writers)
	return nil
}

// increment puts the operations of an increment on top of what there is. Those that are there already are skipped.
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
		if m.Size() >= r.opts.memtableSize {
			if err := r.flush(m); err != nil {
				return err
			}
			m = memtable.New(m.Hint())
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
	}
	return nil
}

// flush makes a table of level 0 of a memtable, if there is anything in it.
func (r *restore) flush(m *memtable.Memtable) error {
	if m.Len() == 0 && m.Stats().RangeDeletes == 0 {
		return nil
	}
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	built, err := compaction.Build(r.ctx, compaction.Input{
		Source:  it,
		Deletes: m.RangeDeletes().All(),
		Older:   r.levels.Overlap,
		Now:     r.state.Clock,
		BaseSeq: m.Stats().MinSeq,
	}, r.output(0, math.MaxInt64))
	if err != nil {
		return err
	}
	r.levels = r.levels.AddNewest(built.Tables)
	return nil
}

// finished takes over what a file that was read to its end says of the whole.
func (r *restore) finished(f *snapfile.Reader, writers []manifest.Writer) {
	r.progress.end(f)
	if through := f.Header().Through; through >= r.state.LastSeq {
		r.state.LastSeq, r.state.Writers = through, writers
	}
}

func (r *restore) output(level int, size int64) compaction.Output {
	o := compaction.Output{FS: r.opts.fs, Name: r.dir.Table, Database: r.state.Database,
		TargetSize: size, Memory: r.opts.buildMemory(),
		NextFile: func() uint64 { r.state.NextFile++; return r.state.NextFile - 1 }}
	if level == compaction.NumLevels-1 {
		o.Compression = r.opts.Compression
	}
	return o
}

func (r *restore) closeTables() error {
	var errs []error
	for _, tables := range r.levels {
		for _, t := range tables {
			errs = append(errs, t.Reader.Close())
		}
	}
	return errors.Join(errs...)
}

// snapshotSource hands the entries of a full snapshot file to compaction.Build.
type snapshotSource struct {
	file     *snapfile.Reader
	progress *progress
	item     snapfile.Item
	now      int64  // what has expired by then is skipped; 0: nothing
	seq      uint64 // what all entries get for their own; 0: they keep it
	writers  []manifest.Writer
	err      error
}

func (s *snapshotSource) First() bool      { return s.Next() }
func (s *snapshotSource) Entry() *kv.Entry { return &s.item.Entry }

func (s *snapshotSource) Next() bool {
	for s.err == nil {
		if s.err = s.file.Next(&s.item); s.err != nil {
			break
		}
		s.progress.at(s.file)
		if s.item.Kind == snapfile.KindWriter {
			s.writers = append(s.writers, manifest.Writer(s.item.Writer))
		}
		if e := &s.item.Entry; s.item.Kind == snapfile.KindEntry && !kv.Expired(e.Deadline, s.now) {
			if s.seq != 0 {
				e.Seq = s.seq
			}
			return true
		}
	}
	return false
}

func (s *snapshotSource) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// progress reports how much of some snapshot files has been read.
type progress struct {
	report   func(Progress)
	before   Progress // the files that were finished
	reported int64    // bytes
}

// reportEvery is how many bytes pass between two reports.
const reportEvery = 1 << 20

// at reports, if enough has come since the last time.
func (p *progress) at(f *snapfile.Reader) {
	if p.report != nil && p.before.Bytes+f.Read()-p.reported >= reportEvery {
		p.now(f)
	}
}

func (p *progress) now(f *snapfile.Reader) {
	if p.report == nil {
		return
	}
	now := Progress{p.before.Entries + f.Totals().Entries, p.before.Bytes + f.Read()}
	p.reported = now.Bytes
	p.report(now)
}

// end reports that a file was read to its end.
func (p *progress) end(f *snapfile.Reader) {
	p.now(f)
	p.before.Entries += f.Totals().Entries
	p.before.Bytes += f.Read()
}

// finishDir makes a directory with tables a whole database: an empty log that goes on behind state, and the manifest.
func finishDir(fs vfs.FS, d *dir.New, state *manifest.State) error {
	state.FirstSegment = 1
	log, err := wal.Open(d.Log(), &wal.Options{
		ID: state.Database, BaseSeq: state.LastSeq + 1, FS: fs, Now: func() int64 { return state.Clock },
	})
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	state.Log = log.Anchor()
	return manifest.Store(fs, string(d.Dir), state)
}

// secret fills b with what nobody has met before.
func secret(b []byte) { rand.Read(b) } // never fails
