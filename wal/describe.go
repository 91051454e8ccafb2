package wal

import (
	"fmt"
	"log/slog"
	"time"
)

// Description describes a record for people: tools show it. Fields stand in the order of the format; bytes are
// []byte, and alias the record.
type Description struct {
	What   string
	Fields []slog.Attr
	Rows   []Description // of a record that holds several entries
}

// Describer describes the records of a segment, one after another from the first. The zero Describer is ready. It checks
// each record by itself and no more.
type Describer struct {
	head header
	ops  uint64
}

// Describe describes a record, whose value is not compressed. Of a batch the field "batch" is the *Entry.
// The error says why the record is none that a segment can have.
func (d *Describer) Describe(r *Record) (Description, error) {
	if len(r.Key) > 0 {
		return d.plain(r), nil
	}
	if len(r.Value) == 0 {
		return Description{}, errMalformed
	}
	return d.control(r.Value)
}

// seq returns the field of an entry's sequence, of which it takes n.
func (d *Describer) seq(n uint64) slog.Attr {
	seq := d.head.baseSeq + d.ops
	d.ops += n
	return slog.Uint64("seq", seq)
}

func (d *Describer) plain(r *Record) Description {
	fields := []slog.Attr{d.seq(1), slog.Any("key", r.Key)}
	if r.Tombstone {
		return Description{What: "delete", Fields: fields}
	}
	fields = append(fields, slog.Any("value", r.Value))
	if r.HasTTL {
		fields = append(fields, slog.Time("deadline", time.UnixMilli(deadline(r.TTL, d.head.baseTime))))
	}
	return Description{What: "put", Fields: fields}
}

func (d *Describer) control(value []byte) (Description, error) {
	ok := false
	switch value[0] {
	case controlHeader:
		h, err := decodeHeader(value)
		if err != nil {
			return Description{}, err
		}
		d.head, d.ops = h, 0
		return Description{What: "segment header", Fields: []slog.Attr{
			slog.Int("format", int(value[1])), slog.String("database", fmt.Sprintf("%x", h.id)), slog.Uint64("segment", uint64(h.segment)),
			slog.Uint64("base_seq", h.baseSeq), slog.Time("base_time", time.UnixMilli(h.baseTime)),
			slog.Uint64("previous", uint64(h.prev.segment)), slog.Uint64("previous_length", uint64(h.prev.length)),
			slog.String("previous_crc", fmt.Sprintf("%08x", h.prev.crc)), slog.Uint64("previous_synced", uint64(h.synced)),
		}}, nil
	case controlBatch:
		if ops, b, ok := decodeBatch(value); ok {
			seq := d.seq(ops)
			e := &Entry{Kind: KindBatch, Value: b, Ops: int(ops), Seq: seq.Value.Uint64()}
			return Description{What: "batch", Fields: []slog.Attr{seq, slog.Uint64("operations", ops), slog.Any("batch", e)}}, nil
		}
	case controlRangeDelete:
		var start, end []byte
		if start, end, ok = decodeRangeDelete(value); ok {
			return Description{What: "range delete", Fields: []slog.Attr{d.seq(1), slog.Any("start", start), slog.Any("end", end)}}, nil
		}
	case controlClock:
		if now, ok := decodeTime(value); ok {
			return Description{What: "clock", Fields: []slog.Attr{slog.Time("time", time.UnixMilli(now))}}, nil
		}
	case controlEvict:
		if horizon, ok := decodeTime(value); ok {
			return Description{What: "evict", Fields: []slog.Attr{d.seq(1), slog.Time("horizon", time.UnixMilli(horizon))}}, nil
		}
	case controlWatermark, controlSeal, controlClose:
		if m, ok := decodeMark(value); ok {
			return describeMark(&m), nil
		}
	default:
		return Description{}, fmt.Errorf("unknown control record %d", value[0])
	}
	return Description{}, errMalformed
}

func describeMark(m *mark) Description {
	what := map[byte]string{controlWatermark: "watermark", controlSeal: "seal", controlClose: "close"}[m.kind]
	return Description{What: what, Fields: []slog.Attr{
		slog.Uint64("segment", uint64(m.segment)), slog.Uint64("own_offset", uint64(m.offset)), slog.Uint64("synced", uint64(m.synced)),
		slog.Uint64("records", uint64(m.records)), slog.String("crc", fmt.Sprintf("%08x", m.crc)),
	}}
}
