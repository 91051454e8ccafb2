package wal

import (
	"errors"
	"path"

	"github.com/ebbdb/ebb/internal/vfs"
)

// preparation is the making of the segment that the next rotation takes, without Log.mu, ahead of its need. Until it is taken
// the segment is zeros under its own name, or less; Open removes one that never was.
//
//  1. Create the file under its name. A crash leaves it empty, or not there at all.
//  2. Write its first zeros, and sync it: an fdatasync of records that overwrite them will be cheap.
//  3. Sync the directory. Only now may the segment be taken: its name is there to stay.
//
// If a step fails the file is removed, and the next rotation or Prepare begins again.
type preparation struct {
	done chan struct{}
	next *segment // without a header; written before done is closed, like err; nil if it failed
	err  error
}

// prepareAfter is how many bytes a segment has when the next one is made. A smaller log may never need one.
const prepareAfter = 64 << 10

// Prepare makes the segment that the next rotation will need, unless it is there. The log does so by itself when a segment
// has been written to for a while. A caller of Rotate at another time spares appends the wait by calling Prepare before.
// A failure is Rotate's to report.
func (l *Log) Prepare() error {
	l.mu.Lock()
	if err := l.usableLocked(); err != nil {
		l.mu.Unlock()
		return err
	}
	x := l.mu.next
	if x != nil {
		l.mu.Unlock()
		<-x.done
		return x.err
	}
	x = &preparation{done: make(chan struct{})}
	l.mu.next = x
	number := l.active.Load().segment + 1
	l.mu.Unlock()

	l.prepare(x, number)
	if x.err != nil {
		l.mu.Lock()
		if l.mu.next == x {
			l.mu.next = nil
		}
		l.mu.Unlock()
		l.tellFailure()
	}
	return x.err
}

// wantNextLocked asks for the next segment if it is time to. It does not wait.
//
// +checklocks:l.mu.Mutex
func (l *Log) wantNextLocked(s *segment) {
	if l.mu.next == nil && s.off >= prepareAfter && !l.opts.inline {
		request(l.nextWanted)
	}
}

// nextLocked returns the next segment, which it makes if that has not begun.
//
// +checklocks:l.mu.Mutex
func (l *Log) nextLocked() (*segment, error) {
	x := l.mu.next
	if x == nil {
		x = &preparation{done: make(chan struct{})}
		l.mu.next = x
		l.prepare(x, l.active.Load().segment+1)
	}
	<-x.done
	if x.err != nil {
		l.mu.next = nil
	}
	return x.next, x.err
}

// prepare takes the steps of a preparation. An error that cannot be tried again becomes the log's failure.
func (l *Log) prepare(x *preparation, number uint32) {
	defer close(x.done)
	name := segmentName(l.dir, number)
	s, err := l.newSegment(name)
	if err == nil {
		if err = s.file.Sync(); err != nil {
			err = errors.Join(err, s.abandon(l.opts.FS, name))
		}
	}
	if err == nil {
		if err = l.opts.FS.SyncDir(l.dir); err != nil {
			x.err = errors.Join(l.fail(err), s.file.Close())
			return
		}
		s.name, x.next = name, s
		return
	}
	if !vfs.Exhausted(err) {
		err = l.fail(err)
	}
	x.err = err
}

// newSegment creates the file of a segment and writes its first zeros.
func (l *Log) newSegment(file string) (*segment, error) {
	f, err := l.opts.FS.Create(file)
	if err != nil {
		return nil, err
	}
	s := &segment{file: f, zeroSize: l.opts.zeroSize()}
	if err = l.mapActive(s); err == nil && s.mapped {
		err = s.extend(zeroChunk, l.opts.SegmentSize)
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon(l.opts.FS, file))
	}
	return s, nil
}

// mapActive makes appends to s go through a mapping, where there are mappings. Where a sync follows each they do not: the sync
// leaves the page write-protected, and the fault of the next append, which makes all of a folio dirty, costs more than a system
// call that writes the bytes alone. Then a byte is mapped: where that can be done, it is worth it to overwrite zeros.
func (l *Log) mapActive(s *segment) error {
	limit := l.opts.SegmentSize
	if l.opts.OneWriter {
		limit = 1
	}
	err := s.file.MapWrites(limit)
	if err == nil {
		s.mapped = true
	} else if errors.Is(err, vfs.ErrNotSupported) {
		err = nil
	}
	return err
}

// abandon closes and removes the file of a segment that could not be made.
func (s *segment) abandon(fs vfs.FS, file string) error {
	return errors.Join(s.file.Close(), remove(fs, file))
}

// bytes returns the length of the file, 0 while it is being made.
func (x *preparation) bytes() int64 {
	if x == nil {
		return 0
	}
	select {
	case <-x.done:
		if x.next != nil {
			return x.next.zeroed
		}
	default:
	}
	return 0
}

// discard closes and removes the file of a segment that was not taken. Where the log has failed it stays, for Open to remove.
func (l *Log) discard(x *preparation) error {
	if x == nil {
		return nil
	}
	<-x.done
	if x.next == nil {
		return nil
	}
	err := x.next.file.Close()
	if err == nil && l.Err() == nil {
		err = remove(l.opts.FS, x.next.name)
	}
	return err
}

// create makes the first segment of a new log, which alone has its header before its name, so that there is no log without
// an id.
//
//  1. Write its header and first zeros to next.tmp, and sync it. A crash leaves a file that Open removes.
//  2. Rename it. A crash leaves either name; under the new one the segment is whole.
//  3. Sync the directory.
func (l *Log) create(h header) (*segment, error) {
	fs, tmp := l.opts.FS, path.Join(l.dir, nextName)
	if err := remove(fs, tmp); err != nil {
		return nil, err
	}
	s, err := l.newSegment(tmp)
	if err != nil {
		return nil, err
	}
	s.name, s.marked = segmentName(l.dir, h.segment), headerSize
	err = s.begin(h)
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = fs.Rename(tmp, s.name)
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon(fs, tmp))
	}
	if err := fs.SyncDir(l.dir); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}
