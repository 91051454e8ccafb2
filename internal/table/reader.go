package table

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Reader answers from one table. Any goroutine may use it, until Close.
//
// It takes no lock. A look-up reads only memory that Open has built and that never changes, and blocks and hash pages whose
// bit says that they were verified: see blockIndex, whose argument holds for the bits of hash pages and chunks, too.
type Reader struct {
	name string
	file vfs.File
	mem  []byte // the mapping; nil where the file system has none
	size int64

	header
	foot       footer
	properties *Properties
	index      *blockIndex
	pageCount  int
	pages      bitmap // a bit for each hash page: it was verified

	// In a mapped table without compression: the bytes up to the end of the blocks, in which look-ups read rows, and a bit for
	// each chunk of them: see chunk. Both are nil in any other table.
	rows   []byte
	chunks bitmap

	cache   *Cache
	cacheID uint64
	filter  *Filter // nil: there is none
}

// bitmap is a set of numbers that only ever grows. Any goroutine may use it.
type bitmap []atomic.Uint64

func makeBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) has(i int) bool { return b[i/64].Load()>>(i%64)&1 != 0 }
func (b bitmap) add(i int)      { b[i/64].Or(1 << (i % 64)) }

// Open opens the table in the named file and reads its header, block index, range deletes and properties; blocks and hash
// pages are read and verified when they are first needed. A file that is not the table id is a *corrupt.Error that matches
// ErrForeign or ErrMisplaced. cache keeps blocks that have to be read or decompressed, and may be nil.
func Open(fs vfs.FS, name string, id Identity, cache *Cache) (*Reader, error) {
	file, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	t := &Reader{name: name, file: file, cache: cache, cacheID: cache.newTable()}
	if err := t.open(id); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return t, nil
}

func (t *Reader) open(id Identity) error {
	size, err := t.file.Size()
	if err != nil {
		return fmt.Errorf("table: %w", err)
	}
	t.size = size
	if size < headerSize+footerSize || size > maxFileSize {
		return t.corrupt(0, "file", errMagic)
	}
	mem, err := t.file.Map()
	if err != nil && !errors.Is(err, vfs.ErrNotSupported) {
		return fmt.Errorf("table: %w", err)
	}
	if err == nil {
		if int64(len(mem)) != size { // it changed under us
			return t.corrupt(0, "file", errTruncated)
		}
		t.mem = mem
	}
	return t.guard(func() error {
		if err := t.readHeader(id); err != nil {
			return err
		}
		return t.readSections()
	})
}

// guard runs fn, which may read the mapping, and returns its error or that of a fault in it.
func (t *Reader) guard(fn func() error) (err error) {
	if fault := vfs.Guard(func() { err = fn() }); fault != nil {
		return t.fault(fault)
	}
	return err
}

func (t *Reader) fault(err error) error { return fmt.Errorf("table: %s: %w", t.name, err) }

func (t *Reader) readHeader(id Identity) error {
	const what = "table header"
	var buf []byte
	b, err := t.read(section{0, min(t.size, maxHeaderSize)}, &buf) // another version's may have another size
	if err != nil {
		return err
	}
	r, n, err := wal.DecodeStored(b)
	if err != nil {
		return t.corrupt(0, what, err)
	}
	h, err := decodeHeader(r.Value)
	switch {
	case errors.Is(err, format.ErrNewer):
		return fmt.Errorf("table: %s: %w", t.name, err)
	case err != nil:
	case n != headerSize:
		err = errRecord
	case h.id.Database != id.Database:
		err = ErrForeign
	case h.id.File != id.File:
		err = fmt.Errorf("%w: it is %d, not %d", ErrMisplaced, h.id.File, id.File)
	}
	if err != nil {
		return t.corrupt(0, what, err)
	}
	t.header = h
	return nil
}

// readSections reads the sections that the footer locates.
func (t *Reader) readSections() error {
	var buf []byte
	at := section{t.size - footerSize, footerSize}
	b, err := t.control(at, typeFooter, "footer", &buf)
	if err != nil {
		return err
	}
	if t.foot, err = decodeFooter(b, t.size); err != nil {
		return t.corrupt(at.off, "footer", err)
	}
	t.pageCount = int(t.foot.hash.size / pageSize)
	t.pages = makeBitmap(t.pageCount)

	if b, err = t.control(t.foot.index, typeBlockIndex, "block index", &buf); err != nil {
		return err
	}
	if t.index, err = decodeBlockIndex(b, t.foot.index.off, t.compression); err != nil {
		return t.corrupt(t.foot.index.off, "block index", err)
	}
	if t.mem != nil && t.compression == wal.CompressionNone {
		t.rows = t.mem[:t.foot.index.off]
		t.chunks = makeBitmap(len(t.rows)/chunkSize + 1)
	}

	if b, err = t.control(t.foot.properties, typeProperties, "properties", &buf); err != nil {
		return err
	}
	if t.properties, err = decodeProperties(b, t.base); err != nil {
		return t.corrupt(t.foot.properties.off, "properties", err)
	}
	t.properties.FileSize = t.size
	if t.foot.ranges.size == 0 {
		return nil
	}
	if b, err = t.control(t.foot.ranges, typeRangeDeletes, "range deletes", &buf); err != nil {
		return err
	}
	if t.properties.RangeDeletes, err = decodeRangeDeletes(b, t.base); err != nil {
		return t.corrupt(t.foot.ranges.off, "range deletes", err)
	}
	return nil
}

// Close closes the file. Slices of an Iterator and anything still running on the Reader must be done with before.
func (t *Reader) Close() error { return t.file.Close() }

// ID returns the table's identity.
func (t *Reader) ID() Identity { return t.id }

// MappedBytes returns how much of the file is mapped: all of it, or nothing where the file system has no mappings. What has
// been read of it lies in the operating system's page cache.
func (t *Reader) MappedBytes() int64 { return int64(len(t.mem)) }

// IndexBytes returns the memory of what Open has read of the block index, of the bits for what was verified, and of the filter.
func (t *Reader) IndexBytes() int64 {
	return t.index.memory() + 8*int64(len(t.pages)+len(t.chunks)) + t.filter.memory()
}

// Share returns which part of the table's entries, by their size, lies in start <= key < end, to about a block. It reads
// nothing.
func (t *Reader) Share(start, end []byte) float64 { return t.index.share(start, end) }

// Properties returns the table's properties, which the caller must not change. They stay valid after Close.
func (t *Reader) Properties() *Properties { return t.properties }
