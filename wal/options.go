package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// SyncPolicy says when an appended record is on the disk. Under each of them an append that has returned survives the
// death of the process; they differ in how much a power cut may take.
type SyncPolicy uint8

const (
	// SyncAlways syncs before an append returns; concurrent appends share one sync. A power cut takes nothing that was
	// acknowledged.
	SyncAlways SyncPolicy = iota
	// SyncInterval syncs every Options.Interval while there is something to sync. A power cut takes at most that much.
	SyncInterval
	// SyncNever leaves it to the operating system, to rotation, and to calls of Sync.
	SyncNever
)

// ID names a database. Its segments carry it, so that a segment of another one is noticed.
type ID [16]byte

// Options configure a log. The zero value works.
type Options struct {
	// Sync is the policy of Append and AppendAll. Default: SyncAlways.
	Sync SyncPolicy
	// OneWriter says that appends come from one goroutine at a time, which waits for the disk after each: so a sync need not wait
	// for others to join it, and what is appended is written by a system call, which costs less than the fault of a mapped page
	// that has just been written back. It is a hint.
	OneWriter bool
	// Interval is the period of SyncInterval. Default: 100 ms.
	Interval time.Duration
	// SegmentSize is the length in bytes at which a segment is sealed, at most 1 GiB. A record that is larger gets a segment
	// to itself. Default: 64 MiB.
	SegmentSize int64
	// Compression is tried on values of CompressAbove bytes and more, and kept where it saves at least an eighth.
	// Default: none. CompressAbove's default: 512.
	Compression   Compression
	CompressAbove int

	// ID is the database that the log belongs to. Zero: a new log gets a random one, an existing one may have any.
	ID ID
	// FirstSegment is the oldest segment that is still needed: those before it are obsolete, Open insists on this one.
	// Zero: whatever there is.
	FirstSegment uint32
	// Retain is how many bytes of obsolete segments, the newest, are kept for readers. Nothing is replayed from them.
	Retain int64
	// BaseSeq is the sequence of the first operation of a new log. Default: 1.
	BaseSeq uint64
	// MinNextSeq is the next sequence that the owner knows the log has reached; a log that ends before it is damaged.
	MinNextSeq uint64
	// Anchor is an end that the log once had; a log that does not come by it is damaged. See Log.Anchor.
	Anchor Anchor
	// Replay is called by Open with every entry, in order. The entry and its slices are valid during the call only. An
	// error from it ends Open with that error. Nil: entries are checked and skipped.
	Replay func(*Entry) error
	// ReplayEnd is called once Replay was called with the last entry, before Open changes any file; a log that has no segment
	// yet has no entries. An error from it ends Open with that error. Nil: there is nothing to wait for.
	ReplayEnd func() error

	// Now returns the time in Unix milliseconds, by which segments are dated. Default: the system's clock.
	Now func() int64
	// OnEvent is told of each Event. It is called without locks that the log needs, from the goroutine that caused the event,
	// and must return soon. Nil: events are dropped.
	OnEvent func(Event)
	// FS is the file system. Nil: the operating system's.
	FS vfs.FS

	// inline does the work of the background goroutine in the appending one, so that a test sees one order of operations.
	inline bool

	// elapsed returns the time since some moment. It decides how long those who append are waited for, and nothing else.
	elapsed func() time.Duration

	// directFrom is the size in bytes from which a value or a batch is written from the caller's memory instead of a copy.
	// Default: 64 KiB.
	directFrom int
}

// checkDir refuses a log whose directory is gone, before one is made.
func (o *Options) checkDir(dir string) error {
	if o.Anchor == (Anchor{}) {
		return nil
	}
	_, err := o.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return corrupt.New(segmentName(dir, max(o.FirstSegment, 1)), 0, "segment", ErrGap)
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	return nil
}

// withDefaults returns a copy with every field set.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Interval <= 0 {
		c.Interval = 100 * time.Millisecond
	}
	if c.SegmentSize <= 0 {
		c.SegmentSize = 64 << 20
	}
	c.SegmentSize = min(max(c.SegmentSize, minSegmentSize), maxSegmentSize)
	if c.CompressAbove <= 0 {
		c.CompressAbove = 512
	}
	if c.directFrom <= 0 {
		c.directFrom = 64 << 10
	}
	if c.BaseSeq == 0 {
		c.BaseSeq = 1
	}
	if c.Now == nil {
		c.Now = func() int64 { return time.Now().UnixMilli() } //permit:time.Now for whoever gives no other clock
	}
	if c.elapsed == nil {
		start := time.Now()                                           //permit:time.Now see below
		c.elapsed = func() time.Duration { return time.Since(start) } //permit:time.Since nobody else is told of it
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
	return c
}
