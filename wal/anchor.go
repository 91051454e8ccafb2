package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/corrupt"
)

// Anchor is an end that a log once had: a place between two records, with everything before it on the disk. An owner that keeps
// the anchor outside of the log can tell a log that was cut short from one that a crash has torn: the bytes before the anchor
// are there, or the log is damaged. The zero Anchor is none.
type Anchor struct {
	Position
	CRC uint32 // running CRC of the segment up to there
}

// Anchor returns the latest anchor that the log can tell without asking the disk: behind the header of the segment that
// appends go to, or where Open has found its end; and once Close has returned nil, the very end.
func (l *Log) Anchor() Anchor { return *l.anchor.Load() }

// anchor returns the anchor at the end of s, all of which is on the disk.
func (s *segment) anchor() *Anchor { return &Anchor{s.end(), s.crc} }

// checkAnchor checks, at the end of a segment, that it came by the owner's anchor. bad are the bytes that it ends in, if any.
func (l *Log) checkAnchor(s *segmentScan, bad *badBytes) error {
	a := l.opts.Anchor
	if a.Segment != s.head.segment || s.anchored {
		return nil
	}
	err := fmt.Errorf("%d bytes of the segment were on the disk", a.Offset)
	if s.offset() >= int64(a.Offset) {
		err = fmt.Errorf("%w: %w", ErrChain, err)
	}
	if bad != nil {
		err = fmt.Errorf("%w; %w", bad.err, err)
	}
	return corrupt.New(s.name, min(s.offset(), int64(a.Offset)), "end of log", err)
}

// anchoredTo returns the offset up to which the owner's anchor says that the segment is on the disk.
func (s *segmentScan) anchoredTo() int64 {
	if !s.anchored {
		return 0
	}
	return int64(s.anchor.Offset)
}

// noteTorn takes note of torn bytes that stay where they are: behind the end of the log, and in the segments after it. Beside an
// owner, bytes behind the end may be an append that is under way, or that came after the end was read. Bytes that change are
// not torn by a crash, and behind an end that has moved on nothing is torn. So the segment with the end is looked at last.
func (l *Log) noteTorn(w *walk) error {
	behind := 0
	for i := w.at + 1; i < len(w.numbers); i++ {
		s, err := w.raw(i)
		if err != nil {
			return err
		}
		if w.scan.sealed && i == w.at+1 && s.follows(w.scan) {
			return nil
		}
		n, _, err := s.tornLen()
		if err != nil {
			return err
		}
		behind += n
	}
	n, changed, err := w.scan.tornLen()
	if err != nil || changed || n+behind == 0 {
		return err
	}
	l.noteCut(w, n+behind, "")
	return nil
}

// follows reports whether s, which stands at its first byte, continues a segment.
func (s *segmentScan) follows(before *segmentScan) bool {
	if s.readAll() != nil {
		return false
	}
	rec, _, err := DecodeStored(s.bytes())
	if err != nil || len(rec.Key) != 0 {
		return false
	}
	h, err := decodeHeader(rec.Value)
	return err == nil && h.id == before.head.id && h.segment == s.head.segment && h.prev == before.link()
}

// tornLen returns the number of torn bytes that s stands at, and whether they have changed while they were read.
func (s *segmentScan) tornLen() (n int, changed bool, err error) {
	if n, err = s.dirtyLen(); err != nil {
		return 0, true, unlessShorter(err)
	}
	before := bytes.Clone(s.bytes()[:n])
	if err := s.reread(); err != nil {
		return 0, true, err
	}
	m, err := s.dirtyLen()
	if err != nil {
		return 0, true, unlessShorter(err)
	}
	if !bytes.Equal(before, s.bytes()[:m]) {
		return 0, true, nil
	}
	return n, false, nil
}

// unlessShorter drops the error of a file that its owner has cut while it was read.
func unlessShorter(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
