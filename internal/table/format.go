package table

import (
	"encoding/binary"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/wal"
)

// A table file is a sequence of records (package wal) and nothing else, so that whatever walks records walks a table:
//
//	header
//	data blocks      ascending by key
//	block index
//	padding          so that the hash pages begin on a cache line
//	hash pages       none if the keys cannot be hashed apart
//	range deletes    only if there are any
//	properties
//	footer           the last 81 bytes
//
// A data block has the last key in it for its key, and for its value a KV batch (package batch) of schema 2, compressed
// with what the header names, or not at all where that saves little. Every other record is a put with an empty key. The
// first byte of its value is the type; the types are none of those in the log:
//
//	16 header        0 type  1 version  2 database id [16]  18 file id u64  26 base sequence u64
//	                 34 base time i64 (Unix ms)  42 compression u8 (0 none, 1 LZ4, 2 Zstandard)                = 43 bytes
//	17 block index   0 type, uvarint blocks, prefix, then for each block:
//	                   uvarint    bytes of the record before its value * 2 + 1 if the value is compressed
//	                   uvarint    bytes of the record after that: its value, as stored, and its checksum
//	                   separator  not for the first block
//	18 padding       0 type, zeros
//	19 hash page     0 type  1 zero [3]  4 slots [510]u64  4084 page number u32                                = 4088 bytes
//	20 range deletes 0 type, uvarint deletes, then for each: uvarint sequence - base, start, end
//	21 properties    0 type, uvarints entries, tombstones, key bytes, value bytes, lowest sequence - base,
//	                 highest sequence - base, first key, last key, uvarints entries with a deadline, their bytes, earliest
//	                 deadline, latest deadline, deadline buckets, then for each: uvarints latest deadline, entries, bytes
//	22 footer        0 type  1 version  2 block index  18 hash pages  34 range deletes  50 properties, each offset u64 and
//	                 length u64 of whole records  66 magic [8]                                                 = 74 bytes
//
// Integers are little-endian, except in a batch. A prefix, separator, start, end or key is a uvarint length and its bytes.
//
// In every version of the format the header comes first and begins with type and version: that much a reader of another
// version understands. The blocks follow it without a gap; the footer's four sections follow them in this order, without a
// gap but the padding, and end where the footer begins.
//
// A separator, with the prefix that all of them share before it, is greater than every key of the blocks before its own
// and not greater than any key of its own. It is the shortest such key.
//
// A row of a batch is one entry. It begins in the first 64 KiB of the batch:
//
//	put        key, value: uvarint (sequence - base sequence), uvarint deadline code, the entry's value
//	tombstone  key, deleted, followed by a row that is no entry:
//	           empty key, value: uvarint (sequence - base sequence) of the tombstone
//
// A deleted row has no room for a sequence, and a merge that took tombstones for older or newer than they are would bring
// values back. The deadline code is 0 for none, else 1 + zigzag (deadline - base time): a deadline may be older than
// the table.
//
// The hash h of a key is its xxHash64. The key belongs to page high 64 bits of (h * pages), and there to the first slot
// that was free from slot (h>>24 & 0xFFFFFF) * 510 >> 24 on, going round. A free slot is 0, and ends a search. Else:
//
//	bits 40..63  tag    h & 0xFFFFFF
//	bits  0..39  place  of the row: its offset in the file; or, in a table whose header names a compression, the
//	                    number of its block, from 0, * 65536 + its offset in the batch
const (
	typeHeader       = 16
	typeBlockIndex   = 17
	typePadding      = 18
	typeHashPage     = 19
	typeRangeDeletes = 20
	typeProperties   = 21
	typeFooter       = 22
)

const (
	formatVersion = format.Table
	schemaRows    = 2 // of the batches

	recordCRCSize = 4
	// A record with an empty key and a value of fewer than 128 bytes has three bytes before its value.
	controlOverhead = 3 + recordCRCSize
	headerPayload   = 43
	headerSize      = controlOverhead + headerPayload
	maxHeaderSize   = 256 // of any version
	footerPayload   = 74
	footerSize      = controlOverhead + footerPayload
	footerMagic     = 66 // offset in the payload

	// pageAlign is the smallest cache line of today's machines: a slot never straddles two.
	pageAlign      = 64
	pageSize       = 4096 // of the whole record
	pageSlots      = 510
	pagePayload    = 4088
	pageHeader     = 4 // of the record, before the payload
	pageSlotsStart = 4 // in the payload
	pageNumber     = pageSlotsStart + 8*pageSlots
	slotSize       = 8

	maxBlocks   = 1 << 24
	maxFileSize = 1 << 40 // a reader keeps the offsets of blocks in 40 bits
	// maxRecordSize is above the length of any record that is written: the largest key and value, with a frame.
	maxRecordSize = wal.MaxValueSize + 2*MaxKeySize
)

// magic ends the payload of every footer.
var magic = [8]byte{'e', 'b', 'b', 't', 'a', 'b', 'l', 'e'}

const (
	// MaxKeySize is the largest key, in bytes. The smallest has one byte.
	MaxKeySize = 64 << 10
	// MaxValueSize is the largest value, in bytes: 1 GiB, or what still fits a record together with the largest key and
	// the frame around both.
	MaxValueSize = min(1<<30, wal.MaxValueSize-MaxKeySize-rowFrame-batch.HeaderSize)
	// rowFrame is the most that a row has besides its key and its value: its three lengths, sequence and deadline.
	rowFrame = 4 + 2*binary.MaxVarintLen32 + 2*binary.MaxVarintLen64
)

// Identity says which table a file is.
type Identity struct {
	Database [16]byte
	File     uint64 // unique in the database, for all its life
}

// header is the first record.
type header struct {
	id          Identity
	base        base
	compression wal.Compression
}

// base is the sequence and the time that the rows of a table are relative to.
type base struct {
	seq  uint64
	time int64 // Unix ms
}

func (h *header) append(dst []byte) []byte {
	dst = append(dst, typeHeader, formatVersion)
	dst = append(dst, h.id.Database[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.id.File)
	dst = binary.LittleEndian.AppendUint64(dst, h.base.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.base.time))
	return append(dst, byte(h.compression))
}

// decodeHeader reads a header's payload. The version is checked first: a newer header may look different from there on.
func decodeHeader(b []byte) (header, error) {
	if len(b) < 2 || b[0] != typeHeader || b[1] == 0 {
		return header{}, errMagic
	}
	if b[1] > formatVersion {
		return header{}, format.Newer("table", b[1], formatVersion)
	}
	if len(b) != headerPayload || wal.Compression(b[42]) > wal.CompressionZstd {
		return header{}, errMalformed
	}
	le := binary.LittleEndian
	return header{
		id:          Identity{Database: [16]byte(b[2:18]), File: le.Uint64(b[18:])},
		base:        base{seq: le.Uint64(b[26:]), time: int64(le.Uint64(b[34:]))},
		compression: wal.Compression(b[42]),
	}, nil
}

// section is where in the file a run of records is.
type section struct{ off, size int64 }

func (s section) end() int64 { return s.off + s.size }

// footer is the last record.
type footer struct {
	index, hash, ranges, properties section
}

func (f *footer) sections() [4]*section {
	return [4]*section{&f.index, &f.hash, &f.ranges, &f.properties}
}

func (f *footer) append(dst []byte) []byte {
	dst = append(dst, typeFooter, formatVersion)
	for _, s := range f.sections() {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.off))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.size))
	}
	return append(dst, magic[:]...)
}

// decodeFooter reads a footer's payload and makes sure that its sections fit a file of the given size.
func decodeFooter(b []byte, fileSize int64) (footer, error) {
	if len(b) != footerPayload || b[0] != typeFooter || [8]byte(b[footerMagic:]) != magic || b[1] != formatVersion {
		return footer{}, errMagic
	}
	var f footer
	at := int64(headerSize)
	for i, s := range f.sections() {
		off, size := binary.LittleEndian.Uint64(b[2+16*i:]), binary.LittleEndian.Uint64(b[10+16*i:])
		if off > uint64(fileSize) || size > uint64(fileSize)-off || int64(off) < at {
			return footer{}, errLayout
		}
		*s = section{int64(off), int64(size)}
		at = s.end()
	}
	if f.hash.off != f.index.end()+paddingSize(f.index.end()) || f.hash.size%pageSize != 0 ||
		f.hash.end() != f.ranges.off || f.ranges.end() != f.properties.off ||
		f.properties.end() != fileSize-footerSize {
		return footer{}, errLayout
	}
	return f, nil
}

// paddingSize returns the size of the record that brings off to a multiple of pageAlign, which may be 0. The payload, with
// its type, is never empty and never so long that its length takes two bytes.
func paddingSize(off int64) int64 {
	size := -off & (pageAlign - 1)
	if size > 0 && size <= controlOverhead {
		size += pageAlign
	}
	return size
}

// decoder takes fields off a payload, one after another. After the first that is not there, all are zero and bad is set.
// It counts instead of reslicing: a pointer that changes with every field is a write barrier whenever the collector runs.
type decoder struct {
	payload []byte
	at      int
	bad     bool
}

// newDecoder begins after the type.
func newDecoder(payload []byte) decoder { return decoder{payload: payload, at: 1} }

// left returns the number of bytes not taken yet.
func (d *decoder) left() int { return len(d.payload) - d.at }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.payload[d.at:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.at += n
	return v
}

// bytes takes a length and as many bytes, which alias the payload.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(d.left()) {
		d.fail()
		return nil
	}
	start := d.at
	d.at += int(n)
	return d.payload[start:d.at:d.at]
}

func (d *decoder) fail() { d.at, d.bad = len(d.payload), true }

// done reports whether every field was there and nothing is left.
func (d *decoder) done() bool { return !d.bad && d.left() == 0 }

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
