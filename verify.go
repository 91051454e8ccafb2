package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/wal"
)

// Verify reads the whole database, its tables and its log, and checks every byte. It returns the first damage that it finds,
// as an error that matches ErrCorrupt. A missing segment of the log is damage, too. Reads and writes go on meanwhile.
func (db *DB) Verify(ctx context.Context) error {
	v, _, err := pin(&db.live)
	if err != nil {
		return err
	}
	defer db.live.Unpin(v)
	for _, t := range v.Version.Levels.All() {
		if err := db.verifyTable(ctx, t); err != nil {
			if errors.Is(err, ErrCorrupt) {
				db.compacter.damage.setApart(t, err)
			}
			return err
		}
	}
	if db.opts.ReadOnly {
		return db.verifyLogFiles(ctx)
	}
	if err := db.verifyLog(ctx); err == nil || !db.health.closed.Load() {
		return closedLog(err)
	}
	return ErrClosed // in place of the log's own error
}

// verifyTable verifies one table, a step at a time: Close, and whoever lets go of tables, wait for the step under way.
func (db *DB) verifyTable(ctx context.Context, t *compaction.Table) error {
	v, more := t.Reader.NewVerifier(), true
	step := func() (err error) {
		more, err = v.Step()
		return err
	}
	for more {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := whileOpen(&db.live, step); err != nil {
			return err
		}
	}
	return nil
}

// verifyLog reads the log from its beginning to the end that it has now. Segments that a flush deletes meanwhile are left
// out.
func (db *DB) verifyLog(ctx context.Context) error {
	end := db.log.End()
	for from := db.log.First(); from.Compare(end) < 0; {
		r, err := db.log.NewReader(from)
		if err == nil {
			err = readTo(ctx, r, end)
			r.Close()
		}
		if !errors.Is(err, wal.ErrDeleted) {
			return err
		}
		first := db.log.First()
		if first.Compare(from) <= 0 {
			return fmt.Errorf("verify log: %w", err)
		}
		from = first
	}
	return nil
}

// readTo reads entries up to a position, or to the end of the log.
func readTo(ctx context.Context, r *wal.Reader, end wal.Position) error {
	var e wal.Entry
	for n := 0; r.Position().Compare(end) < 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.Next(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("verify log: %w", err)
		}
	}
	return nil
}
