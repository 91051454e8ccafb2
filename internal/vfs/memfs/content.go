package memfs

import (
	"io"
	"sync"
	"sync/atomic"
)

// content is the bytes of a file: those of flat, and then those of the chunks. A file that grows gets chunks, so that no byte
// is copied a second time; the first mapping makes one piece of them.
type content struct {
	refs atomic.Int64 // names and open files: with the last goes the memory

	mu struct {
		sync.RWMutex
		// +checklocks:RWMutex
		size int64
		// flat is what was mapped. It is never extended, so mappings never overlap bytes that come later.
		// +checklocks:RWMutex
		flat []byte
		// mapped are all pieces that flat has been: who maps one has the file open.
		// +checklocks:RWMutex
		mapped [][]byte
		// chunks have chunkSize bytes each; nil is one of zeros. They reach as far as size does, or to the end of its chunk, and
		// behind size there are zeros.
		// +checklocks:RWMutex
		chunks [][]byte
	}
}

// chunkSize is what a small file costs, and how much a large one grows at a time: the largest size that Go allocates from
// lists which it keeps for each processor.
const chunkSize = 32 << 10

// maxSize bounds a file, so that its chunks can be counted.
const maxSize = 1 << 40

func (c *content) length() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.size
}

// readAt is io.ReaderAt without the checks.
func (c *content) readAt(p []byte, off int64) (n int, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if off >= c.mu.size {
		return 0, io.EOF
	}
	if left := c.mu.size - off; int64(len(p)) > left {
		p, err = p[:left], io.EOF
	}
	for n < len(p) {
		n += c.readPartLocked(p[n:], off+int64(n))
	}
	return n, err
}

// readPartLocked copies the first part of what p is to hold, as far as it lies in one piece, from within the file.
//
// +checklocksread:c.mu.RWMutex
func (c *content) readPartLocked(p []byte, off int64) int {
	flat := int64(len(c.mu.flat))
	if off < flat {
		return copy(p, c.mu.flat[off:])
	}
	i, at := (off-flat)/chunkSize, (off-flat)%chunkSize
	if chunk := c.mu.chunks[i]; chunk != nil {
		return copy(p, chunk[at:])
	}
	p = p[:min(int64(len(p)), chunkSize-at)]
	clear(p)
	return len(p)
}

// writeAt puts p, which is not empty, from off on.
func (c *content) writeAt(p []byte, off int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growLocked(off + int64(len(p)))
	flat := int64(len(c.mu.flat))
	if off < flat {
		n := copy(c.mu.flat[off:], p)
		p, off = p[n:], off+int64(n)
	}
	for len(p) > 0 {
		i, at := (off-flat)/chunkSize, (off-flat)%chunkSize
		if c.mu.chunks[i] == nil {
			c.mu.chunks[i] = make([]byte, chunkSize)
		}
		n := copy(c.mu.chunks[i][at:], p)
		p, off = p[n:], off+int64(n)
	}
}

// growLocked makes the file as long as size, with zeros, unless it is.
//
// +checklocks:c.mu.RWMutex
func (c *content) growLocked(size int64) {
	if size <= c.mu.size {
		return
	}
	c.mu.size = size
	n := c.chunksFor(size - int64(len(c.mu.flat)))
	for len(c.mu.chunks) < n {
		c.mu.chunks = append(c.mu.chunks, nil)
	}
}

// chunksFor returns how many chunks hold so many bytes.
func (*content) chunksFor(size int64) int { return int((max(size, 0) + chunkSize - 1) / chunkSize) }

// truncate makes the file as long as size.
func (c *content) truncate(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size >= c.mu.size {
		c.growLocked(size)
		return
	}
	c.mu.size = size
	if size < int64(len(c.mu.flat)) {
		c.mu.flat = c.mu.flat[:size:size]
	}
	rest := size - int64(len(c.mu.flat))
	n := c.chunksFor(rest)
	clear(c.mu.chunks[n:])
	c.mu.chunks = c.mu.chunks[:n]
	if n > 0 && c.mu.chunks[n-1] != nil {
		clear(c.mu.chunks[n-1][rest-int64(n-1)*chunkSize:])
	}
}

// flatten makes one piece of the file and returns it, nil if the file is empty.
func (c *content) flatten() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.size == 0 {
		return nil
	}
	if len(c.mu.chunks) > 0 {
		flat := allocate(int(c.mu.size))
		c.mu.mapped = append(c.mu.mapped, flat)
		n := copy(flat, c.mu.flat)
		for _, chunk := range c.mu.chunks {
			if chunk != nil {
				copy(flat[n:], chunk)
			}
			n += chunkSize
		}
		c.mu.flat, c.mu.chunks = flat, nil
	}
	return c.mu.flat[:len(c.mu.flat):len(c.mu.flat)]
}

// release takes a name or an open file away.
func (c *content) release() {
	if c.refs.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, mem := range c.mu.mapped {
		free(mem)
	}
	c.mu.size, c.mu.flat, c.mu.mapped, c.mu.chunks = 0, nil, nil, nil
}
