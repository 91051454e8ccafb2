package wal

import (
	"encoding/binary"
	"fmt"

	"github.com/ebbdb/ebb/internal/vfs"
)

// stage collects encoded records that one write will append. It is guarded by Log.mu.
type stage struct {
	buf []byte
	// A large value is not copied: it stands between buf[:cut] and buf[cut:]. It is the caller's, until the write ends.
	large   []byte
	cut     int
	value   []byte // a control record's value, while it is put together
	records uint32
	ops     uint64
	crc     uint32 // running CRC with the staged records
}

// reset empties the stage to follow the end of s.
func (t *stage) reset(s *segment) {
	t.buf, t.records, t.ops, t.crc = t.buf[:0], 0, 0, s.crc
	t.large, t.cut = nil, 0
	const keep = 1 << 20 // a rare huge record should not pin its size for good
	if cap(t.buf) > keep {
		t.buf = nil
	}
	if cap(t.value) > keep {
		t.value = nil
	}
}

// add counts the record that was appended to the buffer from start on.
func (t *stage) add(start int, ops uint64) {
	t.records++
	t.ops += ops
	t.crc = chainCRC(t.crc, t.buf[start:])
}

// size returns how many bytes are staged.
func (t *stage) size() int64 { return int64(len(t.buf)) + int64(len(t.large)) }

// writeTo writes the staged records to a file. A crash between the pieces leaves a record whose checksum does not match, as
// does a crash in the middle of a piece.
func (t *stage) writeTo(file vfs.File, off int64) error {
	if t.large == nil {
		_, err := file.WriteAt(t.buf, off)
		return err
	}
	for _, b := range [][]byte{t.buf[:t.cut], t.large, t.buf[t.cut:]} {
		if len(b) > 0 {
			if _, err := file.WriteAt(b, off); err != nil {
				return err
			}
		}
		off += int64(len(b))
	}
	return nil
}

// Append appends one entry, makes it durable as the policy says, and sets its Seq and Pos, and its Deadline as the log stores
// it. It keeps nothing of e.
//
// On ErrNoSpace the entry is not in the log. On any other failure of the disk it may or may not be.
func (l *Log) Append(e *Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	l.mu.Lock()
	err := l.beginLocked(e.maxSize())
	if err == nil {
		err = l.stageLocked(e)
	}
	if err == nil {
		err = l.flushLocked()
	}
	end := l.end.Load()
	l.unlock()
	if err != nil {
		e.Seq, e.Pos = 0, Position{}
		return err
	}
	return l.afterAppend(end)
}

// AppendAll appends entries in order and makes them durable together, as the policy says. They are not atomic: for that
// there are batches. On ErrNoSpace none of them is in the log, unless together they are larger than a segment; then those
// with a Seq are.
func (l *Log) AppendAll(entries []Entry) error {
	end, err := l.Write(entries)
	if err != nil {
		return err
	}
	return l.afterAppend(end.pack())
}

// afterAppend waits as the policy says.
func (l *Log) afterAppend(end uint64) error {
	if l.opts.Sync == SyncAlways {
		return l.SyncTo(unpack(end))
	}
	return nil
}

// Write is AppendAll without waiting for the disk, whatever the policy: it returns the position to give to SyncTo. The entries
// survive the death of the process.
func (l *Log) Write(entries []Entry) (Position, error) {
	var size int64
	for i := range entries {
		if err := entries[i].check(); err != nil {
			return Position{}, err
		}
		size += entries[i].maxSize()
	}
	l.mu.Lock()
	defer l.unlock()
	if err := l.beginLocked(size); err != nil {
		return Position{}, err
	}
	written, err := l.writeLocked(entries, size > l.opts.SegmentSize)
	if err != nil {
		for i := range entries[written:] {
			entries[written+i].Seq, entries[written+i].Pos = 0, Position{}
		}
		return Position{}, err
	}
	return l.End(), nil
}

// writeLocked stages and flushes entries: in one piece, or in pieces that each fit a segment. It returns how many entries
// were flushed if not all were.
//
// +checklocks:l.mu.Mutex
func (l *Log) writeLocked(entries []Entry, split bool) (written int, err error) {
	for i := range entries {
		e := &entries[i]
		if split && !l.fitsLocked(l.mu.stage.size()+e.maxSize()) {
			if err := l.flushLocked(); err != nil {
				return written, err
			}
			written = i
			if err := l.beginLocked(e.maxSize()); err != nil {
				return written, err
			}
		}
		if err := l.stageLocked(e); err != nil {
			return written, err
		}
	}
	return written, l.flushLocked()
}

// fitsLocked reports whether the active segment has room for size bytes, a watermark and the seal.
//
// +checklocks:l.mu.Mutex
func (l *Log) fitsLocked(size int64) bool {
	return l.active.Load().off+size+2*markSize <= l.opts.SegmentSize
}

// beginLocked readies the stage for up to size bytes of records: in a segment with room for them, and behind a watermark
// if there is something new to say.
//
// +checklocks:l.mu.Mutex
func (l *Log) beginLocked(size int64) error {
	if err := l.usableLocked(); err != nil {
		return err
	}
	s := l.active.Load()
	if s.sealed || !l.fitsLocked(size) && s.records > 1 {
		if err := l.rotateLocked(0); err != nil {
			return err
		}
		s = l.active.Load()
	}
	t := &l.mu.stage
	t.reset(s)
	if synced := unpack(l.synced.Load()); synced.Segment == s.segment && synced.Offset > s.marked {
		m := s.mark(controlWatermark, synced.Offset)
		t.buf = m.append(t.buf)
		t.add(0, 0)
		s.marked = synced.Offset
	}
	return nil
}

// stageLocked encodes e behind the staged records.
//
// +checklocks:l.mu.Mutex
func (l *Log) stageLocked(e *Entry) error {
	t, s := &l.mu.stage, l.active.Load()
	if l.directLocked(e) {
		return l.stageLargeLocked(e)
	}
	r := Record{Key: e.Key, Value: e.Value, Tombstone: e.Kind == KindDelete}
	switch e.Kind {
	case KindPut:
		e.setTTL(&r, s.baseTime)
	case KindDelete:
		r.Value = nil
	case KindBatch:
		t.value = binary.AppendUvarint(append(t.value[:0], controlBatch), uint64(e.Ops))
		t.value = append(t.value, e.Value...)
		r.Key, r.Value = nil, t.value
	case KindRangeDelete:
		t.value = appendRangeDelete(t.value[:0], e.Key, e.Value)
		r.Key, r.Value = nil, t.value
	case KindClock:
		t.value = appendTime(t.value[:0], controlClock, e.Time)
		r.Key, r.Value = nil, t.value
	case KindEvict:
		t.value = appendTime(t.value[:0], controlEvict, e.Deadline)
		r.Key, r.Value = nil, t.value
	}
	if len(r.Value) >= l.opts.CompressAbove {
		r.Compression = l.opts.Compression
	}
	start := len(t.buf)
	var err error
	if t.buf, err = AppendRecord(t.buf, &r); err != nil {
		return err
	}
	e.Pos = Position{s.segment, uint32(s.off) + uint32(start) + uint32(len(t.large))}
	e.Seq = s.nextSeq() + t.ops
	t.add(start, e.sequences())
	return nil
}

// setTTL sets the TTL of a put's record.
func (e *Entry) setTTL(r *Record, baseTime int64) {
	if e.Deadline != 0 {
		r.HasTTL, r.TTL = true, ttl(e.Deadline, baseTime)
		e.Deadline = deadline(r.TTL, baseTime) // as a replay will find it: the caller must not use another
	}
}

// directLocked reports whether an entry's value is to be written from where it is.
//
// +checklocks:l.mu.Mutex
func (l *Log) directLocked(e *Entry) bool {
	return (e.Kind == KindPut || e.Kind == KindBatch) && len(e.Value) >= l.opts.directFrom &&
		l.mu.stage.large == nil && l.opts.Compression == CompressionNone
}

// stageLargeLocked is stageLocked for a put or a batch whose value is not copied.
//
// +checklocks:l.mu.Mutex
func (l *Log) stageLargeLocked(e *Entry) error {
	t, s := &l.mu.stage, l.active.Load()
	r, head := Record{Key: e.Key}, t.value[:0]
	if e.Kind == KindPut {
		e.setTTL(&r, s.baseTime)
	} else {
		head = binary.AppendUvarint(append(head, controlBatch), uint64(e.Ops))
		r.Key, t.value = nil, head
	}
	start := len(t.buf)
	before, after, err := AppendRecordSplit(t.buf, &r, head, e.Value)
	if err != nil {
		return err
	}
	t.buf, t.cut, t.large = append(before, after[:]...), len(before), e.Value
	e.Pos = Position{s.segment, uint32(s.off) + uint32(start)}
	e.Seq = s.nextSeq() + t.ops
	t.add(start, e.sequences())
	return nil
}

// flushLocked writes the staged records. From here on they are with the kernel: the process may die.
//
// +checklocks:l.mu.Mutex
func (l *Log) flushLocked() error {
	t, s := &l.mu.stage, l.active.Load()
	n := t.size()
	if s.mapped && s.off+n > s.zeroed {
		l.awaitZerosLocked(s)
		if err := s.room(n, l.opts.SegmentSize); err != nil {
			return l.writeFailedLocked(s, err)
		}
	}
	err := t.writeTo(s.file, s.off)
	t.large = nil
	if err != nil {
		return l.writeFailedLocked(s, err)
	}
	s.off += n
	s.zeroed = max(s.zeroed, s.off)
	s.records += t.records
	s.ops += t.ops
	s.crc = t.crc
	s.closed = false
	l.mu.records += uint64(t.records)
	l.mu.bytes += uint64(n)
	l.end.Store(s.end().pack())
	l.wantZerosLocked(s)
	l.wantNextLocked(s)
	return nil
}

// writeFailedLocked deals with a write that failed at the end of s.
//
// +checklocks:l.mu.Mutex
func (l *Log) writeFailedLocked(s *segment, err error) error {
	l.awaitZerosLocked(s)
	l.turn.take(exclusive)
	defer l.turn.release()
	if err := l.Err(); err != nil { // of the sync before: another would succeed and prove nothing
		return err
	}
	return l.healLocked(s, err)
}

// healLocked takes back a write that failed for lack of room, or of memory: its bytes are cut off, durably, so that no later
// append can be followed by the rest of them, and nothing has happened. Any other failure is final. The turn is taken.
//
// +checklocks:l.mu.Mutex
func (l *Log) healLocked(s *segment, err error) error {
	if !vfs.Exhausted(err) {
		return l.fail(err)
	}
	if terr := s.file.Truncate(s.off); terr != nil {
		return l.fail(terr)
	}
	if serr := l.syncSealed(); serr != nil {
		return serr
	}
	if serr := s.file.Sync(); serr != nil {
		return l.fail(serr)
	}
	s.zeroed = s.off
	s.marked = 0 // the watermark that was staged is gone; the next append writes it again
	l.syncedTo(s, s.end())
	return l.exhaustedLocked(err)
}

// exhaustedLocked returns an error that can be tried again: most often that of a full disk.
//
// +checklocks:l.mu.Mutex
func (l *Log) exhaustedLocked(err error) error {
	if !vfs.NoSpace(err) {
		return fmt.Errorf("wal: %w", err)
	}
	err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	l.mu.events = append(l.mu.events, DiskFull{err})
	return err
}
