package wal

import (
	"errors"
	"fmt"
	"path"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Rotate seals the active segment and starts the next, so that DeleteBefore can later delete what was written so far. It
// does nothing if the active segment has no operations.
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

// SkipTo seals the active segment and starts the next with seq as the sequence of its first operation, so that the owner
// may give those between to what is not in the log. A reader of the log sees the gap in the sequences.
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

// rotateLocked replaces the active segment. Appends wait for it, as there is nowhere to write; readers do not.
//
//  1. Write the next segment's header and first zeros to next.tmp and sync it. The header already tells how this segment
//     will end. A crash leaves a file that Open removes, a full disk a log that goes on as it was.
//  2. Write the seal, cut the zeros behind it and sync. A crash leaves a newest segment with or without a seal.
//  3. Rename next.tmp. A crash leaves either name; under the new one the segment is whole.
//  4. Sync the directory. Only now may an append go to the new segment: its name is there to stay.
//
// A step that failed for lack of room is taken again by the next append; after step 2 that begins with a sealed segment.
// The next segment's sequences begin at seq if that is above those there are.
func (l *Log) rotateLocked(seq uint64) error {
	s := l.active.Load()
	l.awaitZerosLocked(s)
	l.turn.take(exclusive)
	defer l.turn.release(l.settled)
	if err := l.Err(); err != nil { // of the sync before: another would succeed and prove nothing
		return err
	}

	last := s.link()
	var seal []byte
	if !s.sealed {
		m := s.mark(controlSeal, l.syncedIn(s))
		seal = m.append(nil)
		last.length += uint32(len(seal))
		last.crc = chainCRC(last.crc, seal)
	}
	h := header{id: s.id, segment: s.segment + 1, baseSeq: max(seq, s.nextSeq()), baseTime: l.opts.Now(), prev: last}
	next, err := l.prepare(h)
	if err != nil {
		return l.rotateFailedLocked(err)
	}
	if err := l.sealLocked(s, seal); err != nil {
		next.file.Close()
		return err
	}
	if err := l.opts.FS.Rename(path.Join(l.dir, nextName), next.name); err != nil {
		next.file.Close()
		return l.rotateFailedLocked(err)
	}
	if err := l.opts.FS.SyncDir(l.dir); err != nil {
		next.file.Close()
		return l.fail(err)
	}
	l.mu.segments[len(l.mu.segments)-1].bytes = s.off
	l.activateLocked(next)
	l.rotations.Add(1)
	l.mu.events = append(l.mu.events, Rotated{s.segment, s.off, next.segment})
	if err := s.file.Close(); err != nil {
		return l.fail(err)
	}
	return nil
}

// rotateFailedLocked reports a step that can be taken again if it failed for lack of room.
func (l *Log) rotateFailedLocked(err error) error {
	if vfs.NoSpace(err) {
		return l.noSpaceLocked(err)
	}
	return l.fail(err)
}

// syncedIn returns the offset in s up to which it is known to be on the disk.
func (l *Log) syncedIn(s *segment) uint32 {
	if p := unpack(l.synced.Load()); p.Segment == s.segment {
		return p.Offset
	}
	return headerSize
}

// prepare makes next.tmp a segment with the given header, synced.
func (l *Log) prepare(h header) (*segment, error) {
	fs, tmp := l.opts.FS, path.Join(l.dir, nextName)
	if err := remove(fs, tmp); err != nil {
		return nil, err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return nil, err
	}
	s, err := l.begin(f, h)
	if err != nil {
		f.Close()
		remove(fs, tmp) // it would only be in the way until the next Open; the first error is the one to report
		return nil, err
	}
	return s, nil
}

// begin writes the header and the first zeros of a segment and syncs them.
func (l *Log) begin(f vfs.File, h header) (*segment, error) {
	rec := h.append(nil)
	if _, err := f.WriteAt(rec, 0); err != nil {
		return nil, err
	}
	s := &segment{header: h, name: segmentName(l.dir, h.segment), file: f, records: 1, crc: chainCRC(0, rec), zeroSize: l.opts.zeroSize()}
	s.off, s.zeroed, s.marked = int64(len(rec)), int64(len(rec)), uint32(len(rec))
	if err := l.mapActive(s); err != nil {
		return nil, err
	}
	if s.mapped {
		if err := s.extend(zeroChunk-s.off, l.opts.SegmentSize); err != nil {
			return nil, err
		}
	}
	return s, f.Sync()
}

// mapActive makes appends to s go through a mapping, where there are mappings.
func (l *Log) mapActive(s *segment) error {
	err := s.file.MapWrites(l.opts.SegmentSize)
	if err == nil {
		s.mapped = true
	} else if errors.Is(err, vfs.ErrNotSupported) {
		err = nil
	}
	return err
}

// sealLocked takes step 2 of rotateLocked. The turn is taken.
func (l *Log) sealLocked(s *segment, seal []byte) error {
	if s.sealed {
		return nil
	}
	if _, err := s.file.WriteAt(seal, s.off); err != nil {
		return l.healLocked(s, err)
	}
	end := s.off + int64(len(seal))
	if err := s.file.Truncate(end); err != nil {
		return l.fail(err)
	}
	if err := s.file.Sync(); err != nil {
		return l.fail(err)
	}
	s.crc = chainCRC(s.crc, seal)
	s.records++
	s.off, s.zeroed, s.sealed = end, end, true
	l.end.Store(s.end().pack())
	l.synced.Store(s.end().pack())
	return nil
}

// activateLocked makes s, all of it on the disk under its name, the segment that appends go to. The turn is taken.
func (l *Log) activateLocked(s *segment) {
	l.mu.segments = append(l.mu.segments, segmentInfo{id: s.segment, baseSeq: s.baseSeq})
	l.active.Store(s)
	l.anchor.Store(s.anchor())
	l.end.Store(s.end().pack())
	l.synced.Store(s.end().pack())
}
