package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// memoryBudget is Options.Memory of every database that the command opens.
const memoryBudget = 256e6

// stats says how the database is, what it holds, and in a session what that has done.
func stats(_ context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	st := db.Stats()
	seq, err := newest(db)
	if err != nil {
		return err
	}
	who, err := s.identify(seq)
	if err != nil {
		return err
	}
	v := s.judge(st, who.owned())
	done := s.many() && !s.opened.readOnly
	if s.out.json {
		fields := append([]field{{"verdict", v.state}, {"about", v.about}}, who.fields()...)
		return s.out.object(append(fields, statFields(st, done)...))
	}
	fold(s.out, "", v.text())
	for _, fields := range [][]field{who.fields(), statFields(st, done)} {
		fmt.Fprintln(s.out)
		for _, f := range fields {
			name := strings.ReplaceAll(f.name, "_", " ") + ":"
			if _, err := fmt.Fprintf(s.out, "%-28s %s\n", name, f.text()); err != nil {
				return err
			}
		}
	}
	return nil
}

// identity says which database it is, and who has it.
type identity struct {
	dir, id string
	format  int
	seq     uint64
	owner   int  // by LOCK; 0: it names none
	held    bool // by the owner
	self    bool // that is this process
}

// identify finds out which database the session has open.
func (s *session) identify(seq uint64) (identity, error) {
	i := identity{dir: s.dir, seq: seq, self: !s.opened.readOnly}
	if dir, err := filepath.Abs(s.dir); err == nil {
		i.dir = dir
	}
	data, err := os.ReadFile(filepath.Join(s.dir, manifest.Name))
	if err != nil {
		return i, err
	}
	r, _, err := wal.DecodeRecord(data)
	if err != nil {
		return i, fmt.Errorf("%s: %w", manifest.Name, err)
	}
	described, err := manifest.Describe(&r)
	if err != nil {
		return i, fmt.Errorf("%s: %w", manifest.Name, err)
	}
	for _, f := range described.Fields {
		switch f.Key {
		case "database":
			i.id = f.Value.String()
		case "format":
			i.format = format.OfManifest(byte(f.Value.Int64()))
		}
	}
	i.owner, i.held, err = vfs.LockOwner(filepath.Join(s.dir, "LOCK"))
	if os.IsNotExist(err) { // a copy without it is a database all the same
		err = nil
	}
	return i, err
}

// owned reports whether a process has the database open to write.
func (i *identity) owned() bool { return i.self || i.held }

func (i *identity) fields() []field {
	return []field{{"directory", i.dir}, {"database_id", i.id}, {"format", i.format}, {"sequence", i.seq}, {"owner", owner(*i)},
		{"memory_budget", bytesCount(memoryBudget)}}
}

// owner is who has the database, in words or as JSON.
type owner identity

func (o owner) String() string {
	switch {
	case o.self:
		return "this process"
	case o.held:
		return fmt.Sprintf("process %d", o.owner)
	case o.owner > 0:
		return fmt.Sprintf("none (the last was process %d)", o.owner)
	}
	return "none"
}

// MarshalJSON writes the owner's process, or null.
func (o owner) MarshalJSON() ([]byte, error) {
	if o.self || o.held {
		return fmt.Append(nil, o.owner), nil
	}
	return []byte("null"), nil
}

// verdict says how a database is.
type verdict struct {
	state string // healthy, behind, damaged or failed
	about string // what there is to say or to do; empty if nothing
}

func (v verdict) text() string {
	if v.about == "" {
		return v.state
	}
	return v.state + ": " + v.about
}

const (
	muchExpired = 16 << 20 // bytes that have expired and are still there are worth a word
	manyTables  = 40       // in level 0, with which writes are slowed down
)

// judge says what the figures come to, the worst first. owned says whether somebody has the database to write.
func (s *session) judge(st ebb.Stats, owned bool) verdict {
	damage := fmt.Sprintf("'ebb verify %s' reads every byte, 'ebb repair %[1]s NEWDIR' saves what can be read "+
		"into a new database.", quote([]byte(s.dir)))
	switch {
	case st.Failure != nil:
		return verdict{"failed", fmt.Sprintf("no write is taken any more: %v. Reads go on. Open it anew; %s", st.Failure, damage)}
	case st.DamagedTables > 0:
		return verdict{"damaged", fmt.Sprintf("%s (%s) cannot be read whole. Restore a backup, or: %s",
			plural(st.DamagedTables, "table"),
			size(st.DamagedBytes), damage)}
	case st.Background != nil:
		return verdict{"behind", fmt.Sprintf("a flush or a compaction has failed and is tried again: %v", st.Background)}
	case st.Levels[0].Tables >= manyTables:
		return verdict{"behind", fmt.Sprintf("%s wait to be compacted and slow writes down. If they stay that many while little is "+
			"written, its owner is too short of time, or of disk.", plural(st.Levels[0].Tables, "table"))}
	}
	var notes []string
	if !s.opened.found.Clean && !owned && s.opened.found.Bytes > 0 {
		notes = append(notes, fmt.Sprintf("it was not closed, so whoever opens it to write first replays %s of log.",
			size(s.opened.found.Bytes)))
	}
	if st.LogCutBytes > 0 {
		notes = append(notes, fmt.Sprintf("the log ends in %s that are no record, "+
			"as a crash leaves them of a write that had not returned.",
			plural(st.LogCutBytes, "byte")))
	}
	if expired := int64(st.ExpiredBytes + st.MemtableExpiredBytes); expired >= muchExpired && !owned {
		notes = append(notes, fmt.Sprintf("%s have expired and take space until a process has it open to write.", size(expired)))
	}
	return verdict{"healthy", strings.Join(notes, " And ")}
}

// statFields returns what the database holds, and what it has done if that is asked for: nothing yet where it has only
// just been opened.
func statFields(st ebb.Stats, done bool) []field {
	fields := []field{
		{"disk", bytesCount(st.DiskBytes)},
		{"tables", tableCount(st)}, {"tables_size", bytesCount(st.TableBytes)}, {"entries_in_tables", entryCount(st)},
		{"log_segments", st.Log.Segments}, {"log_size", bytesCount(st.Log.DiskBytes)},
		{"memtables", bytesCount(st.MemtableBytes)}, {"writers", st.Writers},
		{"deadlines_in_tables", st.DeadlineEntries}, {"deadlines_in_memtables", st.MemtableDeadlineEntries},
		{"expired_and_still_in_tables", bytesCount(st.ExpiredBytes)}, {"expired_for", st.ExpiryLag},
		{"evicted_and_still_in_tables", bytesCount(st.EvictedBytes)},
		{"space_amplification", amplification(st.SpaceAmplification())},
	}
	if st.MaxDisk > 0 {
		fields = append(fields, field{"max_disk", bytesCount(st.MaxDisk)}, field{"directory", bytesCount(st.DirectoryBytes)},
			field{"held", bytesCount(st.HeldBytes)}, field{"writes_refused", st.RefusedWrites})
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
		{"evictions", st.Evictions}, {"evicted_entries_dropped", st.EvictedEntries},
		{"writes_slowed", st.SlowedWrites}, {"slowed_for", st.SlowedFor}, {"writes_stopped", st.StoppedWrites},
		{"stopped_for", st.StoppedFor}, {"pins", st.Pins}, {"oldest_pin", st.OldestPin},
		{"memtables_still_read", bytesCount(st.ReplacedMemtableBytes)}, {"upcoming", bytesCount(st.UpcomingBytes)},
	}...)
}

// amplification is a ratio with two digits that mean something.
type amplification float64

func (a amplification) String() string { return fmt.Sprintf("%.2f", float64(a)) }
