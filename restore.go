package ebb

import (
	"context"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/copies"
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

// reportTo makes of a function that wants a Progress one that is told the two figures of it, nil of nil.
func reportTo(progress func(Progress)) func(entries uint64, bytes int64) {
	if progress == nil {
		return nil
	}
	return func(entries uint64, bytes int64) { progress(Progress{entries, bytes}) }
}
