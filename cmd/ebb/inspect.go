package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/ebbdb/ebb"
)

// verify checks every byte of the database.
func verify(ctx context.Context, e *env, args []string) error {
	return e.open(args[0], func(db *ebb.DB) error {
		if err := db.Verify(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		s := db.Stats()
		_, err := fmt.Fprintf(e.stdout, "no damage in %d tables (%s) and %d log segments\n", tableCount(s), megabytes(s.TableBytes),
			s.Log.Segments)
		return err
	})
}

// stats says what the database holds. What it has done is not worth saying: it has only just been opened.
func stats(_ context.Context, e *env, args []string) error {
	return e.open(args[0], func(db *ebb.DB) error {
		s := db.Stats()
		w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\ttables\tentries\tsize")
		for i, l := range s.Levels {
			if l.Tables > 0 {
				fmt.Fprintf(w, "level %d\t%d\t%d\t%s\n", i, l.Tables, l.Entries, megabytes(l.Bytes))
			}
		}
		fmt.Fprintf(w, "all\t%d\t%d\t%s\n", tableCount(s), entryCount(s), megabytes(s.TableBytes))
		if err := w.Flush(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "disk: %s\nmemtables: %s\nlog segments: %d\nentries with a deadline, in tables: %d\n"+
			"expired and still in tables: %s, for up to %v\nspace amplification, about: %.2f\n", megabytes(s.DiskBytes),
			megabytes(s.MemtableBytes), s.Log.Segments, s.DeadlineEntries, megabytes(int64(s.ExpiredBytes)), s.ExpiryLag,
			s.SpaceAmplification())
		return err
	})
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

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
