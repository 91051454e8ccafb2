package vfstest

import (
	"bytes"
	"fmt"
)

// recording is the state of a Mem when recording began, and the operations since.
type recording struct {
	base *inode // a clone of the root
	ops  []op
}

// op is one recorded operation. An operation on names is an operation on the entries of one directory, a rename on those
// of the directory it moves to.
type op struct {
	kind  OpKind
	ino   int    // the inode whose data or entries it changes or syncs
	entry string // of a name operation: the entry of ino that it sets or removes
	child int    // the inode that entry gets

	from      int    // of a rename: the directory that loses the child,
	fromEntry string // and the entry it loses

	off  int64  // of a write; of a truncate, the new length
	data []byte // of a write
	path string // for people
}

func (o *op) isData() bool { return o.kind == OpWrite || o.kind == OpTruncate }
func (o *op) isName() bool { return o.child != 0 || o.kind == OpRemove }

// Record starts recording, anew if it was on already. The present state counts as durable.
func (m *Mem) Record() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.rec = &recording{base: m.mu.root.clone(map[*inode]*inode{})}
}

// +checklocks:m.mu.RWMutex
func (m *Mem) recordLocked(o op) {
	if m.mu.rec != nil {
		m.mu.rec.ops = append(m.mu.rec.ops, o)
	}
}

// +checklocks:m.mu.RWMutex
func (m *Mem) recordWriteLocked(f *memFile, p []byte, off int64) {
	if m.mu.rec != nil {
		m.recordLocked(op{kind: OpWrite, ino: f.n.id, off: off, data: bytes.Clone(p), path: f.name})
	}
}

// OpCount returns how many operations have been recorded.
func (m *Mem) OpCount() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.rec == nil {
		return 0
	}
	return len(m.mu.rec.ops)
}

// OpString describes operation i of the recording, for messages. It panics if there is no such operation.
func (m *Mem) OpString(i int) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return opString(m.mu.rec.ops, i)
}

func opString(ops []op, i int) string {
	o := &ops[i]
	switch o.kind {
	case OpWrite:
		return fmt.Sprintf("#%d write %s [%d,%d)", i, o.path, o.off, o.off+int64(len(o.data)))
	case OpTruncate:
		return fmt.Sprintf("#%d truncate %s to %d", i, o.path, o.off)
	}
	return fmt.Sprintf("#%d %s %s", i, o.kind, o.path)
}

// clone copies a tree, sharing the bytes of its files. done holds what was cloned already, so that a file of two names
// stays one file.
func (n *inode) clone(done map[*inode]*inode) *inode {
	if c := done[n]; c != nil {
		return c
	}
	c := &inode{id: n.id, content: n.share()}
	done[n] = c
	if n.isDir() {
		c.entries = make(map[string]*inode, len(n.entries))
		for name, child := range n.entries {
			c.entries[name] = child.clone(done)
		}
	}
	return c
}

// Clone returns an independent copy that records nothing and is not locked.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return newMem(m.mu.root.clone(map[*inode]*inode{}), m.mu.nextID)
}

// tree returns a copy of the root and all below it.
func (m *Mem) tree() *inode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.root.clone(map[*inode]*inode{})
}
