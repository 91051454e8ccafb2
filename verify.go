package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/wal"
)

// Verify reads the whole database, its tables and its log, and checks every byte of it. It returns the first damage it
// finds, an error that matches ErrCorrupt. Reads and writes go on meanwhile.
func (db *DB) Verify(ctx context.Context) error {
	v, _, err := db.pinView()
	if err != nil {
		return err
	}
	defer db.unref(v.tables)
	for _, tables := range v.tables.levels {
		for _, t := range tables {
			if err := db.verifyTable(ctx, t); err != nil {
				return err
			}
		}
	}
	return db.verifyLog(ctx)
}

// verifyTable verifies one table. Close of the database waits for it.
func (db *DB) verifyTable(ctx context.Context, t *compaction.Table) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.work, cancel)()
	defer cancel()
	ticket := db.epoch.enter(uint32(t.File))
	defer db.epoch.exit(ticket)
	if db.closed.Load() {
		return ErrClosed
	}
	err := t.Reader.Verify(ctx)
	if db.closed.Load() && errors.Is(err, context.Canceled) {
		return ErrClosed
	}
	return err
}

// verifyLog reads the log from its beginning to its end.
func (db *DB) verifyLog(ctx context.Context) error {
	if db.opts.ReadOnly {
		return db.verifyLogFiles(ctx)
	}
	for {
		r, err := db.log.NewReader(db.log.First())
		if err == nil {
			err = readAll(ctx, r)
			r.Close()
		}
		if !errors.Is(err, wal.ErrDeleted) { // otherwise a flush has deleted what was to be read: begin again
			return closedLog(err)
		}
	}
}

func readAll(ctx context.Context, r *wal.Reader) error {
	var e wal.Entry
	for n := 0; ; n++ {
		if err := r.Next(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("verify log: %w", err)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
