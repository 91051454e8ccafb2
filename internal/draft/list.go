package draft

import (
	"encoding/binary"
)

// List holds operations in their order, one after the other in chunks. Chunks never move: each operation is copied once, and
// a list of any size takes little more memory than its keys and values. The zero List is empty. It is for one goroutine.
//
// An operation is one byte with its kind and with what else it has, the uvarint lengths of key and value, the key, the value,
// and an Option each for its life and its condition if it has them: a byte with the kind, and eight bytes. The value of a
// range delete is its end. No operation spans two chunks.
type List struct {
	chunks [][]byte
	last   int // index of the chunk that Add writes to; the chunks behind it are empty
	count  int
	traits Traits
}

// Traits is what there is among the operations of a list.
type Traits struct {
	Ranges  bool // range deletes
	Endless bool // range deletes without end
	Looks   bool // operations that depend on what their keys have, or that have a condition
}

// Traits returns what there is among the operations.
func (l *List) Traits() Traits { return l.traits }

// note notes what an operation is.
func (t *Traits) note(o *Op) {
	switch {
	case o.Kind == DeleteRange:
		t.Ranges, t.Endless = true, t.Endless || o.End == nil
	case o.looks():
		t.Looks = true
	}
}

const (
	firstChunk = 512
	maxChunk   = 1 << 20

	kindMask     = 1<<2 - 1
	hasLife      = 1 << 2
	hasCondition = 1 << 3
	hasNoEnd     = 1 << 4

	optionSize = 1 + 8
	maxExtra   = 1 + 2*binary.MaxVarintLen32 + 2*optionSize
)

// Add copies an operation behind the others.
func (l *List) Add(o *Op) {
	c := l.room(maxExtra + len(o.Key) + len(o.Value) + len(o.End))
	head, value := byte(o.Kind), o.Value
	if o.Kind == DeleteRange {
		if value = o.End; value == nil {
			head |= hasNoEnd
		}
	}
	if o.Life.Kind != 0 {
		head |= hasLife
	}
	if o.Condition.Kind != 0 {
		head |= hasCondition
	}
	b := append(*c, head)
	b = binary.AppendUvarint(b, uint64(len(o.Key)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = append(append(b, o.Key...), value...)
	if o.Life.Kind != 0 {
		b = o.Life.append(b)
	}
	if o.Condition.Kind != 0 {
		b = o.Condition.append(b)
	}
	*c = b
	l.count++
	l.traits.note(o)
}

func (o Option) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(append(b, o.Kind), uint64(o.Value))
}

// room returns the first chunk from last on that has room for n bytes, and makes it last.
func (l *List) room(n int) *[]byte {
	size := firstChunk
	for ; l.last < len(l.chunks); l.last++ {
		c := &l.chunks[l.last]
		if cap(*c)-len(*c) >= n {
			return c
		}
		size = min(2*cap(*c), maxChunk)
	}
	l.chunks = append(l.chunks, make([]byte, 0, max(size, n)))
	return &l.chunks[l.last]
}

// Append copies the operations of a list, which may be l itself, behind those of l.
func (l *List) Append(other *List) {
	n := other.count
	for o := range other.All {
		if n == 0 {
			return // what follows was appended here
		}
		l.Add(o)
		n--
	}
}

// Reset removes all operations and keeps the chunks.
func (l *List) Reset() {
	for i := range l.chunks {
		l.chunks[i] = l.chunks[i][:0]
	}
	l.last, l.count, l.traits = 0, 0, Traits{}
}

// Len returns the number of operations.
func (l *List) Len() int { return l.count }

// EncodedSize bounds the size of a log entry with puts, deletes and range deletes that have an end. Per operation the entry
// has four bytes more for the length of its record, up to ten bytes of deadline for nine of a life, or one for none, and a
// longer length of the value. For other operations it is an estimate.
func (l *List) EncodedSize() int {
	n := 6 * l.count
	for _, c := range l.chunks {
		n += len(c)
	}
	return n
}

// Memory returns how many bytes the chunks take.
func (l *List) Memory() (n int) {
	for _, c := range l.chunks {
		n += cap(c)
	}
	return n
}

// All yields the operations in their order. Their slices point into the list, and the Op is valid until the next. Operations
// that are added meanwhile are yielded or not.
func (l *List) All(yield func(*Op) bool) {
	var o Op
	for _, c := range l.chunks {
		for len(c) > 0 {
			c = o.read(c)
			if !yield(&o) {
				return
			}
		}
	}
}

// read makes o the operation that a chunk begins with, and returns the rest of the chunk.
func (o *Op) read(c []byte) []byte {
	head := c[0]
	*o = Op{Kind: Kind(head & kindMask)}
	n, size := binary.Uvarint(c[1:])
	c = c[1+size:]
	m, size := binary.Uvarint(c)
	c = c[size:]
	value := c[n : n+m : n+m]
	o.Key, c = c[:n:n], c[n+m:]
	switch {
	case o.Kind != DeleteRange:
		o.Value = value
	case head&hasNoEnd == 0:
		o.End = value
	}
	if head&hasLife != 0 {
		c = o.Life.read(c)
	}
	if head&hasCondition != 0 {
		c = o.Condition.read(c)
	}
	return c
}

func (o *Option) read(c []byte) []byte {
	o.Kind, o.Value = c[0], int64(binary.LittleEndian.Uint64(c[1:]))
	return c[optionSize:]
}
