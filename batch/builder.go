package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Builder writes one batch after another into one buffer. Make it with NewBuilder. Once the buffer has grown to the
// size of the batches, nothing is allocated. A Builder must not be used by two goroutines at the same time.
type Builder struct {
	buf   []byte // buf[start:] is the batch; its header is room only, until Build writes every byte of it
	start int
	limit int // of len(buf)-start

	schemaID      int
	writerID      int64
	batchSequence int32
	count         int
	sealed        bool
}

// NewBuilder returns a builder that appends its batches to dst, which may be nil and belongs to the builder from then
// on. The len(dst) bytes in front of the batch are kept as they are: a caller that frames batches leaves room for its
// header there, and has no batch to copy.
//
// limit is the largest size of a batch in bytes, header included; above MaxSize it means MaxSize. A limit below
// HeaderSize admits no record, but the batch without records can be built under any limit. A schemaID outside
// 0..MaxSchemaID is ErrSchemaRange.
func NewBuilder(dst []byte, schemaID, limit int) (*Builder, error) {
	b := &Builder{buf: dst, start: len(dst), limit: min(max(limit, 0), MaxSize)}
	if err := b.Reset(schemaID); err != nil {
		return nil, err
	}
	return b, nil
}

// Reset starts an empty batch without writer state in the place of the last one, whose bytes become invalid. It keeps
// the buffer and the limit. A schemaID outside 0..MaxSchemaID is ErrSchemaRange and leaves everything as it was.
func (b *Builder) Reset(schemaID int) error {
	if schemaID < 0 || schemaID > MaxSchemaID {
		return fmt.Errorf("%w: %d", ErrSchemaRange, schemaID)
	}
	b.buf = slices.Grow(b.buf[:b.start], HeaderSize)[:b.start+HeaderSize]
	b.schemaID = schemaID
	b.writerID, b.batchSequence = NoWriterID, NoBatchSequence
	b.count = 0
	b.sealed = false
	return nil
}

// Grow makes room for records of n bytes in all. Where they are more the buffer grows with them, which copies it.
func (b *Builder) Grow(n int) {
	b.buf = slices.Grow(b.buf, max(0, min(n, b.limit-b.Size())))
}

// SetWriter records who writes the batch and which of that writer's batches it is. The last call before Build counts.
// After Build it returns ErrSealed.
func (b *Builder) SetWriter(id int64, sequence int32) error {
	if b.sealed {
		return ErrSealed
	}
	b.writerID, b.batchSequence = id, sequence
	return nil
}

// Put appends a record that sets key to the concatenation of the value's parts, which may be empty. Taking the value
// in parts lets a caller put a prefix before it without first joining the two. key and parts are copied.
//
// It returns ErrSealed after Build, ErrTooLarge if no batch under the limit could hold the record, and ErrFull if this
// one has no room left for it. The batch stays as it was and can still be added to or built.
func (b *Builder) Put(key []byte, value ...[]byte) error {
	// No sum of lengths of slices that exist overflows 64 bits, on any platform.
	var valueLen int64
	for _, part := range value {
		valueLen += int64(len(part))
	}
	buf, err := b.begin(key, valueLen, valueLen)
	if err != nil {
		return err
	}
	buf = binary.AppendUvarint(buf, uint64(valueLen))
	for _, part := range value {
		buf = append(buf, part...)
	}
	b.buf = buf
	return nil
}

// Delete appends a record that deletes key, which is copied. Its errors are those of Put.
func (b *Builder) Delete(key []byte) error {
	buf, err := b.begin(key, noValue, 0)
	if err != nil {
		return err
	}
	b.buf = buf
	return nil
}

// PutLast is Put, followed by Build, without a copy of the last part, which is large: it returns the batch as far as that
// part. On an error nothing was added or built.
func (b *Builder) PutLast(key []byte, value ...[]byte) ([]byte, error) {
	if len(value) == 0 {
		value = [][]byte{nil}
	}
	last := value[len(value)-1]
	copied := int64(0)
	for _, part := range value[:len(value)-1] {
		copied += int64(len(part))
	}
	valueLen := copied + int64(len(last))
	buf, err := b.begin(key, valueLen, copied)
	if err != nil {
		return nil, err
	}
	buf = binary.AppendUvarint(buf, uint64(valueLen))
	for _, part := range value[:len(value)-1] {
		buf = append(buf, part...)
	}
	b.buf = buf
	b.complete(last)
	return b.buf, nil
}

// begin counts a record if it fits, and returns the buffer with everything before ValueLength appended and room for the
// rest, of which copied bytes of the value are a part.
func (b *Builder) begin(key []byte, valueLen, copied int64) ([]byte, error) {
	if b.sealed {
		return nil, ErrSealed
	}
	size := recordSize(int64(len(key)), valueLen)
	if size > int64(b.limit-HeaderSize) {
		return nil, ErrTooLarge
	}
	if size > int64(b.limit-b.Size()) {
		return nil, ErrFull
	}
	b.count++
	buf := slices.Grow(b.buf, int(size-max(valueLen, 0)+copied))
	buf = binary.BigEndian.AppendUint32(buf, uint32(size-lengthSize))
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	return append(buf, key...), nil
}

// HasRoomFor tells whether a Put of a key and a value of these lengths in bytes would be accepted, or with a negative
// valueLen, a Delete.
func (b *Builder) HasRoomFor(keyLen, valueLen int) bool {
	return !b.sealed && recordSize(int64(keyLen), int64(valueLen)) <= int64(b.limit-b.Size())
}

// Count returns the number of records.
func (b *Builder) Count() int { return b.count }

// Size returns the size of the batch so far in bytes, header included.
func (b *Builder) Size() int { return len(b.buf) - b.start }

// Build completes the batch and returns NewBuilder's dst with the batch appended. It seals the builder: until Reset the
// batch cannot change, and Build returns the same bytes again. The slice is the builder's own buffer, valid until Reset.
func (b *Builder) Build() []byte {
	if !b.sealed {
		b.complete(nil)
	}
	return b.buf
}

// complete seals a batch that ends with last, which is not in the buffer.
func (b *Builder) complete(last []byte) {
	b.sealed = true
	batch := b.buf[b.start:]
	binary.BigEndian.PutUint32(batch, uint32(len(batch)+len(last)-lengthSize))
	batch[magicOffset] = magic
	binary.BigEndian.PutUint16(batch[schemaIDOffset:], uint16(b.schemaID))
	batch[attributesOffset] = 0
	binary.BigEndian.PutUint64(batch[writerIDOffset:], uint64(b.writerID))
	binary.BigEndian.PutUint32(batch[batchSequenceOffset:], uint32(b.batchSequence))
	binary.BigEndian.PutUint32(batch[recordCountOffset:], uint32(b.count))
	binary.BigEndian.PutUint32(batch[crcOffset:], crc32.Update(checksum(batch), castagnoli, last))
}
