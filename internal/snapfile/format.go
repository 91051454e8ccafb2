package snapfile

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/wal"
)

// A snapshot file is a stream of nori records with empty keys; the first byte of a value is the type. Integers are
// little-endian, those inside a KV batch as package batch says.
//
//	1 header        0 type  1 version  2 magic "ebb snap"  10 file id [16]  26 database id [16]  42 since u64
//	                50 through u64  58 clock i64 (Unix ms)                                                        = 66 bytes
//
// All others begin with the id of the file and their number in it, the header's being 0, so that a record of another file
// or in another place is noticed where it stands:
//
//	                0 type  1 file id [16]  17 number u64                                                         = 25 bytes
//	2 entries       25 a KV batch of schema 4. The only record that may be compressed
//	3 range delete  25 sequence u64  33 uvarint length of start, start, end
//	4 writers       25 states, by ascending id: writer id i64, sequence i32, version u64, used i64 (Unix ms)     28 bytes each
//	6 eviction      25 sequence u64  33 horizon i64 (Unix ms, above 0): see kv.Eviction                           = 41 bytes
//	5 end           25 entries u64  33 range deletes u64  41 writers u64  49 digest u64                           = 57 bytes
//
// A row of schema 4 is a put of uvarint sequence, uvarint deadline (Unix ms, 0: none), value. A delete, which has no room
// for its sequence, is a KV delete of the key and then a put of uvarint sequence under the empty key.
//
// A file with since 0 is full: it holds the entries that were live at the clock's time, by ascending key, and no deletes.
// Any other is an increment: the operations after since, up to through, by ascending sequence. Of either kind it holds
// every writer's state as of through. Version 1 has no evictions.
//
// The digest is xxHash64 over all bytes before the end's record. Nothing follows the end.
const (
	typeHeader      = 1
	typeEntries     = 2
	typeRangeDelete = 3
	typeWriters     = 4
	typeEnd         = 5
	typeEviction    = 6

	formatVersion = format.SnapshotFile
	magic         = "ebb snap"

	headerSize = 66
	frameSize  = 25 // type, file id and number
	writerSize = 28
	endSize    = 57
	evictSize  = 41

	schemaRows = 4
)

// MaxKeySize and MaxValueSize are the limits of a database, in bytes.
const (
	MaxKeySize   = 64 << 10
	MaxValueSize = 1<<30 - 1<<20
)

// Header says of which database, and of which of its operations, a snapshot file is.
type Header struct {
	ID       [16]byte // of the file, random
	Database [16]byte
	Since    uint64 // the file holds the operations after it; 0: everything
	Through  uint64 // the last sequence that the file knows of
	Clock    int64  // the time by which entries had expired, Unix ms
}

// Full reports whether the file holds everything, and not only the operations since a sequence.
func (h *Header) Full() bool { return h.Since == 0 }

// WriterState is the last batch that one writer has had applied.
type WriterState struct {
	ID       int64 // not negative, as is Sequence
	Sequence int32
	Version  uint64 // the sequence of the batch's last operation
	Used     int64  // when it was applied, Unix ms
}

// Totals count the contents of a file.
type Totals struct {
	Entries      uint64 // puts and deletes
	RangeDeletes uint64
	Writers      uint64
}

func (h *Header) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, typeHeader, formatVersion)
	dst = append(dst, magic...)
	dst = append(dst, h.ID[:]...)
	dst = append(dst, h.Database[:]...)
	dst = le.AppendUint64(dst, h.Since)
	dst = le.AppendUint64(dst, h.Through)
	return le.AppendUint64(dst, uint64(h.Clock))
}

// Causes in a *corrupt.Error of a snapshot file.
var (
	// ErrNotSnapshot says that the file is something else.
	ErrNotSnapshot = errors.New("backup: not a snapshot file")
	// ErrForeign says that a record belongs to another snapshot file.
	ErrForeign = errors.New("backup: record of another snapshot file")
	// ErrMisplaced says that a record is missing, doubled, or not where it was written.
	ErrMisplaced = errors.New("backup: record out of place")

	errMalformed = errors.New("malformed record")
	errOrder     = errors.New("entry out of order")
	errTotals    = errors.New("other counts or another digest than the end says")
	errTrailing  = errors.New("bytes after the end")
)

// decodeHeader reads a header's value. The version is checked first: a newer one may look different from there on.
func decodeHeader(b []byte) (Header, error) {
	if len(b) < 2+len(magic) || b[0] != typeHeader || string(b[2:2+len(magic)]) != magic {
		return Header{}, ErrNotSnapshot
	}
	if b[1] > formatVersion {
		return Header{}, format.Newer("snapshot file", b[1], formatVersion)
	}
	if len(b) != headerSize || b[1] == 0 {
		return Header{}, errMalformed
	}
	le := binary.LittleEndian
	h := Header{
		ID:       [16]byte(b[10:26]),
		Database: [16]byte(b[26:42]),
		Since:    le.Uint64(b[42:]),
		Through:  le.Uint64(b[50:]),
		Clock:    int64(le.Uint64(b[58:])),
	}
	if h.Through < h.Since || h.Through > maxSeq || h.Clock < 0 {
		return Header{}, errMalformed
	}
	return h, nil
}

func appendFrame(dst []byte, kind byte, id [16]byte, number uint64) []byte {
	dst = append(dst, kind)
	dst = append(dst, id[:]...)
	return binary.LittleEndian.AppendUint64(dst, number)
}

// decodeFrame checks the frame that every record but the header begins with, and returns the type and the rest.
func decodeFrame(b []byte, id [16]byte, number uint64) (kind byte, rest []byte, err error) {
	if len(b) < frameSize {
		return 0, nil, errMalformed
	}
	if [16]byte(b[1:17]) != id {
		return 0, nil, ErrForeign
	}
	if n := binary.LittleEndian.Uint64(b[17:]); n != number {
		return 0, nil, fmt.Errorf("%w: number %d, want %d", ErrMisplaced, n, number)
	}
	return b[0], b[frameSize:], nil
}

func appendWriter(dst []byte, w WriterState) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, uint64(w.ID))
	dst = le.AppendUint32(dst, uint32(w.Sequence))
	dst = le.AppendUint64(dst, w.Version)
	return le.AppendUint64(dst, uint64(w.Used))
}

// decodeWriter reads a state, of which b holds all bytes.
func decodeWriter(b []byte) WriterState {
	le := binary.LittleEndian
	return WriterState{int64(le.Uint64(b)), int32(le.Uint32(b[8:])), le.Uint64(b[12:]), int64(le.Uint64(b[20:]))}
}

func appendEnd(dst []byte, t Totals, digest uint64) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, t.Entries)
	dst = le.AppendUint64(dst, t.RangeDeletes)
	dst = le.AppendUint64(dst, t.Writers)
	return le.AppendUint64(dst, digest)
}

// decodeEnd reads the end's value behind the frame.
func decodeEnd(b []byte) (t Totals, digest uint64, err error) {
	if len(b) != endSize-frameSize {
		return Totals{}, 0, errMalformed
	}
	le := binary.LittleEndian
	return Totals{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])}, le.Uint64(b[24:]), nil
}

// maxSeq is beyond the sequences of any database, and so far below 2^64 that counting on from it does not overflow.
const maxSeq = 1 << 63

// maxRecord bounds the length of a record: the codec's largest value, with its frame.
const maxRecord = wal.MaxValueSize + 1 + binary.MaxVarintLen64 + 1 + 4
