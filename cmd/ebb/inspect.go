package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/ebbdb/ebb"
)

func inspectCommands() []command {
	return []command{
		{"stats", "", "say what the database holds", 0, 0, database, plain(stats), ""},
		{"levels", "", "say what is in each level", 0, 0, database, plain(levels), ""},
		{"expiring", "[DURATION]", "say how much expires when, up to a time from now", 0, 1, database, expiring,
			"It reads every key. The steps are even; the last one, without a duration, ends with the last deadline."},
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
	return s.out.line(fmt.Sprintf("no damage in %d tables (%s) and %d log segments", tableCount(st), megabytes(st.TableBytes),
		st.Log.Segments), field{"tables", tableCount(st)}, field{"table", bytesCount(st.TableBytes)}, field{"segments", st.Log.Segments})
}

// stats says what the database holds, and in a session what it has done.
func stats(_ context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	fields := statFields(db.Stats(), s.many())
	if s.out.json {
		return s.out.object(fields)
	}
	for _, f := range fields {
		if _, err := fmt.Fprintf(s.out, "%s: %s\n", strings.ReplaceAll(f.name, "_", " "), f.text()); err != nil {
			return err
		}
	}
	return nil
}

// statFields returns what the database holds, and what it has done if that is asked for: nothing yet where it has only
// just been opened.
func statFields(st ebb.Stats, done bool) []field {
	fields := []field{
		{"tables", tableCount(st)}, {"entries_in_tables", entryCount(st)}, {"tables_size", bytesCount(st.TableBytes)},
		{"disk", bytesCount(st.DiskBytes)}, {"log_segments", st.Log.Segments}, {"memtables", bytesCount(st.MemtableBytes)},
		{"writers", st.Writers},
		{"deadlines_in_tables", st.DeadlineEntries}, {"deadlines_in_memtables", st.MemtableDeadlineEntries},
		{"expired_and_still_in_tables", bytesCount(st.ExpiredBytes)}, {"expired_for", st.ExpiryLag},
		{"space_amplification", amplification(st.SpaceAmplification())},
	}
	if st.Failure != nil {
		fields = append(fields, field{"failure", st.Failure})
	}
	if st.DamagedTables > 0 {
		fields = append(fields, field{"damaged_tables", st.DamagedTables}, field{"in_damaged_tables", bytesCount(st.DamagedBytes)})
	}
	if st.Background != nil {
		fields = append(fields, field{"background_failure", st.Background})
	}
	if !done {
		return fields
	}
	return append(fields, []field{
		{"log_records_written", st.Log.Records}, {"syncs", st.Log.Syncs}, {"put", bytesCount(st.UserBytes)},
		{"flushes", st.Flushes}, {"flushed", bytesCount(st.FlushedBytes)}, {"compactions", st.Compactions},
		{"compacted", bytesCount(st.CompactedBytes)}, {"write_amplification", amplification(st.WriteAmplification())},
		{"expired_entries_dropped", st.ExpiredEntries}, {"tables_dropped_unread", st.DroppedTables},
		{"writes_slowed", st.SlowedWrites}, {"slowed_for", st.SlowedFor}, {"writes_stopped", st.StoppedWrites},
		{"stopped_for", st.StoppedFor}, {"pins", st.Pins}, {"oldest_pin", st.OldestPin},
		{"memtables_still_read", bytesCount(st.ReplacedMemtableBytes)}, {"upcoming", bytesCount(st.UpcomingBytes)},
	}...)
}

// amplification is a ratio with two digits that mean something.
type amplification float64

func (a amplification) String() string { return fmt.Sprintf("%.2f", float64(a)) }

// levels lists the levels that hold something.
func levels(_ context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	t := s.out.columns()
	for i, l := range db.Stats().Levels {
		if l.Tables > 0 {
			if err := t.row(field{"level", i}, field{"tables", l.Tables}, field{"entries", l.Entries}, field{"size", bytesCount(l.Bytes)}); err != nil {
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

// expiring counts deadlines. The database's own histograms are estimates for the tables; this is exact.
func expiring(flags *flag.FlagSet) action {
	steps := flags.Int("steps", 10, "into how many `steps` to divide the time")
	var prefix []byte
	flags.Var(bytesFlag{&prefix}, "prefix", "only keys that begin with this `prefix`")
	return func(ctx context.Context, s *session, args []string) error {
		if *steps < 1 || *steps > 10000 {
			return &usageError{errors.New("-steps is from 1 to 10000"), nil}
		}
		var within time.Duration
		if len(args) > 0 {
			d, err := parseDuration(args[0])
			if err != nil || d <= 0 {
				return &usageError{fmt.Errorf("%q is no duration such as 90s", args[0]), nil}
			}
			within = d
		}
		return s.read(func(at *ebb.Snapshot) error {
			o := &ebb.IterOptions{Prefix: prefix}
			if within == 0 {
				last, err := lastDeadline(ctx, at, o)
				if err != nil || last == 0 {
					return err
				}
				within = time.UnixMilli(last).Sub(at.Time()) + time.Millisecond
			}
			h := histogram{from: at.Time().UnixMilli(), step: max(1, (within.Milliseconds()+int64(*steps)-1)/int64(*steps)), cells: make([]cell, *steps)}
			if err := h.fill(ctx, at, o); err != nil {
				return err
			}
			return h.print(s.out)
		})
	}
}

// lastDeadline returns the latest deadline, 0 if there is none.
func lastDeadline(ctx context.Context, at *ebb.Snapshot, o *ebb.IterOptions) (last int64, err error) {
	keys := *o
	keys.KeysOnly = true
	for e, err := range entries(ctx, at, &keys) {
		if err != nil {
			return 0, err
		}
		last = max(last, e.Deadline)
	}
	return last, nil
}

// histogram counts the deadlines in steps of equal length, in Unix ms.
type histogram struct {
	from, step int64
	cells      []cell
}

type cell struct {
	keys  int
	bytes int64
}

func (h *histogram) fill(ctx context.Context, at *ebb.Snapshot, o *ebb.IterOptions) error {
	for e, err := range entries(ctx, at, o) {
		if err != nil {
			return err
		}
		i := (e.Deadline - h.from) / h.step
		if e.Deadline != 0 && i < int64(len(h.cells)) {
			c := &h.cells[max(i, 0)]
			c.keys++
			c.bytes += int64(len(e.Key) + len(e.Value))
		}
	}
	return nil
}

func (h *histogram) print(p *printer) error {
	t := p.columns()
	for i, c := range h.cells {
		within := time.Duration(int64(i+1)*h.step) * time.Millisecond
		if err := t.row(field{"within", within}, field{"keys", c.keys}, field{"size", bytesCount(c.bytes)}); err != nil {
			return err
		}
	}
	return t.flush()
}
