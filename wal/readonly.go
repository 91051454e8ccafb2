package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Replayed says what Replay found.
type Replayed struct {
	Recovery
	NextSeq uint64   // of the operation after the last
	End     Position // after the last record; zero if there are no segments
}

// Replay reads the log in a directory and hands its entries to Options.Replay, as Open does and by the same rules, but
// takes no lock and changes nothing: a torn tail stays, and is where the log ends; Recovery.Cut tells of it. Of the options
// it uses ID, FirstSegment, BaseSeq, MinNextSeq, Anchor, Replay and FS.
//
// It may run beside an owner, in this process or another. What it then yields is a beginning of what the owner has
// appended, with at least all that was before the call, whether synced or not; an append that is under way, and may yet
// fail, can be the last of it. If the owner deletes segments while they are being opened, Replay returns ErrDeleted or an
// ErrGap that will be gone: ask again what the first needed segment is.
//
//   - Every segment is opened before one is read. From then on it stays readable, whatever becomes of its name.
//   - A segment that has a successor was sealed before that had its name. It does not change any more.
//   - The newest may change while it is read: at its end. A record that is half copied is no record, and there the log
//     ends, unless a mark behind it says that it is on the disk. Both may be true of a record that was completed between
//     reading it and reading the mark, so it is read once more. If it is no record even now, it is damaged.
//   - It may become shorter: by zeros that the seal or the close mark leaves over, or by an append that found the disk
//     full. It ends there. Nothing here reads a mapping, for which that would be a fault.
func Replay(dir string, o *Options) (Replayed, error) {
	l := &Log{dir: dir, opts: o.withDefaults()}
	live, _, err := l.list()
	if err != nil {
		return Replayed{}, err
	}
	if len(live) == 0 {
		return Replayed{Recovery: Recovery{Clean: true}, NextSeq: l.opts.BaseSeq}, nil
	}
	files, err := l.openSegments(live)
	if err != nil {
		return Replayed{}, err
	}
	scan, err := l.replayFiles(live, files)
	if err == nil {
		err = l.noteTail(scan)
	}
	if err = errors.Join(err, closeAll(files)); err != nil {
		return Replayed{}, err
	}
	l.recovery.Clean = scan.closed && scan.offset() == scan.limit
	return Replayed{l.recovery, scan.nextSeq(), Position{scan.head.segment, uint32(scan.offset())}}, nil
}

// openSegments opens the segments with these numbers.
func (l *Log) openSegments(numbers []uint32) (files []vfs.File, err error) {
	for _, number := range numbers {
		f, err := l.opts.FS.Open(segmentName(l.dir, number))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: segment %d", ErrDeleted, number)
		} else if err != nil {
			err = fmt.Errorf("wal: %w", err)
		}
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []vfs.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// replayFiles is replay for segments that are open, and stay so.
func (l *Log) replayFiles(numbers []uint32, files []vfs.File) (*segmentScan, error) {
	scan := &segmentScan{anchor: l.opts.Anchor}
	for i, number := range numbers { // all headers first, as in replay
		if err := scan.startFile(files[i], segmentName(l.dir, number), number, headerSize); err != nil {
			return nil, err
		}
	}
	for i, number := range numbers {
		prev, prevSeq := scan.link(), scan.nextSeq()
		err := scan.startFile(files[i], segmentName(l.dir, number), number, math.MaxInt64)
		if errors.Is(err, io.ErrUnexpectedEOF) { // it became shorter after its size was read
			err = scan.startFile(files[i], scan.name, number, math.MaxInt64)
		}
		if err != nil {
			return nil, err
		}
		if err := l.checkChain(scan, i == 0, prev, prevSeq); err != nil {
			return nil, err
		}
		read := l.replayLive
		if i < len(files)-1 {
			read = l.replaySealed
		}
		if err := read(scan); err != nil {
			return nil, err
		}
		l.recovery.Segments++
		l.recovery.Bytes += scan.offset()
	}
	return scan, nil
}

// replaySealed is replaySegment for one that has a successor.
func (l *Log) replaySealed(s *segmentScan) error { return l.replaySegment(s, false) }

// replayLive is replaySegment for the newest, which its owner may be writing: see Replay.
func (l *Log) replayLive(s *segmentScan) error {
	var e Entry
	again := int64(-1) // where a record has been read once more
	for {
		err := s.next(&e)
		if err == nil {
			if err := l.handOn(&e); err != nil {
				return err
			}
			continue
		}
		var bad *badBytes
		if err == io.EOF || errors.As(err, &bad) {
			err = l.checkEnd(s, true, bad)
		}
		switch {
		case errors.Is(err, ErrCorrupt) && s.offset() != again:
			again = s.offset()
			if err := s.reread(); err != nil {
				return err
			}
		case errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrCorrupt):
			s.limit = s.base + int64(len(s.buf)) // it became shorter
		default:
			return err
		}
	}
}
