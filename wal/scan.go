package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// scanChunk is how much a scan reads at once. Measured: from 256 KiB up recovery runs at the speed of decoding.
const scanChunk = 512 << 10

// window slides over a file and shows the bytes at its position.
type window struct {
	file  vfs.File
	limit int64 // bytes of the file that may be read
	base  int64 // offset in the file of buf[0]
	pos   int   // position in buf
	buf   []byte
}

func (w *window) offset() int64 { return w.base + int64(w.pos) }

// bytes returns the bytes that have been read from the position on.
func (w *window) bytes() []byte { return w.buf[w.pos:] }

// more reads on. The bytes from the position on stay, at the same or another place. It returns io.EOF if the limit is
// reached. A damaged length cannot make it read more than the file has.
func (w *window) more() error {
	rest := w.limit - w.base - int64(len(w.buf))
	if rest <= 0 {
		return io.EOF
	}
	w.base += int64(w.pos)
	kept := copy(w.buf, w.buf[w.pos:])
	w.pos = 0
	n := int(min(rest, int64(max(scanChunk, kept)))) // at least doubling, so that a huge record is copied a few times only
	if cap(w.buf) < kept+n {
		grown := make([]byte, kept, kept+n)
		copy(grown, w.buf[:kept])
		w.buf = grown
	}
	w.buf = w.buf[:kept+n]
	got, err := w.file.ReadAt(w.buf[kept:], w.base+int64(kept))
	w.buf = w.buf[:kept+got]
	if got > 0 && (got == n || err == io.EOF) {
		return nil // the file may have become shorter, and the part may be enough
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF // the file became shorter
	}
	return err
}

// reserve makes room for n more bytes, where they are more than a few.
func (w *window) reserve(n int64) {
	if n > scanChunk && int64(cap(w.buf)-len(w.buf)) < n {
		w.buf = append(make([]byte, 0, int64(len(w.buf))+n), w.buf...)
	}
}

// reread forgets the bytes from the position on, so that they are read again, up to where the file ends now.
func (w *window) reread() error {
	size, err := w.file.Size()
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	w.limit = min(size, math.MaxUint32)
	w.buf = w.buf[:w.pos]
	return nil
}

// closeFile closes the window's file, unless that was done.
func (w *window) closeFile() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Close()
}

// badBytes says that there is no record at an offset: the log ends there or is damaged. Which of both follows from the place and
// the bytes after it.
type badBytes struct {
	offset int64
	err    error // ErrIncomplete, ErrCRC or ErrVarintOverflow
}

func (e *badBytes) Error() string { return fmt.Sprintf("no record at offset %d: %v", e.offset, e.err) }
func (e *badBytes) Unwrap() error { return e.err }

var (
	errNoHeader  = errors.New("no segment header")
	errMalformed = errors.New("malformed control record")
)

// segmentScan walks one segment from its header, checks its identity and its place, and yields its entries.
type segmentScan struct {
	window
	name string
	head header

	records uint32 // seen so far, the header included
	ops     uint64 // sequences taken so far
	crc     uint32 // running CRC so far
	synced  uint32 // bytes that a mark says were synced, and with them all segments before; 0: no mark says anything
	sealed  bool   // the last record was a seal
	closed  bool   // the last record was a close mark

	anchor   Anchor // the owner's, in this segment or another
	anchored bool   // the segment came by it

	value []byte // of the last compressed entry
}

// startFile is start for a whole file, up to its end or limit.
func (s *segmentScan) startFile(file vfs.File, name string, number uint32, limit int64) error {
	size, err := file.Size()
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if size > math.MaxUint32 {
		return corrupt.New(name, math.MaxUint32, "segment", errors.New("longer than any segment"))
	}
	return s.start(file, name, number, min(size, limit))
}

// start reads the header of the segment with this number, whose file is open, up to limit.
func (s *segmentScan) start(file vfs.File, name string, number uint32, limit int64) error {
	buf := s.buf[:0]
	*s = segmentScan{window: window{file: file, limit: limit, buf: buf}, name: name, anchor: s.anchor, value: s.value}
	rec, raw, err := s.record()
	var bad *badBytes
	if errors.As(err, &bad) || err == io.EOF {
		return corrupt.New(name, 0, "segment header", err) // or it was not taken into use: see headless
	}
	if err != nil {
		return err
	}
	if len(rec.Key) != 0 {
		return corrupt.New(name, 0, "segment header", errNoHeader)
	}
	if s.head, err = decodeHeader(rec.Value); err != nil {
		if errors.Is(err, ErrVersion) {
			return fmt.Errorf("%s: %w", name, err)
		}
		return corrupt.New(name, 0, "segment header", err)
	}
	if s.head.segment != number {
		return corrupt.New(name, 0, "segment header", fmt.Errorf("%w: this is segment %d", ErrMisplaced, s.head.segment))
	}
	s.advance(raw)
	return nil
}

// nextSeq returns the sequence of the first operation after those seen so far.
func (s *segmentScan) nextSeq() uint64 { return s.head.baseSeq + s.ops }

// link returns the link that the next segment's header must have.
func (s *segmentScan) link() link { return link{s.head.segment, uint32(s.offset()), s.crc} }

// record decodes the record at the position without moving. The record's value is as stored. raw is the whole record;
// both are valid until the window moves. Only an error of the second kind in recorderrors.go, one that no cut may follow,
// is a corruption error here.
func (s *segmentScan) record() (rec Record, raw []byte, err error) {
	for {
		if s.offset() == s.limit {
			return Record{}, nil, io.EOF
		}
		rec, n, err := DecodeStored(s.bytes())
		if err == nil {
			return rec, s.bytes()[:n], nil
		}
		if rerr := s.more(); rerr == nil {
			continue // the record may go on beyond the bytes that have been read
		} else if rerr != io.EOF {
			return Record{}, nil, fmt.Errorf("wal: read %s at %d: %w", s.name, s.offset(), rerr)
		}
		if n > 0 {
			return Record{}, nil, corrupt.New(s.name, s.offset(), "record", err)
		}
		return Record{}, nil, &badBytes{s.offset(), err}
	}
}

// advance moves past raw, the record at the position.
func (s *segmentScan) advance(raw []byte) {
	s.pos += len(raw)
	s.records++
	s.crc = chainCRC(s.crc, raw)
	if s.offset() == int64(s.anchor.Offset) && s.head.segment == s.anchor.Segment {
		s.anchored = s.crc == s.anchor.CRC
	}
}

// chainCRC extends a running CRC by a record.
func chainCRC(crc uint32, record []byte) uint32 {
	return crc32.Update(crc, recordCRCTable, record[len(record)-recordCRCSize:])
}

// next fills e with the next entry. It returns io.EOF at the limit and behind a seal, a *badBytes where there is no record, and a
// *corrupt.Error where there is one that cannot be right. e is valid until the call after.
func (s *segmentScan) next(e *Entry) error {
	for !s.sealed {
		rec, raw, err := s.record()
		if err != nil {
			return err
		}
		at := s.offset()
		s.closed = false
		*e = Entry{Seq: s.nextSeq(), Pos: Position{s.head.segment, uint32(at)}}
		isEntry := true
		if len(rec.Key) == 0 {
			isEntry, err = s.control(e, &rec)
		} else {
			err = s.plain(e, &rec)
		}
		if err != nil {
			return corrupt.New(s.name, at, "record", err)
		}
		s.advance(raw)
		if isEntry {
			s.ops += e.sequences()
			return nil
		}
	}
	return io.EOF
}

// plain fills e from a put or a delete.
func (s *segmentScan) plain(e *Entry, rec *Record) error {
	e.Key = rec.Key
	if rec.Tombstone {
		e.Kind = KindDelete
		return nil
	}
	if rec.HasTTL {
		e.Deadline = deadline(rec.TTL, s.head.baseTime)
	}
	value, err := DecompressValue(s.value, rec.Value, rec.Compression, MaxValueSize)
	if err != nil {
		return err
	}
	if rec.Compression != CompressionNone {
		s.value = value[:0]
	}
	e.Value = value
	return nil
}

// control interprets a control record and fills e if it is an entry.
func (s *segmentScan) control(e *Entry, rec *Record) (isEntry bool, err error) {
	if len(rec.Value) == 0 || rec.Tombstone || rec.HasTTL {
		return false, errMalformed
	}
	value, err := DecompressValue(s.value, rec.Value, rec.Compression, MaxValueSize)
	if err != nil {
		return false, err
	}
	if rec.Compression != CompressionNone {
		s.value = value[:0]
	}
	if len(value) == 0 {
		return false, errMalformed
	}
	ok := true
	switch value[0] {
	case controlBatch:
		var ops uint64
		e.Kind = KindBatch
		ops, e.Value, ok = decodeBatch(value)
		e.Ops = int(ops)
	case controlRangeDelete:
		e.Kind = KindRangeDelete
		e.Key, e.Value, ok = decodeRangeDelete(value)
	case controlClock:
		e.Kind = KindClock
		e.Time, ok = decodeTime(value)
	case controlEvict:
		e.Kind = KindEvict
		e.Deadline, ok = decodeTime(value)
		ok = ok && e.Deadline > 0
	case controlWatermark, controlSeal, controlClose:
		m, ok := decodeMark(value)
		if !ok {
			return false, errMalformed
		}
		return false, s.mark(&m)
	default:
		return false, fmt.Errorf("unknown control record %d", value[0])
	}
	if !ok {
		return false, errMalformed
	}
	return true, nil
}

// mark checks a mark against the records so far and takes its synced-through offset and its kind.
func (s *segmentScan) mark(m *mark) error {
	if m.id != s.head.id {
		return ErrForeign
	}
	if m.segment != s.head.segment || int64(m.offset) != s.offset() {
		return fmt.Errorf("%w: a mark of segment %d, offset %d", ErrMisplaced, m.segment, m.offset)
	}
	if m.records != s.records || m.crc != s.crc || m.synced > m.offset {
		return fmt.Errorf("%w: a mark that counts other records before it", ErrChain)
	}
	s.synced = max(s.synced, m.synced)
	s.sealed = m.kind == controlSeal
	s.closed = m.kind == controlClose
	return nil
}

// syncedBeyond looks for proof that the bytes at the position were on the disk: a mark somewhere after it that locates
// itself and says so. Plain records after it would be no proof, as pages reach the disk in any order without a sync,
// and a value may hold the bytes of a log. It reads the rest of the file into memory.
func (s *segmentScan) syncedBeyond() (bool, error) {
	if err := s.readAll(); err != nil {
		return false, err
	}
	const idAt = controlOverhead - recordCRCSize + 1 // of the database id in a mark's record
	rest := s.bytes()
	for i := 0; i+markSize <= len(rest); i++ {
		j := bytes.Index(rest[i+idAt:], s.head.id[:])
		if j < 0 {
			return false, nil
		}
		if i += j; i+markSize > len(rest) {
			return false, nil
		}
		rec, _, err := DecodeStored(rest[i : i+markSize])
		if err != nil || len(rec.Key) != 0 {
			continue
		}
		m, ok := decodeMark(rec.Value)
		if ok && m.segment == s.head.segment && int64(m.offset) == s.offset()+int64(i) && int64(m.synced) > s.offset() {
			return true, nil
		}
	}
	return false, nil
}

// readAll reads up to the limit.
func (s *segmentScan) readAll() error {
	s.reserve(s.limit - s.base - int64(len(s.buf)))
	for {
		if err := s.more(); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("wal: read %s: %w", s.name, err)
		}
	}
}

// dirtyLen returns the number of bytes from the position up to the last that is not zero. It reads the rest of the file
// into memory.
func (s *segmentScan) dirtyLen() (int, error) {
	if err := s.readAll(); err != nil {
		return 0, err
	}
	rest := s.bytes()
	n := len(rest)
	for n >= 8 && binary.LittleEndian.Uint64(rest[n-8:n]) == 0 {
		n -= 8
	}
	for n > 0 && rest[n-1] == 0 {
		n--
	}
	return n, nil
}
