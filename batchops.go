package ebb

import (
	"encoding/binary"

	"github.com/ebbdb/ebb/internal/kv"
)

// batchOp is one operation of a batch.
type batchOp struct {
	key, value []byte
	kind       kv.Kind
	ttl        WriteOption // of a put; the zero option if it has no deadline
}

// batchOps are the operations of a batch, one after the other in chunks that never move: a batch of any size is copied into
// them once, and takes little more memory than its keys and values. The zero value is empty.
//
// An operation is a byte that holds its kind and that of its ttl, the uvarint lengths of key and value, key and value, and
// the ttl's eight bytes if it has one. None spans two chunks.
type batchOps struct {
	chunks [][]byte
	last   int // of chunks, that has operations; those behind it are empty
	count  int
}

const (
	firstOpChunk = 512
	maxOpChunk   = 1 << 20

	opDelete   = 1 << 7 // the rest of the byte is the kind of the ttl
	maxOpExtra = 1 + 2*binary.MaxVarintLen32 + 8
)

// add copies an operation behind the others.
func (l *batchOps) add(o *batchOp) {
	c := l.room(maxOpExtra + len(o.key) + len(o.value))
	head := byte(o.ttl.kind)
	if o.kind == kv.Delete {
		head |= opDelete
	}
	b := append(*c, head)
	b = binary.AppendUvarint(b, uint64(len(o.key)))
	b = binary.AppendUvarint(b, uint64(len(o.value)))
	b = append(append(b, o.key...), o.value...)
	if o.ttl.kind != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(o.ttl.value))
	}
	*c = b
	l.count++
}

// room returns a chunk that has room for n bytes.
func (l *batchOps) room(n int) *[]byte {
	size := firstOpChunk
	for ; l.last < len(l.chunks); l.last++ {
		c := &l.chunks[l.last]
		if cap(*c)-len(*c) >= n {
			return c
		}
		size = min(2*cap(*c), maxOpChunk)
	}
	l.chunks = append(l.chunks, make([]byte, 0, max(size, n)))
	return &l.chunks[l.last]
}

// reset empties them and keeps their memory.
func (l *batchOps) reset() {
	for i := range l.chunks {
		l.chunks[i] = l.chunks[i][:0]
	}
	l.last, l.count = 0, 0
}

// encodedSize bounds the size of a batch of the log that holds them: each has four bytes for the length of its record there,
// one for the byte here, a deadline of ten bytes for the eight or of one for none, and a longer length of the value.
func (l *batchOps) encodedSize() int {
	n := 6 * l.count
	for _, c := range l.chunks {
		n += len(c)
	}
	return n
}

// memory returns how many bytes they keep.
func (l *batchOps) memory() (n int) {
	for _, c := range l.chunks {
		n += cap(c)
	}
	return n
}

// all yields the operations, in the order in which they were added. Their slices are those of the chunks.
func (l *batchOps) all(yield func(*batchOp) bool) {
	var o batchOp
	for _, c := range l.chunks {
		for len(c) > 0 {
			head := c[0]
			o.kind, o.ttl = kv.Put, WriteOption{kind: optionKind(head &^ opDelete)}
			if head&opDelete != 0 {
				o.kind = kv.Delete
			}
			c = c[1:]
			key, n := binary.Uvarint(c)
			c = c[n:]
			value, n := binary.Uvarint(c)
			c = c[n:]
			o.key, o.value, c = c[:key], c[key:key+value], c[key+value:]
			if o.ttl.kind != 0 {
				o.ttl.value = int64(binary.LittleEndian.Uint64(c))
				c = c[8:]
			}
			if !yield(&o) {
				return
			}
		}
	}
}
