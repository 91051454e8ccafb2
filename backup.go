package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/wal"
)

// Progress says how far a Backup, a Restore, a Checkpoint or an Ingest has come.
type Progress struct {
	Entries uint64 // puts and deletes; of a Checkpoint, tables
	Bytes   int64  // of the snapshot files; of a Checkpoint, of the tables
}

// BackupOptions configure a Backup. The zero value works.
type BackupOptions struct {
	// Since makes an increment: only what was written after this sequence, which is the Through of an earlier backup. 0 is a
	// full backup.
	Since uint64
	// Compression is tried on the entries. Default: none.
	Compression Compression
	// Progress, if not nil, is called now and then by the goroutine that called Backup.
	Progress func(Progress)
}

// BackupInfo describes a snapshot file.
type BackupInfo struct {
	ID           [16]byte // of the file
	Database     [16]byte
	Since        uint64 // every operation in the file is newer than this sequence; 0: the backup is full
	Through      uint64 // the newest sequence that the file covers: the Since of the next increment
	Entries      uint64 // puts and deletes
	RangeDeletes uint64
	Bytes        int64 // of the file
}

// Backup writes a snapshot file: the database as of the moment Backup begins, or with BackupOptions.Since the changes after
// that sequence. Restore reads the file on any machine, and so does Ingest if the backup is full. Reads and writes go on
// meanwhile. o may be nil.
//
// The file holds the states of writers, deadlines and versions too. Everything in the file has been synced here first: a
// crash cannot leave the backup ahead of the database, which would make later increments wrong. An increment is taken from
// the log. Backup returns ErrLogTrimmed if the log no longer goes back to Since, or if there was an Ingest since: then take
// a full backup.
//
// A read-only database can be backed up in full. If the owner of the database does not sync its writes, a power cut may take
// writes that are in the file: base no increments on such a backup.
//
// The file is good only if Backup returns nil and the caller has made w's content durable.
func (db *DB) Backup(ctx context.Context, w io.Writer, o *BackupOptions) (BackupInfo, error) {
	o, err := o.withDefaults()
	if err != nil {
		return BackupInfo{}, err
	}
	m, err := db.pinLatest()
	if err != nil {
		return BackupInfo{}, err
	}
	defer db.live.Unpin(m.view)
	b := backupRun{db: db, ctx: ctx, progress: o.Progress}
	return b.run(w, o, m)
}

// Backup is DB.Backup as of the moment of the snapshot, whatever was written and has expired since: what was pinned is what
// the file holds, states of writers among it. An increment goes up to the snapshot, and Through is the snapshot's Seq. A
// Since after that is ErrSequenceAhead. The snapshot may be closed meanwhile.
func (s *Snapshot) Backup(ctx context.Context, w io.Writer, o *BackupOptions) (BackupInfo, error) {
	o, err := o.withDefaults()
	if err != nil {
		return BackupInfo{}, err
	}
	m, err := s.pinned()
	if err != nil {
		return BackupInfo{}, err
	}
	defer s.live.Unpin(m.view)
	b := backupRun{db: s.db, ctx: ctx, progress: o.Progress}
	return b.run(w, o, m)
}

// withDefaults returns options that may be used, or why they may not.
func (o *BackupOptions) withDefaults() (*BackupOptions, error) {
	if o == nil {
		return &BackupOptions{}, nil
	}
	if err := checkCompression(o.Compression); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return o, nil
}

// backupMoment is what a backup is of.
type backupMoment struct {
	view    *lsm.View // pinned
	through uint64
	clock   int64 // Unix ms
	writers []knownWriter
}

// run writes the file of a moment.
func (b *backupRun) run(w io.Writer, o *BackupOptions, m backupMoment) (info BackupInfo, err error) {
	db := b.db
	if o.Since > m.through {
		return BackupInfo{}, fmt.Errorf("%w: backup since %d, the newest is %d", ErrSequenceAhead, o.Since, m.through)
	}
	if db.opts.ReadOnly {
		if o.Since > 0 {
			return BackupInfo{}, ErrReadOnly
		}
	} else if err := db.Sync(); err != nil {
		return BackupInfo{}, fmt.Errorf("backup: %w", err)
	}
	h := snapfile.Header{Database: db.live.Manifest().Database, Since: o.Since, Through: m.through, Clock: m.clock}
	db.opts.sys.secret(h.ID[:])
	if b.out, err = snapfile.NewWriter(w, h, o.Compression); err != nil {
		return BackupInfo{}, err
	}
	if h.Full() {
		err = b.entries(m.view, h)
	} else {
		err = b.changes(h)
	}
	if err == nil {
		err = b.out.AddWriters(writerStates(m.writers))
	}
	if err == nil {
		err = b.out.Finish()
	}
	if err != nil {
		return BackupInfo{}, err
	}
	b.report()
	t := b.out.Totals()
	return BackupInfo{ID: h.ID, Database: h.Database, Since: h.Since, Through: h.Through, Entries: t.Entries,
		RangeDeletes: t.RangeDeletes, Bytes: b.out.Written()}, nil
}

// pinLatest is pin as of the newest write, visible or not. Unpin the view.
func (db *DB) pinLatest() (backupMoment, error) {
	if db.opts.ReadOnly { // Refresh replaces one after the other
		db.flusher.flushing.Lock()
		defer db.flusher.flushing.Unlock()
	}
	t := db.pipeline.lock()
	defer t.end()
	v, seq, err := pin(&db.live)
	if err != nil {
		return backupMoment{}, err
	}
	now := db.clock.Now()
	return backupMoment{v, max(seq, t.lastSeq()), now, t.writers().list(now)}, nil
}

// pinned returns the moment of the snapshot. Unpin the view.
func (s *Snapshot) pinned() (backupMoment, error) {
	t := s.db.pipeline.lock()
	defer t.end()
	ticket, ok := s.live.Enter(0) // not earlier: who has the lock may wait for reads to end
	if !ok {
		return backupMoment{}, ErrClosed
	}
	defer s.live.Exit(ticket)
	if s.closed.Load() {
		return backupMoment{}, ErrClosed
	}
	s.view.Pin()
	return backupMoment{s.view, s.seq, int64(s.now), t.writers().listAt(s.seq, s.db.clock.Now())}, nil
}

// backupRun is one Backup.
type backupRun struct {
	db       *DB
	ctx      context.Context
	out      *snapfile.Writer
	progress func(Progress)
}

// flush writes the records that have been added, and reports progress.
func (b *backupRun) flush() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return err
	}
	b.report()
	return nil
}

func (b *backupRun) report() {
	if b.progress != nil {
		b.progress(Progress{Entries: b.out.Totals().Entries, Bytes: b.out.Written()})
	}
}

// entries writes the live entries of a view. It reads scanChunk entries, or as many as fill a record, under one guard of
// mapped memory, during which Close waits, and writes them outside of the guard.
func (b *backupRun) entries(v *lsm.View, h snapfile.Header) error {
	it := v.Scan(h.Through)
	defer it.Close()
	var covering lsm.Deletes
	covering.Open(v, h.Through, nil, nil)
	more, next, after := true, it.First, it.Next // made once: a method value allocates
	read := func() error {
		for n := 0; more && n < scanChunk && !b.out.Full(); n += scanned(it.Entry()) {
			if more = next(); !more {
				return it.Err()
			}
			next = after
			if e := it.Entry(); e.Live(h.Clock) && covering.Cover(e) == nil && !v.Evicted(e, h.Through) {
				if err := b.out.Add(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for more {
		if err := whileOpen(&b.db.live, read); err != nil {
			return err
		}
		if b.out.Full() || !more {
			if err := b.flush(); err != nil {
				return err
			}
		} else if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// changes writes the operations of the log after h.Since, up to h.Through.
func (b *backupRun) changes(h snapfile.Header) error {
	next := h.Since + 1
	if h.Since == h.Through {
		return nil
	}
	r, err := b.db.log.NewReaderAt(next)
	if err != nil {
		return b.db.logTrimmed(err)
	}
	defer r.Close()
	var e wal.Entry
	for next <= h.Through {
		if err := r.Next(&e); err != nil && err != io.EOF {
			return b.db.logTrimmed(err)
		} else if err == io.EOF || e.Seq > next { // the missing sequence was never in the log
			return fmt.Errorf("%w: sequence %d came with an Ingest", ErrLogTrimmed, next)
		}
		if last := e.LastSeq(); last >= next {
			if err := b.change(&e, next, h.Clock); err != nil {
				return err
			}
			next = last + 1
		}
		if b.out.Full() {
			if b.db.health.closed.Load() {
				return ErrClosed
			}
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// logTrimmed translates an error of a log reader: to ErrClosed once the database is closed, and to ErrLogTrimmed if the
// entries that were asked for have been deleted.
func (db *DB) logTrimmed(err error) error {
	if db.health.closed.Load() {
		return ErrClosed
	}
	if errors.Is(err, wal.ErrDeleted) {
		return fmt.Errorf("%w: %w", ErrLogTrimmed, err)
	}
	return closedLog(err)
}

// change adds the operations of a log entry from sequence from on. A put that has expired is added as a delete.
func (b *backupRun) change(e *wal.Entry, from uint64, now int64) error {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return err
	}
	for ops.Next() {
		o := &ops.Op
		if o.Seq < from {
			continue
		}
		var err error
		switch o.Kind {
		case op.Put:
			err = b.addChange(&kv.Entry{Key: o.Key, Value: o.Value, Seq: o.Seq, Deadline: o.Deadline}, now)
		case op.Delete, op.Expired:
			err = b.addChange(&kv.Entry{Key: o.Key, Seq: o.Seq, Kind: kv.Delete}, now)
		case op.DeleteRange:
			err = b.out.AddRangeDelete(kv.RangeDelete{Start: o.Key, End: o.End, Seq: o.Seq})
		case op.Evict:
			err = b.out.AddEviction(kv.Eviction{Seq: o.Seq, Horizon: o.Deadline})
		default:
			err = op.Unknown(o.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *backupRun) addChange(e *kv.Entry, now int64) error {
	if b.out.Full() {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if !e.Live(now) {
		e = &kv.Entry{Key: e.Key, Seq: e.Seq, Kind: kv.Delete}
	}
	return b.out.Add(e)
}

// RestoreOptions configure a Restore. The zero value works.
type RestoreOptions struct {
	// Options are the options that the database will be opened with. Restore heeds Memory, Compression and Clock.
	Options *Options
	// Progress, if not nil, is called now and then by the goroutine that called Restore.
	Progress func(Progress)
}

// Restore makes a database in a directory, which must not exist or be empty, from snapshot files: a full one, and then
// increments in their order. o may be nil. The new database has the sequences, the deadlines and the states of writers of
// the one that was backed up, as of the last file, and an id of its own. Expired entries are left out.
//
// All files are verified to their ends before dir is a database. Until then the database is built in a temporary directory:
// beside dir, or inside dir if dir exists, as dir may be a mount point or a symbolic link. The temporary directory is
// removed if Restore fails; a crash may leave it. In dir a crash leaves no database or a complete one. Damaged, truncated or
// altered files are errors that match ErrCorrupt; whole files that do not follow one another are ErrSnapshotOrder.
func Restore(ctx context.Context, dir string, o *RestoreOptions, files ...io.Reader) error {
	if o == nil {
		o = &RestoreOptions{}
	}
	opts, err := o.Options.withDefaults()
	if err != nil {
		return fmt.Errorf("restore %s: %w", dir, err)
	}
	err = copies.Restore(ctx, dir, &copies.RestoreOptions{
		FS:           opts.fs,
		Clock:        opts.Clock,
		Random:       opts.sys.secret,
		MemtableSize: opts.memtableSize,
		TableSize:    opts.tableSize,
		Memory:       opts.buildMemory,
		Compression:  opts.Compression,
		Report:       reportTo(o.Progress),
	}, files)
	if err != nil {
		return fmt.Errorf("restore %s: %w", dir, noSpace(err))
	}
	return nil
}

// reportTo returns a function that calls progress with its two figures as a Progress; nil if progress is nil.
func reportTo(progress func(Progress)) func(entries uint64, bytes int64) {
	if progress == nil {
		return nil
	}
	return func(entries uint64, bytes int64) { progress(Progress{entries, bytes}) }
}
