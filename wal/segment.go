package wal

import (
	"github.com/ebbdb/ebb/internal/vfs"
)

// zeroChunk is how far the file of the active segment is extended with zeros at a time, and zeroAhead how much room there
// should be before the next extension. An fdatasync of bytes that overwrite zeros need not write the file's length, which
// is most of its cost, and a mapped page must exist before it is written. An extension makes one fdatasync dearer, so chunks
// are not small; an idle log keeps a few chunks of the disk, so they are not large.
const (
	zeroChunk = 256 << 10
	zeroAhead = 512 << 10

	// pageSize is a multiple of the unit in which systems write files back.
	pageSize = largeZeros
)

// The page cache keeps bytes that were written together in one folio, and a mapped write of a few bytes makes all of its folio
// dirty: measured, an fdatasync then writes 16 KiB here, but 2 MiB where the file had been zeroed in large writes. So a log
// that is synced at every commit is zeroed in small ones. For any other large folios are less work, each being taken from
// the mapping when it is written back: a load of values of 1000 bytes was 8 % faster.
const (
	smallZeros = 16 << 10
	largeZeros = zeroChunk
)

var zeros [largeZeros]byte

// zeroSize returns how many zeros to write at a time.
func (o *Options) zeroSize() int64 {
	if o.Sync == SyncAlways {
		return smallZeros
	}
	return largeZeros
}

// segment is one that appends go to, a sealed one that waits for its successor or for the disk, or the next one, which has no
// header yet. Its fields are guarded by Log.mu, but for header, name and file, which do not change once there is a header.
type segment struct {
	header
	name string
	file vfs.File

	off      int64      // end of the last record
	zeroed   int64      // end of the file, which is zero from off on
	flushing int64      // up to here the background goroutine has started the bytes on their way to the disk
	mapped   bool       // writes below zeroed overwrite zeros: they are copies into memory, or are not with OneWriter
	zeroing  *extension // by the background goroutine; nil while there is none
	zeroSize int64      // bytes of one write of zeros
	records  uint32     // in the segment
	ops      uint64     // sequences that they take
	crc      uint32     // running CRC
	headCRC  uint32     // running CRC behind the header
	marked   uint32     // synced-through offset of the last mark
	sealed   bool       // the last record is a seal
	closed   bool       // the last record is a close mark, and it is on the disk
}

// extension is an extension of a segment's file that the background goroutine makes without Log.mu. Once done is closed,
// zeroed is taken over under Log.mu: see awaitZerosLocked.
type extension struct {
	done   chan struct{}
	zeroed int64 // written before done is closed
}

// begin makes s begin with its header.
func (s *segment) begin(h header) error {
	rec := h.append(nil)
	if _, err := s.file.WriteAt(rec, 0); err != nil {
		return err
	}
	s.header, s.off, s.records = h, int64(len(rec)), 1
	s.zeroed = max(s.zeroed, s.off)
	s.headCRC = chainCRC(0, rec)
	s.crc = s.headCRC
	return nil
}

func (s *segment) end() Position { return Position{s.segment, uint32(s.off)} }

func (s *segment) nextSeq() uint64 { return s.baseSeq + s.ops }

// link returns the part of the next header about this segment.
func (s *segment) link() link { return link{s.segment, uint32(s.off), s.crc} }

// mark returns a mark of the given kind for the end of the segment.
func (s *segment) mark(kind byte, synced uint32) mark {
	return mark{kind, s.id, s.segment, uint32(s.off), synced, s.records, s.crc}
}

// room extends the zeros so that n more bytes fit before limit, the segment's full size. Beyond the limit, where a record
// that is larger than a segment goes, there are no zeros.
func (s *segment) room(n, limit int64) error {
	if !s.mapped || s.off+n <= s.zeroed || s.off+n > limit {
		return nil
	}
	return s.extend(max(zeroChunk, s.off+n-s.zeroed), limit)
}

// extend writes n bytes of zeros, but none beyond limit.
func (s *segment) extend(n, limit int64) error {
	for end := min(s.zeroed+n, limit); s.zeroed < end; {
		wrote, err := s.file.WriteAt(zeros[:min(s.zeroSize, end-s.zeroed)], s.zeroed)
		s.zeroed += int64(wrote)
		if err != nil {
			return err
		}
	}
	return nil
}
