package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Follower reads a log that another owner appends to, in this process or another, from its files alone: it takes no lock,
// changes nothing, and nothing waits for it. It is for one goroutine.
//
// It reads what Replay reads: whole records, synced or not, the last of which may belong to an append that is about to fail.
// At the end it looks for its file by its name when it is asked again, as an owner that opens the log after a crash may have
// put a copy in its place. If by then a record that Next has returned is not there any more, because its append did fail,
// that is ErrDeleted. If the file has lost its name, it is read to its end, if it could be kept open.
type Follower struct {
	log  *Log // of which there are only a directory and options
	seq  uint64
	scan *segmentScan // its file is open only while there is something to read
	next *segmentScan // tries the segment after that
	at   followedTo   // the last entry, in the segment of scan; none before a segment is found
	kept vfs.File     // that scan had when it came to the end; may be nil
	gone bool         // the file that scan has was deleted
	err  error
}

// keepOpen says whether files may be kept open. On Windows an open file could not be replaced by the owner.
const keepOpen = runtime.GOOS != "windows"

// followedTo is the end of an entry, or of the header, in a segment: all that a scan has to know to go on from there.
type followedTo struct {
	found   bool
	head    header
	offset  int64
	records uint32
	ops     uint64
	crc     uint32              // running
	last    [recordCRCSize]byte // of the record before offset
}

// Follow returns a follower of the log in a directory that begins with the operation of a sequence, or with the batch that
// it is in. Of the options it uses ID and FS.
func Follow(dir string, o *Options, seq uint64) *Follower {
	l := &Log{dir: dir, opts: o.withDefaults()}
	l.id = l.opts.ID
	return &Follower{log: l, seq: seq, scan: new(segmentScan), next: new(segmentScan)}
}

// Next fills e with the next entry, whose slices are valid until the call after; marks of the clock are left out. At the end
// it returns io.EOF, and may be called again. Any other error is final: ErrDeleted if the log begins later, ErrAhead if not
// even the next operation will have the sequence to begin with, or a *CorruptError.
func (f *Follower) Next(e *Entry) error {
	for f.err == nil {
		err := f.step(e)
		switch {
		case err == nil && e.Kind != KindClock && e.LastSeq() >= f.seq:
			f.seq = e.LastSeq() + 1
			return nil
		case err == io.EOF && f.at.found && f.seq > f.at.nextSeq():
			f.err = fmt.Errorf("%w: %d, the next is %d", ErrAhead, f.seq, f.at.nextSeq())
		case err == io.EOF:
			return io.EOF
		case err != nil:
			f.err = err
		}
	}
	return f.err
}

// NextSeq returns the sequence of the next operation that Next can return.
func (f *Follower) NextSeq() uint64 {
	if !f.at.found {
		return f.seq
	}
	return max(f.seq, f.at.nextSeq())
}

// Close lets go of the follower's file, if it has one open.
func (f *Follower) Close() error {
	if f.err == nil {
		f.err = ErrClosed
	}
	return errors.Join(f.scan.closeFile(), f.closeKept())
}

func (f *Follower) closeKept() error {
	if f.kept == nil {
		return nil
	}
	kept := f.kept
	f.kept = nil
	return kept.Close()
}

// step is Next without skipping.
//
// By the time that step comes to the end of a segment, the bytes it has read may be old, and so may the file. So an end or damage
// counts only if it is seen again in the file that has the name by then. If the next segment is in use, all of this one was
// written before: only damage that is seen after that counts.
func (f *Follower) step(e *Entry) error {
	fresh, followed := f.scan.file == nil, uint32(0) // the file is opened here; the segment that is known to be followed
	if fresh {
		if err := f.resume(); err != nil {
			return err
		}
	}
	for {
		err := f.scan.next(e)
		if err == nil {
			f.note()
			return nil
		}
		if err == io.EOF && f.scan.sealed {
			if err := f.advance(); err != nil {
				return f.pause(err)
			}
			fresh = true
			continue
		}
		var bad *badBytes
		if err != io.EOF && !errors.As(err, &bad) && (errors.Is(err, ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF)) {
			return err
		}
		number := f.scan.head.segment
		if fresh && followed == number {
			return f.damaged(bad)
		}
		if fresh && !f.gone {
			if begun, err := f.begunAfter(); err != nil || !begun {
				return f.pause(err)
			}
			followed = number
		}
		if err := f.scan.closeFile(); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
		if err := f.resume(); err != nil {
			return err
		}
		fresh = true
	}
}

// damaged is the error of a segment that does not end as one that another follows.
func (f *Follower) damaged(bad *badBytes) error {
	if bad != nil {
		return corrupt.New(f.scan.name, bad.offset, "record", bad.err)
	}
	return corrupt.New(f.scan.name, f.scan.offset(), "end of segment", errors.New("not sealed, but a segment follows"))
}

// note takes note of where scan has come to.
func (f *Follower) note() {
	s := f.scan
	f.at = followedTo{found: true, head: s.head, offset: s.offset(), records: s.records, ops: s.ops, crc: s.crc}
	copy(f.at.last[:], s.buf[s.pos-recordCRCSize:])
}

func (at *followedTo) nextSeq() uint64 { return at.head.baseSeq + at.ops }

// pause ends reading for now. The next step begins behind the last entry. Without an error it is the end.
func (f *Follower) pause(err error) error {
	cerr := f.closeKept()
	if keepOpen {
		f.kept, f.scan.file = f.scan.file, nil
	} else {
		cerr = f.scan.closeFile()
	}
	if cerr != nil && (err == nil || err == io.EOF) {
		err = fmt.Errorf("wal: %w", cerr)
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// resume opens the file in which to go on: the one of that name, or the one that had it, or, if that has gone and nothing was
// missed, another. It returns io.EOF if there is none yet.
func (f *Follower) resume() error {
	if !f.at.found {
		return f.locate()
	}
	number := f.at.head.segment
	file, err := f.log.opts.FS.Open(segmentName(f.log.dir, number))
	if f.gone = errors.Is(err, fs.ErrNotExist); f.gone {
		if f.kept == nil {
			return f.locate()
		}
		file, err, f.kept = f.kept, nil, nil
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if err := f.closeKept(); err != nil {
		return fmt.Errorf("wal: %w", errors.Join(err, file.Close()))
	}
	s := f.scan
	*s = segmentScan{window: window{file: file, base: f.at.offset, buf: s.buf[:0]}, name: segmentName(f.log.dir, number),
		head: f.at.head, records: f.at.records, ops: f.at.ops, crc: f.at.crc, value: s.value}
	if err := s.reread(); err != nil {
		return errors.Join(err, s.closeFile())
	}
	var last [recordCRCSize]byte
	_, err = file.ReadAt(last[:], f.at.offset-recordCRCSize)
	switch {
	case err == io.EOF, err == nil && last != f.at.last:
		err = fmt.Errorf("%w: %s ends before it, or goes on differently", ErrDeleted, Position{number, uint32(f.at.offset)})
	case err != nil:
		err = fmt.Errorf("wal: %w", err)
	default:
		return nil
	}
	return errors.Join(err, s.closeFile())
}

// locate opens the segment that has the operation of the sequence, or will have it. It returns io.EOF if no segment is in use.
func (f *Follower) locate() error {
	const patience = 100 // with an owner that deletes segments while they are looked at
	for range patience {
		numbers, err := f.numbers()
		if err != nil {
			return err
		}
		oldest := uint64(0)
		for _, number := range slices.Backward(numbers) {
			if err = f.enter(number); errors.Is(err, errNotBegun) && oldest == 0 {
				continue
			}
			if err != nil {
				break
			}
			if f.scan.head.baseSeq <= f.seq {
				f.note()
				return nil
			}
			oldest = f.scan.head.baseSeq
		}
		switch {
		case err == errGone:
			continue
		case oldest == 0 && (err == nil || errors.Is(err, errNotBegun)) && f.at.found:
			return fmt.Errorf("%w: there is no segment in %s any more", ErrDeleted, f.log.dir)
		case oldest == 0 && (err == nil || errors.Is(err, errNotBegun)):
			return io.EOF
		case err != nil:
			return err
		}
		return errors.Join(fmt.Errorf("%w: sequence %d, the oldest is %d", ErrDeleted, f.seq, oldest), f.scan.closeFile())
	}
	return fmt.Errorf("wal: %s: segments went %d times while they were looked for", f.log.dir, patience)
}

// numbers returns the numbers of the segments that there are, in order.
func (f *Follower) numbers() (numbers []uint32, err error) {
	names, err := f.log.opts.FS.ReadDir(f.log.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("wal: %w", err)
	}
	for _, name := range names {
		number, ok, err := parseSegmentName(name)
		if err != nil {
			return nil, err
		}
		if ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

var (
	errGone     = errors.New("the segment is not there")
	errNotBegun = errors.New("the segment is not in use yet")
)

// enter moves scan to the header of a segment. If it fails scan stays where it is.
func (f *Follower) enter(number uint32) error {
	name := segmentName(f.log.dir, number)
	file, err := f.log.opts.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	s := f.next
	err = s.startFile(file, name, number, 1<<32-1)
	switch {
	case err == nil && f.log.id != (ID{}) && s.head.id != f.log.id:
		err = corrupt.New(name, 0, "segment header", ErrForeign)
	case err == nil:
		f.log.id = s.head.id
		f.scan, f.next, f.gone = s, f.scan, false
		if err = f.next.closeFile(); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
		return nil
	case headless(err), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", errNotBegun, err)
	}
	s.file = nil
	if cerr := file.Close(); cerr != nil {
		return fmt.Errorf("wal: %w", cerr)
	}
	return err
}

// begunAfter reports whether the segment after that of scan is in use.
func (f *Follower) begunAfter() (bool, error) {
	h, err := f.log.header(f.scan.head.segment + 1)
	switch {
	case err == nil:
		return h.id == f.log.id, nil
	case errors.Is(err, fs.ErrNotExist), headless(err), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	}
	return false, err
}

// advance moves from the end of a sealed segment to the next, or returns io.EOF if that is not in use.
func (f *Follower) advance() error {
	last, seq := f.scan.link(), f.scan.nextSeq()
	switch err := f.enter(last.segment + 1); {
	case err == errGone:
		numbers, err := f.numbers()
		if err == nil && (len(numbers) == 0 || numbers[len(numbers)-1] <= last.segment) {
			return io.EOF
		}
		if err != nil {
			return err
		}
		f.seq = max(f.seq, seq)
		return f.locate()
	case errors.Is(err, errNotBegun):
		return io.EOF
	case err != nil:
		return err
	}
	if f.scan.head.prev != last || f.scan.head.baseSeq < seq {
		return corrupt.New(f.scan.name, 0, "segment header", ErrChain)
	}
	f.note()
	return nil
}
