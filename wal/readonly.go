package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Replayed describes the log that Replay has read.
type Replayed struct {
	Recovery
	NextSeq   uint64   // of the operation after the last
	End       Position // after the last record; zero if there are no segments
	DiskBytes int64    // of the log's files as they were then, obsolete segments among them
}

// Replay reads the log in a directory and hands its entries to Options.Replay, as Open does and by the same rules, but
// takes no lock and changes nothing: a torn tail stays, and is where the log ends; Recovery.Cut tells of it. Of the options
// it uses ID, FirstSegment, BaseSeq, MinNextSeq, Anchor, Replay, ReplayEnd and FS.
//
// It may run beside an owner, in this process or another. It then yields a prefix of the owner's entries, synced or not: at
// least all that were appended before the call. The last may be an append that is under way and may yet fail. If the owner
// deletes segments while they are being opened, Replay returns ErrDeleted or a passing ErrGap: find out the first needed
// segment again, and call it again.
func Replay(dir string, o *Options) (Replayed, error) {
	// Beside an owner:
	// - Every segment is opened before one is read. From then on it stays readable, whatever becomes of its name.
	// - A segment that is sealed does not change any more, but for the zeros behind the seal, which go.
	// - The last one that is not may change while it is read: at its end. A record that is half copied is no record, and there
	//   the log ends, unless a mark behind it, or in the next segment, says that it is on the disk. Both may be true of a record
	//   that was completed between reading it and reading the mark, so it is read once more. If it is no record even now, it is
	//   damaged.
	// - It may become shorter: by zeros that the seal or the close mark leaves over, or by an append that found the disk
	//   full. It ends there. Nothing here reads a mapping, for which that would be a fault.
	// - The next segment may be taken into use meanwhile. If its header was not there when it was looked at, then neither was
	//   anything else in it.
	l := &Log{dir: dir, opts: o.withDefaults()}
	live, obsolete, err := l.list()
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
	bytes, err := l.fileBytes(files, obsolete)
	if err != nil {
		return Replayed{}, errors.Join(err, closeAll(files))
	}
	w := l.newWalk(live, func(number uint32) (vfs.File, error) { return keptOpen{files[number-live[0]]}, nil })
	w.live = true
	err = w.run()
	if err == nil {
		err = l.noteTorn(w)
	}
	if err = errors.Join(err, closeAll(files)); err != nil {
		return Replayed{}, err
	}
	scan := w.scan
	l.recovery.Clean = scan.closed && scan.offset() == scan.limit
	return Replayed{l.recovery, scan.nextSeq(), Position{scan.head.segment, uint32(scan.offset())}, bytes}, nil
}

// fileBytes returns the size of open segments, of obsolete ones, which may go meanwhile, and of the one that an owner has
// prepared.
func (l *Log) fileBytes(open []vfs.File, obsolete []uint32) (bytes int64, err error) {
	for _, f := range open {
		size, err := f.Size()
		if err != nil {
			return 0, fmt.Errorf("wal: %w", err)
		}
		bytes += size
	}
	names := []string{path.Join(l.dir, nextName)}
	for _, number := range obsolete {
		names = append(names, segmentName(l.dir, number))
	}
	for _, name := range names {
		size, err := l.opts.FS.Size(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("wal: %w", err)
		}
		bytes += size
	}
	return bytes, nil
}

// keptOpen is a file whose Close does nothing: its opener closes it.
type keptOpen struct{ vfs.File }

func (keptOpen) Close() error { return nil }

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
