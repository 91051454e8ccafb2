package table

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// AppendGet looks key up and reports whether the table has an entry for it, be it a tombstone or expired. If so, it
// appends the value to dst and sets e, whose Value is what was appended and whose Key is nil: the caller has it. It
// returns dst, which may have moved. Neither aliases the table, and key is not kept. Nothing is allocated if dst has room,
// unless a block has to be loaded into the cache. If nothing was found, dst is as it was and e means nothing.
func (t *Reader) AppendGet(dst, key []byte, e *kv.Entry) (_ []byte, found bool, err error) {
	start := len(dst)
	fault := vfs.Guard(func() {
		s := t.scratch()
		if found, err = t.lookup(key, e, s); found {
			dst = append(dst, e.Value...)
		}
		s.release()
	})
	if fault != nil {
		return dst[:start], false, t.fault(fault)
	}
	e.Key, e.Value, e.Unread = nil, dst[start:len(dst):len(dst)], 0
	return dst, found, err
}

// Stat is AppendGet without the value: e.Value is nil, and e.Unread the size of the value.
func (t *Reader) Stat(key []byte, e *kv.Entry) (found bool, err error) {
	fault := vfs.Guard(func() {
		s := t.scratch()
		found, err = t.lookup(key, e, s)
		s.release()
	})
	if fault != nil {
		return false, t.fault(fault)
	}
	e.Key, e.Value, e.Unread = nil, nil, uint32(len(e.Value))
	return found, err
}

// lookup sets e to the entry of key, if there is one. Its slices alias the block.
func (t *Reader) lookup(key []byte, e *kv.Entry, s *scratch) (bool, error) {
	var r row
	block, err := t.find(key, &r, s)
	if err != nil || block == nil {
		return false, err
	}
	r.entry(e, block)
	return true, nil
}

// find sets r to the row of key and returns its block, or nil if the table has no entry for key.
func (t *Reader) find(key []byte, r *row, s *scratch) ([]byte, error) {
	if t.pageCount == 0 {
		return t.findByIndex(key, r, s)
	}
	h := xxhash.Sum64(key)
	slots, err := t.page(slotPage(h, t.pageCount), s)
	if err != nil {
		return nil, err
	}
	tag, i := slotTag(h), slotStart(h)
	for range pageSlots {
		slot := binary.LittleEndian.Uint64(slots[i*slotSize:])
		if slot == 0 {
			return nil, nil
		}
		if slot>>placeBits == tag {
			block, err := t.row(slot, r, s)
			if err != nil || bytes.Equal(r.keyIn(block), key) {
				return block, err
			}
		}
		if i++; i == pageSlots {
			i = 0
		}
	}
	return nil, nil
}

// row sets r to the row that a slot points to and returns the bytes its offsets count in.
func (t *Reader) row(slot uint64, r *row, s *scratch) ([]byte, error) {
	place := int64(slot & placeMask)
	if t.rows == nil {
		return t.rowInBlock(place, r, s)
	}
	if place < headerSize || place >= int64(len(t.rows)) {
		return nil, t.badSlot()
	}
	if err := t.chunk(place); err != nil {
		return nil, err
	}
	rows := t.rows[place:]
	if t.base.decodeRow(r, rows, 0) == 0 {
		return nil, t.corrupt(place, "row of a data block", errMalformed)
	}
	return rows, nil
}

// rowInBlock is row for the table that is not mapped or has compressed blocks.
func (t *Reader) rowInBlock(place int64, r *row, s *scratch) ([]byte, error) {
	i, at := int(place>>placeOffsetBits), place&placeOffsetMask
	if t.compression == wal.CompressionNone {
		if place < headerSize || place >= t.foot.index.off {
			return nil, t.badSlot()
		}
		i = t.index.at(place)
		_, off, head, _ := t.index.place(i)
		at = place - off - head
	}
	if i >= t.index.blocks() || at < firstRow {
		return nil, t.badSlot()
	}
	block, err := t.block(i, s)
	if err != nil {
		return nil, err
	}
	if t.base.decodeRow(r, block, int(at)) == 0 {
		return nil, t.badRow(i)
	}
	return block, nil
}

func (t *Reader) badSlot() error {
	return t.corrupt(t.foot.hash.off, "slot of a hash page", errMalformed)
}

func (t *Reader) badRow(i int) error {
	_, off, _, _ := t.index.place(i)
	return t.corrupt(off, "row of a data block", errMalformed)
}

// findByIndex is find for the table whose keys cannot be hashed apart.
func (t *Reader) findByIndex(key []byte, r *row, s *scratch) ([]byte, error) {
	if t.index.blocks() == 0 {
		return nil, nil
	}
	i := t.index.find(key)
	block, err := t.block(i, s)
	if err != nil {
		return nil, err
	}
	for at := firstRow; at < len(block); {
		if at = t.base.decodeRow(r, block, at); at == 0 {
			return nil, t.badRow(i)
		}
		if c := kv.Compare(r.keyIn(block), key); c >= 0 {
			if c == 0 {
				return block, nil
			}
			return nil, nil
		}
	}
	return nil, nil
}
