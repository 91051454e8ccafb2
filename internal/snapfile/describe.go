package snapfile

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/wal"
)

// Describe describes a record of a snapshot file, whose value is not compressed, for tools. It checks the record by itself
// and no more. The error says why the record is none that a snapshot file can have.
func Describe(r *wal.Record) (wal.Description, error) {
	v := r.Value
	if len(r.Key) > 0 || len(v) == 0 {
		return wal.Description{}, errMalformed
	}
	if v[0] == typeHeader {
		return describeHeader(v)
	}
	if len(v) < frameSize {
		return wal.Description{}, errMalformed
	}
	number, rest := slog.Uint64("number", binary.LittleEndian.Uint64(v[17:])), v[frameSize:]
	switch v[0] {
	case typeEntries:
		return describeEntries(number, rest)
	case typeRangeDelete:
		if len(rest) >= 8 {
			n, k := binary.Uvarint(rest[8:])
			if bounds := rest[8+max(k, 0):]; k > 0 && n <= uint64(len(bounds)) {
				return wal.Description{What: "range delete", Fields: []slog.Attr{number,
					slog.Uint64("seq", binary.LittleEndian.Uint64(rest)), slog.Any("start", bounds[:n]), slog.Any("end", bounds[n:])}}, nil
			}
		}
	case typeEviction:
		if len(v) == evictSize {
			le := binary.LittleEndian
			return wal.Description{What: "evict", Fields: []slog.Attr{number, slog.Uint64("seq", le.Uint64(rest)),
				slog.Time("horizon", time.UnixMilli(int64(le.Uint64(rest[8:]))))}}, nil
		}
	case typeWriters:
		return describeWriters(number, rest)
	case typeEnd:
		if len(v) == endSize {
			le := binary.LittleEndian
			return wal.Description{What: "end", Fields: []slog.Attr{slog.Uint64("entries", le.Uint64(rest)),
				slog.Uint64("range_deletes", le.Uint64(rest[8:])), slog.Uint64("writers", le.Uint64(rest[16:])),
				slog.String("digest", fmt.Sprintf("%016x", le.Uint64(rest[24:])))}}, nil
		}
	default:
		return wal.Description{}, fmt.Errorf("unknown record %d", v[0])
	}
	return wal.Description{}, errMalformed
}

func describeHeader(v []byte) (wal.Description, error) {
	h, err := decodeHeader(v)
	if err != nil {
		return wal.Description{}, err
	}
	return wal.Description{What: "snapshot header", Fields: []slog.Attr{
		slog.Int("format", int(v[1])), slog.String("file", fmt.Sprintf("%x", h.ID)),
		slog.String("database", fmt.Sprintf("%x", h.Database)),
		slog.Uint64("since", h.Since), slog.Uint64("through", h.Through), slog.Time("clock", time.UnixMilli(h.Clock)),
	}}, nil
}

// describeEntries lists the rows of a batch. A delete has its sequence in the row after it.
func describeEntries(number slog.Attr, rest []byte) (wal.Description, error) {
	out := wal.Description{What: "entries", Fields: []slog.Attr{number}}
	b, n, err := batch.Decode(rest)
	if err != nil || n != len(rest) {
		return out, errMalformed
	}
	var deleted []byte // a key whose sequence comes next
	for it := b.Records(); it.Next(); {
		row := &it.Record
		if row.Delete {
			deleted = row.Key
			continue
		}
		seq, k := binary.Uvarint(row.Value)
		if k <= 0 {
			return out, errMalformed
		}
		if len(row.Key) == 0 {
			out.Rows = append(out.Rows, wal.Description{What: "delete",
				Fields: []slog.Attr{slog.Uint64("seq", seq), slog.Any("key", deleted)}})
			continue
		}
		deadline, m := binary.Uvarint(row.Value[k:])
		if m <= 0 {
			return out, errMalformed
		}
		fields := []slog.Attr{slog.Uint64("seq", seq), slog.Any("key", row.Key), slog.Any("value", row.Value[k+m:])}
		if deadline != 0 {
			fields = append(fields, slog.Time("deadline", time.UnixMilli(int64(deadline))))
		}
		out.Rows = append(out.Rows, wal.Description{What: "put", Fields: fields})
	}
	return out, nil
}

func describeWriters(number slog.Attr, rest []byte) (wal.Description, error) {
	out := wal.Description{What: "writers", Fields: []slog.Attr{number}}
	if len(rest)%writerSize != 0 {
		return out, errMalformed
	}
	le := binary.LittleEndian
	for ; len(rest) > 0; rest = rest[writerSize:] {
		out.Rows = append(out.Rows, wal.Description{What: "writer", Fields: []slog.Attr{
			slog.Int64("writer", int64(le.Uint64(rest))), slog.Int64("batch", int64(int32(le.Uint32(rest[8:])))),
			slog.Uint64("version", le.Uint64(rest[12:])), slog.Time("used", time.UnixMilli(int64(le.Uint64(rest[20:])))),
		}})
	}
	return out, nil
}
