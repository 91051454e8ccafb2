package snapfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// Kind is the kind of an Item.
type Kind uint8

const (
	KindEntry       Kind = iota // a put or a delete
	KindRangeDelete             //
	KindEviction                //
	KindWriter                  // the state of a writer
)

// Item is one thing that a file holds. Its slices are valid until the next is read.
type Item struct {
	Kind   Kind
	Entry  kv.Entry
	Range  kv.RangeDelete
	Evict  kv.Eviction
	Writer WriterState
}

// Reader reads one snapshot file.
type Reader struct {
	r      *bufio.Reader
	name   string
	header Header

	buf    []byte // the record that items are of
	value  []byte // of a compressed one
	rows   batch.Iterator
	states []byte // of writers, not yet handed out

	off    int64  // of the next record
	at     int64  // of the record that items are of
	number uint64 // of the next record
	read   Totals
	digest *xxhash.Digest

	last    kv.Entry // the last entry, to check the order: the keys of a full file, the sequences of an increment
	lastKey []byte   // memory for it
	lastID  int64    // of the last writer
	err     error
}

// NewReader reads the header. Errors call the file by name; r is read to its end, and a little ahead.
func NewReader(r io.Reader, name string) (*Reader, error) {
	b := &Reader{r: bufio.NewReaderSize(r, 64<<10), name: name, digest: xxhash.New()}
	rec, err := b.record()
	var bad *corrupt.Error
	if errors.As(err, &bad) {
		return nil, corrupt.New(name, 0, "snapshot file", fmt.Errorf("%w: %w", ErrNotSnapshot, bad.Err))
	}
	if err != nil {
		return nil, err
	}
	b.header, err = decodeHeader(rec.Value)
	if errors.Is(err, format.ErrNewer) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err == nil && rec.Compression != wal.CompressionNone {
		err = errMalformed
	}
	if err != nil {
		return nil, b.corrupt(err)
	}
	b.digest.Write(b.buf)
	b.last.Seq = b.header.Since
	return b, nil
}

// Header returns the file's header.
func (b *Reader) Header() Header { return b.header }

// Totals returns the totals of the items read so far.
func (b *Reader) Totals() Totals { return b.read }

// Read returns the number of bytes read so far.
func (b *Reader) Read() int64 { return b.off }

// Next fills it with the next item. io.EOF says that there are no more and that the file is whole; any other error is final
// and says that nothing of the file is to be used.
func (b *Reader) Next(it *Item) error {
	for b.err == nil {
		if b.rows.Next() {
			*it = Item{Kind: KindEntry}
			b.err = b.entry(&it.Entry)
			return b.err
		}
		if err := b.rows.Err(); err != nil {
			b.err = b.corrupt(err)
			break
		}
		if len(b.states) > 0 {
			*it = Item{Kind: KindWriter}
			b.err = b.writer(&it.Writer)
			return b.err
		}
		b.err = b.advance(it)
		if b.err == nil && (it.Kind == KindRangeDelete || it.Kind == KindEviction) {
			return nil
		}
	}
	return b.err
}

// advance reads the next record: a range delete or an eviction into it, rows or states of writers into those that Next goes
// on to hand out.
func (b *Reader) advance(it *Item) error {
	it.Kind = KindEntry
	if n := len(b.last.Key); n > 0 { // it is in the buffer
		b.lastKey = append(b.lastKey[:0], b.last.Key...)
		b.last.Key = b.lastKey
	}
	rec, err := b.record()
	if err != nil {
		return err
	}
	value, err := wal.DecompressValue(b.value, rec.Value, rec.Compression, wal.MaxValueSize)
	if err != nil {
		return b.corrupt(err)
	}
	if rec.Compression != wal.CompressionNone {
		b.value = value[:0]
	}
	kind, rest, err := decodeFrame(value, b.header.ID, b.number-1)
	if err == nil && kind != typeEntries && rec.Compression != wal.CompressionNone {
		err = errMalformed
	}
	if err != nil {
		return b.corrupt(err)
	}
	if kind == typeEnd {
		return b.end(rest)
	}
	b.digest.Write(b.buf)
	switch kind {
	case typeEntries:
		err = b.entries(rest)
	case typeRangeDelete:
		it.Kind = KindRangeDelete
		it.Range, err = b.rangeDelete(rest)
	case typeEviction:
		it.Kind = KindEviction
		it.Evict, err = b.eviction(rest)
	case typeWriters:
		if b.states = rest; len(rest)%writerSize != 0 {
			err = errMalformed
		}
	default:
		err = fmt.Errorf("unknown record %d", kind)
	}
	if err != nil {
		return b.corrupt(err)
	}
	return nil
}

// entries begins a record of entries.
func (b *Reader) entries(value []byte) error {
	kvs, n, err := batch.Parse(value)
	if err != nil {
		return err
	}
	if n != len(value) || kvs.SchemaID != schemaRows || kvs.Count == 0 {
		return errMalformed
	}
	b.rows = kvs.Records()
	return nil
}

// entry makes the entry of the row that was read.
func (b *Reader) entry(e *kv.Entry) error {
	row := &b.rows.Record
	*e = kv.Entry{Key: row.Key, Value: row.Value, Kind: kv.Put}
	if row.Delete {
		e.Kind = kv.Delete
		if !b.rows.Next() || b.rows.Record.Delete || len(b.rows.Record.Key) != 0 {
			return b.corrupt(errors.Join(errMalformed, b.rows.Err()))
		}
		e.Value = b.rows.Record.Value
	}
	var n int
	e.Seq, n = binary.Uvarint(e.Value)
	if n <= 0 {
		return b.corrupt(errMalformed)
	}
	e.Value = e.Value[n:]
	if e.Kind == kv.Put {
		deadline, n := binary.Uvarint(e.Value)
		if n <= 0 || int64(deadline) < 0 {
			return b.corrupt(errMalformed)
		}
		e.Deadline, e.Value = int64(deadline), e.Value[n:]
	} else if len(e.Value) > 0 {
		return b.corrupt(errMalformed)
	}
	if len(e.Key) == 0 || len(e.Key) > MaxKeySize || len(e.Value) > MaxValueSize {
		return b.corrupt(errMalformed)
	}
	if !b.inOrder(e) {
		return b.corrupt(errOrder)
	}
	b.read.Entries++
	return nil
}

// inOrder checks that an entry belongs where it is, and remembers it.
func (b *Reader) inOrder(e *kv.Entry) bool {
	if b.header.Full() {
		ok := e.Kind == kv.Put && e.Seq > 0 && e.Seq <= b.header.Through &&
			(len(b.last.Key) == 0 || kv.Compare(b.last.Key, e.Key) < 0)
		b.last.Key = e.Key
		return ok
	}
	return b.inSequence(e.Seq)
}

// inSequence checks that an operation of an increment comes after the one before.
func (b *Reader) inSequence(seq uint64) bool {
	ok := seq > b.last.Seq && seq <= b.header.Through
	b.last.Seq = seq
	return ok
}

func (b *Reader) rangeDelete(value []byte) (kv.RangeDelete, error) {
	if len(value) < 8 {
		return kv.RangeDelete{}, errMalformed
	}
	seq, rest := binary.LittleEndian.Uint64(value), value[8:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return kv.RangeDelete{}, errMalformed
	}
	rest = rest[n:]
	d := kv.RangeDelete{Start: rest[:size:size], End: rest[size:], Seq: seq}
	if kv.Compare(d.Start, d.End) >= 0 || len(d.Start) > MaxKeySize || len(d.End) > MaxKeySize {
		return kv.RangeDelete{}, errMalformed
	}
	if b.header.Full() || !b.inSequence(seq) {
		return kv.RangeDelete{}, errOrder
	}
	b.read.RangeDeletes++
	return d, nil
}

func (b *Reader) eviction(value []byte) (e kv.Eviction, err error) {
	if len(value) != evictSize-frameSize {
		return e, errMalformed
	}
	le := binary.LittleEndian
	e = kv.Eviction{Seq: le.Uint64(value), Horizon: int64(le.Uint64(value[8:]))}
	switch {
	case e.Horizon <= 0:
		return e, errMalformed
	case b.header.Full() || !b.inSequence(e.Seq):
		return e, errOrder
	}
	return e, nil
}

// writer reads the next state.
func (b *Reader) writer(w *WriterState) error {
	*w = decodeWriter(b.states)
	b.states = b.states[writerSize:]
	if w.ID < 0 || w.Sequence < 0 || w.Version > b.header.Through {
		return b.corrupt(errMalformed)
	}
	if b.read.Writers > 0 && w.ID <= b.lastID {
		return b.corrupt(errOrder)
	}
	b.lastID = w.ID
	b.read.Writers++
	return nil
}

// end checks the end, and that it is one. It returns io.EOF if all is well.
func (b *Reader) end(value []byte) error {
	want, digest, err := decodeEnd(value)
	if err == nil && (want != b.read || digest != b.digest.Sum64()) {
		err = errTotals
	}
	if err != nil {
		return b.corrupt(err)
	}
	_, err = b.r.Peek(1)
	switch err {
	case io.EOF:
		return io.EOF
	case nil:
		return corrupt.New(b.name, b.off, "snapshot file", errTrailing)
	}
	return b.readError(err)
}

// record reads the next record into the buffer. A length is believed as far as bytes arrive.
func (b *Reader) record() (wal.Record, error) {
	b.at = b.off
	head, err := b.r.Peek(1 + binary.MaxVarintLen64 + 1)
	if len(head) == 0 || err != nil && err != io.EOF {
		return wal.Record{}, b.readError(err)
	}
	size, n := binary.Uvarint(head[1:])
	if head[0] != 0 || n < 0 || size > maxRecord {
		return wal.Record{}, b.corrupt(errMalformed)
	}
	if n == 0 {
		return wal.Record{}, b.corrupt(wal.ErrIncomplete)
	}
	total := 1 + n + 1 + int(size) + 4
	b.buf = b.buf[:0]
	for len(b.buf) < total {
		from := len(b.buf)
		b.buf = slices.Grow(b.buf, min(total-from, max(from, 1<<20)))
		b.buf = b.buf[:min(total, cap(b.buf))]
		got, err := io.ReadFull(b.r, b.buf[from:])
		if b.off += int64(got); err != nil {
			return wal.Record{}, b.readError(err)
		}
	}
	rec, n, err := wal.DecodeStored(b.buf)
	if err == nil && (n != len(b.buf) || rec.Tombstone || rec.HasTTL) {
		err = errMalformed
	}
	if err != nil {
		return wal.Record{}, b.corrupt(err)
	}
	b.number++
	return rec, nil
}

// readError makes the end of the stream, where it must not end, damage.
func (b *Reader) readError(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return b.corrupt(wal.ErrIncomplete)
	}
	return fmt.Errorf("backup: read %s at %d: %w", b.name, b.off, err)
}

func (b *Reader) corrupt(err error) error { return corrupt.New(b.name, b.at, "snapshot file", err) }
