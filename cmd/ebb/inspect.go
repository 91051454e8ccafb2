package main

import (
	"context"
	"fmt"

	"github.com/ebbdb/ebb"
)

func inspectCommands() []command {
	return []command{
		{"stats", "", "say how the database is, who has it, and what it holds", 0, 0, database, plain(stats), `
The first line is the verdict: healthy, behind, damaged or failed, and what to do. It reads no data: 'verify' does.`},
		{"levels", "", "say what is in each level", 0, 0, database, plain(levels), ""},
		{"expiring", "[DURATION]", "say how much expires when, up to a time from now", 0, 1, database, expiring,
			aboutExpiring},
		{"bigkeys", "[PREFIX]", "say what takes the space: the largest keys, and sizes by prefix", 0, 1, database | keyArgs, bigkeys,
			aboutBigkeys},
		{"verify", "", "read the whole database and check every byte", 0, 0, database, plain(verify),
			"It stops at the first damage and says where that is. 'ebb repair' saves what can be saved."},
	}
}

// verify checks every byte of the database.
func verify(ctx context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	if err := canceled(ctx, db.Verify(ctx)); err != nil {
		return err
	}
	st := db.Stats()
	return s.out.line(fmt.Sprintf("no damage in %s (%s) and %s (%s)", plural(tableCount(st), "table"), size(st.TableBytes),
		plural(st.Log.Segments, "log segment"), size(st.Log.DiskBytes)), field{"tables", tableCount(st)},
		field{"table", bytesCount(st.TableBytes)}, field{"segments", st.Log.Segments})
}

// levels lists the levels that hold something.
func levels(_ context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	st := db.Stats()
	if tableCount(st) == 0 && !s.out.json {
		return s.out.line("no tables: all there is is in memory and in the log")
	}
	t := s.out.columns()
	for i, l := range st.Levels {
		if l.Tables > 0 {
			if err := t.row(field{"level", i}, field{"tables", l.Tables}, field{"entries", l.Entries},
				field{"size", bytesCount(l.Bytes)}); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

func tableCount(s ebb.Stats) (n int) {
	for _, l := range s.Levels {
		n += l.Tables
	}
	return n
}

func entryCount(s ebb.Stats) (n uint64) {
	for _, l := range s.Levels {
		n += l.Entries
	}
	return n
}
