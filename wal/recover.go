package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"time"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Recovery says what Open found.
type Recovery struct {
	Segments int      // read
	Entries  uint64   // replayed
	Bytes    int64    // read
	Clean    bool     // the log is new, or was closed
	Cut      *TailCut // the torn tail, if there was one
}

// Open opens the log in a directory, or makes a new one there, and replays it to Options.Replay.
//
// If the log was not closed cleanly, a torn tail, bytes at the very end that are no record and that nothing proves to have
// been synced, is moved to the quarantine directory and cut. Any other damage is an error that matches ErrCorrupt and
// names file and offset; then no file has been changed. What no log can tell from a torn tail is damage to the last group
// that was synced before a crash, if nothing was appended after it, and, without Options.Anchor, to the end of a log that
// was closed.
func Open(dir string, o *Options) (*Log, error) {
	opts := o.withDefaults()
	dir, err := opts.FS.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	if err := opts.checkDir(dir); err != nil {
		return nil, err
	}
	if err := vfs.MkdirAllSync(opts.FS, dir); err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	lock, err := opts.FS.Lock(path.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	l := &Log{dir: dir, opts: opts, lock: lock, zeroWanted: make(chan struct{}, 1), stop: make(chan struct{})}
	l.opts.FS = vfs.Owned(opts.FS, lock, l.fail)
	if err := l.recover(); err != nil {
		if s := l.active.Load(); s != nil {
			err = errors.Join(err, s.file.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	l.start()
	return l, nil
}

// start starts the background goroutine.
func (l *Log) start() {
	if l.opts.inline {
		return
	}
	var tick <-chan time.Time
	var ticker *time.Ticker
	if l.opts.Sync == SyncInterval {
		ticker = time.NewTicker(l.opts.Interval)
		tick = ticker.C
	}
	l.background.Go(func() {
		l.run(tick)
		if ticker != nil {
			ticker.Stop()
		}
	})
}

// recover brings the log to the state in which appends can begin. Nothing is changed before everything is known to be
// right.
func (l *Log) recover() error {
	live, obsolete, err := l.list()
	if err != nil {
		return err
	}
	if len(live) == 0 {
		if err = l.create(); err != nil {
			return err
		}
	} else {
		scan, err := l.replay(live)
		if err != nil {
			return err
		}
		if err := l.repair(scan); err != nil {
			return errors.Join(err, scan.closeFile())
		}
		if err := l.resume(scan); err != nil {
			return err
		}
	}
	l.mu.needed = l.mu.segments[0].id
	return l.retain(obsolete)
}

// list returns the numbers of the segments that are needed, without a gap, and of those that are not.
func (l *Log) list() (live, obsolete []uint32, err error) {
	names, err := l.opts.FS.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // Replay may find no directory
		return nil, nil, fmt.Errorf("wal: %w", err)
	}
	for _, name := range names {
		id, ok, err := parseSegmentName(name)
		if err != nil {
			return nil, nil, err
		}
		if ok && id < l.opts.FirstSegment {
			obsolete = append(obsolete, id)
		} else if ok {
			live = append(live, id)
		}
	}
	slices.Sort(live) // names sort as numbers only up to six digits
	want := l.opts.FirstSegment
	for _, id := range live {
		if want == 0 {
			want = id
		}
		if id != want {
			return nil, nil, corrupt.New(segmentName(l.dir, want), 0, "segment", ErrGap)
		}
		want++
	}
	if len(live) == 0 && (len(obsolete) > 0 || l.opts.FirstSegment > 1 || l.opts.MinNextSeq > l.opts.BaseSeq) ||
		l.opts.Anchor.Segment >= max(want, 1) {
		return nil, nil, corrupt.New(segmentName(l.dir, max(want, 1)), 0, "segment", ErrGap)
	}
	return live, obsolete, nil
}

// create makes the first segment of a new log, in the order of rotateLocked.
func (l *Log) create() error {
	id := l.opts.ID
	if id == (ID{}) {
		rand.Read(id[:]) // never fails
	}
	l.id = id
	s, err := l.prepare(header{id: id, segment: 1, baseSeq: l.opts.BaseSeq, baseTime: l.opts.Now()})
	if err != nil {
		return fmt.Errorf("wal: new log: %w", err)
	}
	if err := l.opts.FS.Rename(path.Join(l.dir, nextName), s.name); err != nil {
		return errors.Join(fmt.Errorf("wal: new log: %w", err), s.file.Close())
	}
	if err := l.opts.FS.SyncDir(l.dir); err != nil {
		return errors.Join(fmt.Errorf("wal: new log: %w", err), s.file.Close())
	}
	l.activateLocked(s)
	l.recovery = Recovery{Clean: true}
	return nil
}

// replay reads all segments, checks each and the chain between them, and hands the entries on. It returns the scan of the
// newest, which stands at the end of the log, with its file open.
func (l *Log) replay(ids []uint32) (*segmentScan, error) {
	scan := &segmentScan{anchor: l.opts.Anchor}
	for _, number := range ids { // all headers first: what they say is clearer than what follows from it
		if err := l.openScan(scan, number, headerSize); err != nil {
			return nil, err
		}
		if err := scan.closeFile(); err != nil {
			return nil, fmt.Errorf("wal: %w", err)
		}
	}
	for i, number := range ids {
		prev, prevSeq := scan.link(), scan.nextSeq()
		if err := l.openScan(scan, number, math.MaxInt64); err != nil {
			return nil, err
		}
		err := l.checkChain(scan, i == 0, prev, prevSeq)
		if err == nil {
			err = l.replaySegment(scan, i == len(ids)-1)
		}
		if err != nil {
			return nil, errors.Join(err, scan.closeFile())
		}
		l.mu.segments = append(l.mu.segments, segmentInfo{number, scan.head.baseSeq, scan.offset()})
		l.recovery.Segments++
		l.recovery.Bytes += scan.offset()
		if i < len(ids)-1 {
			if err := scan.closeFile(); err != nil {
				return nil, fmt.Errorf("wal: %w", err)
			}
		}
	}
	return scan, nil
}

// openScan starts scan on a segment's file, up to limit.
func (l *Log) openScan(scan *segmentScan, number uint32, limit int64) error {
	name := segmentName(l.dir, number)
	f, err := l.opts.FS.Open(name)
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if err := scan.startFile(f, name, number, limit); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
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

// replaySegment hands on the entries of one segment and decides what its end is.
func (l *Log) replaySegment(s *segmentScan, newest bool) error {
	var e Entry
	for {
		err := s.next(&e)
		var bad *badBytes
		switch {
		case err == nil:
			if err := l.handOn(&e); err != nil {
				return err
			}
		case err == io.EOF || errors.As(err, &bad):
			return l.checkEnd(s, newest, bad)
		default:
			return err
		}
	}
}

// handOn gives an entry to the owner.
func (l *Log) handOn(e *Entry) error {
	l.recovery.Entries++
	if l.opts.Replay == nil {
		return nil
	}
	return l.opts.Replay(e)
}

// checkEnd decides whether a segment may end where s stands: at the end of its file, or at bytes that are no record.
func (l *Log) checkEnd(s *segmentScan, newest bool, bad *badBytes) error {
	if !newest {
		if bad != nil {
			return corrupt.New(s.name, bad.offset, "record", bad.err)
		}
		if !s.sealed {
			return corrupt.New(s.name, s.offset(), "end of segment", errors.New("not sealed, but a segment follows"))
		}
		return l.checkAnchor(s, nil)
	}
	if bad != nil {
		synced, err := s.syncedBeyond()
		if err != nil {
			return err
		}
		if synced {
			return corrupt.New(s.name, bad.offset, "record", bad.err)
		}
	}
	if err := l.checkAnchor(s, bad); err != nil {
		return err
	}
	if s.nextSeq() < l.opts.MinNextSeq {
		return corrupt.New(s.name, s.offset(), "end of log",
			fmt.Errorf("sequence %d is next, the owner knows of %d", s.nextSeq(), l.opts.MinNextSeq))
	}
	return nil
}

// repair makes the end of the newest segment the end of its file, and all of it durable, unless the log was closed
// cleanly.
//
//  1. Copy what is torn, up to the last byte that is not zero, to the quarantine, durably.
//  2. Copy the segment up to its end to next.tmp, and sync that. Its records are good but may never have reached the disk,
//     and a sync of the old file would not help: the process before may have died of a failed fsync, after which the kernel
//     holds the pages for clean. Writing them again in place could tear what is acknowledged.
//  3. Rename the copy over the segment.
//  4. Sync the directory. A crash before this leaves the old segment or the new one, and Open begins again.
func (l *Log) repair(s *segmentScan) error {
	l.recovery.Clean = s.closed && s.offset() == s.limit
	if l.recovery.Clean {
		if s.anchoredTo() == s.offset() {
			return nil // all of it is on the disk, and must not be put at risk
		}
		return l.rewriteNewest(s) // the close mark: the sync after it may be what failed
	}
	dirty, err := s.dirtyLen()
	if err != nil {
		return err
	}
	if dirty > 0 {
		if err := l.quarantine(s, dirty); err != nil {
			return fmt.Errorf("wal: keep torn tail: %w", err)
		}
	}
	err = l.replaceNewest(s)
	if vfs.NoSpace(err) {
		err = errors.Join(l.rewriteNewest(s), s.closeFile())
	}
	if err != nil {
		return fmt.Errorf("wal: repair %s: %w", s.name, err)
	}
	if l.recovery.Cut != nil {
		l.opts.OnEvent(*l.recovery.Cut)
	}
	return nil
}

// replaceNewest takes steps 2 to 4 of repair.
func (l *Log) replaceNewest(s *segmentScan) error {
	fs, tmp := l.opts.FS, path.Join(l.dir, nextName)
	if err := remove(fs, tmp); err != nil {
		return err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	err = copyRange(f, s.file, 0, s.offset())
	if err == nil {
		err = f.Sync()
	}
	// Windows does not replace a file that is open.
	if err = errors.Join(err, f.Close(), s.closeFile()); err != nil {
		return errors.Join(err, remove(fs, tmp))
	}
	if err := fs.Rename(tmp, s.name); err != nil {
		return err
	}
	return fs.SyncDir(l.dir)
}

// rewriteNewest stands in for replaceNewest where the disk is full: it writes what nothing proves to be on the disk again in
// place, with the bytes that are there, so that only a disk which tears a sector could harm them.
func (l *Log) rewriteNewest(s *segmentScan) error {
	f, err := l.opts.FS.OpenWrite(s.name)
	if err != nil {
		return err
	}
	err = f.Truncate(s.offset())
	if err == nil {
		err = copyRange(f, f, max(int64(s.synced), s.anchoredTo()), s.offset())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return l.opts.FS.SyncDir(l.dir)
}

// copyRange copies bytes from one file to the same place in another.
func copyRange(to, from vfs.File, off, end int64) error {
	buf := make([]byte, min(scanChunk, end-off))
	for off < end {
		b := buf[:min(int64(len(buf)), end-off)]
		if _, err := from.ReadAt(b, off); err != nil {
			return err
		}
		if _, err := to.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// quarantine copies the torn tail that s stands at to a file of its own. Its name says where and what it is, so that Open
// after a crash in Open finds the copy and does not make another.
func (l *Log) quarantine(s *segmentScan, n int) error {
	fs, tail := l.opts.FS, s.bytes()[:n]
	dir := path.Join(l.dir, quarantineName)
	name := path.Join(dir, fmt.Sprintf("%06d-%d-%08x.torn", s.head.segment, s.offset(), crc32.Checksum(tail, recordCRCTable)))
	l.recovery.Cut = &TailCut{File: s.name, Offset: s.offset(), Bytes: int64(n), Quarantine: name}
	if err := vfs.MkdirAllSync(fs, dir); err != nil {
		return err
	}
	if size, err := fs.Size(name); err == nil && size == int64(n) {
		return fs.SyncDir(dir) // who made the copy may have died before that
	}
	if err := writeFile(fs, name+".tmp", tail); err != nil {
		return err
	}
	if err := fs.Rename(name+".tmp", name); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// writeFile makes a file with the given content, synced.
func writeFile(fs vfs.FS, name string, content []byte) error {
	if err := remove(fs, name); err != nil {
		return err
	}
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// resume makes the newest segment, which is as long as what was read of it and on the disk, the active one.
func (l *Log) resume(scan *segmentScan) error {
	if err := scan.closeFile(); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if err := remove(l.opts.FS, path.Join(l.dir, nextName)); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	f, err := l.opts.FS.OpenWrite(scan.name)
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	s := &segment{
		header: scan.head, name: scan.name, file: f, off: scan.offset(), zeroed: scan.offset(), records: scan.records,
		ops: scan.ops, crc: scan.crc, marked: scan.synced, sealed: scan.sealed, closed: scan.closed, zeroSize: l.opts.zeroSize(),
	}
	if err := l.mapActive(s); err != nil {
		return errors.Join(fmt.Errorf("wal: %w", err), f.Close())
	}
	l.active.Store(s)
	l.anchor.Store(s.anchor())
	l.end.Store(s.end().pack())
	l.synced.Store(s.end().pack())
	return nil
}
