package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Recovery describes the log that Open found.
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
// names file and offset; then no file has been changed. Two kinds of damage cannot be told from a torn tail: that to the last
// group that was synced before a crash, if nothing was appended after it, and, without Options.Anchor, that to the end of a log
// that was closed.
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
	l := &Log{dir: dir, opts: opts, lock: lock, stop: make(chan struct{})}
	l.zeroWanted, l.nextWanted, l.syncWanted = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	l.opts.FS = vfs.Owned(opts.FS, lock, l.fail)
	l.turn.settled, l.turn.elapsed = l.settled, opts.elapsed
	if err := l.recover(); err != nil {
		if s := l.active.Load(); s != nil {
			err = errors.Join(err, s.file.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	l.opts.Replay, l.opts.ReplayEnd = nil, nil // the log must not keep alive what the functions refer to
	l.start()
	return l, nil
}

// start starts the background goroutines.
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
	l.background.Go(l.runZeros)
	l.background.Go(func() {
		l.runSyncs(tick)
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
		if err = l.begin(); err != nil {
			return err
		}
	} else {
		w := l.newWalk(live, l.openNumber)
		if err := w.run(); err != nil {
			return errors.Join(err, w.scan.closeFile())
		}
		if err := l.repair(w); err != nil {
			return errors.Join(err, w.scan.closeFile())
		}
		if err := l.resume(w.scan); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.mu.needed = l.mu.segments[0].id
	l.mu.Unlock()
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

// begin makes a new log.
func (l *Log) begin() error {
	id := l.opts.ID
	if id == (ID{}) {
		rand.Read(id[:]) //permit:rand.Read for whoever gives no Options.ID; it never fails
	}
	l.id = id
	s, err := l.create(header{id: id, segment: 1, baseSeq: l.opts.BaseSeq, baseTime: l.opts.Now()})
	if err != nil {
		return fmt.Errorf("wal: new log: %w", err)
	}
	l.mu.Lock()
	l.activateLocked(s, nil)
	l.mu.Unlock()
	l.anchor.Store(s.anchor())
	l.synced.Store(s.end().pack())
	l.recovery = Recovery{Clean: true}
	return nil
}

// openNumber opens a segment's file.
func (l *Log) openNumber(number uint32) (vfs.File, error) {
	f, err := l.opts.FS.Open(segmentName(l.dir, number))
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	return f, nil
}

// openScan starts scan on a segment's file, up to limit.
func (l *Log) openScan(scan *segmentScan, number uint32, limit int64) error {
	f, err := l.openNumber(number)
	if err != nil {
		return err
	}
	if err := scan.startFile(f, segmentName(l.dir, number), number, limit); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// resume makes the newest segment the active one. Its file ends where reading it has ended, and is on the disk.
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
	l.mu.Lock()
	l.active.Store(s)
	l.end.Store(s.end().pack())
	l.mu.Unlock()
	l.anchor.Store(s.anchor())
	l.synced.Store(s.end().pack())
	return nil
}
