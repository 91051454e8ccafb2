package table

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// Describer describes the records of a table, one after another from the first, for tools. The zero Describer is ready. It
// checks each record by itself and no more.
type Describer struct{ head header }

// Describe describes a record, whose value is not compressed. A data block has its entries as rows. The error says why the
// record is none that a table can have.
func (d *Describer) Describe(r *wal.Record) (wal.Description, error) {
	if len(r.Key) > 0 {
		return d.block(r)
	}
	if len(r.Value) == 0 {
		return wal.Description{}, errMalformed
	}
	switch v := r.Value; v[0] {
	case typeHeader:
		return d.header(v)
	case typeBlockIndex:
		return describeIndex(v)
	case typePadding:
		return wal.Description{What: "padding", Fields: []slog.Attr{slog.Int("bytes", len(v))}}, nil
	case typeHashPage:
		return describePage(v)
	case typeRangeDeletes:
		return d.rangeDeletes(v)
	case typeProperties:
		return d.properties(v)
	case typeFooter:
		return describeFooter(v)
	}
	return wal.Description{}, fmt.Errorf("unknown record %d", r.Value[0])
}

func (d *Describer) header(v []byte) (wal.Description, error) {
	h, err := decodeHeader(v)
	if err != nil {
		return wal.Description{}, err
	}
	d.head = h
	return wal.Description{What: "table header", Fields: []slog.Attr{
		slog.Int("format", int(v[1])), slog.String("database", fmt.Sprintf("%x", h.id.Database)),
		slog.Uint64("file", h.id.File), slog.Uint64("base_seq", h.base.seq),
		slog.Time("base_time", time.UnixMilli(h.base.time)), slog.String("compression", h.compression.String()),
	}}, nil
}

func (d *Describer) block(r *wal.Record) (wal.Description, error) {
	out := wal.Description{What: "data block", Fields: []slog.Attr{slog.Any("last_key", r.Key), slog.Int("bytes", len(r.Value))}}
	var row row
	for at := firstRow; at < len(r.Value); {
		if at = d.head.base.decodeRow(&row, r.Value, at); at == 0 {
			return out, errMalformed
		}
		var e kv.Entry
		row.entry(&e, r.Value)
		out.Rows = append(out.Rows, describeEntry(&e))
	}
	return out, nil
}

func describeEntry(e *kv.Entry) wal.Description {
	fields := []slog.Attr{slog.Uint64("seq", e.Seq), slog.Any("key", e.Key)}
	if e.Kind == kv.Delete {
		return wal.Description{What: "tombstone", Fields: fields}
	}
	fields = append(fields, slog.Any("value", e.Value))
	if e.Deadline != 0 {
		fields = append(fields, slog.Time("deadline", time.UnixMilli(e.Deadline)))
	}
	return wal.Description{What: "put", Fields: fields}
}

func describeIndex(v []byte) (wal.Description, error) {
	d := newDecoder(v)
	blocks, prefix := d.uvarint(), d.bytes()
	if d.bad {
		return wal.Description{}, errMalformed
	}
	return wal.Description{What: "block index", Fields: []slog.Attr{slog.Uint64("blocks", blocks), slog.Any("prefix", prefix)}}, nil
}

func describePage(v []byte) (wal.Description, error) {
	if len(v) != pagePayload {
		return wal.Description{}, errMalformed
	}
	used := 0
	for at := pageSlotsStart; at < pageNumber; at += slotSize {
		if binary.LittleEndian.Uint64(v[at:]) != 0 {
			used++
		}
	}
	return wal.Description{What: "hash page", Fields: []slog.Attr{
		slog.Uint64("page", uint64(binary.LittleEndian.Uint32(v[pageNumber:]))), slog.Int("used", used), slog.Int("slots", pageSlots),
	}}, nil
}

func (d *Describer) rangeDeletes(v []byte) (wal.Description, error) {
	deletes, err := decodeRangeDeletes(v, d.head.base)
	out := wal.Description{What: "range deletes", Fields: []slog.Attr{slog.Int("deletes", len(deletes))}}
	for _, r := range deletes {
		out.Rows = append(out.Rows, wal.Description{What: "range delete", Fields: []slog.Attr{
			slog.Uint64("seq", r.Seq), slog.Any("start", r.Start), slog.Any("end", r.End),
		}})
	}
	return out, err
}

func (d *Describer) properties(v []byte) (wal.Description, error) {
	p, err := decodeProperties(v, d.head.base)
	if err != nil {
		return wal.Description{}, err
	}
	fields := []slog.Attr{
		slog.Uint64("entries", p.Entries), slog.Uint64("tombstones", p.Tombstones), slog.Uint64("key_bytes", p.KeyBytes),
		slog.Uint64("value_bytes", p.ValueBytes), slog.Uint64("min_seq", p.MinSeq), slog.Uint64("max_seq", p.MaxSeq),
		slog.Any("smallest", p.Smallest), slog.Any("largest", p.Largest),
		slog.Uint64("deadline_entries", p.DeadlineEntries), slog.Uint64("deadline_bytes", p.DeadlineBytes),
	}
	if p.DeadlineEntries > 0 {
		fields = append(fields, slog.Time("min_deadline", time.UnixMilli(p.MinDeadline)),
			slog.Time("max_deadline", time.UnixMilli(p.MaxDeadline)))
	}
	out := wal.Description{What: "properties", Fields: fields}
	for _, b := range p.Deadlines {
		out.Rows = append(out.Rows, wal.Description{What: "deadlines", Fields: []slog.Attr{
			slog.Time("up_to", time.UnixMilli(b.UpTo)), slog.Uint64("entries", b.Entries), slog.Uint64("bytes", b.Bytes),
		}})
	}
	return out, nil
}

// describeFooter shows a footer as it is: it cannot check it as decodeFooter does, without the size of the file.
func describeFooter(v []byte) (wal.Description, error) {
	if len(v) != footerPayload {
		return wal.Description{}, errMalformed
	}
	out := wal.Description{What: "footer"}
	for i, name := range []string{"index", "hash", "ranges", "properties"} {
		out.Fields = append(out.Fields, slog.Uint64(name, binary.LittleEndian.Uint64(v[2+16*i:])),
			slog.Uint64(name+"_size", binary.LittleEndian.Uint64(v[10+16*i:])))
	}
	return out, nil
}
