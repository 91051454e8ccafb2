package wal

import (
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ebbdb/ebb/internal/format"
)

// A log is a directory:
//
//	LOCK                  held by the owner
//	000001.wal ...        segments, numbered without a gap; behind the newest maybe one that holds zeros, or nothing: it was
//	                      made ahead of its need and is not in use
//	next.tmp              the first segment, or the copy of one, while it is being made; removed by Open
//	quarantine/           torn tails that Open has cut, one file each
//
// A segment is a sequence of records and nothing else; zeros up to the end of the file are room for more. User records
// are plain. A put with an empty key, which users may not write, is a control record; the first byte of its value is the
// type, the rest its payload. Integers are little-endian, offsets count from the start of the segment.
//
//	1 header       first record of every segment in use
//	               0 type  1 version  2 database id [16]  18 segment u32  22 base sequence u64  30 base time i64 (Unix ms)
//	               38 previous segment u32  42 its length u32  46 its running CRC u32
//	               50 its synced-through offset u32                                                              = 54 bytes
//	2 batch        uvarint number of operations, then a KV batch (package batch): one atomic multi-key write
//	3 watermark, 4 seal, 5 close: a mark
//	               0 type  1 database id [16]  17 segment u32  21 own offset u32  25 synced-through offset u32
//	               29 records before it u32  33 running CRC before it u32                                        = 37 bytes
//	6 range delete uvarint length of start, start, end
//	7 clock        i64 Unix ms: the owner's clock had come this far
//	8 evict        i64 Unix ms, above 0: what was written before and has a deadline up to it is gone
//
// Every user operation has a sequence: the segment's base sequence plus the operations before it. A put, a delete, a range
// delete and an eviction are one operation each, a batch is as many as it says, the rest are none. A segment's base sequence
// is the next of the segment before or, after SkipTo, a later one. That no record is missing between the two is for the
// length and the running CRC in the header to say.
//
// A put's ttl_ms is its deadline minus the segment's base time, 0 for a deadline before that: a duration, as the record
// format has it, that does not start again at replay.
//
// The running CRC is CRC32C over the stored CRCs of the records, in order: it notices a record that is missing, doubled
// or moved, at four bytes a record. It covers the header and every control record.
//
// A mark locates itself: database, segment and own offset must match where it stands, so that a copy of it inside a value
// proves nothing. It says how many bytes were already synced when it was written, and with them all segments before; 0 is none,
// not even those. A close mark is written after a sync of everything before it. A seal is followed by the next segment, whose
// header repeats the length and the running CRC of the whole sealed segment, and says how much of that was synced by then.
// Neither was synced when the next segment was begun; but no sync of that one counts, and no mark in it claims one, before
// the sealed one is whole on the disk.
//
// Version 1 of the header has no synced-through offset: there the whole segment before was. Version 2 has no batches with
// range deletes (schema 5, see internal/op), which its readers do not know, and version 3 no evictions.
const (
	controlHeader      = 1
	controlBatch       = 2
	controlWatermark   = 3
	controlSeal        = 4
	controlClose       = 5
	controlRangeDelete = 6
	controlClock       = 7
	controlEvict       = 8
)

const (
	formatVersion = format.LogSegment

	headerPayload = 54
	markPayload   = 37
	// A control record of fewer than 128 bytes has three bytes before its value and four after.
	controlOverhead = 3 + 4
	headerSize      = controlOverhead + headerPayload
	maxHeaderSize   = 256 // of any version
	markSize        = controlOverhead + markPayload

	// minSegmentSize leaves room for a header, a record and the marks. maxSegmentSize keeps offsets, even that of the end
	// of a record of the largest size that is alone in its segment, within 32 bits.
	minSegmentSize = 512
	maxSegmentSize = 1 << 30

	lockName       = "LOCK"
	nextName       = "next.tmp"
	quarantineName = "quarantine"
)

// SegmentSuffix is how the name of a segment's file ends.
const SegmentSuffix = ".wal"

// SegmentName returns the name of a segment's file in the directory of its log.
func SegmentName(number uint32) string { return fmt.Sprintf("%06d%s", number, SegmentSuffix) }

// header is the first record of a segment.
type header struct {
	id       ID
	segment  uint32
	baseSeq  uint64
	baseTime int64 // Unix ms
	prev     link
	synced   uint32 // bytes of the segment before that were synced, and with them all segments before that; 0: none were
}

// link is the part of a header about the segment before: how it ended. All zero in the first segment.
type link struct {
	segment uint32
	length  uint32
	crc     uint32 // running CRC of the whole segment
}

func (h *header) append(dst []byte) []byte {
	var b [headerPayload]byte
	b[0], b[1] = controlHeader, formatVersion
	copy(b[2:], h.id[:])
	le := binary.LittleEndian
	le.PutUint32(b[18:], h.segment)
	le.PutUint64(b[22:], h.baseSeq)
	le.PutUint64(b[30:], uint64(h.baseTime))
	le.PutUint32(b[38:], h.prev.segment)
	le.PutUint32(b[42:], h.prev.length)
	le.PutUint32(b[46:], h.prev.crc)
	le.PutUint32(b[50:], h.synced)
	return appendControl(dst, b[:])
}

// decodeHeader reads a header's payload. The version is checked first: a newer one may look different from there on.
func decodeHeader(b []byte) (header, error) {
	if len(b) < 2 || b[0] != controlHeader {
		return header{}, errNoHeader
	}
	if b[1] > formatVersion {
		return header{}, format.Newer("log segment", b[1], formatVersion)
	}
	le := binary.LittleEndian
	switch {
	case b[1] == 1 && len(b) == headerPayload-4:
		b = append(b[:len(b):len(b)], b[42:46]...) // all of the segment before was synced
	case len(b) != headerPayload || b[1] == 0:
		return header{}, errNoHeader
	}
	return header{
		id:       ID(b[2:18]),
		segment:  le.Uint32(b[18:]),
		baseSeq:  le.Uint64(b[22:]),
		baseTime: int64(le.Uint64(b[30:])),
		prev:     link{le.Uint32(b[38:]), le.Uint32(b[42:]), le.Uint32(b[46:])},
		synced:   le.Uint32(b[50:]),
	}, nil
}

// mark is a watermark, a seal or a close mark.
type mark struct {
	kind    byte
	id      ID
	segment uint32
	offset  uint32 // its own
	synced  uint32 // bytes below this were synced when it was written
	records uint32 // before it, the header included
	crc     uint32 // running CRC before it
}

func (m *mark) append(dst []byte) []byte {
	var b [markPayload]byte
	b[0] = m.kind
	copy(b[1:], m.id[:])
	le := binary.LittleEndian
	le.PutUint32(b[17:], m.segment)
	le.PutUint32(b[21:], m.offset)
	le.PutUint32(b[25:], m.synced)
	le.PutUint32(b[29:], m.records)
	le.PutUint32(b[33:], m.crc)
	return appendControl(dst, b[:])
}

func decodeMark(b []byte) (mark, bool) {
	if len(b) != markPayload || b[0] < controlWatermark || b[0] > controlClose {
		return mark{}, false
	}
	le := binary.LittleEndian
	return mark{
		kind:    b[0],
		id:      ID(b[1:17]),
		segment: le.Uint32(b[17:]),
		offset:  le.Uint32(b[21:]),
		synced:  le.Uint32(b[25:]),
		records: le.Uint32(b[29:]),
		crc:     le.Uint32(b[33:]),
	}, true
}

// appendControl appends a control record with the given value, which is at most 127 bytes long.
func appendControl(dst, value []byte) []byte {
	dst, _ = AppendRecord(dst, &Record{Value: value}) // cannot fail: small and uncompressed
	return dst
}

// appendRangeDelete appends the value of a range delete's control record.
func appendRangeDelete(dst, start, end []byte) []byte {
	dst = append(dst, controlRangeDelete)
	dst = binary.AppendUvarint(dst, uint64(len(start)))
	dst = append(dst, start...)
	return append(dst, end...)
}

// decodeRangeDelete splits a range delete's value. The slices alias it.
func decodeRangeDelete(value []byte) (start, end []byte, ok bool) {
	n, k := binary.Uvarint(value[1:])
	rest := value[1+max(k, 0):]
	if k <= 0 || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}

// appendTime appends the value of the control record of a clock or an eviction.
func appendTime(dst []byte, control byte, ms int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, control), uint64(ms))
}

// decodeTime returns the time in the value of a clock or an eviction.
func decodeTime(value []byte) (ms int64, ok bool) {
	if len(value) != 1+8 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(value[1:])), true
}

// decodeBatch splits a batch's value into its number of operations and the KV batch, which aliases it.
func decodeBatch(value []byte) (ops uint64, kvBatch []byte, ok bool) {
	n, k := binary.Uvarint(value[1:])
	if k <= 0 || n == 0 || n > maxBatchOps {
		return 0, nil, false
	}
	return n, value[1+k:], true
}

// maxBatchOps is the largest number of operations of one batch: its count is an int32.
const maxBatchOps = 1<<31 - 1

func segmentName(dir string, id uint32) string { return path.Join(dir, SegmentName(id)) }

// parseSegmentName returns the number in a segment's file name. A name that ends like one and is none is an error: it may
// be a segment that was renamed.
func parseSegmentName(name string) (id uint32, isSegment bool, err error) {
	digits, ok := strings.CutSuffix(name, SegmentSuffix)
	if !ok {
		return 0, false, nil
	}
	n, perr := strconv.ParseUint(digits, 10, 32)
	if perr != nil || n == 0 || SegmentName(uint32(n)) != name {
		return 0, false, fmt.Errorf("%w: %q is no segment's name", ErrMisplaced, name)
	}
	return uint32(n), true, nil
}
