package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

func maintainCommands() []command {
	return []command{
		{"flush", "", "write what is in memory to tables", 0, 0, database | writes, plain(flush), ""},
		{"compact", "", "rewrite all tables until nothing deleted, overwritten or expired takes space", 0, 0, database | writes,
			plain(compact), "It is never needed. Ctrl-C leaves what is done."},
		{"sync", "", "make every write that has returned durable", 0, 0, database | writes, plain(syncLog), ""},
	}
}

func flush(_ context.Context, s *session, _ []string) error { return s.write((*ebb.DB).Flush) }

func syncLog(_ context.Context, s *session, _ []string) error { return s.write((*ebb.DB).Sync) }

func compact(ctx context.Context, s *session, _ []string) error {
	return s.write(func(db *ebb.DB) error {
		before, start := db.Stats().TableBytes, time.Now()
		if err := canceled(ctx, db.Compact(ctx)); err != nil {
			return err
		}
		after, took := db.Stats().TableBytes, time.Since(start)
		return s.out.line(fmt.Sprintf("%s before, %s after, in %v", size(before), size(after), took.Round(time.Millisecond)),
			field{"before", bytesCount(before)}, field{"after", bytesCount(after)}, field{"took", took})
	})
}

// canceled returns why ctx is done instead of the error that this has caused.
func canceled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
