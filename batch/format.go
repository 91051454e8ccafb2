package batch

import (
	"hash/crc32"
	"math"
	"math/bits"
)

// A batch, big-endian throughout:
//
//	offset  size  field
//	     0     4  Length         i32  bytes after this field, at least 24
//	     4     1  Magic          u8   0
//	     5     4  CRC            u32  CRC32C of everything from SchemaId to the end
//	     9     2  SchemaId       i16  never negative when written
//	    11     1  Attributes     u8   0, the other bits are reserved
//	    12     8  WriterId       i64  -1 if there is no writer
//	    20     4  BatchSequence  i32  -1 if there is no writer
//	    24     4  RecordCount    i32
//	    28        RecordCount records, back to back, up to the end
//
// A record:
//
//	Length      i32       bytes after this field
//	KeyLength   uvarint32
//	Key
//	ValueLength uvarint32 \ a delete ends after Key; an empty value
//	Value                 / is a ValueLength of 0 and no bytes
//
// The CRC covers neither Length nor Magic, so a reader checks these two by themselves. A uvarint32 is LEB128 in at most
// five bytes whose fifth is at most 0x0F. Encodings longer than needed are read, and never written.
const (
	lengthSize = 4

	magicOffset         = 4
	crcOffset           = 5
	schemaIDOffset      = 9
	attributesOffset    = 11
	writerIDOffset      = 12
	batchSequenceOffset = 20
	recordCountOffset   = 24

	// HeaderSize is the size of the batch header, and of a batch without records, in bytes.
	HeaderSize = 28

	magic          = 0
	maxUvarint32   = 5    // bytes
	lastUvarint32  = 0x0F // the most that the fifth byte may be: 32 bits less the 28 before it
	minBatchLength = HeaderSize - lengthSize
)

const (
	// NoWriterID and NoBatchSequence stand in a batch that carries no writer state.
	NoWriterID      int64 = -1
	NoBatchSequence int32 = -1

	// MaxSchemaID is the largest schema id; the smallest one that can be written is 0.
	MaxSchemaID = math.MaxInt16

	// MaxSize is the largest size, in bytes, of a batch that a Builder makes. Length could count four bytes more, but
	// then a size would no longer fit the int of a 32-bit platform. A batch of this size holds fewer records than
	// RecordCount can count, because a record takes at least five bytes.
	MaxSize = math.MaxInt32
)

// noValue is the value length of a delete.
const noValue = -1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC of a whole batch. It needs a complete header.
func checksum(batch []byte) uint32 {
	return crc32.Checksum(batch[schemaIDOffset:], castagnoli)
}

// recordSize returns the size of a record in bytes, Length included. A negative valueLen means a delete. Lengths are
// compared with MaxSize before they are added, so nothing overflows; lengths above it yield more than MaxSize.
func recordSize(keyLen, valueLen int64) int64 {
	if keyLen > MaxSize || valueLen > MaxSize {
		return MaxSize + 1
	}
	size := lengthSize + uvarint32Size(uint32(keyLen)) + keyLen
	if valueLen >= 0 {
		size += uvarint32Size(uint32(valueLen)) + valueLen
	}
	return size
}

// uvarint32Size returns the number of bytes binary.AppendUvarint writes for v: one for every seven bits begun, where
// v|1 gives zero the one byte it also takes.
func uvarint32Size(v uint32) int64 {
	return int64(bits.Len32(v|1)+6) / 7
}

// uvarint32 reads a varint from the start of src and returns it with its size. One byte, the common case, is inlined.
func uvarint32(src []byte) (v uint32, n int, err error) {
	if len(src) > 0 && src[0] < 0x80 {
		return uint32(src[0]), 1, nil
	}
	return longUvarint32(src)
}

func longUvarint32(src []byte) (v uint32, n int, err error) {
	for i, c := range src {
		if i == maxUvarint32-1 && c > lastUvarint32 {
			return 0, 0, ErrVarintOverflow
		}
		v |= uint32(c&0x7F) << (7 * i)
		if c < 0x80 {
			return v, i + 1, nil
		}
	}
	return 0, 0, ErrTruncatedVarint
}
