package memfs

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

// FS is a file system in memory. Paths are cleaned and rooted.
type FS struct {
	mu struct {
		sync.RWMutex
		// +checklocks:RWMutex
		root *node
		// +checklocks:RWMutex
		locked map[*node]bool
	}
}

// node is a directory, or a file. The lock of the FS guards entries; content has a lock of its own.
type node struct {
	entries map[string]*node // nil in a file
	content content
}

func newDir() *node { return &node{entries: map[string]*node{}} }

func (n *node) isDir() bool { return n.entries != nil }

// New returns an empty file system.
func New() *FS {
	m := new(FS)
	m.mu.root, m.mu.locked = newDir(), map[*node]bool{}
	return m
}

// +checklocksread:m.mu.RWMutex
func (m *FS) lookupLocked(name string) (*node, error) {
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

// dirLocked is lookupLocked for a directory.
//
// +checklocksread:m.mu.RWMutex
func (m *FS) dirLocked(name string) (*node, error) {
	n, err := m.lookupLocked(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	return n, err
}

// fileLocked is lookupLocked for a file.
//
// +checklocksread:m.mu.RWMutex
func (m *FS) fileLocked(name string) (*node, error) {
	n, err := m.lookupLocked(name)
	if err == nil && n.isDir() {
		err = syscall.EISDIR
	}
	return n, err
}

// parentLocked returns the directory of a name and the name's last part.
//
// +checklocksread:m.mu.RWMutex
func (m *FS) parentLocked(name string) (dir *node, base string, err error) {
	dirName, base := path.Split(path.Clean("/" + name))
	if name == "" || base == "" {
		return nil, "", fs.ErrInvalid
	}
	dir, err = m.dirLocked(dirName)
	return dir, base, err
}

// pathError wraps err, if there is one.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Create implements vfs.FS.
func (m *FS) Create(name string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.createLocked(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	return n.content.open(name, false), nil
}

// +checklocks:m.mu.RWMutex
func (m *FS) createLocked(name string) (*node, error) {
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, err
	}
	if dir.entries[base] != nil {
		return nil, fs.ErrExist
	}
	n := new(node)
	n.content.refs.Store(1)
	dir.entries[base] = n
	return n, nil
}

// Open implements vfs.FS.
func (m *FS) Open(name string) (vfs.File, error) { return m.open(name, true) }

// OpenWrite implements vfs.FS.
func (m *FS) OpenWrite(name string) (vfs.File, error) { return m.open(name, false) }

func (m *FS) open(name string, readOnly bool) (vfs.File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.fileLocked(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return n.content.open(name, readOnly), nil
}

// Remove implements vfs.FS.
func (m *FS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n := dir.entries[base]
	switch {
	case n == nil:
		return pathError("remove", name, fs.ErrNotExist)
	case len(n.entries) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	delete(dir.entries, base)
	n.content.release()
	return nil
}

// Rename implements vfs.FS. A directory may only get a name that is free.
func (m *FS) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pathError("rename", oldname, m.renameLocked(oldname, newname))
}

// +checklocks:m.mu.RWMutex
func (m *FS) renameLocked(oldname, newname string) error {
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
	if target != nil {
		target.content.release()
	}
	delete(from.entries, fromBase)
	to.entries[toBase] = n
	return nil
}

// Link implements vfs.FS.
func (m *FS) Link(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pathError("link", oldname, m.linkLocked(oldname, newname))
}

// +checklocks:m.mu.RWMutex
func (m *FS) linkLocked(oldname, newname string) error {
	n, err := m.fileLocked(oldname)
	if err != nil {
		return err
	}
	dir, base, err := m.parentLocked(newname)
	if err != nil {
		return err
	}
	if dir.entries[base] != nil {
		return fs.ErrExist
	}
	n.content.refs.Add(1)
	dir.entries[base] = n
	return nil
}

// MkdirAll implements vfs.FS.
func (m *FS) MkdirAll(name string) error {
	if name == "" {
		return pathError("mkdir", name, fs.ErrNotExist)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.mu.root
	for part := range strings.SplitSeq(path.Clean("/" + name)[1:], "/") {
		if part == "" { // the root
			break
		}
		next := dir.entries[part]
		if next == nil {
			next = newDir()
			dir.entries[part] = next
		}
		if !next.isDir() {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		dir = next
	}
	return nil
}

// ReadDir implements vfs.FS.
func (m *FS) ReadDir(name string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.dirLocked(name)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Size implements vfs.FS.
func (m *FS) Size(name string) (int64, error) {
	m.mu.RLock()
	n, err := m.lookupLocked(name)
	m.mu.RUnlock()
	if err != nil {
		return 0, pathError("stat", name, err)
	}
	return n.content.length(), nil
}

// SyncDir implements vfs.FS, and does nothing.
func (m *FS) SyncDir(name string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, err := m.dirLocked(name)
	return pathError("sync", name, err)
}

// Abs returns the name: the root that it is relative to does not move.
func (m *FS) Abs(name string) (string, error) { return name, nil }

// Lock implements vfs.FS.
func (m *FS) Lock(name string) (vfs.Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.fileLocked(name)
	if n == nil {
		n, err = m.createLocked(name)
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	if m.mu.locked[n] {
		return nil, &vfs.LockedError{Name: name, PID: os.Getpid()}
	}
	m.mu.locked[n] = true
	return &lock{m: m, name: name, n: n}, nil
}

// lock is a lock that was taken.
type lock struct {
	m    *FS
	name string
	n    *node // nil once closed; guarded by the lock of the FS
}

// Check implements vfs.Lock.
func (l *lock) Check() error {
	l.m.mu.RLock()
	defer l.m.mu.RUnlock()
	if n, err := l.m.lookupLocked(l.name); err == nil && n == l.n {
		return nil
	}
	return pathError("check", l.name, vfs.ErrMoved)
}

// Close implements vfs.Lock.
func (l *lock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.mu.locked, l.n)
	l.n = nil
	return nil
}
