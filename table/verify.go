package table

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// Verify reads the whole table and checks all of it: every record and its checksum, whether it was verified before or not;
// the order of the keys; that each row is found by its hash, and no other slot exists; and that the properties are those
// of the entries. It returns a *corrupt.Error for the first thing that is wrong, or ctx's error if that ends first.
func (t *Reader) Verify(ctx context.Context) error {
	v := verifier{t: t, sum: newSummary(t.base.time)}
	return t.guard(func() error {
		for i := range t.index.blocks() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := v.block(i); err != nil {
				return err
			}
		}
		if err := v.pages(ctx); err != nil {
			return err
		}
		return v.sections()
	})
}

// verifier checks one table, in one goroutine.
type verifier struct {
	t       *Reader
	sum     *summary
	lastKey []byte
	scratch scratch // without a cache: what it holds says nothing of the file
}

// block checks a block's record and, with the reader of package batch, which shares no code with ours, its rows.
func (v *verifier) block(i int) error {
	const what = "data block"
	t := v.t
	_, off, _, end := t.index.place(i)
	raw, err := t.read(section{off, end - off}, &v.scratch.raw)
	if err != nil {
		return err
	}
	data, err := t.decodeBlock(i, raw, &v.scratch.block)
	if err != nil {
		return err
	}
	record, err := t.record(raw, off, what)
	if err != nil {
		return err
	}
	rows, _, err := batch.Decode(data)
	if err != nil {
		return t.corrupt(off, what, err)
	}
	at := firstRow
	for it := rows.Records(); it.Next(); {
		offset := at
		var r row
		if at = t.base.decodeRow(&r, data, at); at == 0 {
			return t.badRow(i)
		}
		var e kv.Entry
		r.entry(&e, data)
		if err := v.entry(i, t.placeOf(i, offset), &e); err != nil {
			return err
		}
		if !bytes.Equal(it.Record.Key, e.Key) || it.Record.Delete != (e.Kind == kv.Delete) {
			return t.badRow(i)
		}
		if e.Kind == kv.Delete {
			it.Next() // its sequence
		}
	}
	if !bytes.Equal(record.Key, v.lastKey) {
		return t.corrupt(off, what, errMismatch)
	}
	return nil
}

// placeOf returns the place of a row in a slot.
func (t *Reader) placeOf(block, offset int) uint64 {
	if t.compression != wal.CompressionNone {
		return uint64(block)<<placeOffsetBits | uint64(offset)
	}
	_, off, head, _ := t.index.place(block)
	return uint64(off+head) + uint64(offset)
}

// entry checks an entry against its neighbours and its slot.
func (v *verifier) entry(block int, place uint64, e *kv.Entry) error {
	_, off, _, _ := v.t.index.place(block)
	if !v.t.index.holds(block, e.Key) || v.sum.Entries > 0 && bytes.Compare(v.lastKey, e.Key) >= 0 {
		return v.t.corrupt(off, "data block", ErrOrder)
	}
	v.sum.add(e)
	v.lastKey = append(v.lastKey[:0], e.Key...)
	if v.t.pageCount == 0 {
		return nil
	}
	h := xxhash.Sum64(e.Key)
	page := slotPage(h, v.t.pageCount)
	slots, err := v.t.page(page, &v.scratch)
	if err != nil {
		return err
	}
	if !hasSlot(slots, slotStart(h), makeSlot(h, place)) {
		return v.t.corrupt(v.t.foot.hash.off+int64(page)*pageSize, "hash page", errMismatch)
	}
	return nil
}

// hasSlot reports whether a search finds the slot.
func hasSlot(slots []byte, start int, want uint64) bool {
	for range pageSlots {
		switch binary.LittleEndian.Uint64(slots[start*slotSize:]) {
		case want:
			return true
		case 0:
			return false
		}
		if start++; start == pageSlots {
			start = 0
		}
	}
	return false
}

// pages checks the hash pages themselves and that there are no more slots than entries.
func (v *verifier) pages(ctx context.Context) error {
	t := v.t
	var used uint64
	for i := range t.pageCount {
		if err := ctx.Err(); err != nil {
			return err
		}
		slots, err := t.checkPage(i, &v.scratch.page)
		if err != nil {
			return err
		}
		for ; len(slots) > 0; slots = slots[slotSize:] {
			if binary.LittleEndian.Uint64(slots) != 0 {
				used++
			}
		}
	}
	if t.pageCount > 0 && used != v.sum.Entries {
		return t.corrupt(t.foot.hash.off, "hash pages", errMismatch)
	}
	return nil
}

// sections checks what Open has read, once more as it is in the file, and what it has not.
func (v *verifier) sections() error {
	t := v.t
	again := &Reader{name: t.name, file: t.file, mem: t.mem, size: t.size}
	if err := again.readHeader(t.id); err != nil {
		return err
	}
	if err := again.readSections(); err != nil {
		return err
	}
	if gap := (section{again.foot.index.end(), again.foot.hash.off - again.foot.index.end()}); gap.size > 0 {
		b, err := t.control(gap, typePadding, "padding", &v.scratch.raw)
		if err != nil {
			return err
		}
		if len(bytes.Trim(b[1:], "\x00")) > 0 {
			return t.corrupt(gap.off, "padding", errMalformed)
		}
	}
	for _, d := range again.properties.RangeDeletes {
		v.sum.addRangeDelete(d)
	}
	want := v.sum.finish(v.lastKey).append(nil, t.base)
	if !bytes.Equal(want, again.properties.append(nil, t.base)) {
		return t.corrupt(t.foot.properties.off, "properties", errMismatch)
	}
	return nil
}
