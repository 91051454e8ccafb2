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

// verifyStep is about how many bytes one Step of a Verifier checks: a fraction of a millisecond's work.
const verifyStep = 128 << 10

// Verify reads the whole table and checks all of it: every record and its checksum, whether it was verified before or not;
// the order of the keys; that each row is found by its hash, and no other slot exists; and that the properties are those
// of the entries. It returns a *corrupt.Error for the first thing that is wrong, or ctx's error if that ends first.
func (t *Reader) Verify(ctx context.Context) error {
	v := t.NewVerifier()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if more, err = v.Step(); err != nil {
			return err
		}
	}
	return nil
}

// Verifier does the work of Verify in steps, between which the table may be closed: then there is no next one. It is for one
// goroutine.
type Verifier struct {
	t           *Reader
	block, page int // the next to be checked
	used        uint64
	sum         *summary
	lastKey     []byte
	scratch     scratch // without a cache: a cached block would say nothing of the file
}

// NewVerifier returns a Verifier that has checked nothing.
func (t *Reader) NewVerifier() *Verifier { return &Verifier{t: t, sum: newSummary(t.base.time)} }

// Step checks the next 128 KiB of the table, or one record if that is longer, and at the end, at once, what Open reads. It
// is false after that and after a failure, which is final.
func (v *Verifier) Step() (more bool, err error) {
	err = v.t.guard(func() error {
		for size := int64(0); size < verifyStep; {
			switch {
			case v.block < v.t.index.blocks():
				_, start, _, end := v.t.index.place(v.block)
				size += end - start
				if err := v.checkBlock(); err != nil {
					return err
				}
			case v.page < v.t.pageCount:
				size += pageSize
				if err := v.checkPage(); err != nil {
					return err
				}
			default:
				return v.sections()
			}
		}
		more = true
		return nil
	})
	return more && err == nil, err
}

// checkBlock checks the next block's record and, with the reader of package batch, which shares no code with ours, its rows.
func (v *Verifier) checkBlock() error {
	const what = "data block"
	t, i := v.t, v.block
	v.block++
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
func (v *Verifier) entry(block int, place uint64, e *kv.Entry) error {
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

// checkPage checks the next hash page itself, and after the last that there are no more slots than entries.
func (v *Verifier) checkPage() error {
	t := v.t
	slots, err := t.checkPage(v.page, &v.scratch.page)
	if err != nil {
		return err
	}
	v.page++
	for ; len(slots) > 0; slots = slots[slotSize:] {
		if binary.LittleEndian.Uint64(slots) != 0 {
			v.used++
		}
	}
	if v.page == t.pageCount && v.used != v.sum.Entries {
		return t.corrupt(t.foot.hash.off, "hash pages", errMismatch)
	}
	return nil
}

// sections checks all sections as they are in the file now, also those that Open has read.
func (v *Verifier) sections() error {
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
