package table

import (
	"encoding/binary"

	"github.com/ebbdb/ebb/internal/prefetch"
)

// copy makes block memory for a copy of it, if it is mapped and not large: see fill. A walk that comes from the block before has
// asked for the lines to come. Otherwise all lines of the block's first half are looked at, so that the processor fetches those
// that are in no near cache at once, and not one after the other, as each row says where the next is.
func (it *Iterator) copy(i int) {
	if it.copies == nil || len(it.block) > copySize || !it.t.maps(i) {
		return
	}
	n := len(it.block)
	it.source, it.copied = it.block[:n:n], it.copies.take()
	it.block = it.copied[:n:n]
	_, off, head, _ := it.t.index.place(i)
	it.place = int(off + head)
	if i == it.came {
		it.asked = it.place + n
	}
	if it.asked > it.place && it.asked <= it.place+n+nearSize {
		return
	}
	near := n
	if prefetch.On {
		near = min(n, nearSize)
	}
	const line = 64
	touched, step := byte(0), line
	if it.like.end >= largeRow {
		step = it.like.end
	}
	for at := 0; at < near; at += step {
		touched ^= it.source[at]
	}
	it.touched = touched // keeps the loads alive
	if step > line {
		it.asked = 0
		return
	}
	it.asked = it.place + near
	it.ask(min(n, near+nearSize/2))
}

// Aim finds the block that a seek begins in.
func (it *Iterator) Aim(key []byte, _ bool) {
	if prefetch.On {
		it.aimed = it.t.index.find(key)
	}
}

// Fetch asks for what copy is going to look at.
func (it *Iterator) Fetch() {
	i := it.aimed
	if i < 0 || i >= it.t.index.blocks() || !it.t.maps(i) {
		return
	}
	_, off, head, end := it.t.index.place(i)
	rows := it.t.mem[off+head : end]
	if it.like.end < largeRow {
		prefetch.Lines(rows[:min(len(rows), nearSize)])
		return
	}
	const key = 40 // bytes, with what comes before it
	for at := 0; at < min(len(rows), copySize); at += it.like.end {
		prefetch.Lines(rows[at:min(len(rows), at+key)])
	}
}

const (
	// stepRows is how many rows are asked for, copied and decoded at a time. A processor drops what it is asked for while some
	// twenty lines are under way.
	stepRows = 8
	// stepSize is about what these rows take in a full block.
	stepSize = 1 << 10
	// nearSize is how far ahead of the rows that are decoded the processor is asked for lines: decoding so much takes as long as
	// the memory.
	nearSize = 2 << 10
	// largeRow is the size from which on only where rows begin is looked at to find one.
	largeRow = 512
)

// askBefore readies the block before to be asked for while the rows of this one are decoded, if a walk in reverse wants it.
func (it *Iterator) askBefore() {
	i := it.number - 1
	if !prefetch.On || it.copied == nil || i < 0 || !it.t.maps(i) {
		return
	}
	rows := int(it.t.properties.Entries) / it.t.index.blocks() // of a block, about
	if _, off, head, end := it.t.index.place(i); it.wanted > rows && end-off-head <= copySize+recordCRCSize {
		it.before, it.came = it.t.mem[off+head:end], i
	}
}

// askSome asks for the next n bytes of the block before.
func (it *Iterator) askSome(n int) {
	n = min(n, len(it.before))
	prefetch.Lines(it.before[:n])
	it.before = it.before[n:]
}

// ask asks the processor for the lines of the blocks up to an offset of the source, or behind it.
func (it *Iterator) ask(to int) {
	if to = min(it.place+to, int(it.t.foot.index.off)); to > it.asked {
		prefetch.Lines(it.t.mem[max(it.asked, it.place+it.end):to])
		it.asked = to
	}
}

// fill copies about n rows that follow those that are decoded, and the whole of the first, and asks for those behind them if so
// many are wanted.
func (it *Iterator) fill(n, wanted int) {
	rest := it.source[it.end:]
	const lengthSize = 4
	row := len(rest)
	if row >= lengthSize {
		row = int(min(uint64(row), lengthSize+uint64(binary.BigEndian.Uint32(rest))))
	}
	switch {
	case !prefetch.On:
	case len(it.before) > 0:
		it.askSome(row * n)
	case wanted >= len(it.source): // all of the block, and none of the next
		it.ask(min(it.end+row*n+nearSize, len(it.source)))
	case wanted > n:
		it.ask(it.end + min(row*wanted, row*n+nearSize))
	}
	const longer = 4 // rows of values of one size differ by the bytes of their sequences
	if to := min(it.end+(row+longer)*n, len(it.source)); to > it.filled {
		copy(it.block[it.filled:to], it.source[it.filled:])
		it.filled = to
	}
}
