package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path"

	"github.com/ebbdb/ebb/internal/vfs"
)

// repair makes the place where w stands the end of the last segment's file, and all before it durable, unless the log was
// closed cleanly.
//
//  1. Copy the torn bytes, there and in the segments behind, each up to the last byte that is not zero, to the quarantine,
//     durably.
//  2. Remove the segments behind, durably, the newest first, so that no crash leaves a gap.
//  3. Copy each segment that nothing proves to be whole on the disk, up to its end, to next.tmp, and sync that. Its records are
//     good but may never have reached the disk, and a sync of the old file would not help: the process before may have died of
//     a failed fsync, after which the kernel holds the pages for clean. Writing them again in place could tear acknowledged
//     entries.
//  4. Rename the copy over the segment.
//  5. Sync the directory. A crash before this leaves old segments or new ones, and Open begins again.
func (l *Log) repair(w *walk) error {
	s := w.scan
	l.recovery.Clean = s.closed && s.offset() == s.limit
	if !l.recovery.Clean {
		if err := l.cut(w, s); err != nil {
			return fmt.Errorf("wal: keep torn tail: %w", err)
		}
	}
	for i := len(w.numbers) - 1; i > w.at; i-- {
		if err := l.drop(w, i); err != nil {
			return fmt.Errorf("wal: remove %s: %w", segmentName(l.dir, w.numbers[i]), err)
		}
	}
	if err := s.closeFile(); err != nil { // Windows does not replace a file that is open
		return fmt.Errorf("wal: %w", err)
	}
	for _, d := range w.doubted {
		if err := l.renew(d); err != nil {
			return fmt.Errorf("wal: repair %s: %w", segmentName(l.dir, d.number), err)
		}
	}
	if l.recovery.Cut != nil {
		l.opts.OnEvent(*l.recovery.Cut)
	}
	return nil
}

// cut takes step 1 of repair for the segment that s stands in.
func (l *Log) cut(w *walk, s *segmentScan) error {
	n, err := s.dirtyLen()
	if err != nil || n == 0 {
		return err
	}
	name, err := l.quarantine(s, n)
	if err != nil {
		return err
	}
	l.noteCut(w, n, name)
	return nil
}

// noteCut takes note of torn bytes: behind the place where w stands, or in a segment after that.
func (l *Log) noteCut(w *walk, n int, quarantine string) {
	if l.recovery.Cut == nil {
		l.recovery.Cut = &TailCut{File: w.scan.name, Offset: w.scan.offset(), Quarantine: quarantine}
	}
	l.recovery.Cut.Bytes += int64(n)
}

// drop takes steps 1 and 2 of repair for a segment behind the end.
func (l *Log) drop(w *walk, i int) error {
	s, err := w.raw(i)
	if err != nil {
		return err
	}
	if err := errors.Join(l.cut(w, s), s.closeFile()); err != nil {
		return err
	}
	if err := l.opts.FS.Remove(s.name); err != nil {
		return err
	}
	return l.opts.FS.SyncDir(l.dir)
}

// renew takes steps 3 to 5 of repair for one segment.
func (l *Log) renew(d doubted) error {
	if d.synced == d.end && l.recovery.Clean && d.number == l.opts.Anchor.Segment {
		return nil // all of it is on the disk, and must not be put at risk
	}
	if l.recovery.Clean {
		return l.rewrite(d) // the close mark: the sync after it may have failed
	}
	err := l.replace(d)
	if vfs.NoSpace(err) {
		err = l.rewrite(d)
	}
	return err
}

// replace copies a segment, up to its end, and puts the copy in its place.
func (l *Log) replace(d doubted) error {
	fs, tmp, name := l.opts.FS, path.Join(l.dir, nextName), segmentName(l.dir, d.number)
	if err := remove(fs, tmp); err != nil {
		return err
	}
	from, err := fs.Open(name)
	if err != nil {
		return err
	}
	to, err := fs.Create(tmp)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	err = copyRange(to, from, 0, d.end)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close(), from.Close()); err != nil {
		return errors.Join(err, remove(fs, tmp))
	}
	if err := fs.Rename(tmp, name); err != nil {
		return err
	}
	return fs.SyncDir(l.dir)
}

// rewrite stands in for replace on a full disk: it writes the bytes that nothing proves to be on the disk again in place. As
// they do not change, only a disk that tears a sector could harm them.
func (l *Log) rewrite(d doubted) error {
	f, err := l.opts.FS.OpenWrite(segmentName(l.dir, d.number))
	if err != nil {
		return err
	}
	err = f.Truncate(d.end)
	if err == nil {
		err = copyRange(f, f, d.synced, d.end)
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

// quarantine copies torn bytes, n of those that s stands at, to a file of their own, which it returns. Its name says where
// and what they are, so that Open after a crash in Open finds the copy and does not make another.
func (l *Log) quarantine(s *segmentScan, n int) (name string, err error) {
	fs, tail := l.opts.FS, s.bytes()[:n]
	dir := path.Join(l.dir, quarantineName)
	name = path.Join(dir, fmt.Sprintf("%06d-%d-%08x.torn", s.head.segment, s.offset(), crc32.Checksum(tail, recordCRCTable)))
	if err := vfs.MkdirAllSync(fs, dir); err != nil {
		return "", err
	}
	if size, err := fs.Size(name); err == nil && size == int64(n) {
		return name, fs.SyncDir(dir) // the process that made the copy may have died before its sync
	}
	if err := writeFile(fs, name+".tmp", tail); err != nil {
		return "", err
	}
	if err := fs.Rename(name+".tmp", name); err != nil {
		return "", err
	}
	return name, fs.SyncDir(dir)
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
