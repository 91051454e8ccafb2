package ebbprom

import (
	"github.com/ebbdb/ebb"
	"github.com/prometheus/client_golang/prometheus"
)

// metric is one figure of Stats.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*ebb.Stats) float64
}

// levelMetric is one figure of each level.
type levelMetric struct {
	name, help string
	value      func(*ebb.LevelStats) float64
}

// placeMetric is a figure that tables and memtables have.
type placeMetric struct {
	name, help string
	values     func(*ebb.Stats) (tables, memtables float64)
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var metrics = []metric{
	{"memtable_bytes", "Memory of all memtables.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.MemtableBytes) }},
	{"memtable_active_bytes", "Memory of the memtable that is written.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.ActiveBytes) }},
	{"memtables_frozen", "Memtables that wait for their flush.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Frozen) }},
	{"replaced_memtables", "Memtables that have become tables and are still in memory.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.ReplacedMemtables) }},
	{"replaced_memtable_bytes", "Memory of memtables that have become tables and are still read.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.ReplacedMemtableBytes) }},
	{"upcoming_bytes", "Memory of what expires next, where expiries are reported.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.UpcomingBytes) }},
	{"negative_bytes", "Memory of what loads have found to be nowhere.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.NegativeBytes) }},
	{"writers", "Idempotent writers that are remembered.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Writers) }},
	{"queued_events", "Events that have not been told yet.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.QueuedEvents) }},
	{"cache_bytes", "Memory of blocks in the cache.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Cache.Bytes) }},
	{"cache_capacity_bytes", "Memory that the block cache may take.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Cache.Capacity) }},
	{"cache_misses_total", "Blocks that were not in the cache and had to be read or decompressed.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Cache.Misses) }},
	{"index_bytes", "Memory of what is kept of each live table.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.IndexBytes) }},
	{"mapped_bytes", "Bytes of live table files that are mapped.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.MappedBytes) }},

	{"disk_bytes", "Bytes of tables, replaced tables and log on the disk.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.DiskBytes) }},
	{"max_disk_bytes", "Bytes that the directory may have; 0 if there is no bound.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.MaxDisk) }},
	{"directory_bytes", "Bytes of all files in the directory, counted if there is a bound.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.DirectoryBytes) }},
	{"held_bytes", "Bytes of these files that are deleted and still open, counted if there is a bound.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.HeldBytes) }},
	{"refused_writes_total", "Writes that were refused for the bound.", counter,
		func(s *ebb.Stats) float64 { return float64(s.RefusedWrites) }},
	{"table_bytes", "Bytes of live tables.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.TableBytes) }},
	{"replaced_tables", "Tables that are no longer live but still read.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.ReplacedTables) }},
	{"replaced_bytes", "Bytes of tables that are no longer live but still read.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.ReplacedBytes) }},
	{"live_bytes", "Estimate of the keys and values that a full compaction would leave in tables.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.LiveBytes) }},
	{"space_amplification_ratio", "Estimate of the bytes of tables for each live byte.", gauge,
		func(s *ebb.Stats) float64 { return s.SpaceAmplification() }},
	{"pins", "Iterators, snapshots and verifications that are open.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Pins) }},
	{"oldest_pin_seconds", "Time since the oldest set of tables that is still read was replaced.", gauge,
		func(s *ebb.Stats) float64 { return seconds(s.OldestPin) }},

	{"log_segments", "Segments of the log.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Log.Segments) }},
	{"log_bytes", "Bytes of the log on the disk.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Log.DiskBytes) }},
	{"log_zero_bytes", "Bytes of the log on the disk that are zeros which wait for appends.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Log.ZeroBytes) }},
	{"log_retained_bytes", "Obsolete log segments that are kept for watchers and increments.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.Log.Retained) }},
	{"log_obsolete_bytes", "Bytes of log segments that no memtable needs.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.LogObsoleteBytes) }},
	{"log_records_total", "Records appended to the log.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Log.Records) }},
	{"log_appended_bytes_total", "Bytes appended to the log.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Log.Bytes) }},
	{"log_syncs_total", "Syncs of the log; many writes may share one.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Log.Syncs) }},
	{"log_rotations_total", "Segments of the log that were begun.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Log.Rotations) }},

	{"expired_entries_total", "Expired entries that flushes, compactions and dropped tables have got rid of.", counter,
		func(s *ebb.Stats) float64 { return float64(s.ExpiredEntries) }},
	{"dropped_tables_total", "Tables that were dropped whole, all in them having expired, been deleted or been evicted.", counter,
		func(s *ebb.Stats) float64 { return float64(s.DroppedTables) }},
	{"dropped_bytes_total", "Bytes of tables that were dropped whole.", counter,
		func(s *ebb.Stats) float64 { return float64(s.DroppedBytes) }},
	{"expiry_events_total", "Expiries that were reported in the log.", counter,
		func(s *ebb.Stats) float64 { return float64(s.ExpiryEvents) }},
	{"evictions_total", "Evictions: what has a deadline was made absent before it.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Evictions) }},
	{"evicted_entries_total", "Evicted entries that flushes, compactions and dropped tables have got rid of.", counter,
		func(s *ebb.Stats) float64 { return float64(s.EvictedEntries) }},
	{"evicted_bytes", "Bytes of keys and values that were evicted and are still in tables; a lower bound.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.EvictedBytes) }},
	{"sweeps_total", "Sweeps for what has expired.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Sweeps) }},

	{"user_bytes_total", "Bytes of the keys and values of puts.", counter,
		func(s *ebb.Stats) float64 { return float64(s.UserBytes) }},
	{"write_amplification_ratio", "Bytes written by the log, flushes and compactions for each byte that was put.", gauge,
		func(s *ebb.Stats) float64 { return s.WriteAmplification() }},
	{"flushes_total", "Memtables that have become tables.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Flushes) }},
	{"flushed_bytes_total", "Bytes of tables written by flushes.", counter,
		func(s *ebb.Stats) float64 { return float64(s.FlushedBytes) }},
	{"flush_seconds_total", "Time that flushes have taken.", counter,
		func(s *ebb.Stats) float64 { return seconds(s.FlushedFor) }},
	{"compactions_total", "Compactions that have rewritten tables.", counter,
		func(s *ebb.Stats) float64 { return float64(s.Compactions) }},
	{"compaction_read_bytes_total", "Bytes of tables that compactions have rewritten.", counter,
		func(s *ebb.Stats) float64 { return float64(s.CompactionReadBytes) }},
	{"compacted_bytes_total", "Bytes of tables written by compactions.", counter,
		func(s *ebb.Stats) float64 { return float64(s.CompactedBytes) }},
	{"compaction_seconds_total", "Time that compactions have taken.", counter,
		func(s *ebb.Stats) float64 { return seconds(s.CompactedFor) }},

	{"slowed_writes_total", "Writes that were slowed for the background to catch up.", counter,
		func(s *ebb.Stats) float64 { return float64(s.SlowedWrites) }},
	{"slowed_seconds_total", "Time for which writes were slowed.", counter,
		func(s *ebb.Stats) float64 { return seconds(s.SlowedFor) }},
	{"stopped_writes_total", "Writes that were stopped for the background to catch up.", counter,
		func(s *ebb.Stats) float64 { return float64(s.StoppedWrites) }},
	{"stopped_seconds_total", "Time for which writes were stopped.", counter,
		func(s *ebb.Stats) float64 { return seconds(s.StoppedFor) }},
	{"log_cut_bytes", "Bytes of a torn end of the log that the last open has found.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.LogCutBytes) }},
	{"disk_full_total", "Times that the log had no room.", counter,
		func(s *ebb.Stats) float64 { return float64(s.DiskFull) }},
	{"background_errors_total", "Failures of the background.", counter,
		func(s *ebb.Stats) float64 { return float64(s.BackgroundErrors) }},
	{"damaged_tables", "Live tables that were found damaged since the database was opened.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.DamagedTables) }},
	{"damaged_bytes", "Bytes of live tables that were found damaged.", gauge,
		func(s *ebb.Stats) float64 { return float64(s.DamagedBytes) }},
	{"background_failing", "1 while the last flush or compaction has failed and is to be tried again.", gauge,
		func(s *ebb.Stats) float64 { return flag(s.Background) }},
	{"failed", "1 when no write is taken any more.", gauge,
		func(s *ebb.Stats) float64 { return flag(s.Failure) }},
}

var levelMetrics = []levelMetric{
	{"tables", "Tables of the level.", func(l *ebb.LevelStats) float64 { return float64(l.Tables) }},
	{"bytes", "Bytes of the level's tables.", func(l *ebb.LevelStats) float64 { return float64(l.Bytes) }},
	{"entries", "Entries of the level's tables, tombstones included.", func(l *ebb.LevelStats) float64 { return float64(l.Entries) }},
}

var placeMetrics = []placeMetric{
	{"deadline_entries", "Entries with a deadline.", func(s *ebb.Stats) (float64, float64) {
		return float64(s.DeadlineEntries), float64(s.MemtableDeadlineEntries)
	}},
	{"expired_bytes", "Bytes of keys and values that have expired and are still there; a lower bound.",
		func(s *ebb.Stats) (float64, float64) { return float64(s.ExpiredBytes), float64(s.MemtableExpiredBytes) }},
	{"expiry_lag_seconds", "Time since the first of what is still there expired.", func(s *ebb.Stats) (float64, float64) {
		return seconds(s.ExpiryLag), seconds(s.MemtableExpiryLag)
	}},
}
