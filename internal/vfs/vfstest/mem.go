package vfstest

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Mem is a file system in memory. A file lives as long as a name or an open handle refers to it. With Record it writes
// down every operation that changes something, from which Crashes builds the states that a power cut may leave. Paths are
// cleaned and rooted; there are no symbolic links. Methods may be called from any goroutine.
type Mem struct {
	mu struct {
		sync.RWMutex
		// +checklocks:RWMutex
		root *inode
		// +checklocks:RWMutex
		nextID int
		// +checklocks:RWMutex
		locked map[*inode]bool
		// +checklocks:RWMutex
		rec *recording // nil while nothing is recorded
	}
}

// inode is a file or a directory of a Mem, guarded by the Mem's mutex.
type inode struct {
	id      int               // unique in the Mem and in all that was cloned or built from it
	entries map[string]*inode // nil in a file
	content
}

// rootID is the inode of every Mem's root.
const rootID = 1

func (n *inode) isDir() bool { return n.entries != nil }

// NewMem returns an empty file system that records nothing.
func NewMem() *Mem {
	return newMem(&inode{id: rootID, entries: map[string]*inode{}}, rootID+1)
}

// newMem returns a file system with a root. The ids of its inodes are below nextID.
func newMem(root *inode, nextID int) *Mem {
	m := new(Mem)
	m.mu.root, m.mu.nextID, m.mu.locked = root, nextID, map[*inode]bool{}
	return m
}

// newInodeLocked returns an inode of no name yet.
//
// +checklocks:m.mu.RWMutex
func (m *Mem) newInodeLocked(dir bool) *inode {
	n := &inode{id: m.mu.nextID}
	m.mu.nextID++
	if dir {
		n.entries = map[string]*inode{}
	}
	return n
}

// +checklocksread:m.mu.RWMutex
func (m *Mem) lookupLocked(name string) (*inode, error) {
	if name == "" {
		return nil, fs.ErrNotExist
	}
	n := m.mu.root
	for part := range strings.SplitSeq(path.Clean("/" + name)[1:], "/") {
		if part == "" { // the root
			break
		}
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[part]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// parentLocked returns the directory of a name and the name's last part.
//
// +checklocksread:m.mu.RWMutex
func (m *Mem) parentLocked(name string) (dir *inode, base string, err error) {
	dirName, base := path.Split(path.Clean("/" + name))
	if name == "" || base == "" {
		return nil, "", fs.ErrInvalid
	}
	if dir, err = m.lookupLocked(dirName); err != nil {
		return nil, "", err
	}
	if !dir.isDir() {
		return nil, "", syscall.ENOTDIR
	}
	return dir, base, nil
}

// pathError wraps err, if there is one.
func pathError(op OpKind, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op.String(), Path: name, Err: err}
}

func (m *Mem) Create(name string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.createLocked(name)
	if err != nil {
		return nil, pathError(OpCreate, name, err)
	}
	return &memFile{m: m, n: n, name: name}, nil
}

// +checklocks:m.mu.RWMutex
func (m *Mem) createLocked(name string) (*inode, error) {
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, err
	}
	if dir.entries[base] != nil {
		return nil, fs.ErrExist
	}
	n := m.newInodeLocked(false)
	dir.entries[base] = n
	m.recordLocked(op{kind: OpCreate, ino: dir.id, entry: base, child: n.id, path: name})
	return n, nil
}

func (m *Mem) Open(name string) (vfs.File, error)      { return m.open(name, true) }
func (m *Mem) OpenWrite(name string) (vfs.File, error) { return m.open(name, false) }

func (m *Mem) open(name string, readOnly bool) (vfs.File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookupLocked(name)
	if err == nil && n.isDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError(OpOpen, name, err)
	}
	return &memFile{m: m, n: n, name: name, readOnly: readOnly}, nil
}

func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pathError(OpRemove, name, m.removeLocked(name))
}

// +checklocks:m.mu.RWMutex
func (m *Mem) removeLocked(name string) error {
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	if n == nil {
		return fs.ErrNotExist
	}
	if len(n.entries) > 0 {
		return syscall.ENOTEMPTY
	}
	delete(dir.entries, base)
	m.recordLocked(op{kind: OpRemove, ino: dir.id, entry: base, path: name})
	return nil
}

// Rename moves a file, or a directory to a name that is free.
func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pathError(OpRename, oldname, m.renameLocked(oldname, newname))
}

// +checklocks:m.mu.RWMutex
func (m *Mem) renameLocked(oldname, newname string) error {
	from, fromBase, err := m.parentLocked(oldname)
	if err != nil {
		return err
	}
	to, toBase, err := m.parentLocked(newname)
	if err != nil {
		return err
	}
	n, target := from.entries[fromBase], to.entries[toBase]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case n == target: // two names of one file: POSIX leaves both
		return nil
	case target != nil && target.isDir():
		return fs.ErrExist
	case target != nil && n.isDir():
		return syscall.ENOTDIR
	case n.isDir() && strings.HasPrefix(path.Clean("/"+newname), path.Clean("/"+oldname)+"/"):
		return fs.ErrInvalid
	}
	delete(from.entries, fromBase)
	to.entries[toBase] = n
	m.recordLocked(op{
		kind: OpRename, ino: to.id, entry: toBase, child: n.id, from: from.id, fromEntry: fromBase,
		path: oldname + " to " + newname,
	})
	return nil
}

func (m *Mem) Link(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pathError(OpLink, oldname, m.linkLocked(oldname, newname))
}

// +checklocks:m.mu.RWMutex
func (m *Mem) linkLocked(oldname, newname string) error {
	n, err := m.lookupLocked(oldname)
	if err != nil {
		return err
	}
	if n.isDir() {
		return fs.ErrPermission
	}
	dir, base, err := m.parentLocked(newname)
	if err != nil {
		return err
	}
	if dir.entries[base] != nil {
		return fs.ErrExist
	}
	dir.entries[base] = n
	m.recordLocked(op{kind: OpLink, ino: dir.id, entry: base, child: n.id, path: oldname + " to " + newname})
	return nil
}

func (m *Mem) MkdirAll(name string) error {
	if name == "" {
		return pathError(OpMkdir, name, fs.ErrNotExist)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, done := m.mu.root, ""
	for _, part := range strings.Split(path.Clean("/" + name)[1:], "/") {
		if part == "" { // the root
			break
		}
		done = path.Join(done, part)
		next := dir.entries[part]
		if next == nil {
			next = m.newInodeLocked(true)
			dir.entries[part] = next
			m.recordLocked(op{kind: OpMkdir, ino: dir.id, entry: part, child: next.id, path: done})
		}
		if !next.isDir() {
			return pathError(OpMkdir, name, syscall.ENOTDIR)
		}
		dir = next
	}
	return nil
}

func (m *Mem) ReadDir(name string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookupLocked(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError(OpReadDir, name, err)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

func (m *Mem) Size(name string) (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		return 0, pathError(OpSize, name, err)
	}
	return int64(len(n.data)), nil
}

func (m *Mem) SyncDir(name string) error { return m.syncDir(OpSyncDir, name) }

func (m *Mem) syncDir(kind OpKind, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError(OpSyncDir, name, err)
	}
	m.recordLocked(op{kind: kind, ino: n.id, path: name})
	return nil
}

// Abs returns the name: the root that it is relative to does not move.
func (m *Mem) Abs(name string) (string, error) { return name, nil }

// Lock takes a lock that is known to this Mem alone: a state that a crash left, and a clone, are not locked.
func (m *Mem) Lock(name string) (vfs.Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		n, err = m.createLocked(name)
	}
	if err == nil && n.isDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, pathError(OpLock, name, err)
	}
	if m.mu.locked[n] {
		return nil, &vfs.LockedError{Name: name, PID: os.Getpid()}
	}
	m.mu.locked[n] = true
	return &memLock{m: m, name: name, n: n}, nil
}

type memLock struct {
	m    *Mem
	name string
	n    *inode // nil once closed; guarded by m.mu
}

func (l *memLock) Check() error {
	l.m.mu.RLock()
	defer l.m.mu.RUnlock()
	if n, err := l.m.lookupLocked(l.name); err == nil && n == l.n {
		return nil
	}
	return pathError(OpCheck, l.name, vfs.ErrMoved)
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.mu.locked, l.n)
	l.n = nil
	return nil
}
