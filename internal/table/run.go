package table

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Run returns the entries at hand: see kv.Runner. They are the rows that are decoded and, if those are not enough, more of the
// block or, forward, of the blocks that follow. An entry is kept if its block was copied.
func (it *Iterator) Run(want int, reverse bool) (run []kv.Entry, kept bool) {
	switch {
	case it.at < 0:
		return nil, false
	case reverse:
		it.wanted = want - it.at - 1
		if it.wanted > 0 && it.start > firstRow && len(it.behind) == 0 {
			it.back()
		}
		return it.rows[max(0, it.at+1-want) : it.at+1], it.copied != nil
	}
	it.wanted = 0
	if more := want - (len(it.rows) - it.at); more > 0 {
		// The step that comes to a row that is bad, or not to be had, finds that again, and says so.
		_ = vfs.Guard(func() { _ = it.extend(len(it.rows) + more) })
	}
	return it.rows[it.at:min(len(it.rows), it.at+want)], it.copied != nil
}

// mostBehind is how many blocks rows are of at most, beside the last one. Their copies are held until a step leads out of them.
const mostBehind = 8

// extend decodes rows of the block, and of those that follow as long as they are copied, until there are n rows.
func (it *Iterator) extend(n int) error {
	for {
		if err := it.decode(n - len(it.rows)); err != nil || len(it.rows) >= n {
			return err
		}
		i := it.number + 1
		if it.copied == nil || len(it.behind) == mostBehind || i == it.t.index.blocks() || !it.t.maps(i) {
			return nil
		}
		block, err := it.t.block(i, &it.scratch)
		if err != nil || len(block) > copySize {
			return err
		}
		it.behind = append(it.behind, it.copied)
		it.number, it.block, it.end, it.filled, it.before = i, block, firstRow, firstRow, nil
		it.copy(i)
	}
}

// Pass moves by n entries within the last run.
func (it *Iterator) Pass(n int, reverse bool) {
	if reverse {
		n = -n
	}
	it.at += n
}

// back decodes the rows of the block before those that are decoded. It does nothing if one is bad, or not to be had: the step
// that comes to it finds that again, and says so.
func (it *Iterator) back() {
	n, whole := len(it.rows), false
	fault := vfs.Guard(func() {
		if it.copied != nil {
			copy(it.block[firstRow:it.start], it.source[firstRow:it.start])
		}
		it.askBefore()
		for end, before := firstRow, -1; before != end; {
			it.askSome(stepSize)
			before = end
			it.rows, end = it.t.base.decodeRows(it.rows, &it.like, it.block[:it.start], end, stepRows)
			whole = end == it.start
		}
	})
	if it.copied == nil {
		it.mapped = cap(it.rows)
	}
	if fault != nil || !whole {
		it.rows = it.rows[:n]
		return
	}
	rotate(it.rows, n)
	it.start, it.at = firstRow, it.at+len(it.rows)-n
}

// rotate moves the first n of rows behind the others. Most often they are few.
func rotate(rows []kv.Entry, n int) {
	var few [firstAhead]kv.Entry
	if n <= len(few) {
		copy(few[:], rows[:n])
		copy(rows, rows[n:])
		copy(rows[len(rows)-n:], few[:n])
		return
	}
	slices.Reverse(rows[:n])
	slices.Reverse(rows[n:])
	slices.Reverse(rows)
}
