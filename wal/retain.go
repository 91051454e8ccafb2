package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ebbdb/ebb/internal/corrupt"
)

// DeleteBefore makes the segments before the given one obsolete: the owner no longer needs their entries. Of all obsolete
// segments it deletes those that exceed Options.Retain. The segment that appends go to stays in any case. Readers inside a
// deleted segment finish it and then get ErrDeleted. If it fails, a later call goes on where it ended.
//
// Segments go oldest first, each durably before the next, so that no crash leaves a gap; and none before the beginning of the
// one given is on the disk, so that no crash leaves a log without one. No append waits for that.
func (l *Log) DeleteBefore(segment uint32) error {
	l.deleting.Lock()
	defer l.deleting.Unlock()
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	segment = min(segment, l.active.Load().segment)
	first := l.mu.segments[0].id
	l.mu.Unlock()
	if segment > first {
		if err := l.SyncTo(Position{segment, headerSize}); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.mu.needed = max(l.mu.needed, segment)
	l.mu.Unlock()

	var err error
	next := first
	for err == nil {
		s, old := l.takeOldest()
		if !old {
			break
		}
		if err = remove(l.opts.FS, segmentName(l.dir, s.id)); err != nil {
			l.addOldest(s)
			break
		}
		next++
		if err = l.opts.FS.SyncDir(l.dir); err != nil {
			err = l.fail(err)
		}
	}
	if next != first {
		l.opts.OnEvent(Deleted{first, next})
	}
	l.tellFailure()
	return err
}

// takeOldest takes the oldest segment out of the log if it is to be deleted. Its file goes afterwards: a segment that First
// names is there.
func (l *Log) takeOldest() (s segmentInfo, old bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s = l.mu.segments[0]; s.id >= l.mu.needed || l.retainedLocked() <= l.opts.Retain {
		return s, false
	}
	l.mu.segments = slices.Delete(l.mu.segments, 0, 1)
	return s, true
}

// addOldest puts a segment before those that the log knows.
func (l *Log) addOldest(s segmentInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.segments = slices.Insert(l.mu.segments, 0, s)
}

// retainedLocked returns how many bytes the obsolete segments have.
//
// +checklocks:l.mu.Mutex
func (l *Log) retainedLocked() int64 {
	var sum int64
	for _, s := range l.mu.segments {
		if s.id >= l.mu.needed {
			break
		}
		sum += s.bytes
	}
	return sum
}

// retain decides, when the log is open, which of the obsolete segments stay for readers: the newest, without a gap, up to
// Options.Retain bytes. The rest is deleted. Nothing that is wrong with an obsolete segment is an error: the history begins
// behind it. If it is damaged, it and all older ones go; if it cannot be read this time they stay as they are.
//
// Only headers and lengths are checked here. A reader checks the rest as it comes to it.
func (l *Log) retain(obsolete []uint32) error {
	if len(obsolete) == 0 {
		return nil
	}
	slices.Sort(obsolete)
	next, err := l.header(l.First().Segment)
	if err != nil {
		return err
	}
	room, kept := l.opts.Retain, len(obsolete)
	for ; kept > 0; kept-- {
		number := obsolete[kept-1]
		if room -= int64(next.prev.length); room < 0 || number+1 != next.segment {
			break
		}
		h, err := l.checkRetained(number, next)
		if err != nil {
			l.opts.OnEvent(HistoryLost{File: segmentName(l.dir, number), Err: err})
			if !errors.Is(err, ErrCorrupt) {
				return nil
			}
			break
		}
		l.addOldest(segmentInfo{number, h.baseSeq, int64(next.prev.length)})
		next = h
	}
	for _, number := range obsolete[:kept] { // oldest first; a gap that a crash leaves ends the history
		if err := l.opts.FS.Remove(segmentName(l.dir, number)); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
	}
	return nil
}

// header reads the header of a segment.
func (l *Log) header(number uint32) (header, error) {
	var scan segmentScan
	if err := l.openScan(&scan, number, maxHeaderSize); err != nil {
		return header{}, err
	}
	return scan.head, scan.closeFile()
}

// checkRetained checks that a segment is one of this log and as long as the next one's header says, or longer by zeros that
// were not cut.
func (l *Log) checkRetained(number uint32, next header) (header, error) {
	h, err := l.header(number)
	if err != nil {
		return header{}, err
	}
	name := segmentName(l.dir, number)
	size, err := l.opts.FS.Size(name)
	switch {
	case err != nil:
		return header{}, err
	case h.id != l.id:
		return header{}, corrupt.New(name, 0, "segment header", ErrForeign)
	case size < int64(next.prev.length) || h.baseSeq > next.baseSeq:
		return header{}, corrupt.New(name, size, "segment", errors.New("shorter, or of another base, than the next one says"))
	}
	return h, nil
}
