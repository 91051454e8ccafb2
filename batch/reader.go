package batch

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Batch is a batch that was read. It refers to the bytes it was read from and is valid as long as they are unchanged.
type Batch struct {
	SchemaID      int // may be negative: other writers are not held to our range
	WriterID      int64
	BatchSequence int32
	Count         int // after Decode the number of records, after Parse only the header's word for it

	records []byte
}

// Record is one put or delete. Key and Value alias the bytes that were read; their capacity ends where they do.
type Record struct {
	Key    []byte
	Value  []byte // nil for a delete, else not nil even when empty
	Delete bool
}

// Decode reads the batch at the start of src, checks all of it and returns its size n in bytes; the next batch starts
// at src[n:]. Iterating over the result cannot fail. Every error of this package's reading side is possible;
// ErrIncomplete alone means that more bytes could help. With an error, n is 0.
func Decode(src []byte) (b Batch, n int, err error) {
	b, n, err = Parse(src)
	if err != nil {
		return Batch{}, 0, err
	}
	it := b.Records()
	for it.Next() {
	}
	if err := it.Err(); err != nil {
		return Batch{}, 0, err
	}
	return b, n, nil
}

// Parse is Decode without the pass over the records: it checks the header and the checksum, and the iterator reports
// a bad record when it gets there. Count is at most the number of bytes after the header.
func Parse(src []byte) (b Batch, n int, err error) {
	if len(src) < HeaderSize {
		return Batch{}, 0, fmt.Errorf("%w: %d bytes of a header of %d", ErrIncomplete, len(src), HeaderSize)
	}
	length := int32(binary.BigEndian.Uint32(src))
	if length < minBatchLength {
		return Batch{}, 0, fmt.Errorf("%w: %d, the least is %d", ErrBadLength, length, minBatchLength)
	}
	if available := len(src) - lengthSize; int64(length) > int64(available) {
		return Batch{}, 0, fmt.Errorf("%w: length %d, available %d", ErrIncomplete, length, available)
	}
	n = lengthSize + int(length)
	src = src[:n:n]
	if got := src[magicOffset]; got != magic {
		return Batch{}, 0, fmt.Errorf("%w: %#02x", ErrBadMagic, got)
	}
	if stored, sum := binary.BigEndian.Uint32(src[crcOffset:]), checksum(src); stored != sum {
		return Batch{}, 0, fmt.Errorf("%w: stored %08x, computed %08x", ErrCRCMismatch, stored, sum)
	}
	// The checksum is right: from here on the bytes are as they were written.
	if got := src[attributesOffset]; got != 0 {
		return Batch{}, 0, fmt.Errorf("%w: %#02x", ErrReservedAttributes, got)
	}
	b = Batch{
		SchemaID:      int(int16(binary.BigEndian.Uint16(src[schemaIDOffset:]))),
		WriterID:      int64(binary.BigEndian.Uint64(src[writerIDOffset:])),
		BatchSequence: int32(binary.BigEndian.Uint32(src[batchSequenceOffset:])),
		Count:         int(int32(binary.BigEndian.Uint32(src[recordCountOffset:]))),
		records:       src[HeaderSize:],
	}
	if b.Count < 0 {
		return Batch{}, 0, fmt.Errorf("%w: %d", ErrNegativeCount, b.Count)
	}
	if b.Count > len(b.records) {
		return Batch{}, 0, fmt.Errorf("%w: %d records in %d bytes", ErrCountTooHigh, b.Count, len(b.records))
	}
	return b, n, nil
}

// Records returns an iterator that stands before the first record.
func (b Batch) Records() Iterator { return Iterator{batch: b} }

// All yields the records in order. A bad record, which only a batch from Parse can have, is yielded last, as an error
// with an empty Record.
func (b Batch) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		it := b.Records()
		for it.Next() {
			if !yield(it.Record, nil) {
				return
			}
		}
		if it.err != nil {
			yield(Record{}, it.err)
		}
	}
}

// Iterator walks the records of a batch in order. It allocates nothing and needs no closing.
type Iterator struct {
	// Record is the one that Next moved to, and means nothing before Next or after it returned false. It is a field
	// because returning it would copy it: that took 5 of 16 ns a record.
	Record Record

	batch  Batch
	index  int // of the next record
	offset int // of the next record in batch.records
	err    error
}

// Next moves to the next record. It returns false after the last one, and at a bad one, which Err then reports; it
// stays there.
func (it *Iterator) Next() bool {
	rest := it.batch.records[it.offset:]
	if it.index == it.batch.Count {
		if len(rest) > 0 {
			it.fail(ErrTrailingBytes)
		}
		return false
	}
	if len(rest) == 0 {
		it.fail(ErrCountTooHigh)
		return false
	}
	n, err := it.Record.parse(rest)
	if err != nil {
		it.fail(err)
		return false
	}
	it.index++
	it.offset += n
	return true
}

// fail stops the iterator and says where.
func (it *Iterator) fail(err error) {
	it.err = fmt.Errorf("%w: record %d of %d, at offset %d of the batch",
		err, it.index, it.batch.Count, HeaderSize+it.offset)
}

// Err returns the error that stopped Next, nil if it has not failed.
func (it *Iterator) Err() error { return it.err }

// parse sets r to the record at the start of src, which ends where the batch ends, and returns its size.
func (r *Record) parse(src []byte) (n int, err error) {
	if len(src) < lengthSize {
		return 0, ErrRecordExceedsBatch
	}
	length := int32(binary.BigEndian.Uint32(src))
	if length < 0 {
		return 0, ErrBadRecordLength
	}
	if int64(length) > int64(len(src)-lengthSize) {
		return 0, ErrRecordExceedsBatch
	}
	n = lengthSize + int(length)
	body := src[lengthSize:n]

	keyLen, size, err := uvarint32(body)
	if err != nil {
		return 0, err
	}
	body = body[size:]
	if uint64(keyLen) > uint64(len(body)) {
		return 0, ErrKeyExceedsRecord
	}
	r.Key, body = body[:keyLen:keyLen], body[keyLen:]
	if r.Delete = len(body) == 0; r.Delete {
		r.Value = nil
		return n, nil
	}

	valueLen, size, err := uvarint32(body)
	if err != nil {
		return 0, err
	}
	body = body[size:]
	if uint64(valueLen) > uint64(len(body)) {
		return 0, ErrValueExceedsRecord
	}
	if uint64(valueLen) < uint64(len(body)) {
		return 0, ErrTrailingRecordBytes
	}
	r.Value = body[:valueLen:valueLen]
	return n, nil
}
