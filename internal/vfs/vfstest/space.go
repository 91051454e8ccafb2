package vfstest

import (
	"errors"
	"io/fs"
	"math"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/ebbdb/ebb/internal/vfs"
)

// unlimited is the room on a disk that is never full.
const unlimited = math.MaxInt64

// SetRoom makes the disk full after n more bytes: a write or truncation that makes files longer than that in sum fails
// with ENOSPC, a write after as much of it as fits. Shortening a file, and removing the last name of one that is not
// open, make room. Length counts, holes included; names are free. Negative n ends the limit.
func (f *Fault) SetRoom(n int64) {
	f.space.mu.Lock()
	defer f.space.mu.Unlock()
	f.space.mu.room = n
	if n < 0 {
		f.space.mu.room = unlimited
	}
}

// Room returns how many bytes still fit, MaxInt64 if there is no limit.
func (f *Fault) Room() int64 {
	f.space.mu.Lock()
	defer f.space.mu.Unlock()
	return f.space.mu.room
}

// space keeps account of a disk. Operations that take or give room are done under its mutex, so that two cannot take the
// same.
type space struct {
	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		room int64
		// +checklocks:Mutex
		files map[string]*usage // by name: every file that was mentioned so far
	}
}

func (s *space) init() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.room, s.mu.files = unlimited, map[string]*usage{}
}

// usage is the space that one file takes.
type usage struct {
	size  int64
	names int
	opens int
}

// cleanName returns the one spelling of a name under which a file is known.
func cleanName(name string) string { return path.Clean(name) }

// +checklocks:s.mu.Mutex
func (s *space) addLocked(n int64) {
	if s.mu.room != unlimited {
		s.mu.room += n
	}
}

// usageLocked returns the usage of a file that exists.
//
// +checklocks:s.mu.Mutex
func (s *space) usageLocked(name string, size func() (int64, error)) (*usage, error) {
	name = cleanName(name)
	if u := s.mu.files[name]; u != nil {
		return u, nil
	}
	n, err := size()
	if err != nil {
		return nil, err
	}
	u := &usage{size: n, names: 1}
	s.mu.files[name] = u
	return u, nil
}

func (s *space) open(op Op, file vfs.File) (*usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op.Kind == OpCreate { // the file that had the name is gone, be it behind our back
		s.unnameLocked(op.Name)
	}
	u, err := s.usageLocked(op.Name, file.Size)
	if err == nil {
		u.opens++
	}
	return u, err
}

func (s *space) close(u *usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.opens--
	s.releaseLocked(u)
}

// releaseLocked gives back the room of a file that has no name and is not open.
//
// +checklocks:s.mu.Mutex
func (s *space) releaseLocked(u *usage) {
	if u.names == 0 && u.opens == 0 {
		s.addLocked(u.size)
		u.size = 0
	}
}

// unnameLocked takes a name from the file that had it, if it is known.
//
// +checklocks:s.mu.Mutex
func (s *space) unnameLocked(name string) {
	name = cleanName(name)
	if u := s.mu.files[name]; u != nil {
		delete(s.mu.files, name)
		u.names--
		s.releaseLocked(u)
	}
}

func (s *space) remove(fsys vfs.FS, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meetLocked(fsys, name)
	if err := fsys.Remove(name); err != nil {
		return err
	}
	s.unnameLocked(name)
	return nil
}

// meetLocked makes a file known, if it is one.
//
// +checklocks:s.mu.Mutex
func (s *space) meetLocked(fsys vfs.FS, name string) {
	if _, err := fsys.ReadDir(name); err == nil {
		return // a directory takes nothing
	}
	// A name that cannot be sized fails the operation that follows.
	_, _ = s.usageLocked(name, func() (int64, error) {
		file, err := fsys.Open(name)
		if err != nil {
			return 0, err
		}
		size, err := file.Size()
		return size, errors.Join(err, file.Close())
	})
}

func (s *space) rename(fsys vfs.FS, oldname, newname string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meetLocked(fsys, oldname)
	s.meetLocked(fsys, newname)
	if err := fsys.Rename(oldname, newname); err != nil {
		return err
	}
	from, to := cleanName(oldname), cleanName(newname)
	if u := s.mu.files[from]; u != nil && u == s.mu.files[to] { // two names of one file: both stay
		return nil
	}
	s.unnameLocked(newname)
	for name, u := range s.mu.files {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') { // itself, or in it
			delete(s.mu.files, name)
			s.mu.files[to+rest] = u
		}
	}
	return nil
}

func (s *space) link(fsys vfs.FS, oldname, newname string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meetLocked(fsys, oldname)
	if err := fsys.Link(oldname, newname); err != nil {
		return err
	}
	u := s.mu.files[cleanName(oldname)]
	u.names++
	s.mu.files[cleanName(newname)] = u
	return nil
}

func (s *space) write(f *faultFile, p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := p
	if growth := off + int64(len(p)) - f.use.size; growth > s.mu.room {
		fits = p[:max(0, f.use.size+s.mu.room-off)]
	}
	n, err := 0, error(nil)
	if len(fits) > 0 || len(p) == 0 {
		n, err = f.file.WriteAt(fits, off)
	}
	if end := off + int64(n); n > 0 && end > f.use.size {
		s.addLocked(f.use.size - end)
		f.use.size = end
	}
	if err == nil && len(fits) < len(p) {
		err = noSpaceError(OpWrite, f.name)
	}
	return n, err
}

func (s *space) truncate(f *faultFile, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size-f.use.size > s.mu.room {
		return noSpaceError(OpTruncate, f.name)
	}
	if err := f.file.Truncate(size); err != nil {
		return err
	}
	s.addLocked(f.use.size - size)
	f.use.size = size
	return nil
}

func noSpaceError(op OpKind, name string) error {
	return &fs.PathError{Op: op.String(), Path: name, Err: syscall.ENOSPC}
}
