package table

import (
	"errors"
	"fmt"
	"iter"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Salvage reads the readable parts of a table file, however damaged. It is for one goroutine, changes nothing, and needs
// only the header to be whole: without it nothing tells the sequences and deadlines of the rest. Close it.
type Salvage struct {
	// Problems are the *corrupt.Errors of all sections but the data blocks. What such a section says of the file is unknown.
	Problems []error
	// RangeDeletes are those of the file, if that part could be read.
	RangeDeletes []kv.RangeDelete

	t     Reader
	block []byte // a copy of the block that is being read
	value []byte // the same, decompressed
}

// OpenSalvage opens a file for salvaging.
func OpenSalvage(fs vfs.FS, name string) (*Salvage, error) {
	file, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	s := &Salvage{t: Reader{name: name, file: file}}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func (s *Salvage) open() error {
	t := &s.t
	var err error
	if t.size, err = t.file.Size(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if t.mem, err = t.file.Map(); errors.Is(err, vfs.ErrNotSupported) {
		t.mem, err = t.read(section{0, t.size}, new([]byte))
	}
	if err != nil {
		return fmt.Errorf("table: %s: %w", t.name, err)
	}
	return t.guard(func() error {
		r, n, err := wal.DecodeStored(t.mem[:min(len(t.mem), maxHeaderSize)])
		if err == nil {
			t.header, err = decodeHeader(r.Value)
		}
		if err == nil && n != headerSize {
			err = errRecord
		}
		if errors.Is(err, format.ErrNewer) {
			return fmt.Errorf("table: %s: %w", t.name, err)
		}
		if err != nil {
			return t.corrupt(0, "table header", err)
		}
		s.sections()
		return nil
	})
}

// sections reads the sections behind the blocks that are whole.
func (s *Salvage) sections() {
	t := &s.t
	problem := func(err error) { s.Problems = append(s.Problems, err) }
	if t.size < headerSize+footerSize {
		problem(t.corrupt(t.size, "footer", errTruncated))
		return
	}
	at := section{t.size - footerSize, footerSize}
	b, err := t.control(at, typeFooter, "footer", nil)
	if err == nil {
		if t.foot, err = decodeFooter(b, t.size); err != nil {
			err = t.corrupt(at.off, "footer", err)
		}
	}
	if err != nil {
		problem(err)
		return
	}
	if b, err = t.control(t.foot.index, typeBlockIndex, "block index", nil); err == nil {
		if t.index, err = decodeBlockIndex(b, t.foot.index.off, t.compression); err != nil {
			err = t.corrupt(t.foot.index.off, "block index", err)
		}
	}
	if err != nil {
		t.index = nil
		problem(err)
	}
	if b, err = t.control(t.foot.properties, typeProperties, "properties", nil); err == nil {
		if _, err = decodeProperties(b, t.base); err != nil {
			err = t.corrupt(t.foot.properties.off, "properties", err)
		}
	}
	if err != nil {
		problem(err)
	}
	if t.foot.ranges.size == 0 {
		return
	}
	if b, err = t.control(t.foot.ranges, typeRangeDeletes, "range deletes", nil); err == nil {
		if s.RangeDeletes, err = decodeRangeDeletes(b, t.base); err != nil {
			err = t.corrupt(t.foot.ranges.off, "range deletes", err)
		}
	}
	if err != nil {
		problem(err)
	}
}

// ID returns the identity in the header.
func (s *Salvage) ID() Identity { return s.t.id }

// Name returns the name of the file.
func (s *Salvage) Name() string { return s.t.name }

// Close closes the file.
func (s *Salvage) Close() error { return s.t.file.Close() }

// Lost is a stretch of a file that could not be read.
type Lost struct {
	From, To int64 // bytes, To exclusive
	Err      error
}

// Error names the stretch and what is wrong with it.
func (l *Lost) Error() string { return fmt.Sprintf("bytes %d to %d: %v", l.From, l.To, l.Err) }

// Unwrap returns the cause.
func (l *Lost) Unwrap() error { return l.Err }

// Entries returns the entries that can be read, tombstones and expired ones among them, in the order of the file, which is
// that of keys. In the place of each stretch that cannot be read it yields a *Lost. An entry's slices are valid until the
// next.
func (s *Salvage) Entries() iter.Seq2[*kv.Entry, error] {
	return func(yield func(*kv.Entry, error) bool) {
		if s.t.index == nil {
			s.walk(yield)
			return
		}
		for i := range s.t.index.blocks() {
			_, off, _, end := s.t.index.place(i)
			n, more := s.entries(off, end, yield)
			if more && n == 0 {
				more = yield(nil, &Lost{off, end, s.t.corrupt(off, "data block", errRecord)})
			}
			if !more {
				return
			}
		}
	}
}

// walk goes from record to record, without an index. Behind damage it cannot find the next record.
func (s *Salvage) walk(yield func(*kv.Entry, error) bool) {
	end := s.t.size
	if s.t.foot.index.size > 0 {
		end = s.t.foot.index.off
	}
	for off := int64(headerSize); off < end; {
		n, more := s.entries(off, end, yield)
		if !more || n == 0 {
			return
		}
		off += n
	}
}

// entries yields the entries of the block at off. It returns the size of its record, 0 if there is no block there, and
// whether the caller wants more. It tells of damage.
func (s *Salvage) entries(off, end int64, yield func(*kv.Entry, error) bool) (int64, bool) {
	n, rows, err := s.read(off, end)
	if err != nil {
		return end - off, yield(nil, &Lost{off, end, err})
	}
	var r row
	for at := firstRow; at < len(rows); {
		if at = s.t.base.decodeRow(&r, rows, at); at == 0 {
			return n, yield(nil, &Lost{off, off + n, s.t.corrupt(off, "data block", errMalformed)})
		}
		var e kv.Entry
		r.entry(&e, rows)
		if !yield(&e, nil) {
			return n, false
		}
	}
	return n, true
}

// read copies the block at off out of the mapping and returns its size and its batch. Another record is no block: then
// the blocks are over.
func (s *Salvage) read(off, end int64) (size int64, rows []byte, err error) {
	t := &s.t
	err = t.guard(func() error {
		r, n, err := wal.DecodeStored(t.mem[off:end])
		if err != nil || len(r.Key) == 0 {
			return corruptOr(t, off, err)
		}
		s.block = append(s.block[:0], t.mem[off:off+int64(n)]...)
		size = int64(n)
		return nil
	})
	if err != nil || size == 0 {
		return 0, nil, err
	}
	r, _, err := wal.DecodeRecordInto(s.block, s.value[:0], wal.MaxValueSize)
	if err == nil && len(r.Value) < firstRow {
		err = errMalformed
	}
	if err != nil {
		return 0, nil, t.corrupt(off, "data block", err)
	}
	if r.Compression != wal.CompressionNone {
		s.value = r.Value
	}
	return size, r.Value, nil
}

// corruptOr returns the corruption error of a block, nil if err is.
func corruptOr(t *Reader, off int64, err error) error {
	if err == nil {
		return nil
	}
	return corrupt.New(t.name, off, "data block", err)
}
