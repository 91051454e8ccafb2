package table

import (
	"encoding/binary"
	"math/bits"

	"github.com/ebbdb/ebb/internal/kv"
)

// row is one decoded row: where its parts are in the bytes it was read from, here called the block. Offsets take the place
// of slices because an iterator keeps a row for every entry of a block, and without pointers they are smaller and of no
// interest to the collector.
type row struct {
	key, keyEnd     uint32
	value, valueEnd uint32 // value is 0 for a tombstone
	seq             uint64
	deadline        int64
}

func (r *row) keyIn(block []byte) []byte { return block[r.key:r.keyEnd:r.keyEnd] }

// entry sets e to the entry of the row. Its slices alias the block.
func (r *row) entry(e *kv.Entry, block []byte) {
	e.Key = block[r.key:r.keyEnd:r.keyEnd]
	e.Seq, e.Deadline = r.seq, r.deadline
	if r.value == 0 {
		e.Kind, e.Value = kv.Delete, nil
		return
	}
	e.Kind, e.Value = kv.Put, block[r.value:r.valueEnd:r.valueEnd]
}

// appendRowPrefix appends the part of a row before the value.
func (b *base) appendRowPrefix(dst []byte, e *kv.Entry) []byte {
	dst = binary.AppendUvarint(dst, e.Seq-b.seq)
	if e.Kind == kv.Delete {
		return dst
	}
	return binary.AppendUvarint(dst, b.deadlineCode(e.Deadline))
}

// deadlineCode never wraps: deadlines and base times are not negative, so their difference is not the least int64.
func (b *base) deadlineCode(deadline int64) uint64 {
	if deadline == 0 {
		return 0
	}
	diff := deadline - b.time
	return (uint64(diff)<<1 ^ uint64(diff>>63)) + 1
}

func (b *base) deadline(code uint64) int64 {
	if code == 0 {
		return 0
	}
	code--
	return b.time + (int64(code>>1) ^ -int64(code&1))
}

// decodeRow sets r to the row at an offset of a block and returns the offset of the next row, or 0 if there is no
// well-formed row. The records of a batch are package batch's to define; a point read gets here without having seen the
// batch's header, which is what that package's reader begins with. A test holds the two readers together.
func (b *base) decodeRow(r *row, block []byte, at int) (next int) {
	value, end := r.split(block, at)
	if end == 0 || r.key == r.keyEnd {
		return 0
	}
	if value == 0 {
		return b.decodeTombstone(r, block, end)
	}
	if value == end {
		return 0
	}
	src := block[value:end]
	seq, n := uint64(src[0]), 1
	if seq >= 0x80 {
		seq, n = binary.Uvarint(src)
	}
	if n <= 0 || n >= len(src) {
		return 0
	}
	code, m := uint64(src[n]), 1
	if code >= 0x80 {
		code, m = binary.Uvarint(src[n:])
	}
	if m <= 0 {
		return 0
	}
	r.value, r.valueEnd = uint32(value+n+m), uint32(end)
	r.seq, r.deadline = b.seq+seq, b.deadline(code)
	return end
}

// decodeEntry is decodeRow into an entry, whose slices alias the block. What most rows are like, a key of fewer than 128 bytes, a
// value of fewer than 16 KiB and a sequence within 2^35 of the table's base, is decoded without a loop, from eight bytes where
// the record begins and eight where its value does.
func (b *base) decodeEntry(e *kv.Entry, block []byte, at int) (next int) {
	const lengthSize = 4
	if at > len(block)-word {
		return b.decodeOddEntry(e, block, at)
	}
	head := binary.BigEndian.Uint64(block[at:])
	length, size := uint(head>>32), uint(head>>24)&0xff
	end, key := uint(at)+lengthSize+length, uint(at)+lengthSize+1
	keyEnd := key + size
	if length > uint(len(block)) || end > uint(len(block)) || size-1 >= 0x7f || keyEnd+word > uint(len(block)) {
		return b.decodeOddEntry(e, block, at)
	}
	w := binary.LittleEndian.Uint64(block[keyEnd:])
	value, rest := keyEnd+1, uint(w&0x7f) // where what follows the value's length is, and how long that is
	if w&0x80 != 0 {
		if w&0x8000 != 0 {
			return b.decodeOddEntry(e, block, at)
		}
		value, rest, w = keyEnd+2, rest|uint(w>>8&0x7f)<<7, w>>8
	}
	w >>= 8
	n := uint(bits.TrailingZeros64(^w&0x8080808080)+1) / 8 // bytes of the sequence
	if n > 5 || value+rest != end || n >= rest {
		return b.decodeOddEntry(e, block, at)
	}
	x := w & (1<<(8*n) - 1)
	seq := x&0x7f | x>>1&(0x7f<<7) | x>>2&(0x7f<<14) | x>>3&(0x7f<<21) | x>>4&(0x7f<<28)
	value += n
	e.Deadline = 0
	if code := w >> (8 * n) & 0xff; code == 0 {
		value++
	} else {
		code, m := binary.Uvarint(block[value:end])
		if m <= 0 {
			return 0
		}
		e.Deadline = b.deadline(code)
		value += uint(m)
	}
	e.Key, e.Value, e.Seq, e.Kind = block[key:keyEnd:keyEnd], block[value:end:end], b.seq+seq, kv.Put
	return int(end)
}

// decodeRows appends the entries of up to n rows that begin at an offset of a block, and returns the offset of the row that
// follows. It ends before a row that is not well-formed.
func (b *base) decodeRows(dst []kv.Entry, like *likely, block []byte, at, n int) (entries []kv.Entry, next int) {
	i, end := len(dst), len(dst)+n
	for i < end && at < len(block) {
		if i == cap(dst) {
			dst = append(dst[:i], kv.Entry{})
		}
		dst = dst[:cap(dst)]
		alike := 0
		if like.wait == 0 && like.end > 0 {
			alike, at = b.decodeAlike(dst[i:min(len(dst), end)], &like.shape, block, at)
			if i += alike; i == end || i == len(dst) || at == len(block) {
				continue
			}
		}
		next := b.decodeEntry(&dst[i], block, at)
		if next == 0 {
			break
		}
		like.look(alike, &dst[i], block, at, next)
		at, i = next, i+1
	}
	return dst[:i], at
}

// shape is how rows are laid out that differ in their bytes alone, and in how many their sequences take: puts without a deadline
// that have keys of one length and values of one length. No row has the zero shape.
type shape struct {
	head   uint64 // the first five bytes, which are the row's length and the key's, if the sequence took no bytes
	word   uint64 // what the value's length would be then,
	mask   uint64 // of the eight bytes behind the key
	shift  uint   // how many bits it takes
	keyEnd int    // where, from where the row begins, the key ends,
	value  int    // the value would begin,
	end    int    // and the row would end
}

// likely is the shape that the next row is likely to have: that of a row before, of this block or of another. The zero likely
// knows none.
type likely struct {
	shape
	wait int // so many rows are decoded before their shape is looked at: the last ones were not alike
}

const (
	shapeHead = 24 // by which the first eight bytes are shifted to leave five
	word      = 8
	mostSeq   = 5 // bytes of a sequence
	// To learn a shape takes as long as to decode two rows, and is worth it where some more have it.
	worthShape = 3
	shapeWait  = 16
)

// look takes over the shape of a row that is not alike, unless shapes change too often: before it were so many rows that were.
func (k *likely) look(alike int, e *kv.Entry, block []byte, at, next int) {
	switch {
	case k.wait > 1:
		k.wait--
	case k.wait == 0 && k.end > 0 && alike < worthShape || !k.set(e, block, at, next):
		k.wait = shapeWait
	default:
		k.wait = 0
	}
}

// set makes s the shape of a row that decodeEntry has decoded, or returns false if it has none. The next row begins at next.
func (s *shape) set(e *kv.Entry, block []byte, at, next int) bool {
	const lengthSize, codeSize = 4, 1
	n := shape{keyEnd: lengthSize + 1 + len(e.Key), shift: 8}
	if e.Kind != kv.Put || e.Deadline != 0 || len(e.Key) >= 0x80 || at+n.keyEnd+word > len(block) {
		return false
	}
	w := binary.LittleEndian.Uint64(block[at+n.keyEnd:])
	if w&0x80 != 0 {
		n.shift = 16
	}
	n.mask = 1<<n.shift - 1
	n.value = n.keyEnd + int(n.shift)/8 + codeSize
	n.end = n.value + len(e.Value)
	seq := next - at - n.end // bytes of the sequence, if no number is longer than it has to be
	rest := len(e.Value) + codeSize
	if seq < 1 || seq > mostSeq || rest&0x7f+mostSeq > 0x7f { // a longer sequence changes the length's first byte alone
		return false
	}
	n.head = binary.BigEndian.Uint64(block[at:])>>shapeHead - uint64(seq)<<8
	n.word = w&n.mask - uint64(seq)
	*s = n
	return true
}

// decodeAlike decodes rows from an offset of a block on, as many as dst has room for, as long as they have a shape. It returns
// how many, and the offset of the row that follows.
func (b *base) decodeAlike(dst []kv.Entry, s *shape, block []byte, at int) (n, next int) {
	keyEnd, last := s.keyEnd, len(block)-s.keyEnd-word
	for n < len(dst) && at <= last {
		w, head := binary.LittleEndian.Uint64(block[at+keyEnd:]), binary.BigEndian.Uint64(block[at:])>>shapeHead
		y := w >> (s.shift & 63)
		size := uint(bits.TrailingZeros64(^y&0x8080808080|1<<47)+1) / 8 // bytes of the sequence
		end := s.end + int(size)
		if head != s.head+uint64(size)<<8 || w&s.mask != s.word+uint64(size) || y>>(8*size&63)&0xff != 0 ||
			size > mostSeq || end > len(block)-at {
			break
		}
		e, row := &dst[n], block[at:at+end:at+end]
		x := y & (1<<(8*size&63) - 1)
		seq := x&0x7f | x>>1&(0x7f<<7) | x>>2&(0x7f<<14)
		if size > 3 {
			seq |= x>>3&(0x7f<<21) | x>>4&(0x7f<<28)
		}
		e.Key, e.Value = row[5:keyEnd:keyEnd], row[s.value+int(size):]
		e.Seq, e.Deadline, e.Kind = b.seq+seq, 0, kv.Put
		at, n = at+end, n+1
	}
	return n, at
}

// skipRows returns the offset of the first row, from an offset of a block on, with a key >= key, or the end of the block, and
// how many rows come before that; the offset of row i of them is in last[i%len(last)] if it is one of the last, and last is not
// nil. The offset is negative if it finds a row before that not to be well-formed. Of most rows it looks at no more than the key.
func (b *base) skipRows(block []byte, at int, key []byte, last *[firstAhead]int) (offset, rows int) {
	const lengthSize = 4
	for at < len(block) {
		if rest := block[at:]; len(rest) > lengthSize {
			length, size := uint(binary.BigEndian.Uint32(rest)), uint(rest[lengthSize])
			rest = rest[lengthSize:]
			// a put with a short key; a delete, which is two records, has no more than the key
			if size != 0 && size < 0x80 && length <= uint(len(rest)) && size+1 < length {
				if kv.Compare(rest[1:1+size], key) >= 0 {
					return at, rows
				}
				if last != nil {
					last[rows%firstAhead] = at
				}
				at, rows = at+lengthSize+int(length), rows+1
				continue
			}
		}
		var r row
		next := b.decodeRow(&r, block, at)
		if next == 0 {
			return -1, rows
		}
		if kv.Compare(r.keyIn(block), key) >= 0 {
			return at, rows
		}
		if last != nil {
			last[rows%firstAhead] = at
		}
		at, rows = next, rows+1
	}
	return at, rows
}

// decodeOddEntry is decodeEntry for any row.
func (b *base) decodeOddEntry(e *kv.Entry, block []byte, at int) (next int) {
	var r row
	if next = b.decodeRow(&r, block, at); next != 0 {
		r.entry(e, block)
	}
	return next
}

// decodeTombstone completes r with the row after a tombstone's.
func (b *base) decodeTombstone(r *row, block []byte, at int) (next int) {
	var after row
	value, end := after.split(block, at)
	if value == 0 || after.key != after.keyEnd {
		return 0
	}
	seq, n := binary.Uvarint(block[value:end])
	if n <= 0 || value+n != end {
		return 0
	}
	r.value, r.valueEnd = 0, 0
	r.seq, r.deadline = b.seq+seq, 0
	return end
}

// split sets the key of r to that of the batch record at an offset of block, and returns where the value begins, which is
// 0 in a delete, and where it and the record end, which is 0 if the record is malformed. Lengths below 128 are read
// without a call: that takes 10 ns off the 26 of a row.
func (r *row) split(block []byte, at int) (value, end int) {
	const lengthSize = 4
	if at > len(block)-lengthSize {
		return 0, 0
	}
	length := binary.BigEndian.Uint32(block[at:])
	at += lengthSize
	if length == 0 || uint64(length) > uint64(len(block)-at) {
		return 0, 0
	}
	end = at + int(length)
	body := block[at:end]
	size, n := uint64(body[0]), 1
	if size >= 0x80 {
		size, n = binary.Uvarint(body)
	}
	if n <= 0 || size > uint64(len(body)-n) {
		return 0, 0
	}
	keyEnd := n + int(size)
	r.key, r.keyEnd = uint32(at+n), uint32(at+keyEnd)
	if keyEnd == len(body) {
		return 0, end
	}
	size, n = uint64(body[keyEnd]), 1
	if size >= 0x80 {
		size, n = binary.Uvarint(body[keyEnd:])
	}
	if n <= 0 || size != uint64(len(body)-keyEnd-n) {
		return 0, 0
	}
	return at + keyEnd + n, end
}
