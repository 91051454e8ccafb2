package manifest

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/ebbdb/ebb/wal"
)

// Describe describes a record of a manifest, for tools. It checks the record by itself and no more: Load does. The error
// says why the record is none that a manifest can have.
func Describe(r *wal.Record) (wal.Description, error) {
	v := r.Value
	if len(r.Key) > 0 || len(v) == 0 {
		return wal.Description{}, errMalformed
	}
	d := decoder{state: &State{}}
	switch v[0] {
	case typeHeader:
		if err := d.header(v); err != nil {
			return wal.Description{}, err
		}
		s := d.state
		return wal.Description{What: "manifest header", Fields: []slog.Attr{
			slog.Int("format", int(v[1])), slog.String("database", fmt.Sprintf("%x", s.Database)), slog.Uint64("next_file", s.NextFile),
			slog.Uint64("first_segment", uint64(s.FirstSegment)), slog.Uint64("last_seq", s.LastSeq),
			slog.Time("clock", time.UnixMilli(s.Clock)), slog.Time("created", time.UnixMilli(s.Created)),
			slog.Uint64("log_segment", uint64(s.Log.Segment)), slog.Uint64("log_offset", uint64(s.Log.Offset)),
			slog.String("log_crc", fmt.Sprintf("%08x", s.Log.CRC)),
			slog.String("features_read", fmt.Sprintf("%08x", s.Features.Read)),
			slog.String("features_write", fmt.Sprintf("%08x", s.Features.Write)),
		}}, nil
	case typeTable:
		d.state.NextFile = 1<<64 - 1
		if err := d.table(v); err != nil {
			return wal.Description{}, err
		}
		t := d.state.Tables[0]
		return wal.Description{What: "table", Fields: []slog.Attr{
			slog.Int("level", t.Level), slog.Uint64("file", t.File), slog.Int64("size", t.Size), slog.Uint64("entries", t.Entries),
		}}, nil
	case typeWriter:
		if err := d.writer(v); err != nil {
			return wal.Description{}, err
		}
		w := d.state.Writers[0]
		return wal.Description{What: "writer", Fields: []slog.Attr{
			slog.Int64("writer", w.ID), slog.Int64("batch", int64(w.Sequence)), slog.Uint64("version", w.Version),
			slog.Time("used", time.UnixMilli(w.Used)),
		}}, nil
	case typeEvict:
		if err := d.evict(v); err != nil {
			return wal.Description{}, err
		}
		e := d.state.Evictions[0]
		return wal.Description{What: "evict", Fields: []slog.Attr{
			slog.Uint64("seq", e.Seq), slog.Time("horizon", time.UnixMilli(e.Horizon)),
		}}, nil
	case typeEnd:
		if len(v) != endSize {
			return wal.Description{}, errMalformed
		}
		return wal.Description{What: "end", Fields: []slog.Attr{
			slog.Uint64("tables", uint64(binary.LittleEndian.Uint32(v[1:]))),
			slog.String("crc", fmt.Sprintf("%08x", binary.LittleEndian.Uint32(v[5:]))),
		}}, nil
	}
	return wal.Description{}, fmt.Errorf("unknown record %d", v[0])
}
