//go:build !purego

package memtable

import (
	"sync/atomic"
	"unsafe"
)

const memories = 1 // that a chunk takes

// newChunk returns n zero bytes, n a multiple of unit, as bytes and as words of the same memory. Made of words, it is
// aligned for them. This is the package's only use of unsafe; chunk_safe.go does without, at twice the memory.
func newChunk(n int) chunk {
	words := make([]atomic.Uint32, n/4)
	return chunk{data: unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n), words: words}
}
