package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
)

// The record, byte for byte that of nori-wal:
//
//	klen    uvarint        length of key
//	vlen    uvarint        length of value as stored, that is after compression
//	flags   1 byte         bit 0 tombstone, bit 1 ttl_ms present, bits 2-3 compression, bits 4-7 zero
//	ttl_ms  uvarint        milliseconds; only if flags has bit 1
//	key     klen bytes
//	value   vlen bytes     None: the value. LZ4: uvarint value length, one raw LZ4 block. Zstd: Zstandard frames
//	crc32c  4 bytes        little-endian CRC-32C of everything before it
//
// A uvarint is an unsigned LEB128 of at most 64 bits. Longer forms of a number than needed are read, never written.
const (
	recordFlagTombstone   = 1 << 0
	recordFlagTTL         = 1 << 1
	recordFlagVersion     = 1 << 4 // reserved here; see newerRecordSize
	recordFlagsReserved   = 0xf0
	recordCompressionBit  = 2 // the lowest of the two compression bits
	recordCompressionMask = 3

	recordCRCSize = 4
	recordMinSize = 1 + 1 + 1 + recordCRCSize

	varint1Limit = 0x80 // the first number that takes two bytes
)

// Limits of the codec. They bound what a decoder allocates; a user of the codec may well set lower ones.
const (
	MaxKeySize   = 1 << 24 // bytes
	MaxValueSize = 1 << 30 // bytes, uncompressed
)

// Compression says how the value of a record is stored. The values are those of the flag bits.
type Compression uint8

const (
	CompressionNone Compression = 0
	CompressionLZ4  Compression = 1
	CompressionZstd Compression = 2
)

// String returns the name of c in lower case.
func (c Compression) String() string {
	switch c {
	case CompressionNone:
		return "none"
	case CompressionLZ4:
		return "lz4"
	case CompressionZstd:
		return "zstd"
	}
	return fmt.Sprintf("compression(%d)", uint8(c))
}

// Record is one put or delete. The codec gives no meaning to its fields beyond storing them: an empty key is legal, an
// empty value is not a delete, and a tombstone may carry a value, which readers have to ignore and writers should omit.
type Record struct {
	Key, Value []byte
	TTL        uint64 // milliseconds; meaningful only if HasTTL
	HasTTL     bool
	Tombstone  bool

	// Compression is the one to try when encoding, and the one that was found when decoding.
	Compression Compression
}

// EncodedSize returns the number of bytes AppendRecord appends for r if it stores the value uncompressed. It never
// appends more than that, as it compresses only where that saves space.
func EncodedSize(r *Record) int {
	return encodedSize(r, len(r.Value))
}

func encodedSize(r *Record, stored int) int {
	n := uvarintSize(uint64(len(r.Key))) + uvarintSize(uint64(stored)) + 1 + len(r.Key) + stored + recordCRCSize
	if r.HasTTL {
		n += uvarintSize(r.TTL)
	}
	return n
}

// uvarintSize is ceil(significant bits / 7), and 1 for zero; 9/64 is close enough to 1/7 for up to 64 bits.
func uvarintSize(v uint64) int {
	return (9*bits.Len64(v) + 64) / 64
}

// AppendRecord appends the encoding of r to dst and returns the extended slice. It allocates nothing where dst has
// room for EncodedSize(r) more bytes and the value stays uncompressed.
//
// The value is compressed as r.Compression says if that saves at least an eighth of it, and otherwise stored as it is,
// under CompressionNone. The value of a tombstone is never compressed. The same record always gives the same bytes.
//
// AppendRecord keeps no reference to r, which must not overlap dst. On ErrTooLarge and ErrUnknownCompression it returns
// dst as it was.
func AppendRecord(dst []byte, r *Record) ([]byte, error) {
	if len(r.Key) > MaxKeySize || len(r.Value) > MaxValueSize {
		return dst, fmt.Errorf("%w: key of %d bytes, value of %d", ErrTooLarge, len(r.Key), len(r.Value))
	}
	if r.Compression > CompressionZstd {
		return dst, fmt.Errorf("%w: %v", ErrUnknownCompression, r.Compression)
	}
	if r.Compression == CompressionNone || r.Tombstone {
		return appendStored(dst, r, r.Value, CompressionNone), nil
	}
	return appendCompressed(dst, r), nil
}

// appendStored appends the record of r with stored, which c has made of r.Value, for its value.
func appendStored(dst []byte, r *Record, stored []byte, c Compression) []byte {
	start := len(dst)
	dst = slices.Grow(dst, encodedSize(r, len(stored)))
	dst = append(appendBeforeValue(dst, r, len(stored), c), stored...)
	return binary.LittleEndian.AppendUint32(dst, recordCRC(dst[start:]))
}

// appendBeforeValue appends the record of r as far as its value, of which so many bytes are stored.
func appendBeforeValue(dst []byte, r *Record, stored int, c Compression) []byte {
	flags := byte(c) << recordCompressionBit
	if r.Tombstone {
		flags |= recordFlagTombstone
	}
	if r.HasTTL {
		flags |= recordFlagTTL
	}
	if len(r.Key)|stored < varint1Limit {
		dst = append(dst, byte(len(r.Key)), byte(stored), flags)
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
		dst = binary.AppendUvarint(dst, uint64(stored))
		dst = append(dst, flags)
	}
	if r.HasTTL {
		dst = binary.AppendUvarint(dst, r.TTL)
	}
	return append(dst, r.Key...)
}

// AppendRecordSplit appends to dst what AppendRecord would append for r with the parts, one after another, as its value and
// without compression, but for the last part: it returns dst with the bytes before that part, and the bytes after it. So a
// large value need not be copied to be written. r.Value and r.Compression are ignored.
func AppendRecordSplit(dst []byte, r *Record, parts ...[]byte) (before []byte, after [recordCRCSize]byte, err error) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if len(r.Key) > MaxKeySize || size > MaxValueSize {
		return dst, after, fmt.Errorf("%w: key of %d bytes, value of %d", ErrTooLarge, len(r.Key), size)
	}
	start := len(dst)
	dst = appendBeforeValue(dst, r, size, CompressionNone)
	for _, p := range parts[:max(len(parts)-1, 0)] {
		dst = append(dst, p...)
	}
	crc := recordCRC(dst[start:])
	if len(parts) > 0 {
		crc = crc32.Update(crc, recordCRCTable, parts[len(parts)-1])
	}
	binary.LittleEndian.PutUint32(after[:], crc)
	return dst, after, nil
}

// DecodeRecord decodes the record at the start of src and returns it with its length in src. Key aliases src, and so
// does Value if the record stores it uncompressed; otherwise Value is freshly allocated. Bytes after the record do not
// matter.
//
// On error the Record is empty. The length is then that of a record whose checksum holds but which cannot be used
// (ErrReservedBits, ErrUnknownCompression, ErrDecompression, ErrTooLarge), or 0 where there is no record
// (ErrIncomplete, ErrCRC, ErrVarintOverflow).
func DecodeRecord(src []byte) (r Record, n int, err error) {
	n, err = r.decode(src, nil, MaxValueSize)
	return r, n, err
}

// DecodeRecordInto is DecodeRecord for a reader with memory and a limit of its own. It refuses a value of more than
// limit bytes, and decompresses into buf if the value fits its capacity; buf must not overlap src. A value that is
// stored uncompressed aliases src all the same.
func DecodeRecordInto(src, buf []byte, limit int) (r Record, n int, err error) {
	n, err = r.decode(src, buf, limit)
	return r, n, err
}

// DecodeStored is DecodeRecord without decompression: Value is what the record stores, always aliases src, and is for
// DecompressValue to interpret. The record's checksum is the last four bytes of src[:n], little-endian. DecodeStored
// allocates nothing.
func DecodeStored(src []byte) (r Record, n int, err error) {
	n, err = r.decodeStored(src)
	return r, n, err
}

func (r *Record) decode(src, buf []byte, limit int) (int, error) {
	n, err := r.decodeStored(src)
	if err != nil {
		return n, err
	}
	value, err := DecompressValue(buf, r.Value, r.Compression, limit)
	if err != nil {
		*r = Record{}
		return n, err
	}
	r.Value = value
	return n, nil
}

// decodeStored sets r, which must be empty and stays so on error.
func (r *Record) decodeStored(src []byte) (n int, err error) {
	if len(src) < recordMinSize {
		return 0, ErrIncomplete
	}
	klen, vlen, pos := uint64(src[0]), uint64(src[1]), 2
	if klen|vlen >= varint1Limit {
		if klen, vlen, pos, err = decodeLengths(src); err != nil {
			return 0, err
		}
	}
	if pos == len(src) {
		return 0, ErrIncomplete
	}
	flags := src[pos]
	pos++
	var ttl uint64
	if flags&recordFlagTTL != 0 {
		var size int
		if ttl, size, err = decodeUvarint(src[pos:]); err != nil {
			return 0, err
		}
		pos += size
	}
	end, ok := recordBodyEnd(src, pos, klen, vlen)
	if !ok {
		return 0, ErrIncomplete
	}
	// Nothing but the lengths is interpreted before the checksum is known to hold, so that damage never looks like a
	// strange but intact record.
	if !recordCRCHolds(src, end) {
		if n := newerRecordSize(src, pos, flags, klen, vlen); n > 0 {
			return n, ErrReservedBits
		}
		return 0, ErrCRC
	}
	n = end + recordCRCSize
	compression := Compression(flags >> recordCompressionBit & recordCompressionMask)
	switch {
	case flags&recordFlagsReserved != 0:
		return n, ErrReservedBits
	case compression > CompressionZstd:
		return n, ErrUnknownCompression
	case klen > MaxKeySize || vlen > MaxValueSize:
		return n, ErrTooLarge
	}
	mid := pos + int(klen)
	r.Key = src[pos:mid:mid]
	r.Value = src[mid:end:end]
	r.TTL = ttl
	r.HasTTL = flags&recordFlagTTL != 0
	r.Tombstone = flags&recordFlagTombstone != 0
	r.Compression = compression
	return n, nil
}

func decodeLengths(src []byte) (klen, vlen uint64, pos int, err error) {
	klen, pos, err = decodeUvarint(src)
	if err != nil {
		return 0, 0, 0, err
	}
	vlen, size, err := decodeUvarint(src[pos:])
	return klen, vlen, pos + size, err
}

// decodeUvarint returns the number at the start of src and its length. Unlike binary.Uvarint it calls a tenth byte that
// no number can have an overflow even if src ends there: more bytes would not help.
func decodeUvarint(src []byte) (v uint64, size int, err error) {
	for i, b := range src {
		if i == binary.MaxVarintLen64-1 && b > 1 {
			return 0, 0, ErrVarintOverflow
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < varint1Limit {
			return v, i + 1, nil
		}
	}
	return 0, 0, ErrIncomplete
}

// recordBodyEnd returns where the value of a record ends whose key starts at pos, and whether src holds that much and
// a checksum. The lengths are not to be trusted: neither they nor their sum need fit anything.
func recordBodyEnd(src []byte, pos int, klen, vlen uint64) (end int, ok bool) {
	room := uint64(len(src) - pos)
	if room < recordCRCSize {
		return 0, false
	}
	room -= recordCRCSize
	if klen > room || vlen > room-klen {
		return 0, false
	}
	return pos + int(klen+vlen), true
}

// newerRecordSize returns the length of the record at the start of src if it is one of a later nori-wal, which puts two
// more varints, a Raft term and index, before the key at pos and sets flag bit 4; and 0 if it is not. Read without
// them such a record looks like damage, and a log that cuts damage off would cut off all that follows it.
func newerRecordSize(src []byte, pos int, flags byte, klen, vlen uint64) int {
	if flags&recordFlagVersion == 0 {
		return 0
	}
	for range 2 {
		_, size, err := decodeUvarint(src[pos:])
		if err != nil {
			return 0
		}
		pos += size
	}
	end, ok := recordBodyEnd(src, pos, klen, vlen)
	if !ok || !recordCRCHolds(src, end) {
		return 0
	}
	return end + recordCRCSize
}

var recordCRCTable = crc32.MakeTable(crc32.Castagnoli)

func recordCRC(b []byte) uint32 {
	return crc32.Checksum(b, recordCRCTable)
}

func recordCRCHolds(src []byte, end int) bool {
	return recordCRC(src[:end]) == binary.LittleEndian.Uint32(src[end:])
}
