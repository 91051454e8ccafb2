package ebb

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Limits. A call that exceeds one is refused with an error that names the limit.
const (
	MaxKeySize   = 64 << 10 // bytes; the smallest key has one
	MaxValueSize = 1<<30 - 1<<20
	MaxWriters   = 1 << 20       // idempotent writers that are known at a time
	MaxBatchSize = 1<<30 - 1<<19 // bytes of all keys and values, with a few for each: one of the largest fits
)

// FormatVersion is the format of what this release writes: databases and snapshot files. Every later release reads what is of
// format 1. What a newer release has written in a way that this one does not know is refused with ErrVersion.
const FormatVersion = format.Format

func checkKey(key []byte) error {
	if len(key) == 0 {
		return ErrKeyEmpty
	}
	if len(key) > MaxKeySize {
		return fmt.Errorf("%w: %s, the limit is %d bytes", ErrKeyTooLarge, quoted(key), MaxKeySize)
	}
	return nil
}

// checkRange refuses bounds that no key can have. A nil end is none.
func checkRange(start, end []byte) error {
	for _, bound := range [][]byte{start, end} {
		if len(bound) > MaxKeySize {
			return checkKey(bound)
		}
	}
	return nil
}

func checkEntry(key, value []byte) error {
	if len(value) > MaxValueSize {
		return fmt.Errorf("%w: %d bytes for %s, the limit is %d", ErrValueTooLarge, len(value), quoted(key), MaxValueSize)
	}
	return checkKey(key)
}

// batchTooLarge returns the error of a batch that is too large from the operation on a key on.
func batchTooLarge(key []byte) error {
	return fmt.Errorf("%w: the operation on %s is beyond the limit of %d bytes", ErrBatchTooLarge, quoted(key), int64(MaxBatchSize))
}

const (
	// The known gaps may take 1/gapShare of Memory: some 20,000 gaps by default.
	gapShare = 64
	// What loads have found to be nowhere may take 1/knownShare of Memory: some 14,000 keys by default.
	knownShare = 64
	// A sorted view of tables may take 1/sortedShare of Memory, twice while another is built: by default it has up to 3 million
	// entries. Where blocks are compressed, the cache needs most of it.
	sortedShare           = 16
	compressedSortedShare = 64
	// A run of worthGap dead entries is remembered as a gap: that costs as much as some 20 steps, and a seek over the gap some
	// 10.
	worthGap = 64
)

// SyncPolicy says when a write is durable. Under each policy a write that has returned survives the death of the process;
// the policies differ in which writes a power cut may take.
type SyncPolicy = wal.SyncPolicy

const (
	// SyncAlways syncs before a write returns; concurrent writes share one sync. A power cut takes nothing that was
	// acknowledged.
	SyncAlways = wal.SyncAlways
	// SyncInterval syncs every Options.SyncEvery while there is something to sync. A power cut takes at most the writes of one
	// such period.
	SyncInterval = wal.SyncInterval
	// SyncNever leaves syncing to the operating system and to DB.Sync.
	SyncNever = wal.SyncNever
)

// Compression of tables.
type Compression = wal.Compression

const (
	CompressionNone = wal.CompressionNone
	CompressionLZ4  = wal.CompressionLZ4
	CompressionZstd = wal.CompressionZstd
)

// Options configure a database. The zero value works, and so does nil. A value that a field does not allow
// is ErrInvalidOptions.
type Options struct {
	// Sync is the policy of writes that do not say otherwise. Default: SyncAlways.
	Sync SyncPolicy
	// SyncEvery is the period of SyncInterval; other policies do not use it. Default: 100 ms.
	SyncEvery time.Duration
	// Memory bounds what memtables, caches and buffers take together, in bytes: 8 MiB to 64 TiB, and where addresses have 32
	// bits to 1 GiB. An eighth, but no more than 4 GiB, goes to the active memtable, two more to the memtables that wait to
	// become tables, as much again to the garbage collector, which lets a heap grow to twice its live bytes, one to the keys
	// of a table that is built, up to another, or with Compression a quarter of it, to the order of the keys of many tables that
	// are scanned, and the rest to the block cache and, with ExpiryEvents, to the keys that expire next. So a small Memory makes
	// small tables of small entries. The operating system's page cache, which holds mapped tables, comes on top, and so does the
	// memory of large values and batches while they are written: see README, Limits. Default: 256 MiB.
	Memory int64
	// Compression is tried on the blocks of the last level, which holds most of the data. Reading a compressed block costs
	// more than a look-up in an uncompressed one, so the default is none.
	Compression Compression
	// WriterIdle is how long an idempotent writer is remembered after its last batch: see Batch.SetWriter. Default: 24 h.
	WriterIdle time.Duration

	// ReadOnly opens a database that is there, closed, left by a crash or open elsewhere, and changes not one byte of its
	// directory: no lock is taken, nothing is repaired, and writing methods return ErrReadOnly. A directory without a
	// database is ErrNotDatabase, none at all fs.ErrNotExist.
	//
	// Beside an owner, in this process or another, the database is as of Open: it has a prefix of the owner's writes, with
	// every write that was acknowledged before, and perhaps writes that are not synced yet, or that a full disk is about to
	// refuse. DB.Refresh brings the database up to date. The part of the log that is in no table is held in memory, whatever
	// its size and whatever Memory says. Options that only writes use are ignored: Sync, SyncEvery, Compression, ExpiryEvents
	// and RetainLog.
	ReadOnly bool

	// ExpiryEvents makes an event of every expiry: a record in the log, which Watch reports as ChangeExpire, once for each
	// version that expires, within about a second of its deadline and in any case before a later write to the key. Keys that
	// expired while the database was closed are reported after Open. The price: the sweeper has to know every key that
	// expires, and reads tables to learn them, which are otherwise dropped unread; an eighth of Memory holds the keys that
	// expire next; and the log is synced before reported entries are dropped. Keys that expire while ExpiryEvents is off are
	// not reported, unless they are still on the disk when it is switched on. Default: off.
	ExpiryEvents bool
	// RetainLog is how many bytes of log are kept beyond those that the database itself needs, for Watch to resume from.
	// Deleted and expired entries stay on the disk that much longer. Default: 0; then writes that have become tables are gone
	// from the log at once, and a watcher that is slower gets ErrLogTrimmed.
	RetainLog int64
	// MaxDisk bounds the directory, in bytes: log, tables, manifest, what is set aside, and files that were replaced and that an
	// iterator, a snapshot or a watcher still has open. The directory may exceed it by two memtables and a segment of the log.
	// When it is nearly full, entries that have a deadline are evicted, those first that would expire first: see Evicted. So
	// with one TTL for all the oldest go, and with GetTouch those that were not used for the longest. An entry without a
	// deadline stays, and a few that have one may, in a table of such: when these fill the directory, writes are ErrNoSpace, but
	// for deletes. What overwrites is not
	// refused as long as all that lives takes two fifths of MaxDisk at most. An eighth is kept for compactions, and no memtable
	// and no segment is larger than a 32nd, nor is a write, whatever Memory says. The least is 8 MiB more than RetainLog.
	// Default: 0, no bound. ReadOnly ignores it.
	MaxDisk int64

	// Clock returns the current time; its monotonic reading is used if it has one. It is called from any goroutine, the
	// background's among them, but never twice at a time. Default: time.Now.
	Clock func() time.Time
	// OnEvent is called with each event of the database: see the Event types. Calls come one at a time, in order, from a
	// goroutine of the database's own. OnEvent may use the database, but not close it: Close waits for OnEvent. A call should
	// return soon: later events are kept in memory meanwhile. The first call may come before Open returns, the last comes
	// before Close returns. Nil: nobody is told.
	OnEvent func(Event)
	// Logger gets the same events: warnings and errors, stalls and recoveries as information, the rest at debug level. Nil:
	// nobody.
	Logger *slog.Logger

	sys          system     // zero: the process's
	host         *host.Host // of package cluster, whose state machine the database is; nil: there is none
	fs           vfs.FS     // nil: the operating system's
	targets      vfs.FS     // nil: fs; where Checkpoint makes a directory
	volatile     bool       // nothing outlives Close: see OpenMemory
	clockTo      int64      // where time goes on whatever marks say, Unix ms; 0: behind the marks
	memtableSize int64      // 0: by Memory
	tableSize    int64      // 0: 64 MiB; the size at which compaction begins the next table
	segmentSize  int64      // 0: 64 MiB
	buildMemory  int64      // 0: an eighth of Memory; for the keys of a table that is built
	sortedMemory int64      // 0: by Memory, and nothing of a database that is only read, which has no background; negative: nothing
	worthGap     int        // 0: 64; so many dead entries in a row are remembered as a gap
	replayBatch  int        // 0: replay.Batch, or less with a small Memory; bytes that one goroutine of a replay hands to the next
	expiryMemory int64      // 0: an eighth of Memory if ExpiryEvents; for the keys that expire next
	manual       bool       // no background, and no block cache, which has one: a test sees one order of operations
}

// defaultMemory is enough for memtables that make tables of 32 MB.
const defaultMemory = 256 << 20

// minMemory leaves the smallest memtable a megabyte. maxMemory is more than any machine has, or can give to a process, with
// room to add and to multiply. maxMemtable leaves room for the largest batch, whatever its entries, in the 32 GiB that an
// offset in a memtable can address.
const (
	minMemory   = 8 << 20
	maxMemory   = 1 << (30 + strconv.IntSize/64*16)
	maxMemtable = 4 << 30
)

// These parts of MaxDisk, less what RetainLog takes, are the most that a memtable and a segment of the log have, and the
// headroom. So a look is made in time when writers outrun it by a memtable, and the headroom is room to merge a few tables.
const (
	boundShare    = 32
	headroomShare = 8
	leastMemtable = 256 << 10 // so that what a table has beside its entries is little
)

// boundSizes sets the sizes of memtables, segments and tables for MaxDisk, or refuses it if it is too small.
func (o *Options) boundSizes() error {
	if o.MaxDisk == 0 || o.ReadOnly {
		return nil
	}
	least := o.leastDisk()
	if o.MaxDisk < least {
		return invalid("MaxDisk", o.MaxDisk, fmt.Sprintf("0, which is no bound, and %d and more", least))
	}
	if o.host != nil {
		return fmt.Errorf("%w: MaxDisk with a Host, which alone decides what goes", ErrInvalidOptions)
	}
	part := (o.MaxDisk - o.RetainLog) / boundShare
	o.memtableSize = min(o.memtableSize, part)
	o.segmentSize = min(o.segmentSize, part)
	o.tableSize = min(o.tableSize, part/2) // of several, so that there is room to rewrite some in the headroom
	return nil
}

// leastDisk returns the smallest MaxDisk.
func (o *Options) leastDisk() int64 {
	least := boundShare * min(leastMemtable, o.memtableSize) // less of a test alone
	return least + min(o.RetainLog, math.MaxInt64-least)
}

// cacheMemory returns the part of Memory that is left for the block cache.
func (o *Options) cacheMemory() int64 {
	return max(o.Memory-2*(1+lsm.MaxFrozen)*o.memtableSize-o.buildMemory-o.expiryMemory-2*o.sortedMemory, 1<<20)
}

// check refuses values that are not allowed.
func (o *Options) check() error {
	if err := checkCompression(o.Compression); err != nil {
		return err
	}
	switch {
	case o.Sync > SyncNever:
		return invalid("Sync", o.Sync, "SyncAlways (0), SyncInterval (1) and SyncNever (2)")
	case o.SyncEvery < 0:
		return invalid("SyncEvery", o.SyncEvery, "0, which is 100ms, and more")
	case o.Memory != 0 && (o.Memory < minMemory || o.Memory > maxMemory):
		return invalid("Memory", o.Memory, fmt.Sprintf("0, which is %d, and %d to %d", defaultMemory, minMemory, maxMemory))
	case o.WriterIdle < 0:
		return invalid("WriterIdle", o.WriterIdle, "0, which is 24h, and more")
	case o.RetainLog < 0:
		return invalid("RetainLog", o.RetainLog, "0 and more")
	}
	return nil
}

func checkCompression(c Compression) error {
	if c > CompressionZstd {
		return invalid("Compression", c, "CompressionNone (0), CompressionLZ4 (1) and CompressionZstd (2)")
	}
	return nil
}

// invalid refuses the value of a field of options.
func invalid(field string, value any, allowed string) error {
	return fmt.Errorf("%w: %s is %v, allowed: %s", ErrInvalidOptions, field, value, allowed)
}

// withDefaults returns a copy with every field set, or the error of check.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if err := c.check(); err != nil {
		return Options{}, err
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.WriterIdle == 0 {
		c.WriterIdle = 24 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.sys = c.sys.withDefaults()
	if c.fs == nil {
		c.fs = vfs.OS
	}
	if c.targets == nil {
		c.targets = c.fs
	}
	if c.memtableSize == 0 {
		c.memtableSize = min(c.Memory/8, maxMemtable)
	}
	if c.expiryMemory == 0 && c.ExpiryEvents {
		c.expiryMemory = c.Memory / 8
	}
	switch {
	case c.ReadOnly || c.sortedMemory < 0:
		c.sortedMemory = 0
	case c.sortedMemory == 0 && c.Compression != CompressionNone:
		c.sortedMemory = c.Memory / compressedSortedShare
	case c.sortedMemory == 0:
		c.sortedMemory = c.Memory / sortedShare
	}
	if c.buildMemory == 0 {
		c.buildMemory = c.Memory / 8
	}
	if c.tableSize == 0 {
		c.tableSize = 64 << 20
	}
	if c.worthGap == 0 {
		c.worthGap = worthGap
	}
	if c.segmentSize == 0 {
		c.segmentSize = 64 << 20
	}
	return c, c.boundSizes()
}
