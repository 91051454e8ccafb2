package raftlog

import (
	"errors"
	"fmt"
	"path"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Options configure a Store. The zero value works.
type Options struct {
	// SegmentSize is the length in bytes at which a segment of the log is followed by the next. Deleted entries leave the disk
	// by whole segments. At most 1 GiB. Default: 16 MiB.
	SegmentSize int64
	// OnEvent is told what happens to the log's files. It must return soon. Nil: events are dropped.
	OnEvent func(wal.Event)
	// FS is the file system. Nil: the operating system's.
	FS vfs.FS
}

// defaultSegmentSize is less than that of wal: with raft's defaults some ten thousand entries stay after a snapshot, which are
// a few MiB, and whole segments have to go.
const defaultSegmentSize = 16 << 20

// ownerName is the lock file of a store. The log has one of its own, which it lets go of before END is written.
const ownerName = "OWNER"

// Store is a raft log on the disk. Make one with Open. Its methods may be called from any goroutine.
type Store struct {
	// Lock order: writing, mu. No lock but writing is held over I/O.

	dir   string
	fs    vfs.FS
	lock  vfs.Lock // +checklocksignore: Close lets go of it last
	log   *wal.Log
	files files

	writing struct { // the right to write; held while a record is appended and synced
		sync.Mutex
		// +checklocks:Mutex
		closed bool
		// +checklocks:Mutex
		batch batch
	}

	mu struct { // written under writing.Mutex, too
		sync.RWMutex
		// +checklocks:RWMutex
		state state
		// +checklocks:RWMutex
		staged uint64 // commit index to persist with the next entries
		// +checklocks:RWMutex
		closed bool
	}
}

var (
	_ raft.LogStore               = (*Store)(nil)
	_ raft.MonotonicLogStore      = (*Store)(nil)
	_ raft.CommitTrackingLogStore = (*Store)(nil)
	_ raft.StableStore            = (*Store)(nil)
)

// Open opens the log in a directory, or makes a new one there.
//
// A torn end, as a crash leaves it of what was never acknowledged, is moved to the directory "quarantine" and cut. Any other
// damage is an error that matches ErrCorrupt and names file and offset, and nothing was changed.
func Open(dir string, o *Options) (*Store, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.SegmentSize <= 0 {
		opts.SegmentSize = defaultSegmentSize
	}
	if opts.FS == nil {
		opts.FS = vfs.OS
	}
	dir, err := opts.FS.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("raftlog: %w", err)
	}
	if err := vfs.MkdirAllSync(opts.FS, dir); err != nil {
		return nil, fmt.Errorf("raftlog: %w", err)
	}
	lock, err := opts.FS.Lock(path.Join(dir, ownerName))
	if err != nil {
		return nil, fmt.Errorf("raftlog: %w", err)
	}
	s := &Store{dir: dir, lock: lock}
	s.fs = vfs.Owned(opts.FS, lock, func(err error) error { return fmt.Errorf("%w: %w", ErrFailed, err) })
	s.files.fs, s.files.dir = s.fs, dir
	if err := s.open(&opts); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// open opens the log.
//
//  1. Replay it, and cut its torn end: see wal.Open.
//  2. Append the first checkpoint, if there is none. A crash before leaves a log without a record, which is a new one.
//  3. Delete the segments that hold nothing that is needed. A crash of DeleteRange may have left them.
func (s *Store) open(o *Options) error {
	e, err := readEnd(s.fs, s.dir)
	if err != nil {
		return err
	}
	st := newState()
	s.log, err = wal.Open(s.dir, &wal.Options{
		OneWriter: true, SegmentSize: o.SegmentSize, ID: e.id, Anchor: e.anchor, OnEvent: o.OnEvent, FS: s.fs,
		Replay:    func(e *wal.Entry) error { return st.replay(s.dir, e) },
		ReplayEnd: func() error { return st.check(s.dir) },
	})
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	s.mu.Lock()
	s.mu.state = st
	s.mu.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	if !st.whole {
		err = s.appendCheckpointLocked(checkpoint{})
	} else {
		err = s.trimLocked()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("raftlog: %w", err), s.log.Close())
	}
	return nil
}

// Close syncs the log, marks it as cleanly closed and lets go of the directory. A second Close does nothing. If writing down
// where the log has ended fails, that is an error; nothing that was acknowledged is lost by it.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.writing.closed {
		return nil
	}
	s.writing.closed = true
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	err := s.log.Close()
	if err == nil {
		err = writeEnd(s.fs, s.dir, end{s.log.ID(), s.log.Anchor()})
	}
	if err = errors.Join(err, s.files.closeBefore(1<<32), s.lock.Close()); err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	return nil
}

// Err returns the first failure of a write or an fsync, which every later write returns too, or nil.
func (s *Store) Err() error { return s.log.Err() }

// Stats returns the figures of the log. It reads no file.
func (s *Store) Stats() wal.Stats { return s.log.Stats() }

// Recovery returns what Open found.
func (s *Store) Recovery() wal.Recovery { return s.log.Recovery() }

// IsMonotonic returns true: entries continue one another without a gap.
func (s *Store) IsMonotonic() bool { return true }
