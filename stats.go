package ebb

import (
	"cmp"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// LevelStats says what is in one level.
type LevelStats struct {
	Tables  int
	Bytes   int64 // of the table files
	Entries uint64
}

// Stats says what a database holds, and what it has done since it was opened. Sizes are in bytes. Reads are not counted:
// counting would slow them down.
type Stats struct {
	// Memory, without that of iterators, batches and writes under way.

	MemtableBytes int64            // of all live memtables
	ActiveBytes   int64            // of the live memtable that takes the writes; part of MemtableBytes
	Frozen        int              // memtables that wait for their flush
	Cache         table.CacheStats // the cache of blocks that are compressed or not mapped
	IndexBytes    int64            // of the parts of live tables that are always in memory, and of their sorted view
	MappedBytes   int64            // of mapped live table files; blocks read from them lie in the operating system's page cache

	// ReplacedMemtables have become tables and are still in memory: a reader holds them, see Pins, or the garbage collector
	// has not freed them yet.
	ReplacedMemtables     int
	ReplacedMemtableBytes int64
	UpcomingBytes         int64 // of the list of the versions that expire next: see Options.ExpiryEvents
	NegativeBytes         int64 // of what loads have found to be nowhere: see LoadNegative
	Writers               int   // writers that are remembered, some 100 bytes each: see Batch.SetWriter
	QueuedEvents          int   // events that Options.OnEvent has not been told of yet

	// The bound of the directory: see Options.MaxDisk.

	MaxDisk        int64 // 0: there is none, and the other figures are 0
	DirectoryBytes int64 // of all files in the directory
	HeldBytes      int64 // of these, of deleted files that somebody has open
	RefusedWrites  int64 // with ErrNoSpace for MaxDisk

	// The disk, without the manifest and quarantined tails.

	DiskBytes  int64        // tables, replaced tables and log
	Levels     []LevelStats // live tables
	TableBytes int64        // of all levels
	// ReplacedTables are no longer live, but a reader still holds them: see Pins. Their bytes are freed when it lets go.
	ReplacedTables   int
	ReplacedBytes    int64
	LogObsoleteBytes int64     // of log segments that no memtable needs
	Log              wal.Stats // of the whole log, with its obsolete segments

	// LiveBytes estimates the size, uncompressed, of the keys and values in tables that have neither expired nor been
	// overwritten or deleted: what Compact would leave. A key that overlaps older ones is taken to overwrite one of average
	// size. So LiveBytes is rather too small while keys are new, and exact when all is compacted.
	LiveBytes int64

	// Pins hold old data: iterators, snapshots, and calls that read for long, like Verify.

	Pins      int           // that are open
	OldestPin time.Duration // since the oldest set of tables that a pin holds was replaced; 0 if all pins hold the newest

	// Expiry.

	DeadlineEntries         uint64        // entries with a deadline in tables
	MemtableDeadlineEntries uint64        // entries with a deadline in memtables, overwritten ones included
	ExpiredBytes            uint64        // of keys and values that have expired and are still in tables; a lower bound
	MemtableExpiredBytes    uint64        // of those still in memtables, overwritten ones included
	ExpiryLag               time.Duration // since the first entry expired that is still in a table
	MemtableExpiryLag       time.Duration // the same in memtables, which may keep a little for as long as nothing is written
	ExpiredEntries          uint64        // expired entries that flushes, compactions and dropped tables have removed
	DroppedTables           int64         // tables dropped whole and unread: all in them had expired, or was deleted or evicted
	DroppedBytes            int64         // of the files of dropped tables
	Sweeps                  int64
	ExpiryEvents            int64 // expiries that were reported: see Options.ExpiryEvents

	// Eviction.

	Evictions      int64
	EvictedBytes   uint64 // of keys and values that were evicted, have not expired and are still in tables; a lower bound
	EvictedEntries uint64 // evicted entries that flushes, compactions and dropped tables have removed

	// Writes, flushes and compactions.

	UserBytes           int64 // of the keys and values that were put
	Flushes             int64
	FlushedBytes        int64 // written by flushes
	FlushedFor          time.Duration
	Compactions         int64 // without those that only moved tables
	CompactionReadBytes int64 // of the tables that compactions have rewritten
	CompactedBytes      int64 // written by compactions
	CompactedFor        time.Duration

	// Delays, failures and damage.

	SlowedWrites     int64         // writes that were slowed for the background to catch up
	SlowedFor        time.Duration // how long writes were slowed in all
	StoppedWrites    int64         // writes that were stopped for the background to catch up
	StoppedFor       time.Duration // how long writes were stopped in all
	LogCutBytes      int64         // of a torn end of the log that Open has found: see TailCut
	DiskFull         int64         // times that the log had no room, or that MaxDisk allowed no more
	BackgroundErrors int64
	DamagedTables    int   // live tables that were found damaged since Open and are compacted around: see TableDamaged
	DamagedBytes     int64 // of the files of damaged tables
	Background       error // why the last flush or compaction failed, if it is still to be tried again
	Failure          error // why the database takes no more writes; nil if it does
}

// WriteAmplification returns how many bytes the log, flushes and compactions have written to the disk for each byte of the
// keys and values that were put. It is 0 before the first put.
func (s Stats) WriteAmplification() float64 {
	return ratio(int64(s.Log.Bytes)+s.FlushedBytes+s.CompactedBytes, s.UserBytes)
}

// SpaceAmplification returns how many bytes of tables there are for each live byte. It is an estimate, rather too large as
// LiveBytes is rather too small. It is 0 where nothing is live.
func (s Stats) SpaceAmplification() float64 { return ratio(s.TableBytes+s.ReplacedBytes, s.LiveBytes) }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Stats returns the database's figures. Each is right by itself: while there are writes, one may be ahead of another. Stats
// reads no file, but may wait for a write under way. It may be called from any goroutine.
func (db *DB) Stats() Stats {
	s := statsOf(&db.stats)
	s.Levels = make([]LevelStats, compaction.NumLevels)
	s.Cache = db.cache.Stats()
	v, now := db.live.View(), db.clock.Now()
	db.addMemtables(&s, v, now)
	if db.opts.ReadOnly {
		s.Log.Segments, s.Log.DiskBytes = v.Log.Segments, v.Log.DiskBytes
	} else {
		db.addLog(&s, v)
	}
	s.addTables(v.Version, now)
	s.LiveBytes = v.LiveBytes(now)
	damaged, _ := db.compacter.damage.in(v.Version)
	for t := range damaged {
		s.DamagedTables++
		s.DamagedBytes += t.Size
	}
	s.addReplaced(db.live.Replaced())
	s.QueuedEvents = db.events.waiting()
	s.DiskBytes = s.TableBytes + s.ReplacedBytes + s.Log.DiskBytes
	if db.bound != nil {
		s.MaxDisk = db.bound.max
		s.DirectoryBytes, s.HeldBytes = db.bound.disk.Bytes()
	}
	return s
}

// statsOf returns the figures that counters have.
func statsOf(c *counters) Stats {
	return Stats{
		ExpiredEntries:      c.expired.Load(),
		DroppedTables:       c.dropped.Load(),
		DroppedBytes:        c.droppedBytes.Load(),
		Sweeps:              c.sweeps.Load(),
		ExpiryEvents:        c.expiryEvents.Load(),
		Evictions:           c.evictions.Load(),
		EvictedEntries:      c.evicted.Load(),
		Flushes:             c.flushes.Load(),
		FlushedBytes:        c.flushed.Load(),
		FlushedFor:          time.Duration(c.flushedFor.Load()),
		Compactions:         c.compactions.Load(),
		CompactionReadBytes: c.compactionRead.Load(),
		CompactedBytes:      c.compacted.Load(),
		CompactedFor:        time.Duration(c.compactedFor.Load()),
		SlowedWrites:        c.slowed.Load(),
		SlowedFor:           time.Duration(c.slowedFor.Load()),
		StoppedWrites:       c.stopped.Load(),
		StoppedFor:          time.Duration(c.stoppedFor.Load()),
		LogCutBytes:         c.logCut.Load(),
		DiskFull:            c.noSpace.Load(),
		RefusedWrites:       c.refused.Load(),
		BackgroundErrors:    c.backgroundErrors.Load(),
	}
}

// addMemtables adds the figures of the memtables of a view. The active memtable's histogram is read under the commit lock.
// If another memtable has become active since the view was loaded, the lock is not needed.
func (db *DB) addMemtables(s *Stats, v *lsm.View, now int64) {
	t := db.pipeline.lock()
	s.UserBytes, s.Writers, s.NegativeBytes = t.userBytes(), len(t.writers().index), t.p.trail.known.Memory()
	if r := db.reporter; r != nil {
		s.UpcomingBytes = r.upcoming.Bytes()
	} else if r := hostReporterOf(db); r != nil {
		s.UpcomingBytes = r.upcoming.Bytes()
	}
	s.MemtableExpiredBytes = uint64(v.Mem.Deadlines.ExpiredBytes(now))
	t.end()
	s.ActiveBytes = v.Mem.Size()
	s.Frozen = len(v.Frozen)
	for _, m := range v.Frozen {
		s.MemtableExpiredBytes += uint64(m.Deadlines.ExpiredBytes(now))
	}
	for _, m := range append(v.Frozen[:s.Frozen:s.Frozen], v.Mem) {
		stats := m.Stats()
		s.MemtableBytes += m.Size()
		s.MemtableDeadlineEntries += uint64(stats.Deadlines)
		s.MemtableExpiryLag = max(s.MemtableExpiryLag, ttl.Overdue(stats.MinDeadline, now))
	}
}

// addLog adds the figures of the log, and the failures of the log and of the background.
func (db *DB) addLog(s *Stats, v *lsm.View) {
	s.Log, s.LogObsoleteBytes = db.log.Stats(), db.log.BytesBefore(v.Oldest().Segment)
	s.Background, s.Failure = cmp.Or(db.flusher.err(), db.compacter.err()), db.health.failure()
	if s.Failure == nil {
		s.Failure = db.log.Err()
	}
}

// addTables adds the figures of the tables of a version.
func (s *Stats) addTables(v *lsm.Version, now int64) {
	s.IndexBytes += v.SortedBytes()
	for level, t := range v.Levels.All() {
		l, p := &s.Levels[level], t.Reader.Properties()
		l.Tables++
		l.Bytes += t.Size
		l.Entries += p.Entries
		s.TableBytes += t.Size
		s.IndexBytes += t.Reader.IndexBytes()
		s.MappedBytes += t.Reader.MappedBytes()
		s.DeadlineEntries += p.DeadlineEntries
		s.ExpiredBytes += p.ExpiredBytes(now)
		s.EvictedBytes += p.ExpiredBytes(max(now, t.Evicted(v.Evictions))) - p.ExpiredBytes(now)
		s.ExpiryLag = max(s.ExpiryLag, ttl.Overdue(p.MinDeadline, now))
	}
}

// addReplaced adds the figures of the replaced tables and memtables that are still held.
func (s *Stats) addReplaced(r lsm.Replaced) {
	s.ReplacedTables, s.ReplacedBytes = r.Tables, r.Bytes
	s.ReplacedMemtables, s.ReplacedMemtableBytes = r.Memtables, r.MemtableBytes
	s.Pins, s.OldestPin = r.Pins, r.OldestPin
}
