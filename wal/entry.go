package wal

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
)

// Kind is the kind of an entry.
type Kind uint8

const (
	KindPut         Kind = iota // Key gets Value, until Deadline if there is one
	KindDelete                  // Key is deleted
	KindBatch                   // Value is a KV batch of Ops operations, all or none
	KindRangeDelete             // keys from Key up to but not including Value are deleted
	KindClock                   // the owner's clock has come to Time: no operation, it takes no sequence
	KindEvict                   // what was written before and has a deadline up to Deadline is gone
)

// Entry is one record of a log, as it is appended and as it is read back.
type Entry struct {
	Kind     Kind
	Key      []byte // not empty for a put or a delete; empty for a batch
	Value    []byte
	Deadline int64 // of a put, Unix ms; 0: none. One before the segment's base time is stored as it. Of an eviction above 0
	Ops      int   // of a batch: how many sequences it takes, at least 1
	Time     int64 // of a clock, Unix ms

	// Set by appending and by reading.
	Seq uint64   // of the operation, or of a batch's first
	Pos Position // of the record
}

// sequences returns how many sequences e takes.
func (e *Entry) sequences() uint64 {
	switch e.Kind {
	case KindBatch:
		return uint64(e.Ops)
	case KindClock:
		return 0
	}
	return 1
}

// LastSeq returns the sequence of the entry's last operation: its own, but for a batch. An entry of no operation, a clock,
// has the one before its own.
func (e *Entry) LastSeq() uint64 { return e.Seq + e.sequences() - 1 }

// check says whether e can be appended.
func (e *Entry) check() error {
	switch {
	case e.Kind > KindEvict:
		return fmt.Errorf("%w: kind %d", ErrInvalidEntry, e.Kind)
	case e.Kind <= KindDelete && len(e.Key) == 0:
		return fmt.Errorf("%w: empty key", ErrInvalidEntry)
	case e.Kind == KindBatch && (e.Ops < 1 || e.Ops > maxBatchOps):
		return fmt.Errorf("%w: batch of %d operations", ErrInvalidEntry, e.Ops)
	case e.Kind == KindEvict && e.Deadline <= 0:
		return fmt.Errorf("%w: eviction up to the deadline %d", ErrInvalidEntry, e.Deadline)
	case len(e.Key) > MaxKeySize || len(e.Value) > MaxValueSize-2*binary.MaxVarintLen64-len(e.Key):
		return fmt.Errorf("%w: key of %d bytes, value of %d", ErrTooLarge, len(e.Key), len(e.Value))
	}
	return nil
}

// maxSize bounds the length of e's record.
func (e *Entry) maxSize() int64 {
	const overhead = 3*binary.MaxVarintLen64 + 1 + recordCRCSize + 1 + binary.MaxVarintLen64
	return int64(len(e.Key)) + int64(len(e.Value)) + overhead
}

// ttl returns the time that is stored for a deadline: that from base, not negative.
func ttl(deadline, base int64) uint64 {
	if deadline <= base {
		return 0
	}
	return uint64(deadline) - uint64(base) // right in two's complement even where the signed difference overflows
}

// deadline is the inverse of ttl. It saturates, and it is never 0, which would mean none.
func deadline(ttl uint64, base int64) int64 {
	if base > 0 && ttl > uint64(math.MaxInt64-base) || base <= 0 && ttl > math.MaxInt64 {
		return math.MaxInt64
	}
	if d := base + int64(ttl); d != 0 {
		return d
	}
	return 1
}

// Position is a place in a log: a segment and a byte offset in it. Positions of one log compare as they were written.
type Position struct {
	Segment uint32
	Offset  uint32
}

// Compare orders positions.
func (p Position) Compare(q Position) int { return cmp.Compare(p.pack(), q.pack()) }

// String returns the position as segment:offset.
func (p Position) String() string { return fmt.Sprintf("%06d:%d", p.Segment, p.Offset) }

func (p Position) pack() uint64 { return uint64(p.Segment)<<32 | uint64(p.Offset) }

func unpack(v uint64) Position { return Position{uint32(v >> 32), uint32(v)} }
