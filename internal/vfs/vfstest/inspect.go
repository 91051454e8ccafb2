package vfstest

import (
	"bytes"
	"hash/maphash"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// The methods below are for tests. Their changes are not recorded, as if they had always been there: call them before
// Record.

// ReadFile returns a copy of the content of a file.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		return nil, pathError(OpRead, name, err)
	}
	return bytes.Clone(n.data), nil
}

// WriteFile makes data the content of a file, which it creates if it must.
func (m *Mem) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		dir, base, err := m.parentLocked(name)
		if err != nil {
			return pathError(OpWrite, name, err)
		}
		n = m.newInodeLocked(false)
		dir.entries[base] = n
	}
	n.content = content{data: bytes.Clone(data), owned: true}
	return nil
}

// Corrupt flips the bits of mask in one byte of a file.
func (m *Mem) Corrupt(name string, off int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err == nil && (off < 0 || off >= int64(len(n.data)) || mask == 0) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	n.write([]byte{n.data[off] ^ mask}, off)
	return nil
}

// Diff returns the sorted paths of the files and directories that are in one of the two only, or differ. It is empty if
// not one byte differs.
func (m *Mem) Diff(other *Mem) []string {
	differ := make(map[string]bool)
	diff(m.tree(), other.tree(), "", differ)
	return slices.Sorted(maps.Keys(differ))
}

// diff compares two inodes, either of which may be nil, that have the same path.
func diff(a, b *inode, name string, differ map[string]bool) {
	if a == nil || b == nil || a.isDir() != b.isDir() || !bytes.Equal(a.data, b.data) {
		differ[name] = true
	}
	if a != nil {
		for base, child := range a.entries {
			diff(child, b.child(base), path.Join(name, base), differ)
		}
	}
	if b != nil {
		for base, child := range b.entries {
			if a.child(base) == nil {
				diff(nil, child, path.Join(name, base), differ)
			}
		}
	}
}

// child returns the inode of an entry, nil if n is nil or has no such entry.

func (n *inode) child(base string) *inode {
	if n == nil {
		return nil
	}
	return n.entries[base]
}

// hash returns a hash of all names and contents.
func (m *Mem) hash() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.root.hashTree("")
}

// hashTree adds up one hash for each name below n, which spares sorting them.
func (n *inode) hashTree(name string) uint64 {
	if !n.isDir() {
		return maphash.Comparable(hashSeed, pathSum{name, n.hash()})
	}
	sum := maphash.String(hashSeed, name)
	for base, child := range n.entries {
		sum += child.hashTree(name + "/" + base)
	}
	return sum
}

type pathSum struct {
	path string
	sum  uint64
}
