package ebb

import (
	"log/slog"
	"time"
)

// Event is one of the structs below, as Options.OnEvent gets them. As a value of log/slog it shows its fields.
type Event interface {
	slog.LogValuer
	// event says how Options.Logger is told.
	event() (level slog.Level, message string)
}

// Recovered says how much Open has found in the log and replayed.
type Recovered struct {
	Segments int
	Bytes    int64  // of the log, read
	Entries  uint64 // replayed
	Tables   int    // opened
	Clean    bool   // the database is new, or was closed
	CutBytes int64  // of a torn tail: see TailCut
	Duration time.Duration
}

// TailCut says that Open has found a torn tail, has put its bytes aside and has cut it off. A torn tail is the part that a
// crash leaves of writes that were never acknowledged. A database that is opened read-only leaves the tail and ends before
// it.
//
// Damage to the records that were synced last before a crash can look like a torn tail, as no later record proves that they
// were synced. After a Close it cannot: then such damage is ErrCorrupt.
type TailCut struct {
	File       string // the log segment
	Offset     int64  // the end of the segment after the cut
	Bytes      int64  // cut, up to the last that was not zero
	Quarantine string // the file that holds the cut bytes; empty if the database is read-only
}

// Flushed says that a memtable has become a table.
type Flushed struct {
	Table    uint64 // its number; 0: no entry was left to keep
	Bytes    int64  // of its file
	Entries  uint64 // read from the memtable
	Expired  uint64 // of Entries, those that were left out or kept as tombstones
	Evicted  uint64 // of Entries, those that had not expired, and were left out or kept as tombstones: see Evicted
	Duration time.Duration
}

// Compacted says that tables have been merged, or moved to another level as they are.
type Compacted struct {
	Reason      string
	Level       int  // the level of the outputs
	Moved       bool // nothing was read or written
	Inputs      int  // tables
	InputBytes  int64
	Outputs     int
	OutputBytes int64
	Expired     uint64 // entries that were left out, or kept as tombstones
	Evicted     uint64 // those that had not expired, and were left out or kept as tombstones: see Evicted
	Duration    time.Duration
}

// TableExpired says that all entries of a table had expired, and that the table was dropped whole and unread.
type TableExpired struct {
	Table   uint64 // its number
	Bytes   int64  // of its file
	Entries uint64
	Overdue time.Duration // since the last of them expired
}

// TableDeleted says that newer range deletes cover all entries of a table, and that the table was dropped whole and unread.
type TableDeleted struct {
	Table   uint64 // its number
	Bytes   int64  // of its file
	Entries uint64
}

// Evicted says that entries with a deadline have become absent before it: all that were written before the eviction and have
// a deadline up to UpTo. Their space comes back with the compactions that follow.
type Evicted struct {
	Version uint64    // of the eviction: what has a lower one is older
	UpTo    time.Time // the last deadline that was evicted
	Entries uint64    // that went, in tables, at least; estimated, and overwritten ones count too
	Bytes   int64     // of their keys and values
}

// TableEvicted says that all entries of a table were evicted, or had expired, and that the table was dropped whole and unread.
type TableEvicted struct {
	Table   uint64 // its number
	Bytes   int64  // of its file
	Entries uint64
}

// TableDamaged says that a table could not be read whole by a compaction or by Verify. The table is set apart: it stays
// live, and a read that needs a damaged part of it returns ErrCorrupt. The other tables are compacted around it, and writes
// go on. The event is told once for each Open. Restore a backup, or save the readable entries with the command's repair.
type TableDamaged struct {
	Table uint64 // its number
	Level int
	Bytes int64 // of its file
	Err   error // matches ErrCorrupt, unless the disk did not give the bytes: then the table is tried again
}

// Swept says that a sweep has found expired entries.
type Swept struct {
	Frozen       bool          // the memtable had mostly expired, and is now flushed
	ExpiredBytes int64         // expired keys and values in tables, at least; the background frees them where it is worth it
	Lag          time.Duration // since the first expired entry in tables expired
	Duration     time.Duration // of the sweep
}

// StallBegan says that writers are being held up until the background has caught up. StallEnded follows.
type StallBegan struct {
	Stopped bool // writers wait; false: they are slowed
	Reason  string
}

// StallEnded says that writers are not held up any more, or not in the same way.
type StallEnded struct {
	Stopped  bool // as in StallBegan
	Reason   string
	Duration time.Duration
}

// BackgroundError says that a background task failed, of which no caller can be told. The failure has lost nothing. An Err
// that matches ErrNoSpace is a full disk; an Err that matches ErrFailed is preceded by Failed.
type BackgroundError struct {
	Task  string // the task that failed
	Err   error
	Retry time.Duration // the task is tried again after this; 0: never
}

// DiskFull says that the log has no room for a write, or that Options.MaxDisk allows no more. The write did not happen. Writes
// go on when there is room. As long as there is none, DiskFull comes again every ten seconds at most.
type DiskFull struct{ Err error }

// Failed says that the database takes no more writes: see ErrFailed.
type Failed struct{ Err error }

// TransactionLeaked says that a transaction of Begin was neither committed nor discarded, and that nobody can reach it any
// more. What it had pinned is freed, and what it had written is lost.
type TransactionLeaked struct {
	Begun    string // file and line of the call of Begin
	Writable bool
	Age      time.Duration // since Begin
}

// ClockJumped says that the clock has leapt forward by more than a minute, as it does when the machine was suspended or the
// clock was set. Keys expire by it.
type ClockJumped struct{ By time.Duration }

// ClockSetBack says that Open has found the clock more than a minute behind the latest time that the database has seen. Keys
// expire by that latest time, which goes on from there.
type ClockSetBack struct{ By time.Duration }

func (e Recovered) event() (slog.Level, string) {
	if e.Clean {
		return slog.LevelDebug, "opened"
	}
	return slog.LevelInfo, "recovered"
}
func (TailCut) event() (slog.Level, string)      { return slog.LevelWarn, "torn tail cut from the log" }
func (Flushed) event() (slog.Level, string)      { return slog.LevelDebug, "flushed" }
func (Compacted) event() (slog.Level, string)    { return slog.LevelDebug, "compacted" }
func (TableExpired) event() (slog.Level, string) { return slog.LevelDebug, "table expired" }
func (TableDeleted) event() (slog.Level, string) { return slog.LevelDebug, "table deleted" }
func (Evicted) event() (slog.Level, string)      { return slog.LevelInfo, "evicted" }
func (TableEvicted) event() (slog.Level, string) { return slog.LevelDebug, "table evicted" }
func (TableDamaged) event() (slog.Level, string) { return slog.LevelError, "table damaged" }
func (Swept) event() (slog.Level, string)        { return slog.LevelDebug, "swept" }
func (StallBegan) event() (slog.Level, string)   { return slog.LevelInfo, "writers held up" }
func (StallEnded) event() (slog.Level, string)   { return slog.LevelInfo, "writers go on" }
func (BackgroundError) event() (slog.Level, string) {
	return slog.LevelWarn, "background error"
}
func (DiskFull) event() (slog.Level, string) { return slog.LevelWarn, "disk full" }
func (Failed) event() (slog.Level, string)   { return slog.LevelError, "no more writes" }
func (TransactionLeaked) event() (slog.Level, string) {
	return slog.LevelWarn, "transaction leaked"
}
func (ClockJumped) event() (slog.Level, string) { return slog.LevelWarn, "the clock leapt forward" }
func (ClockSetBack) event() (slog.Level, string) {
	return slog.LevelWarn, "the clock has been set back"
}

// LogValue returns the fields.
func (e Recovered) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("segments", e.Segments), slog.Int64("bytes", e.Bytes), slog.Uint64("entries", e.Entries),
		slog.Int("tables", e.Tables), slog.Bool("clean", e.Clean), slog.Int64("cut", e.CutBytes), duration(e.Duration))
}

// LogValue returns the fields.
func (e TailCut) LogValue() slog.Value {
	return slog.GroupValue(slog.String("file", e.File), slog.Int64("offset", e.Offset), slog.Int64("bytes", e.Bytes),
		slog.String("quarantine", e.Quarantine))
}

// LogValue returns the fields.
func (e Flushed) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("table", e.Table), slog.Int64("bytes", e.Bytes), slog.Uint64("entries", e.Entries),
		slog.Uint64("expired", e.Expired), slog.Uint64("evicted", e.Evicted), duration(e.Duration))
}

// LogValue returns the fields.
func (e Compacted) LogValue() slog.Value {
	return slog.GroupValue(slog.String("reason", e.Reason), slog.Int("to_level", e.Level), slog.Bool("moved", e.Moved),
		slog.Int("inputs", e.Inputs), slog.Int64("input_bytes", e.InputBytes), slog.Int("outputs", e.Outputs),
		slog.Int64("output_bytes", e.OutputBytes), slog.Uint64("expired", e.Expired), slog.Uint64("evicted", e.Evicted),
		duration(e.Duration))
}

// LogValue returns the fields.
func (e TableExpired) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("table", e.Table), slog.Int64("bytes", e.Bytes), slog.Uint64("entries", e.Entries),
		slog.Duration("overdue", e.Overdue))
}

// LogValue returns the fields.
func (e TableDeleted) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("table", e.Table), slog.Int64("bytes", e.Bytes), slog.Uint64("entries", e.Entries))
}

// LogValue returns the fields.
func (e Evicted) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("version", e.Version), slog.Time("up_to", e.UpTo), slog.Uint64("entries", e.Entries),
		slog.Int64("bytes", e.Bytes))
}

// LogValue returns the fields.
func (e TableEvicted) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("table", e.Table), slog.Int64("bytes", e.Bytes), slog.Uint64("entries", e.Entries))
}

// LogValue returns the fields.
func (e TableDamaged) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("table", e.Table), slog.Int("in_level", e.Level), slog.Int64("bytes", e.Bytes),
		slog.Any("err", e.Err))
}

// LogValue returns the fields.
func (e Swept) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("frozen", e.Frozen), slog.Int64("expired_bytes", e.ExpiredBytes),
		slog.Duration("lag", e.Lag), duration(e.Duration))
}

// LogValue returns the fields.
func (e StallBegan) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("stopped", e.Stopped), slog.String("reason", e.Reason))
}

// LogValue returns the fields.
func (e StallEnded) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("stopped", e.Stopped), slog.String("reason", e.Reason), duration(e.Duration))
}

// LogValue returns the fields.
func (e BackgroundError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("task", e.Task), slog.Any("err", e.Err), slog.Duration("retry", e.Retry))
}

// LogValue returns the fields.
func (e DiskFull) LogValue() slog.Value { return slog.GroupValue(slog.Any("err", e.Err)) }

// LogValue returns the fields.
func (e Failed) LogValue() slog.Value { return slog.GroupValue(slog.Any("err", e.Err)) }

// LogValue returns the fields.
func (e TransactionLeaked) LogValue() slog.Value {
	return slog.GroupValue(slog.String("begun", e.Begun), slog.Bool("writable", e.Writable), slog.Duration("age", e.Age))
}

// LogValue returns the fields.
func (e ClockJumped) LogValue() slog.Value { return slog.GroupValue(slog.Duration("by", e.By)) }

// LogValue returns the fields.
func (e ClockSetBack) LogValue() slog.Value { return slog.GroupValue(slog.Duration("by", e.By)) }

func duration(d time.Duration) slog.Attr { return slog.Duration("duration", d) }
