package wal

import (
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Salvaged describes the part of a segment that Salvage could read.
type Salvaged struct {
	ID      ID
	Segment uint32
	BaseSeq uint64 // of the segment's first operation
	NextSeq uint64 // of the first operation after those that were read
	Read    int64  // bytes, from the beginning
	Lost    int64  // bytes after those, up to the last that is not zero
	Sealed  bool   // the last record was a seal: a segment follows, or followed

	prev, end link
}

// Follows reports whether the segment continues all that could be read of another: that nothing is missing in between.
func (s *Salvaged) Follows(before *Salvaged) bool {
	return s.prev == before.end && s.BaseSeq >= before.NextSeq
}

// Before reports whether the part that could be read ends before a position, as that of an Anchor that the log had come to.
func (s *Salvaged) Before(p Position) bool { return Position{s.Segment, uint32(s.Read)}.Compare(p) < 0 }

// Salvage reads one segment as far as it goes and calls visit with every entry, which is valid during the call only. It
// changes nothing and takes no lock: the log must not be written to meanwhile.
//
// Where the records end before the file does, and not in zeros, the error is a *CorruptError; it may be a torn end that
// Open would cut as well as damage. The entries visited before are right. Records behind that place are given up: a
// sequence is implied by the records before it. A segment that holds nothing at all is ErrUnused. An error of visit ends
// the reading and is returned as it is.
func Salvage(fs vfs.FS, name string, visit func(*Entry) error) (s Salvaged, err error) {
	file, err := fs.Open(name)
	if err != nil {
		return s, fmt.Errorf("wal: %w", err)
	}
	scan := segmentScan{window: window{file: file}}
	defer func() {
		if cerr := scan.closeFile(); err == nil && cerr != nil {
			err = fmt.Errorf("wal: %w", cerr)
		}
	}()
	size, err := file.Size()
	if err != nil {
		return s, fmt.Errorf("wal: %w", err)
	}
	head, err := peekHeader(file, name, size)
	if err != nil {
		scan.limit = size
		if n, derr := scan.dirtyLen(); derr == nil && n == 0 {
			err = fmt.Errorf("%s: %w", name, ErrUnused)
			size = 0
		}
		return Salvaged{Lost: size}, err
	}
	if err := scan.start(file, name, head.segment, size); err != nil {
		return Salvaged{Lost: size}, err
	}
	err = scan.salvage(visit)
	s = Salvaged{
		ID: scan.head.id, Segment: scan.head.segment, BaseSeq: scan.head.baseSeq, NextSeq: scan.nextSeq(),
		Read: scan.offset(), Sealed: scan.sealed, prev: scan.head.prev, end: scan.link(),
	}
	if err != nil && errors.Is(err, ErrCorrupt) {
		lost, lerr := scan.dirtyLen()
		if lerr != nil {
			return s, lerr
		}
		if s.Lost = int64(lost); lost == 0 {
			return s, nil // room for more
		}
	}
	return s, err
}

// salvage visits entries up to the end or the first bytes that are none.
func (s *segmentScan) salvage(visit func(*Entry) error) error {
	var e Entry
	for {
		err := s.next(&e)
		var bad *badBytes
		switch {
		case err == io.EOF && s.sealed:
			if n, err := s.dirtyLen(); err != nil || n == 0 {
				return err
			}
			return corrupt.New(s.name, s.offset(), "record", errors.New("follows the seal"))
		case err == io.EOF:
			return nil
		case errors.As(err, &bad):
			return corrupt.New(s.name, bad.offset, "record", bad.err)
		case err != nil:
			return err
		}
		if err := visit(&e); err != nil {
			return err
		}
	}
}

// peekHeader reads a segment's header, to learn its number.
func peekHeader(file vfs.File, name string, size int64) (header, error) {
	buf := make([]byte, min(size, maxHeaderSize)) // another version's may have another size
	if n, err := file.ReadAt(buf, 0); err != nil && !(err == io.EOF && n == len(buf)) {
		return header{}, fmt.Errorf("wal: %w", err)
	}
	rec, _, err := DecodeStored(buf)
	if err != nil {
		return header{}, corrupt.New(name, 0, "segment header", err)
	}
	h, err := decodeHeader(rec.Value)
	if errors.Is(err, ErrVersion) {
		return header{}, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil || len(rec.Key) != 0 {
		return header{}, corrupt.New(name, 0, "segment header", errors.Join(err, errNoHeader))
	}
	return h, nil
}
