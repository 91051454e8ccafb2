package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/ebbdb/ebb"
)

func copyCommands() []command {
	return []command{
		{"backup", "FILE", "write a snapshot file: all of the database, or what changed", 1, 1, database, backupFile, `
-since makes an increment: what was written after the sequence that an earlier backup has named, for which nobody else
may have the database open, and its log must still reach back so far. A full one works beside an owner. FILE gets its name when
it is whole and durable, and one that is there is replaced only with -f; - is standard output.`},
		{"restore", "DIR FILE...", "make a database of a full snapshot file and increments in their order", 2, -1, tool,
			plain(restoreFiles), "DIR must be empty or absent, and is a whole database at the end or not there. - is standard input."},
		{"checkpoint", "DEST", "make a second database of the same content, by hard links where that works", 1, 1, database | writes,
			plain(checkpoint), "DEST must be empty or absent."},
		{"ingest", "FILE", "put what a full snapshot file holds into the database, all at once", 1, 1, database | writes | creates,
			plain(ingest), "It replaces what is there under the same keys. - is standard input."},
	}
}

// backupFile writes a snapshot file. It has another name until it is whole, so that a half of one is never taken for it.
func backupFile(flags *flag.FlagSet) action {
	since := flags.Uint64("since", 0, "only what is newer than this `sequence`; 0 is everything")
	zstd := flags.Bool("zstd", false, "compress")
	replace := flags.Bool("f", false, "replace FILE if it is there")
	return func(ctx context.Context, s *session, args []string) error {
		s.owning = *since > 0 // an increment is read from the log, which only the owner has
		db, err := s.open()
		if err != nil {
			return err
		}
		bar := s.progress(-1, "backup")
		defer bar.Finish()
		o := &ebb.BackupOptions{Since: *since, Progress: onBar(bar)}
		if *zstd {
			o.Compression = ebb.CompressionZstd
		}
		var info ebb.BackupInfo
		write := func(w io.Writer) (err error) {
			info, err = db.Backup(ctx, w, o)
			return canceled(ctx, err)
		}
		if args[0] == dash {
			return write(s.out)
		}
		if err := (target{name: args[0], write: write, fresh: !*replace}).put(); err != nil {
			return err
		}
		bar.Finish()
		return s.out.line(fmt.Sprintf("%s up to sequence %d, %s; 'backup -since %[2]d' is the next increment",
			plural(info.Entries, "entry"),
			info.Through, size(info.Bytes)), field{"entries", info.Entries}, field{"range_deletes", info.RangeDeletes},
			field{"since", info.Since}, field{"through", info.Through}, field{"file", bytesCount(info.Bytes)})
	}
}

// onBar shows progress on a bar.
func onBar(b bar) func(ebb.Progress) {
	shown := int64(0)
	return func(p ebb.Progress) {
		b.Add(int(p.Bytes - shown))
		shown = p.Bytes
	}
}

// openFiles opens files for reading. A dash is standard input.
func (s *session) openFiles(ctx context.Context, names []string) (files []io.Reader, closeAll func(), err error) {
	var opened []*os.File
	closeAll = func() {
		for _, f := range opened {
			f.Close()
		}
	}
	for _, name := range names {
		if name == dash && !s.many() {
			files = append(files, s.input(ctx))
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		opened, files = append(opened, f), append(files, f)
	}
	return files, closeAll, nil
}

func restoreFiles(ctx context.Context, s *session, args []string) error {
	files, closeAll, err := s.openFiles(ctx, args[1:])
	if err != nil {
		return err
	}
	defer closeAll()
	bar := s.progress(-1, "restoring")
	defer bar.Finish()
	var last ebb.Progress
	show := onBar(bar)
	o := &ebb.RestoreOptions{Progress: func(p ebb.Progress) { last = p; show(p) }}
	if err := canceled(ctx, ebb.Restore(ctx, args[0], o, files...)); err != nil {
		return err
	}
	bar.Finish()
	return s.out.line(fmt.Sprintf("restored %s of %s", plural(last.Entries, "entry"), plural(len(files), "file")),
		field{"entries", last.Entries},
		field{"files", len(files)})
}

func checkpoint(ctx context.Context, s *session, args []string) error {
	return s.write(func(db *ebb.DB) error {
		bar := s.progress(-1, "checkpoint")
		defer bar.Finish()
		info, err := db.Checkpoint(ctx, args[0], &ebb.CheckpointOptions{Progress: onBar(bar)})
		if err = canceled(ctx, err); err != nil {
			return err
		}
		bar.Finish()
		return s.out.line(fmt.Sprintf("%s, %s, of which %s had to be copied", plural(info.Tables, "table"), size(info.Bytes),
			size(info.Copied)),
			field{"tables", info.Tables}, field{"through", info.Through}, field{"size", bytesCount(info.Bytes)},
			field{"copied", bytesCount(info.Copied)})
	})
}

func ingest(ctx context.Context, s *session, args []string) error {
	files, closeAll, err := s.openFiles(ctx, args)
	if err != nil {
		return err
	}
	defer closeAll()
	return s.write(func(db *ebb.DB) error {
		bar := s.progress(-1, "ingesting")
		defer bar.Finish()
		info, err := db.Ingest(ctx, files[0], &ebb.IngestOptions{Progress: onBar(bar)})
		if err = canceled(ctx, err); err != nil {
			return err
		}
		bar.Finish()
		return s.out.line(fmt.Sprintf("ingested %s, all with version %d", plural(info.Entries, "entry"), info.Version),
			field{"entries", info.Entries}, field{"version", info.Version}, field{"size", bytesCount(info.Bytes)})
	})
}
