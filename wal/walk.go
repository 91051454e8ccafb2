package wal

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// walk reads the segments of a log, oldest first, checks each and the chain between them, hands the entries on, and finds
// out where the log ends: in the newest segment that was taken into use, or in one before.
//
// A segment that has a name need not have been taken into use, and a segment that follows another does not prove that the other
// was on the disk: a rotation waits for no sync. Three things prove that bytes were on the disk: a mark behind them, in the same
// segment or a later one, as a segment counts as synced only after those before it; the header of the next segment; and the
// owner's anchor. Where a record or a header is missing that nothing proves to have been there, the log ends, whatever follows.
// Bytes behind a seal that are no record, and that nothing proves to have been there, do not belong to the log.
type walk struct {
	log     *Log
	numbers []uint32
	open    func(number uint32) (vfs.File, error)
	live    bool // an owner may be writing: anything that looks wrong is read once more

	at      int          // the segment that scan stands in, of numbers
	scan    *segmentScan // its file is open, unless it cannot be
	ahead   *segmentScan // tries the next
	doubted []doubted    // the last segment with a proof that all before it are on the disk, and those after it
}

// doubted is a segment that was read, of which nothing proves that it is on the disk from synced on.
type doubted struct {
	number      uint32
	synced, end int64
}

func (l *Log) newWalk(numbers []uint32, open func(uint32) (vfs.File, error)) *walk {
	anchor := l.opts.Anchor
	return &walk{log: l, numbers: numbers, open: open, scan: &segmentScan{anchor: anchor}, ahead: &segmentScan{anchor: anchor}}
}

// run walks. If it does not fail, scan stands at the end of the log.
func (w *walk) run() error {
	for i := range w.numbers { // all headers first: their errors are clearer than those that would follow from them
		err := w.start(w.ahead, i, maxHeaderSize)
		if err != nil && (i == 0 || !headless(err)) {
			return err
		}
		if err := w.ahead.closeFile(); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
	}
	if err := w.enter(0); err != nil {
		return err
	}
	for more := true; more; {
		err := w.read()
		if err == nil {
			more, err = w.next()
		}
		if err != nil {
			return err
		}
	}
	if s := w.scan; s.nextSeq() < w.log.opts.MinNextSeq {
		return corrupt.New(s.name, s.offset(), "end of log",
			fmt.Errorf("sequence %d is next, the owner knows of %d", s.nextSeq(), w.log.opts.MinNextSeq))
	}
	w.leave()
	if end := w.log.opts.ReplayEnd; end != nil {
		return end()
	}
	return nil
}

// next moves to the segment after a sealed one. It is false if there is none that was taken into use.
func (w *walk) next() (more bool, err error) {
	if !w.scan.sealed || w.at+1 == len(w.numbers) {
		return false, nil
	}
	for again := false; ; again = true {
		head := w.enter(w.at + 1)
		if head == nil {
			return true, nil
		}
		if !headless(head) {
			return false, head
		}
		synced, err := w.proven(w.at+1, 0)
		if err != nil || !synced {
			return false, err
		}
		if again || !w.live {
			return false, head
		}
	}
}

// start starts a scan on a segment, up to limit.
func (w *walk) start(scan *segmentScan, i int, limit int64) error {
	number := w.numbers[i]
	for again := false; ; again = true {
		f, err := w.open(number)
		if err != nil {
			return err
		}
		err = scan.startFile(f, segmentName(w.log.dir, number), number, limit)
		if err == nil {
			return nil
		}
		scan.file = nil
		err = errors.Join(err, f.Close())
		if again || !w.live || !errors.Is(err, io.ErrUnexpectedEOF) { // it became shorter after its size was read
			return err
		}
	}
}

// headless reports whether err says that a segment has no header: it was not taken into use, or that is not on the disk.
func headless(err error) bool {
	var bad *badBytes
	return errors.As(err, &bad) || errors.Is(err, io.EOF)
}

// enter moves to a segment. If it fails scan stays where it is.
func (w *walk) enter(i int) error {
	next := w.ahead
	if err := w.start(next, i, math.MaxInt64); err != nil {
		return err
	}
	if err := w.log.checkChain(next, i == 0, w.scan.link(), w.scan.nextSeq()); err != nil {
		return errors.Join(err, next.closeFile())
	}
	if i > 0 {
		w.scan.synced = max(w.scan.synced, next.head.synced)
		w.leave()
		if err := w.scan.closeFile(); err != nil {
			return errors.Join(fmt.Errorf("wal: %w", err), next.closeFile())
		}
	}
	w.at, w.scan, w.ahead = i, next, w.scan
	return nil
}

// leave takes note of a segment that was read to its end.
func (w *walk) leave() {
	s, l := w.scan, w.log
	synced := max(int64(s.synced), s.anchoredTo())
	if synced > 0 {
		w.doubted = w.doubted[:0]
	}
	w.doubted = append(w.doubted, doubted{s.head.segment, synced, s.offset()})
	l.mu.Lock()
	l.mu.segments = append(l.mu.segments, segmentInfo{s.head.segment, s.head.baseSeq, s.offset()})
	l.mu.Unlock()
	l.recovery.Segments++
	l.recovery.Bytes += s.offset()
}

// checkChain checks that a segment belongs to this log and continues the one before it.
func (l *Log) checkChain(s *segmentScan, first bool, prev link, prevSeq uint64) error {
	id := l.opts.ID
	if !first {
		id = l.id
	}
	if id != (ID{}) && s.head.id != id {
		return corrupt.New(s.name, 0, "segment header", ErrForeign)
	}
	l.id = s.head.id
	if first {
		if s.head.prev.segment != s.head.segment-1 {
			return corrupt.New(s.name, 0, "segment header", ErrChain)
		}
		return nil
	}
	if s.head.prev != prev || s.head.baseSeq < prevSeq {
		return corrupt.New(s.name, 0, "segment header", ErrChain)
	}
	return nil
}

// read hands on the entries of a segment, up to where scan finds no more: at a seal, the end of the file, or bytes that are
// no record, and that nothing proves to have been one.
func (w *walk) read() error {
	var e Entry
	s, again := w.scan, int64(-1) // where a record has been read once more
	for {
		err := s.next(&e)
		if err == nil {
			if err := w.log.handOn(&e); err != nil {
				return err
			}
			continue
		}
		var bad *badBytes
		if err == io.EOF || errors.As(err, &bad) {
			err = w.checkEnd(bad)
		}
		first := w.live && s.offset() != again
		if err == nil && first {
			first, err = w.begunAfter()
		}
		switch {
		case first && (err == nil || errors.Is(err, ErrCorrupt)):
			again = s.offset()
			if err := s.reread(); err != nil {
				return err
			}
		case w.live && errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrCorrupt):
			s.limit = s.base + int64(len(s.buf)) // it became shorter
		default: // nil, perhaps
			return err
		}
	}
}

// begunAfter reports whether a segment seems to have been begun after the one that scan stands in, which is not sealed.
func (w *walk) begunAfter() (bool, error) {
	for i := w.at + 1; i < len(w.numbers) && !w.scan.sealed; i++ {
		s, err := w.raw(i)
		if err != nil {
			return false, err
		}
		n, err := s.dirtyLen()
		if err = errors.Join(err, s.closeFile()); err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// handOn gives an entry to the owner.
func (l *Log) handOn(e *Entry) error {
	l.recovery.Entries++
	if l.opts.Replay == nil {
		return nil
	}
	return l.opts.Replay(e)
}

// checkEnd decides whether the records of a segment may end where scan stands: at a seal, at the end of its file, or at bytes
// that are none.
func (w *walk) checkEnd(bad *badBytes) error {
	s := w.scan
	if s.sealed {
		n, err := s.dirtyLen()
		if err != nil {
			return err
		}
		if n > 0 { // zeros that were written ahead, as a power cut leaves them, unless they were on the disk, or it is a record
			wrong := true
			if _, _, err := DecodeStored(s.bytes()); err != nil {
				if wrong, err = w.proven(w.at, s.offset()-1); err != nil {
					return err
				}
			}
			if wrong {
				return corrupt.New(s.name, s.offset(), "record", errors.New("follows the seal"))
			}
		}
		return w.log.checkAnchor(s, nil)
	}
	synced, err := w.proven(w.at, s.offset())
	switch {
	case err != nil:
		return err
	case synced && bad != nil:
		return corrupt.New(s.name, bad.offset, "record", bad.err)
	case synced:
		return corrupt.New(s.name, s.offset(), "end of segment", errors.New("not sealed, but a segment follows"))
	}
	return w.log.checkAnchor(s, bad)
}

// proven reports whether something proves that a segment was on the disk beyond an offset: a mark behind that, there or in a
// later segment, the header of a later one, or an anchor in one.
func (w *walk) proven(i int, off int64) (bool, error) {
	a := w.log.opts.Anchor
	if a.Segment > w.numbers[i] || off == 0 && a.Segment == w.numbers[i] {
		return true, nil
	}
	for j := i; j < len(w.numbers); j++ {
		s, err := w.raw(j)
		if err != nil {
			return false, err
		}
		synced, err := s.provesBeyond(i, j, off)
		if err = errors.Join(err, s.closeFile()); err != nil || synced {
			return synced, err
		}
	}
	return false, nil
}

// provesBeyond reports whether segment j, at whose first byte s stands, proves that segment i, the same or one before, was on
// the disk beyond an offset.
func (s *segmentScan) provesBeyond(i, j int, off int64) (bool, error) {
	if i == j {
		s.base = min(off, s.limit) // what comes before is not read once more
		return s.syncedBeyond()
	}
	if err := s.readAll(); err != nil {
		return false, err
	}
	if rec, _, err := DecodeStored(s.bytes()); err == nil && len(rec.Key) == 0 {
		h, err := decodeHeader(rec.Value)
		if err == nil && h.id == s.head.id && h.segment == s.head.segment && (j > i+1 && h.synced > 0 || int64(h.synced) > off) {
			return true, nil
		}
	}
	return s.syncedBeyond()
}

// raw returns a scan that stands at the first byte of a segment, of which nothing was checked.
func (w *walk) raw(i int) (*segmentScan, error) {
	f, err := w.open(w.numbers[i])
	if err != nil {
		return nil, err
	}
	s := &segmentScan{window: window{file: f}, name: segmentName(w.log.dir, w.numbers[i])}
	s.head.id, s.head.segment = w.log.id, w.numbers[i]
	if err := s.reread(); err != nil {
		return nil, errors.Join(err, s.closeFile())
	}
	return s, nil
}
