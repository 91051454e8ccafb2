package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// A manifest is a stream of nori records with empty keys; the first byte of a value is the type. Integers are
// little-endian.
//
//	1 header  0 type  1 version  2 database id [16]  18 next file u64  26 first log segment u32
//	          30 last sequence that is in tables u64  38 clock i64 (Unix ms)  46 created i64 (Unix ms)
//	          54 log's anchor: segment u32  58 offset u32  62 running CRC u32  66 features: needed to read u32
//	          70 needed to write u32                                                                            = 74 bytes
//	2 table   0 type  1 level u8  2 file u64  10 file size u64  18 entries u64                                  = 26 bytes
//	4 writer  0 type  1 writer id i64  9 batch sequence i32  13 version u64  21 used i64 (Unix ms)              = 29 bytes
//	5 evict   0 type  1 sequence u64  9 horizon i64 (Unix ms)                                                   = 17 bytes
//	3 end     0 type  1 number of tables u32  5 running CRC u32                                                 =  9 bytes
//
// The tables of a level stand in its order: newest first in level 0, by key in the others. The writers stand after the
// tables, by ascending id, and after them the evictions (see kv.Eviction) that may take entries of the tables or of the log,
// by ascending sequence and descending horizon. The running CRC is CRC32C over the stored CRCs of the records before the
// end, so that a record that is missing, doubled or of another manifest is noticed. Nothing follows the end.
//
// The anchor (see wal.Anchor) is a place that the log had reached, on the disk, before the manifest was written: the log up to
// it is there, or damaged. Segment 0 is none, which only the first manifest of a new database has, before its log is
// there. A feature (see format.Features) is a bit, and none has a meaning yet.
//
// Versions that no release has written: 1 has a header of 54 bytes, without anchor and features, and the next Open replaces it; 2
// and 3 have one of 66, without features, and 2 has no evictions.
const (
	typeHeader = 1
	typeTable  = 2
	typeEnd    = 3
	typeWriter = 4
	typeEvict  = 5

	formatVersion = format.Manifest

	headerSize   = 74
	featuresSize = 8  // of the header, at its end
	anchorSize   = 12 // of the header, before the features
	tableSize    = 26
	writerSize   = 29
	evictSize    = 17
	endSize      = 9

	crcSize = 4 // of a record, at its end
)

// NumLevels is the number of levels that a table can be in.
const NumLevels = 7

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the manifest's bytes.
func (s *State) encode() []byte {
	le := binary.LittleEndian
	e := encoder{}

	h := make([]byte, headerSize)
	h[0], h[1] = typeHeader, formatVersion
	copy(h[2:], s.Database[:])
	le.PutUint64(h[18:], s.NextFile)
	le.PutUint32(h[26:], s.FirstSegment)
	le.PutUint64(h[30:], s.LastSeq)
	le.PutUint64(h[38:], uint64(s.Clock))
	le.PutUint64(h[46:], uint64(s.Created))
	le.PutUint32(h[54:], s.Log.Segment)
	le.PutUint32(h[58:], s.Log.Offset)
	le.PutUint32(h[62:], s.Log.CRC)
	le.PutUint32(h[66:], s.Features.Read)
	le.PutUint32(h[70:], s.Features.Write)
	e.record(h)

	for _, t := range s.Tables {
		b := make([]byte, tableSize)
		b[0], b[1] = typeTable, byte(t.Level)
		le.PutUint64(b[2:], t.File)
		le.PutUint64(b[10:], uint64(t.Size))
		le.PutUint64(b[18:], t.Entries)
		e.record(b)
	}

	for _, w := range s.Writers {
		b := make([]byte, writerSize)
		b[0] = typeWriter
		le.PutUint64(b[1:], uint64(w.ID))
		le.PutUint32(b[9:], uint32(w.Sequence))
		le.PutUint64(b[13:], w.Version)
		le.PutUint64(b[21:], uint64(w.Used))
		e.record(b)
	}

	for _, v := range s.Evictions {
		b := make([]byte, evictSize)
		b[0] = typeEvict
		le.PutUint64(b[1:], v.Seq)
		le.PutUint64(b[9:], uint64(v.Horizon))
		e.record(b)
	}

	b := make([]byte, endSize)
	b[0] = typeEnd
	le.PutUint32(b[1:], uint32(len(s.Tables)))
	le.PutUint32(b[5:], e.crc)
	e.record(b)
	return e.buf
}

// encoder appends records and keeps the running CRC.
type encoder struct {
	buf []byte
	crc uint32
}

func (e *encoder) record(value []byte) {
	e.buf, _ = wal.AppendRecord(e.buf, &wal.Record{Value: value}) // cannot fail: small and uncompressed
	e.crc = crc32.Update(e.crc, castagnoli, e.buf[len(e.buf)-crcSize:])
}

var (
	errMalformed = errors.New("malformed record")
	errOrder     = errors.New("record out of place")
	errChain     = errors.New("records are missing, doubled or of another manifest")
	errTrailing  = errors.New("bytes after the end")
)

// decoder reads a manifest's bytes record by record.
type decoder struct {
	state *State
	done  bool // the end has been read
	crc   uint32
}

// decode reads a manifest. On error it returns the offset of the record that is wrong.
func decode(data []byte) (*State, int, error) {
	var d decoder
	off := 0
	for off < len(data) {
		rec, n, err := wal.DecodeStored(data[off:])
		if err != nil {
			return nil, off, err
		}
		if err := d.record(&rec); err != nil {
			return nil, off, err
		}
		d.crc = crc32.Update(d.crc, castagnoli, data[off+n-crcSize:off+n])
		off += n
	}
	if !d.done {
		return nil, off, wal.ErrIncomplete
	}
	return d.state, off, nil
}

// record takes one record.
func (d *decoder) record(rec *wal.Record) error {
	v := rec.Value
	if len(rec.Key) != 0 || rec.Tombstone || rec.HasTTL || rec.Compression != wal.CompressionNone || len(v) == 0 {
		return errMalformed
	}
	if d.done {
		return errTrailing
	}
	if (d.state == nil) != (v[0] == typeHeader) {
		return errOrder
	}
	switch v[0] {
	case typeHeader:
		return d.header(v)
	case typeTable:
		return d.table(v)
	case typeWriter:
		return d.writer(v)
	case typeEvict:
		return d.evict(v)
	case typeEnd:
		return d.end(v)
	}
	return fmt.Errorf("unknown record %d", v[0])
}

func (d *decoder) header(v []byte) error {
	if len(v) < 2 || v[1] == 0 {
		return errMalformed
	}
	if v[1] > formatVersion {
		return format.Newer("manifest", v[1], formatVersion)
	}
	switch v[1] {
	case 1:
		v = append(slices.Clone(v), make([]byte, anchorSize+featuresSize)...)
	case 2, 3:
		v = append(slices.Clone(v), make([]byte, featuresSize)...)
	}
	if len(v) != headerSize {
		return errMalformed
	}
	le := binary.LittleEndian
	d.state = &State{
		Database:     [16]byte(v[2:18]),
		NextFile:     le.Uint64(v[18:]),
		FirstSegment: le.Uint32(v[26:]),
		LastSeq:      le.Uint64(v[30:]),
		Clock:        int64(le.Uint64(v[38:])),
		Created:      int64(le.Uint64(v[46:])),
	}
	d.state.Log = wal.Anchor{Position: wal.Position{Segment: le.Uint32(v[54:]), Offset: le.Uint32(v[58:])}, CRC: le.Uint32(v[62:])}
	d.state.Features = format.Features{Read: le.Uint32(v[66:]), Write: le.Uint32(v[70:])}
	return d.state.Features.Readable()
}

func (d *decoder) table(v []byte) error {
	if len(v) != tableSize || v[1] >= NumLevels || len(d.state.Writers)+len(d.state.Evictions) > 0 {
		return errMalformed
	}
	le := binary.LittleEndian
	t := Table{Level: int(v[1]), File: le.Uint64(v[2:]), Size: int64(le.Uint64(v[10:])), Entries: le.Uint64(v[18:])}
	if t.Size < 0 || t.File >= d.state.NextFile {
		return errMalformed
	}
	d.state.Tables = append(d.state.Tables, t)
	return nil
}

func (d *decoder) writer(v []byte) error {
	if len(v) != writerSize || len(d.state.Evictions) > 0 {
		return errMalformed
	}
	le := binary.LittleEndian
	w := Writer{ID: int64(le.Uint64(v[1:])), Sequence: int32(le.Uint32(v[9:])), Version: le.Uint64(v[13:]),
		Used: int64(le.Uint64(v[21:]))}
	n := len(d.state.Writers)
	if w.ID < 0 || w.Sequence < 0 || n > 0 && d.state.Writers[n-1].ID >= w.ID {
		return errMalformed
	}
	d.state.Writers = append(d.state.Writers, w)
	return nil
}

func (d *decoder) evict(v []byte) error {
	if len(v) != evictSize {
		return errMalformed
	}
	le := binary.LittleEndian
	e := kv.Eviction{Seq: le.Uint64(v[1:]), Horizon: int64(le.Uint64(v[9:]))}
	if last := len(d.state.Evictions) - 1; e.Horizon <= 0 ||
		last >= 0 && (d.state.Evictions[last].Seq >= e.Seq || d.state.Evictions[last].Horizon <= e.Horizon) {
		return errMalformed
	}
	d.state.Evictions = append(d.state.Evictions, e)
	return nil
}

func (d *decoder) end(v []byte) error {
	le := binary.LittleEndian
	if len(v) != endSize {
		return errMalformed
	}
	if le.Uint32(v[1:]) != uint32(len(d.state.Tables)) || le.Uint32(v[5:]) != d.crc {
		return errChain
	}
	d.done = true
	return nil
}
