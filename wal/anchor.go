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

// noteTorn takes note of what is torn and stays where it is: behind the end of the log, and in the segments after it.
func (l *Log) noteTorn(w *walk) error {
	if err := l.noteTail(w, w.scan); err != nil {
		return err
	}
	for i := w.at + 1; i < len(w.numbers); i++ {
		s, err := w.raw(i)
		if err == nil {
			err = l.noteTail(w, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteTail takes note of the torn bytes that s stands at. Beside an owner there may be an append under way, or more that was
// appended since: bytes that change are none of a crash's.
func (l *Log) noteTail(w *walk, s *segmentScan) error {
	n, err := s.dirtyLen()
	if err != nil || n == 0 {
		return unlessShorter(err)
	}
	before := bytes.Clone(s.bytes()[:n])
	if err := s.reread(); err != nil {
		return err
	}
	if n, err = s.dirtyLen(); err != nil {
		return unlessShorter(err)
	}
	if bytes.Equal(before, s.bytes()[:n]) {
		l.noteCut(w, n, "")
	}
	return nil
}

// unlessShorter drops the error of a file that its owner has cut while it was read.
func unlessShorter(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
