package ebb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/ttl"
)

// CheckpointOptions configure a Checkpoint. The zero value works.
type CheckpointOptions struct {
	// Progress, if not nil, is called for each table by the goroutine that called Checkpoint.
	Progress func(Progress)
}

// CheckpointInfo describes a checkpoint.
type CheckpointInfo struct {
	Through uint64 // the newest sequence in the checkpoint, which holds every write up to it
	Tables  int
	Bytes   int64 // of all tables
	Copied  int64 // of Bytes, those that were copied, as the target cannot have hard links to this database's files
}

// Checkpoint makes a directory that opens as a database of its own: a copy of this one as of some moment after the call. The
// tables of the copy are hard links, which cost neither time nor space. Where hard links are impossible, as on another file
// system, the tables are copied, and CheckpointInfo.Copied counts the bytes. The directory must not exist or be empty; it
// may be a mount point, or a symbolic link to an empty directory. Reads and writes go on meanwhile. o may be nil.
//
// The copy is independent: neither database harms the other's files. Both have the same id; all the same, do not apply the
// increments of one to the other. A crash leaves no checkpoint or a complete one.
func (db *DB) Checkpoint(ctx context.Context, dir string, o *CheckpointOptions) (CheckpointInfo, error) {
	// 1. Flush: every write before the call is in tables.
	// 2. Pin the tables and the manifest's state that names them. If it has an eviction that came after the flush, flush again.
	// 3. Link the tables into a temporary directory beside the target or in it, and publish that directory. A crash leaves no
	//    checkpoint or a complete one.
	if o == nil {
		o = &CheckpointOptions{}
	}
	files, err := db.pinFlushed()
	if err != nil {
		return CheckpointInfo{}, err
	}
	defer files.Unpin()
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.health.work, cancel)()
	defer cancel()
	info, err := db.checkpoint(ctx, dir, &files.State, o.Progress)
	if err != nil && db.health.closed.Load() {
		return CheckpointInfo{}, ErrClosed // Close cancels ctx, whose error does not say so
	}
	if err != nil {
		return CheckpointInfo{}, fmt.Errorf("checkpoint %s: %w", dir, noSpace(err))
	}
	return info, nil
}

// pinFlushed takes steps 1 and 2 of Checkpoint.
//
// The manifest takes an eviction as soon as that is durable, when the writes before it may be in a memtable. A database of
// such a state and an empty log would give its next writes sequences that the eviction takes, and would have the eviction
// without the writes before it.
func (db *DB) pinFlushed() (lsm.PinnedFiles, error) {
	for {
		if err := db.Flush(); err != nil {
			return lsm.PinnedFiles{}, noSpace(err)
		}
		files, ok := db.live.PinFiles()
		if !ok {
			return lsm.PinnedFiles{}, ErrClosed
		}
		if files.State.Reached() == files.State.LastSeq {
			return files, nil
		}
		files.Unpin()
	}
}

func (db *DB) checkpoint(ctx context.Context, target string, state *manifest.State, report func(Progress)) (CheckpointInfo,
	error) {
	through := state.LastSeq
	done, err := copies.Link(ctx, target, state, &copies.LinkOptions{
		FS:     db.opts.targets,
		Apart:  db.opts.volatile,
		Owned:  db.fs,
		From:   db.dir,
		Random: db.opts.sys.secret,
		Now:    db.clock.Now,
		Report: reportTo(report),
	})
	return CheckpointInfo{Through: through, Tables: done.Tables, Bytes: done.Bytes, Copied: done.Copied}, err
}

// Swap gives the databases in two directories each the name of the other. So one that was restored beside another can take
// its place: Restore, Close, Swap, Open. Swapped once more, the old one is back.
//
// Both have to be closed, else Swap returns ErrLocked, and both have to be in the same directory, else ErrNotBeside. Who has
// the one called name open to read only goes on reading it, and is told ErrNotDatabase by Refresh. Neither may be a mount
// point or the end of a symbolic link. Between two renames there is no directory for a moment, which Options.ReadOnly may
// meet.
//
// A crash leaves either database under that name, whole: if it comes between the renames, the next Open takes the first one
// back. If it comes after, the first one may be left as name + ".swap." and the last part of other, and other be free: Swap is
// ErrTargetExists then, until that directory is renamed.
func Swap(name, other string) error { return swap(vfs.OS, name, other) }

// A host has a file system of its own.
func init() { host.Root.Swap = swap }

func swap(fs vfs.FS, name, other string) error {
	a, err := fs.Abs(name)
	if err != nil {
		return fmt.Errorf("swap %s: %w", name, err)
	}
	b, err := fs.Abs(other)
	if err == nil {
		err = dir.Swap(fs, dir.Dir(a), dir.Dir(b))
	}
	if err != nil {
		return fmt.Errorf("swap %s and %s: %w", name, other, noSpace(err))
	}
	return nil
}

// ResetClockOptions configure a ResetClock. The zero value works.
type ResetClockOptions struct {
	// DryRun changes nothing, and works while the database is open.
	DryRun bool
	// Options are the options that the database is opened with. ResetClock heeds Memory, Compression and Clock.
	Options *Options
}

// ClockReset says what a ResetClock does.
type ClockReset struct {
	Mark time.Time // how far the database's time had come
	To   time.Time // where it goes on: the time that was asked for, or that of the clock if this is later
	Back uint64    // keys that had expired at Mark and have not at To, as far as they are still on the disk
}

// ResetClock lets the time of a closed database go on at an earlier moment. Time never goes back by itself, so that nothing
// which has expired returns: a clock that was years ahead once has left a mark, and keys expire years too early from then on.
// If to is not before that mark there is nothing to do. o may be nil.
//
// Keys come back that had expired only by the wrong clock, as far as their bytes are still on the disk; those that a flush or
// a compaction has left out, or that Options.ExpiryEvents has reported, do not. Keys that were written meanwhile keep their
// deadlines, which are as far ahead as the clock was; writers that were used meanwhile count as used now. A database that is
// open is ErrLocked. The log that Options.RetainLog keeps is dropped.
//
//  1. Count what comes back, reading all entries.
//  2. Open the database with the new time, deaf to marks, and flush the log: from then on no mark in it counts. The manifest
//     is committed with the new time and with the log's first segment behind the marks. A crash before leaves the old time.
func ResetClock(dir string, to time.Time, o *ResetClockOptions) (ClockReset, error) {
	if o == nil {
		o = &ResetClockOptions{}
	}
	var c Options
	if o.Options != nil {
		c = Options{Memory: o.Options.Memory, Compression: o.Options.Compression, Clock: o.Options.Clock}
		c.fs, c.memtableSize, c.tableSize, c.segmentSize = o.Options.fs, o.Options.memtableSize, o.Options.tableSize,
			o.Options.segmentSize
	}
	c.manual, c.clockTo, c.ReadOnly = true, max(to.UnixMilli(), 1), true
	c.WriterIdle = math.MaxInt64 // it is for the database's own Options to say which writers are forgotten
	info, err := resetClock(dir, &c, countBack)
	if err != nil || o.DryRun || !info.To.Before(info.Mark) {
		return info, err
	}
	c.ReadOnly = false
	_, err = resetClock(dir, &c, dropMarks)
	return info, err
}

// resetClock opens a database, does a step of ResetClock, and closes it.
func resetClock(dir string, c *Options, do func(*DB) (ClockReset, error)) (ClockReset, error) {
	db, err := Open(dir, c)
	if err != nil {
		return ClockReset{}, err
	}
	info, err := do(db)
	if err = errors.Join(err, db.Close()); err != nil {
		return ClockReset{}, fmt.Errorf("reset the clock of %s: %w", dir, err)
	}
	return info, nil
}

// countBack takes step 1 of ResetClock.
func countBack(db *DB) (ClockReset, error) {
	mark, now := db.pipeline.marks.found, db.clock.Now()
	info := ClockReset{Mark: ttl.Time(mark), To: ttl.Time(now)}
	if now >= mark {
		return info, nil
	}
	for e, err := range db.Range(nil) {
		if err != nil {
			return info, err
		}
		if kv.Expired(e.Deadline, mark) {
			info.Back++
		}
	}
	return info, nil
}

// dropMarks takes step 2 of ResetClock.
func dropMarks(db *DB) (info ClockReset, err error) {
	t := db.pipeline.lock()
	err = db.log.SkipTo(db.log.NextSeq()) // a new segment, even if there is nothing but marks in this one
	if err == nil {
		err = t.freeze()
	}
	t.end()
	if err == nil {
		err = db.flusher.flushFrozen()
	}
	return info, err
}
