package table

import (
	"sort"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
)

// firstRow is where in a batch the first row is.
const firstRow = batch.HeaderSize

// Iterator walks the entries of one table; it is a kv.Iterator. Once its memory has grown to the size of the blocks, no
// method allocates, except to fill the cache.
//
// Entry's slices alias the mapping, the cache or the Iterator. They are valid until the next positioning call, and not
// after the table is closed. To read them is to read mapped memory: do it under vfs.Guard, around a whole operation. The
// Iterator's own reading is guarded. A fault, like any other failure, ends the iteration and is reported by Err; First,
// Last and the seeks start afresh.
//
// It decodes a whole block when it enters it. That costs a seek about as much again as finding its row takes, and makes
// every step in either direction the setting of one entry, with no access to the block and so nothing to guard.
type Iterator struct {
	t       *Reader
	scratch scratch
	number  int    // of the block that rows are of; -1 if there are none
	block   []byte // its batch
	rows    []row
	at      int // the row it stands on; -1 if nowhere
	entry   kv.Entry
	err     error
}

var _ kv.Iterator = (*Iterator)(nil)

// NewIterator returns an iterator over the table.
func (t *Reader) NewIterator() *Iterator {
	it := new(Iterator)
	it.Reset(t)
	return it
}

// NewScanner returns an iterator for reading a table once and whole, as a compaction does. It leaves the cache alone.
func (t *Reader) NewScanner() *Iterator {
	it := t.NewIterator()
	it.scratch.cache = nil
	return it
}

// Reset makes it a new iterator over t that keeps its memory. It may be used on a zero Iterator and after Close.
func (it *Iterator) Reset(t *Reader) {
	it.drop()
	it.t, it.err = t, nil
	it.scratch.cache = t.cache
}

// Close lets go of the table. Only Reset may follow.
func (it *Iterator) Close() error {
	it.drop()
	it.t, it.scratch.cache = nil, nil
	return nil
}

func (it *Iterator) drop() {
	it.block, it.rows, it.number, it.at = nil, it.rows[:0], -1, -1
	it.entry = kv.Entry{}
}

// Entry returns the entry that the last positioning call found. The caller may not change it.
func (it *Iterator) Entry() *kv.Entry { return &it.entry }

// Err returns what ended the iteration early, nil if nothing did.
func (it *Iterator) Err() error { return it.err }

// First moves to the entry with the smallest key.
func (it *Iterator) First() bool { return it.enter(0) && it.stand(0) }

// Last moves to the entry with the largest key.
func (it *Iterator) Last() bool { return it.enter(it.t.index.blocks()-1) && it.stand(len(it.rows)-1) }

// Next moves to the entry after the one it stands on.
func (it *Iterator) Next() bool {
	switch {
	case it.at < 0:
		return false
	case it.at+1 < len(it.rows):
		return it.stand(it.at + 1)
	}
	return it.enter(it.number+1) && it.stand(0)
}

// Prev moves to the entry before the one it stands on.
func (it *Iterator) Prev() bool {
	switch {
	case it.at < 0:
		return false
	case it.at > 0:
		return it.stand(it.at - 1)
	}
	return it.enter(it.number-1) && it.stand(len(it.rows)-1)
}

// SeekGE moves to the first entry with a key >= key.
func (it *Iterator) SeekGE(key []byte) bool {
	if !it.enter(it.t.index.find(key)) {
		return false
	}
	i, ok := it.search(key)
	if !ok {
		return false
	}
	if i < len(it.rows) {
		return it.stand(i)
	}
	return it.enter(it.number+1) && it.stand(0)
}

// SeekLT moves to the last entry with a key < key.
func (it *Iterator) SeekLT(key []byte) bool {
	if !it.enter(it.t.index.find(key)) {
		return false
	}
	i, ok := it.search(key)
	if !ok {
		return false
	}
	if i > 0 {
		return it.stand(i - 1)
	}
	return it.enter(it.number-1) && it.stand(len(it.rows)-1)
}

// stand moves to a row of the block.
func (it *Iterator) stand(i int) bool {
	it.at = i
	it.rows[i].entry(&it.entry, it.block)
	return true
}

// search returns the first row of the block whose key is >= key. It fails if the mapping does.
func (it *Iterator) search(key []byte) (i int, ok bool) {
	fault := vfs.Guard(func() {
		i = sort.Search(len(it.rows), func(i int) bool { return kv.Compare(it.rows[i].keyIn(it.block), key) >= 0 })
	})
	if fault != nil {
		it.drop()
		it.err = it.t.fault(fault)
		return 0, false
	}
	return i, true
}

// enter makes block i the one that it has the rows of, unless there is no such block or it cannot be had. It leaves the
// iterator standing nowhere.
func (it *Iterator) enter(i int) bool {
	it.at, it.err = -1, nil
	if i < 0 || i >= it.t.index.blocks() {
		return false
	}
	if i == it.number {
		return true
	}
	it.drop()
	if fault := vfs.Guard(func() { it.err = it.decode(i) }); fault != nil {
		it.err = it.t.fault(fault)
	}
	if it.err != nil {
		it.drop()
		return false
	}
	it.number = i
	return true
}

// decode fills rows with those of block i.
func (it *Iterator) decode(i int) error {
	block, err := it.t.block(i, &it.scratch)
	if err != nil {
		return err
	}
	for at := firstRow; at < len(block); {
		var r row
		if at = it.t.base.decodeRow(&r, block, at); at == 0 {
			return it.t.badRow(i)
		}
		it.rows = append(it.rows, r)
	}
	if len(it.rows) == 0 {
		return it.t.badRow(i)
	}
	it.block = block
	return nil
}
