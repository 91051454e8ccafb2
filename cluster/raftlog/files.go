package raftlog

import (
	"errors"
	"path"
	"sync"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// maxOpenFiles is how many segments are kept open for reading: 1 GiB of log with segments of the usual size.
const maxOpenFiles = 16

// files are the segments that are open for reading. None is opened, read or closed under the mutex.
type files struct {
	fs  vfs.FS
	dir string

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		open map[uint32]*file
		// +checklocks:Mutex
		uses uint64
	}
}

// file is a segment that is open for reading. Its fields are guarded by files.mu.
type file struct {
	vfs.File
	segment uint32
	refs    int
	used    uint64 // the last use, counted
	gone    bool   // not in the map any more: who lets go of it last closes it
}

// acquire returns a segment, opened, for release.
func (f *files) acquire(segment uint32) (*file, error) {
	if x := f.lookup(segment); x != nil {
		return x, nil
	}
	opened, err := f.fs.Open(path.Join(f.dir, wal.SegmentName(segment)))
	if err != nil {
		return nil, err
	}
	x, idle := f.insert(&file{File: opened, segment: segment})
	if idle != nil {
		err = idle.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.release(x))
	}
	return x, nil
}

// lookup returns a segment that is open, or nil.
func (f *files) lookup(segment uint32) *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.mu.open[segment]
	if x != nil {
		f.useLocked(x)
	}
	return x
}

// +checklocks:f.mu.Mutex
func (f *files) useLocked(x *file) {
	f.mu.uses++
	x.refs, x.used = x.refs+1, f.mu.uses
}

// insert makes a file known and returns it, or the one that another goroutine has opened meanwhile, and what is to be closed.
func (f *files) insert(x *file) (use *file, idle vfs.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.mu.open[x.segment]; other != nil {
		f.useLocked(other)
		return other, x.File
	}
	if f.mu.open == nil {
		f.mu.open = make(map[uint32]*file)
	}
	if len(f.mu.open) >= maxOpenFiles {
		if old := f.idleLocked(); old != nil {
			delete(f.mu.open, old.segment)
			idle = old.File
		}
	}
	f.mu.open[x.segment] = x
	f.useLocked(x)
	return x, idle
}

// idleLocked returns the file that has not been used for longest, of those that are not in use; nil if all are.
//
// +checklocks:f.mu.Mutex
func (f *files) idleLocked() (old *file) {
	for _, x := range f.mu.open {
		if x.refs == 0 && (old == nil || x.used < old.used) {
			old = x
		}
	}
	return old
}

// release lets go of a file.
func (f *files) release(x *file) error {
	f.mu.Lock()
	x.refs--
	last := x.gone && x.refs == 0
	f.mu.Unlock()
	if last {
		return x.Close()
	}
	return nil
}

// closeBefore closes the segments before one: those that are in use when that ends.
func (f *files) closeBefore(segment uint64) error {
	f.mu.Lock()
	var idle []vfs.File
	for n, x := range f.mu.open {
		if uint64(n) < segment {
			delete(f.mu.open, n)
			x.gone = true
			if x.refs == 0 {
				idle = append(idle, x.File)
			}
		}
	}
	f.mu.Unlock()
	var errs []error
	for _, x := range idle {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
