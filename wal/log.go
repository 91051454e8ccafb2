package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Log is an open write-ahead log. Make one with Open. Its methods may be called from any goroutine.
type Log struct {
	// Lock order: deleting, mu, the sync turn, unsynced. A goroutine that has the turn does not wait for mu, and unsynced is
	// held over no I/O. Under mu the log waits for the disk in three cases: a write has failed for lack of room, the next
	// segment of a rotation is not made yet, or appends are maxUnsynced segments ahead of the disk.

	dir      string
	id       ID
	opts     Options
	lock     io.Closer // +checklocksignore: no mutex guards it; Close lets go of it last, when nothing is deleted any more
	recovery Recovery

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		closed bool
		// +checklocks:Mutex
		segments []segmentInfo // oldest first, the active one last
		// +checklocks:Mutex
		needed uint32 // segments before it are obsolete: they are there for readers only
		// +checklocks:Mutex
		stage stage
		// +checklocks:Mutex
		next *preparation // of the segment after the active one; nil if it has not begun
		// +checklocks:Mutex
		records uint64 // appended
		// +checklocks:Mutex
		bytes uint64 // appended
		// +checklocks:Mutex
		events []Event // to tell once mu is free
	}

	unsynced unsynced

	active atomic.Pointer[segment] // written under mu and unsynced.mu
	// +checkatomic
	// +checklocks:mu.Mutex
	end    atomic.Uint64          // packed Position after the last record; written under unsynced.mu, too, if of another segment
	synced atomic.Uint64          // packed Position that is on the disk; written under the sync turn
	anchor atomic.Pointer[Anchor] // see Anchor
	failed atomic.Pointer[error]

	failureTold atomic.Bool

	deleting sync.Mutex // held while segments are deleted; taken before mu

	turn turn
	tail tail

	zeroWanted chan struct{} // each holds one request
	nextWanted chan struct{}
	syncWanted chan struct{}
	stop       chan struct{}
	background sync.WaitGroup

	syncs, rotations atomic.Uint64
}

// segmentInfo are the figures that the log keeps of each of its segments.
type segmentInfo struct {
	id      uint32
	baseSeq uint64
	bytes   int64 // of the file, once it is sealed
}

// Stats says what a log holds and has done since it was opened.
type Stats struct {
	Segments  int    // on the disk
	DiskBytes int64  // of their files
	ZeroBytes int64  // of these, zeros that wait at the end of the active segment and in the next
	Retained  int64  // of these, obsolete segments that are kept for readers: see Options.Retain
	Records   uint64 // appended
	Bytes     uint64 // appended, with control records
	Syncs     uint64 // of the active segment; many appends may share one: Records / Syncs is the size of a group
	Rotations uint64
}

// Stats returns the log's figures. It reads no file.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, next := l.active.Load(), l.mu.next.bytes()
	return Stats{
		Segments:  len(l.mu.segments),
		DiskBytes: l.sealedBytesLocked(math.MaxUint32) + a.zeroed + next,
		ZeroBytes: a.zeroed - a.off + next,
		Retained:  l.retainedLocked(),
		Records:   l.mu.records,
		Bytes:     l.mu.bytes,
		Syncs:     l.syncs.Load(),
		Rotations: l.rotations.Load(),
	}
}

// BytesBefore returns the bytes of the sealed segments before one: those that DeleteBefore would free.
func (l *Log) BytesBefore(segment uint32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealedBytesLocked(segment)
}

// sealedBytesLocked is BytesBefore.
//
// +checklocks:l.mu.Mutex
func (l *Log) sealedBytesLocked(before uint32) (n int64) {
	for _, s := range l.mu.segments[:len(l.mu.segments)-1] {
		if s.id < before {
			n += s.bytes
		}
	}
	return n
}

// Recovery returns what Open found.
func (l *Log) Recovery() Recovery { return l.recovery }

// ID returns the database id that the segments carry.
func (l *Log) ID() ID { return l.id }

// End returns the position after the last record.
func (l *Log) End() Position { return unpack(l.end.Load()) }

// Synced returns the position up to which the log is known to be on the disk.
func (l *Log) Synced() Position { return unpack(l.synced.Load()) }

// NextSeq returns the sequence that the next operation will get.
func (l *Log) NextSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active.Load().nextSeq()
}

// First returns the position of the oldest record, which may be obsolete: see Options.Retain.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Position{l.mu.segments[0].id, 0}
}

// FirstSeq returns the sequence from which a reader can begin.
func (l *Log) FirstSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.segments[0].baseSeq
}

// Err returns the first failure of a write or an fsync, which every later append returns too, or nil.
func (l *Log) Err() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// fail makes err the failure that everything returns from now on, unless there is one, and returns the one there is.
func (l *Log) fail(err error) error {
	err = fmt.Errorf("%w: %w", ErrFailed, err)
	l.failed.CompareAndSwap(nil, &err)
	return *l.failed.Load()
}

// tellFailure tells the event of the failure, once. The caller holds no lock.
func (l *Log) tellFailure() {
	if p := l.failed.Load(); p != nil && l.failureTold.CompareAndSwap(false, true) {
		l.opts.OnEvent(Failed{*p})
	}
}

// usableLocked says whether appends are possible at all.
//
// +checklocks:l.mu.Mutex
func (l *Log) usableLocked() error {
	if l.mu.closed {
		return ErrClosed
	}
	return l.Err()
}

// unlock frees mu, wakes the readers that wait for the log to grow, and tells the events that were collected under mu.
//
// +checklocksrelease:l.mu.Mutex
func (l *Log) unlock() {
	events := l.mu.events
	l.mu.events = nil
	l.mu.Unlock()
	l.tail.wake()
	for _, e := range events {
		l.opts.OnEvent(e)
	}
	l.tellFailure()
}

// runZeros is a background goroutine: it extends the active segment ahead of the appends.
func (l *Log) runZeros() {
	for {
		select {
		case <-l.zeroWanted:
			l.zeroActive()
		case <-l.stop:
			return
		}
	}
}

// runSyncs is a background goroutine: it syncs after a rotation and every interval, and makes the next segment ahead. A
// failure is where the next append finds it.
func (l *Log) runSyncs(tick <-chan time.Time) {
	for {
		select {
		case <-l.syncWanted:
			_ = l.Sync()
		case <-tick:
			_ = l.Sync()
		case <-l.nextWanted:
			_ = l.Prepare()
		case <-l.stop:
			return
		}
	}
}

// request asks a background goroutine to do something, without waiting.
func request(wanted chan struct{}) {
	select {
	case wanted <- struct{}{}:
	default:
	}
}

// wantZerosLocked asks for zeros if little room is left. It does not wait.
//
// +checklocks:l.mu.Mutex
func (l *Log) wantZerosLocked(s *segment) {
	if !s.mapped || s.zeroing != nil || s.zeroed-s.off > zeroAhead || s.zeroed >= l.opts.SegmentSize || l.opts.inline {
		return
	}
	request(l.zeroWanted)
}

// zeroActive extends the active segment by a chunk, without mu while it writes. An append that needs the file to itself waits
// until zeroActive has ended. A failure is left to the append that will need the room. Unless every commit is synced, zeroActive
// also starts full pages on their way to the disk, so that little is left to do for the sync at the segment's end.
func (l *Log) zeroActive() {
	l.mu.Lock()
	s := l.active.Load()
	if l.mu.closed || s.sealed || !s.mapped || s.zeroed-s.off > zeroAhead {
		l.mu.Unlock()
		return
	}
	x := &extension{done: make(chan struct{})}
	s.zeroing = x
	ahead := segment{file: s.file, zeroed: s.zeroed, zeroSize: s.zeroSize}
	from, full := s.flushing, s.off&^(pageSize-1)
	s.flushing = full
	l.mu.Unlock()

	_ = ahead.extend(zeroChunk, l.opts.SegmentSize)
	if l.opts.Sync != SyncAlways {
		s.file.WriteBack(from, full-from)
	}
	x.zeroed = ahead.zeroed
	close(x.done)

	l.mu.Lock()
	l.awaitZerosLocked(s)
	l.mu.Unlock()
}

// awaitZerosLocked waits until s is not extended any more. It keeps mu: the caller's staged records and the active segment must
// not change meanwhile.
//
// +checklocks:l.mu.Mutex
func (l *Log) awaitZerosLocked(s *segment) {
	if x := s.zeroing; x != nil {
		<-x.done
		s.zeroed, s.zeroing = x.zeroed, nil
	}
}

// Close syncs the log, marks it as cleanly closed and lets go of the directory. Appends that have not returned yet may
// get ErrClosed. A second Close does nothing and returns nil. A crash meanwhile leaves a log that Open recovers, or one that is
// cleanly closed.
func (l *Log) Close() error {
	// 1. Sync the data, segment by segment: the close mark may claim that everything before it is on the disk.
	// 2. Append the close mark.
	// 3. Cut the zeros after it.
	// 4. Sync. A crash before this leaves a log that was not closed cleanly, which Open recovers. After it, Anchor is the end.
	// 5. Remove the next segment, if there is one that was not taken. A crash before leaves it for Open to remove.
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return nil
	}
	l.mu.closed = true
	s, next := l.active.Load(), l.mu.next
	l.awaitZerosLocked(s)
	l.mu.Unlock()
	close(l.stop)
	l.background.Wait()
	l.deleting.Lock() // until the directory may have another owner
	defer l.deleting.Unlock()
	l.turn.take(exclusive)

	err := l.Err()
	if err == nil {
		err = l.syncSealed()
	}
	end := s.anchor()
	if err == nil && !s.closed {
		err = l.closeActive(s, end)
	}
	if err == nil {
		l.anchor.Store(end)
	}
	l.turn.release()
	l.tail.wake()
	l.tellFailure()
	return errors.Join(err, s.file.Close(), l.unsynced.close(), l.discard(next), l.lock.Close())
}

// closeActive takes steps 1 to 4 of Close, and moves end behind the close mark. No append can follow, and the caller has the
// turn.
func (l *Log) closeActive(s *segment, end *Anchor) error {
	if err := s.file.SyncData(); err != nil {
		return l.fail(err)
	}
	l.synced.Store(s.end().pack())
	if s.sealed { // by a rotation that did not come to its end: nothing may follow
		return nil
	}
	m := s.mark(controlClose, uint32(s.off))
	buf := m.append(nil)
	if _, err := s.file.WriteAt(buf, s.off); vfs.NoSpace(err) {
		if err := s.file.Truncate(s.off); err != nil { // a part of the mark would look torn
			return l.fail(err)
		}
		return nil // everything is on the disk; only the mark is missing
	} else if err != nil {
		return l.fail(err)
	}
	if err := s.file.Truncate(s.off + int64(len(buf))); err != nil {
		return l.fail(err)
	}
	if err := s.file.Sync(); err != nil {
		return l.fail(err)
	}
	end.Offset, end.CRC = end.Offset+uint32(len(buf)), chainCRC(end.CRC, buf)
	return nil
}

// remove deletes a file that may not be there.
func remove(files vfs.FS, name string) error {
	if err := files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
