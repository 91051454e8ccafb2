package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/corrupt"
)

// Anchor is an end that a log once had, between two records, all on the disk. An owner who keeps it outside of the log can
// tell a log that was cut short from one that a crash has torn: whatever is before the anchor was there, and is there or
// damaged. The zero Anchor is none.
type Anchor struct {
	Position
	CRC uint32 // running CRC of the segment up to there
}

// Anchor returns the latest anchor that the log can tell without asking the disk: behind the header of the segment that
// appends go to, or where Open has found its end; and once Close has returned nil, the very end.
func (l *Log) Anchor() Anchor { return *l.anchor.Load() }

// anchor returns the anchor at the end of s, all of which is on the disk.
func (s *segment) anchor() *Anchor { return &Anchor{s.end(), s.crc} }

// checkAnchor checks, at the end of a segment, that it came by the owner's anchor. bad is what it ends in.
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

// anchoredTo returns up to where the segment is on the disk by the owner's anchor.
func (s *segmentScan) anchoredTo() int64 {
	if !s.anchored {
		return 0
	}
	return int64(s.anchor.Offset)
}

// noteTorn takes note of what is torn and stays where it is: behind the end of the log, and in the segments after it. Beside an
// owner there may be an append under way, or more that was appended since: bytes that change are none of a crash's, and
// behind an end that has moved on nothing is torn. So that is looked at last.
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

// tornLen returns the number of torn bytes that s stands at, and whether what is there has changed while it was read.
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
