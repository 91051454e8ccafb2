package ebb

import (
	"context"
	"fmt"

	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/manifest"
)

// CheckpointOptions configure a Checkpoint. The zero value works.
type CheckpointOptions struct {
	// Progress, if not nil, is called for each table by the goroutine that called Checkpoint.
	Progress func(Progress)
}

// CheckpointInfo describes a checkpoint.
type CheckpointInfo struct {
	Through uint64 // the newest sequence that it holds: it is what was written up to there
	Tables  int
	Bytes   int64 // of all tables
	Copied  int64 // of these, bytes that had to be copied, as the target cannot have hard links to this database's files
}

// Checkpoint makes a directory that opens as a database of its own: this one as it was at some moment after the call. The
// tables are hard links, which cost neither time nor space; where that is not to be had, as on another file system, they
// are copied, and CheckpointInfo.Copied says so. The directory must not exist or be empty; it may be a mount point, or a
// symbolic link to one that is. Reads and writes go on meanwhile. o may be nil.
//
// The copy is independent: neither database harms the other's files. It has the id of this one, so do not use the increments
// of the one for the other.
//
//  1. Flush: what was written before the call is in tables.
//  2. Pin the tables and the manifest's state that goes with them.
//  3. Link the tables into a directory beside the target or in it, and publish that. A crash leaves no checkpoint or all of
//     it.
func (db *DB) Checkpoint(ctx context.Context, dir string, o *CheckpointOptions) (CheckpointInfo, error) {
	if o == nil {
		o = &CheckpointOptions{}
	}
	if err := db.Flush(); err != nil {
		return CheckpointInfo{}, noSpace(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.health.work, cancel)()
	defer cancel()
	files, ok := db.live.PinFiles()
	if !ok {
		return CheckpointInfo{}, ErrClosed
	}
	defer files.Unpin()
	info, err := db.checkpoint(ctx, dir, &files.State, o.Progress)
	if err != nil && db.health.closed.Load() {
		return CheckpointInfo{}, ErrClosed // of which ctx may know, but not say
	}
	if err != nil {
		return CheckpointInfo{}, fmt.Errorf("checkpoint %s: %w", dir, noSpace(err))
	}
	return info, nil
}

func (db *DB) checkpoint(ctx context.Context, target string, state *manifest.State, report func(Progress)) (CheckpointInfo,
	error) {
	through := state.LastSeq
	done, err := copies.Link(ctx, target, state, &copies.LinkOptions{
		FS:     db.opts.fs,
		Owned:  db.fs,
		From:   db.dir,
		Random: db.opts.sys.secret,
		Now:    db.clock.Now,
		Report: reportTo(report),
	})
	return CheckpointInfo{Through: through, Tables: done.Tables, Bytes: done.Bytes, Copied: done.Copied}, err
}
