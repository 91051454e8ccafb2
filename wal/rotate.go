package wal

import (
	"fmt"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Rotate seals the active segment and starts the next, so that DeleteBefore can later delete what was written so far. It
// does nothing if the active segment has no operations. It does not wait for the disk if the next segment is there: see
// Prepare. The entries so far, and the new segment, are on the disk after SyncTo(End()).
func (l *Log) Rotate() error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if l.active.Load().ops == 0 {
		return nil
	}
	return l.rotateLocked(0)
}

// SkipTo seals the active segment and starts the next with seq as the sequence of its first operation, so that the owner may
// give the sequences between to operations that are not in the log. A reader of the log sees the gap in the sequences.
func (l *Log) SkipTo(seq uint64) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if next := l.active.Load().nextSeq(); seq < next {
		return fmt.Errorf("wal: skip to sequence %d: the next is %d", seq, next)
	}
	return l.rotateLocked(seq)
}

// rotateLocked replaces the active segment. Appends wait for it, as there is nowhere to write; so it only copies two records into
// memory, and leaves the disk to the callers of SyncTo and to the background.
//
//  1. Take the next segment, which lies ready: see preparation. Nothing has been touched if there is none.
//  2. Write the seal. A crash leaves a newest segment with or without one, and a next one without a header: Open removes it.
//  3. Write the header of the next segment, the link, which tells how this one ends. From here on it is the active one.
//  4. A sync of an append to the next segment syncs the sealed one first: see syncAll. A power cut before leaves any part of the
//     end of the sealed segment and of the next one; the log ends where the first record is missing.
//
// A step that failed for lack of space or memory is taken again by the next append; after step 2 the segment is sealed already.
// The next segment's sequences begin at seq if that is above those there are.
//
// +checklocks:l.mu.Mutex
func (l *Log) rotateLocked(seq uint64) error {
	if l.unsynced.count() >= maxUnsynced {
		l.turn.take(exclusive)
		l.syncAll()
		l.turn.release()
	}
	if err := l.Err(); err != nil {
		return err
	}
	s := l.active.Load()
	next, err := l.nextLocked()
	if err != nil {
		return l.rotateFailedLocked(err)
	}
	if err := l.sealLocked(s); err != nil {
		return err
	}
	h := header{id: l.id, segment: s.segment + 1, baseSeq: max(seq, s.nextSeq()), baseTime: l.opts.Now(), prev: s.link(),
		synced: l.syncedIn(s)}
	if err := next.begin(h); err != nil {
		return l.rotateFailedLocked(err)
	}
	l.mu.next = nil
	l.mu.segments[len(l.mu.segments)-1].bytes = s.off
	l.activateLocked(next, &sealedSegment{s, s.zeroing})
	l.rotations.Add(1)
	l.mu.events = append(l.mu.events, Rotated{s.segment, s.off, next.segment})
	request(l.syncWanted)
	return nil
}

// rotateFailedLocked returns the error of a step, which can be taken again if it failed for lack of space or memory.
//
// +checklocks:l.mu.Mutex
func (l *Log) rotateFailedLocked(err error) error {
	if vfs.Exhausted(err) {
		return l.exhaustedLocked(err)
	}
	return l.fail(err)
}

// syncedIn returns the offset up to which s is known to be on the disk. It is 0 as long as the segment before may not be whole
// on the disk.
func (l *Log) syncedIn(s *segment) uint32 {
	if p := unpack(l.synced.Load()); p.Segment == s.segment {
		return p.Offset
	}
	return 0
}

// sealLocked takes step 2 of rotateLocked. An extension that is under way writes behind the zeros that there are.
//
// +checklocks:l.mu.Mutex
func (l *Log) sealLocked(s *segment) error {
	if s.sealed {
		return nil
	}
	m := s.mark(controlSeal, l.syncedIn(s))
	seal := m.append(nil)
	if s.off+int64(len(seal)) > s.zeroed {
		l.awaitZerosLocked(s)
	}
	if _, err := s.file.WriteAt(seal, s.off); err != nil {
		return l.writeFailedLocked(s, err)
	}
	s.off += int64(len(seal))
	s.zeroed = max(s.zeroed, s.off)
	s.crc = chainCRC(s.crc, seal)
	s.records++
	s.sealed = true
	l.end.Store(s.end().pack())
	return nil
}

// activateLocked makes s the segment that appends go to, in the place of one that was sealed, if there was one.
//
// +checklocks:l.mu.Mutex
func (l *Log) activateLocked(s *segment, before *sealedSegment) {
	l.mu.segments = append(l.mu.segments, segmentInfo{id: s.segment, baseSeq: s.baseSeq})
	l.unsynced.mu.Lock()
	defer l.unsynced.mu.Unlock()
	if before != nil {
		l.unsynced.mu.list = append(l.unsynced.mu.list, *before)
	}
	l.active.Store(s)
	l.end.Store(s.end().pack())
}
