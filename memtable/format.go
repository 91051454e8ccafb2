package memtable

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/prefetch"
)

const (
	// MaxKeySize is the longest key in bytes; the shortest has one byte.
	MaxKeySize = 64 << 10
	// MaxValueSize is the longest value in bytes.
	MaxValueSize = 1 << 30
)

// A key is a node, which holds its first version too: a key that was written once is one stretch of memory, and reading
// it touches one or two cache lines. Every later version is a stretch of its own:
//
//	node                            version
//	 0 latest  u32, atomic           0 older  u32
//	 4 size    u32                   4 size   u32
//	 8 seq     u64                   8 seq    u64; its top bit says that there are links
//	16 keyLen  u16: length - 1      16 links [16], if seq says so: see links.go
//	18 key                           . deadline, value as in the node
//	 . deadline i64, if size says so
//	 . value
//
// latest and older are offsets of a version; 0 is the first one, the node's. The chain runs from the newest to the
// oldest: latest, its older, ..., the node. size is the value's length, or noValue for a tombstone; its top bit says
// that there is a deadline. It is memory only, so nothing here is a promise to a file.
const (
	olderAt    = 0
	sizeAt     = 4
	seqAt      = 8
	headerSize = 16 // of a version, and where a node's keyLen is
	keyAt      = headerSize + 2

	hasDeadline  = 1 << 31
	noValue      = 1<<31 - 1
	deadlineSize = 8
)

// content is the part of a version that Set is given.
type content struct {
	value    []byte
	seq      uint64
	deadline int64
	kind     kv.Kind
}

// len returns the bytes that deadline and value take.
func (c *content) len() int {
	n := len(c.value)
	if c.deadline != 0 {
		n += deadlineSize
	}
	return n
}

// put writes the header to b and deadline and value to tail.
func (c *content) put(b, tail []byte) {
	size := uint32(len(c.value))
	if c.kind == kv.Delete {
		size = noValue
	}
	if c.deadline != 0 {
		size |= hasDeadline
		binary.LittleEndian.PutUint64(tail, uint64(c.deadline))
		tail = tail[deadlineSize:]
	}
	binary.LittleEndian.PutUint32(b[sizeAt:], size)
	binary.LittleEndian.PutUint64(b[seqAt:], c.seq)
	copy(tail, c.value)
}

// addNode writes a key with its first version.
func (a *arena) addNode(key []byte, c *content) (uint32, error) {
	offset, b, err := a.alloc(keyAt + len(key) + c.len())
	if err != nil {
		return 0, err
	}
	binary.LittleEndian.PutUint16(b[headerSize:], uint16(len(key)-1))
	copy(b[keyAt:], key)
	c.put(b, b[keyAt+len(key):])
	return offset, nil
}

// addVersion writes a newer version of a node's key and publishes it.
func (a *arena) addVersion(node uint32, c *content) error {
	latest := a.latest(node)
	older := latest.Load()
	links, linked := a.nextLinks(older)
	header := headerSize
	if linked {
		header += linksSize
	}
	offset, b, err := a.alloc(header + c.len())
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b[olderAt:], older)
	c.put(b, b[header:])
	if linked {
		links.put(b)
	}
	latest.Store(offset)
	return nil
}

// latest returns the word that names the newest version of a node's key.
func (a *arena) latest(node uint32) *atomic.Uint32 { return a.word(node) }

// key returns a node's key.
func (a *arena) key(node uint32) []byte {
	b := a.bytes(node)
	end := keyAt + int(binary.LittleEndian.Uint16(b[headerSize:])) + 1
	return b[keyAt:end:end]
}

// visible returns the newest version with a sequence <= seq of a node's key: 0 for the node's own.
func (a *arena) visible(node uint32, seq uint64) (version uint32, ok bool) {
	if binary.LittleEndian.Uint64(a.bytes(node)[seqAt:]) > seq {
		return 0, false // the oldest is too new
	}
	for version = a.latest(node).Load(); version != 0; {
		b := a.bytes(version)
		if binary.LittleEndian.Uint64(b[seqAt:])&^hasLinks <= seq {
			break
		}
		version = a.older(b, seq)
	}
	return version, true
}

// entry reads one version of a node's key. The slices alias the arena.
func (a *arena) entry(e *kv.Entry, node, version uint32) {
	b := a.bytes(node)
	end := keyAt + int(binary.LittleEndian.Uint16(b[headerSize:])) + 1
	e.Key = b[keyAt:end:end]
	tail := b[end:]
	if version != 0 {
		b = a.bytes(version)
		tail = b[headerSize:]
		if binary.LittleEndian.Uint64(b[seqAt:])&hasLinks != 0 {
			tail = b[headerSize+linksSize:]
		}
	}
	e.Seq = binary.LittleEndian.Uint64(b[seqAt:]) &^ hasLinks
	size := binary.LittleEndian.Uint32(b[sizeAt:])
	e.Deadline = 0
	if size&hasDeadline != 0 {
		e.Deadline = int64(binary.LittleEndian.Uint64(tail))
		tail = tail[deadlineSize:]
		size &^= hasDeadline
	}
	if size == noValue {
		e.Kind, e.Value = kv.Delete, nil
		return
	}
	e.Kind, e.Value = kv.Put, tail[:size:size]
}

// touch reads a byte of each of the first three cache lines of a node, as far as it reaches.
func (a *arena) touch(node uint32) byte {
	b := a.bytes(node)
	last := keyAt + int(binary.LittleEndian.Uint16(b[headerSize:]))
	if size := binary.LittleEndian.Uint32(b[sizeAt:]) &^ hasDeadline; size != noValue {
		last += int(size)
	}
	return b[min(last, 64)] ^ b[min(last, 128)]
}

// fetch asks the processor for the first bytes of a node.
func (a *arena) fetch(node uint32, n int) {
	b := a.bytes(node)
	prefetch.Lines(b[:min(len(b), n)])
}
