//go:build purego

package memtable

import "sync/atomic"

const memories = 2 // that a chunk takes

// newChunk returns n zero bytes, n a multiple of unit, and words for the same offsets. A node's first word lives in the
// words and is never read as bytes, so that nobody can tell the two from one memory.
func newChunk(n int) chunk {
	return chunk{data: make([]byte, n), words: make([]atomic.Uint32, n/4)}
}
