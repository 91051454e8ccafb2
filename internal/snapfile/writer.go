package snapfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// batchSize is about how many bytes of entries make a record: enough that a record costs nothing, and little to hold.
const batchSize = 512 << 10

// Writer writes one snapshot file. Entries collect in memory until Flush, so that adding does no I/O: a caller that reads mapped
// memory adds entries until Full, lets go of the memory, and flushes. The first failure is final.
type Writer struct {
	w      io.Writer
	header Header

	rows   *batch.Builder // behind room for the frame
	prefix []byte         // of the row being added
	buf    []byte         // a record

	compression wal.Compression
	number      uint64 // of the next record
	written     int64
	totals      Totals
	digest      *xxhash.Digest
	err         error
}

var errFinished = errors.New("backup: writer is finished")

// NewWriter begins a snapshot file. c is tried on the entries.
func NewWriter(w io.Writer, h Header, c wal.Compression) (*Writer, error) {
	rows, err := batch.NewBuilder(make([]byte, frameSize, batchSize+batchSize/4), schemaRows, wal.MaxValueSize-frameSize)
	if err != nil {
		return nil, err
	}
	b := &Writer{w: w, header: h, rows: rows, compression: c, digest: xxhash.New()}
	return b, b.record(h.append(nil), wal.CompressionNone)
}

// Add takes an entry, which it copies: by ascending keys in a full file, by ascending sequence in an increment.
func (b *Writer) Add(e *kv.Entry) error {
	if b.err != nil {
		return b.err
	}
	if len(e.Key) == 0 || len(e.Key) > MaxKeySize || len(e.Value) > MaxValueSize || e.Deadline < 0 {
		return fmt.Errorf("backup: invalid entry: key of %d bytes, value of %d, deadline %d", len(e.Key), len(e.Value), e.Deadline)
	}
	b.prefix = binary.AppendUvarint(b.prefix[:0], e.Seq)
	if e.Kind == kv.Delete {
		if err := b.rows.Delete(e.Key); err != nil {
			return b.fail(err)
		}
		b.totals.Entries++
		return b.fail(b.rows.Put(nil, b.prefix))
	}
	b.prefix = binary.AppendUvarint(b.prefix, uint64(e.Deadline))
	b.totals.Entries++
	return b.fail(b.rows.Put(e.Key, b.prefix, e.Value))
}

// Full reports whether it is time to Flush. A caller that does so then can always add one more entry of the largest size.
func (b *Writer) Full() bool { return b.rows.Size() >= batchSize }

// Flush writes the entries that were added.
func (b *Writer) Flush() error {
	if b.err != nil || b.rows.Count() == 0 {
		return b.err
	}
	value := b.rows.Build()
	appendFrame(value[:0], typeEntries, b.header.ID, b.number)
	if err := b.record(value, b.compression); err != nil {
		return err
	}
	return b.fail(b.rows.Reset(schemaRows))
}

// AddRangeDelete adds a range delete to an increment, and flushes the entries before it.
func (b *Writer) AddRangeDelete(d kv.RangeDelete) error {
	if err := b.Flush(); err != nil {
		return err
	}
	value := appendFrame(nil, typeRangeDelete, b.header.ID, b.number)
	value = binary.LittleEndian.AppendUint64(value, d.Seq)
	value = binary.AppendUvarint(value, uint64(len(d.Start)))
	value = append(append(value, d.Start...), d.End...)
	b.totals.RangeDeletes++
	return b.record(value, wal.CompressionNone)
}

// AddEviction adds an eviction to an increment, and flushes the entries before it.
func (b *Writer) AddEviction(e kv.Eviction) error {
	if err := b.Flush(); err != nil {
		return err
	}
	value := appendFrame(nil, typeEviction, b.header.ID, b.number)
	value = binary.LittleEndian.AppendUint64(value, e.Seq)
	return b.record(binary.LittleEndian.AppendUint64(value, uint64(e.Horizon)), wal.CompressionNone)
}

// AddWriters adds states of writers, and flushes the entries before them.
func (b *Writer) AddWriters(states []WriterState) error {
	if err := b.Flush(); err != nil {
		return err
	}
	const most = batchSize / writerSize
	for len(states) > 0 && b.err == nil {
		n := min(len(states), most)
		value := appendFrame(nil, typeWriters, b.header.ID, b.number)
		for _, s := range states[:n] {
			value = appendWriter(value, s)
		}
		states = states[n:]
		b.totals.Writers += uint64(n)
		b.record(value, wal.CompressionNone)
	}
	return b.err
}

// Finish writes the entries that are left, and the end.
func (b *Writer) Finish() error {
	if err := b.Flush(); err != nil {
		return err
	}
	value := appendFrame(nil, typeEnd, b.header.ID, b.number)
	if err := b.record(appendEnd(value, b.totals, b.digest.Sum64()), wal.CompressionNone); err != nil {
		return err
	}
	b.err = errFinished
	return nil
}

// Totals returns the totals of the items added so far.
func (b *Writer) Totals() Totals { return b.totals }

// Written returns the number of bytes written so far.
func (b *Writer) Written() int64 { return b.written }

// record writes one record.
func (b *Writer) record(value []byte, c wal.Compression) error {
	if b.err != nil {
		return b.err
	}
	var err error
	b.buf, err = wal.AppendRecord(b.buf[:0], &wal.Record{Value: value, Compression: c})
	if err != nil {
		return b.fail(err)
	}
	b.digest.Write(b.buf) // never fails
	b.number++
	n, err := b.w.Write(b.buf)
	b.written += int64(n)
	if err == nil && n < len(b.buf) {
		err = io.ErrShortWrite
	}
	return b.fail(err)
}

func (b *Writer) fail(err error) error {
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("backup: %w", err)
	}
	return b.err
}
