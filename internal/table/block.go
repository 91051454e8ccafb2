package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/wal"
)

// scratch is the memory that a look-up or an iterator reads into where a block is neither mapped nor cached.
type scratch struct {
	cache *Cache // where a block goes that had to be read or decompressed; nil for one-off reads, which must not evict hot blocks
	raw   []byte // a record as it is in the file
	block []byte // a decompressed block
	page  []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// scratch returns memory for one look-up, or nil if none is needed.
func (t *Reader) scratch() *scratch {
	if t.rows != nil {
		return nil
	}
	s := scratches.Get().(*scratch)
	s.cache = t.cache
	return s
}

// release returns s to the pool, without the memory of a huge value. After a fault it is not called, and s is garbage.
func (s *scratch) release() {
	if s == nil {
		return
	}
	const most = 1 << 20
	if cap(s.raw)+cap(s.block) > most {
		s.raw, s.block = nil, nil
	}
	s.cache = nil
	scratches.Put(s)
}

// sized returns n bytes of *buf, which it replaces if that is too small.
func sized(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		*buf = make([]byte, n)
	}
	return (*buf)[:n]
}

// read returns the bytes of a section: a part of the mapping or, without one, *buf, into which it reads them.
func (t *Reader) read(s section, buf *[]byte) ([]byte, error) {
	if t.mem != nil {
		return t.mem[s.off:s.end():s.end()], nil
	}
	if s.size > maxRecordSize { // A reader with 32-bit integers could not even try.
		return nil, t.corrupt(s.off, "file", errLayout)
	}
	b := sized(buf, s.size)
	n, err := t.file.ReadAt(b, s.off)
	if int64(n) == s.size {
		return b, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, t.corrupt(s.off+int64(n), "file", errTruncated)
	}
	return nil, fmt.Errorf("table: %s: %w", t.name, err)
}

func (t *Reader) corrupt(off int64, what string, err error) error {
	return corrupt.New(t.name, off, what, err)
}

// record decodes the one record that fills b, which stands at off.
func (t *Reader) record(b []byte, off int64, what string) (wal.Record, error) {
	r, n, err := wal.DecodeStored(b)
	if err == nil && (n != len(b) || r.HasTTL || r.Tombstone) {
		err = errRecord
	}
	if err != nil {
		return wal.Record{}, t.corrupt(off, what, err)
	}
	return r, nil
}

// control returns the payload of the control record that fills a section. It aliases the mapping, or *buf.
func (t *Reader) control(s section, typ byte, what string, buf *[]byte) ([]byte, error) {
	b, err := t.read(s, buf)
	if err != nil {
		return nil, err
	}
	r, err := t.record(b, s.off, what)
	if err != nil {
		return nil, err
	}
	if len(r.Key) > 0 || len(r.Value) == 0 || r.Value[0] != typ || r.Compression != wal.CompressionNone {
		return nil, t.corrupt(s.off, what, errRecord)
	}
	return r.Value, nil
}

// block returns the batch of block i, verified and uncompressed. The bytes are the mapping's, the cache's or s's; they
// stay as they are until s is used again or the table is closed.
func (t *Reader) block(i int, s *scratch) ([]byte, error) {
	word, off, head, end := t.index.place(i)
	if t.mem == nil || word&wordCompressed != 0 {
		return t.loadBlock(i, s)
	}
	if word&wordVerified == 0 {
		if err := t.verifyBlock(i); err != nil {
			return nil, err
		}
	}
	return t.mem[off+head : end-recordCRCSize : end-recordCRCSize], nil
}

// maps reports whether block i is read in the mapping.
func (t *Reader) maps(i int) bool { return t.mem != nil && t.index.words[i].Load()&wordCompressed == 0 }

// verifyBlock checks a mapped block before its first use.
func (t *Reader) verifyBlock(i int) error {
	_, off, _, end := t.index.place(i)
	if _, err := t.decodeBlock(i, t.mem[off:end:end], nil); err != nil {
		return err
	}
	t.index.words[i].Or(wordVerified)
	return nil
}

// chunkSize is about the size of a block, so that the first use of a chunk verifies little more than it reads.
const chunkSize = 4 << 10

// chunk makes sure that all of the blocks are verified that overlap the chunk with offset off, which is within rows.
//
// A look-up knows where its row is but not in which block. To find the block, or to have the slot name it and look up
// where it begins, is one more cache miss: 815 ns became 650 in a table of ten million entries. The chunks of such a table
// are a bitmap of 42 KiB, which stays in the nearest caches.
func (t *Reader) chunk(off int64) error {
	c := int(off / chunkSize)
	if t.chunks.has(c) {
		return nil
	}
	start := max(headerSize, int64(c)*chunkSize)
	end := min(int64(c+1)*chunkSize, int64(len(t.rows)))
	for i := t.index.at(start); start < end; i++ {
		if _, err := t.block(i, nil); err != nil {
			return err
		}
		_, _, _, start = t.index.place(i)
	}
	t.chunks.add(c)
	return nil
}

// loadBlock gets a block from the cache, or reads, checks and decompresses it.
func (t *Reader) loadBlock(i int, s *scratch) ([]byte, error) {
	key := cacheKey(t.cacheID, i)
	if b, ok := s.cache.get(key); ok {
		return b, nil
	}
	word, off, _, end := t.index.place(i)
	raw, out := &s.raw, &s.block
	if s.cache != nil { // a cached block has memory of its own
		out = new([]byte)
		if word&wordCompressed == 0 {
			raw = new([]byte)
		}
	}
	b, err := t.read(section{off, end - off}, raw)
	if err != nil {
		return nil, err
	}
	if b, err = t.decodeBlock(i, b, out); err == nil {
		s.cache.set(key, b)
	}
	return b, err
}

// decodeBlock checks the record of block i and returns the batch in it, which aliases b. A compressed one is decompressed
// into *out, which is replaced if it is too small.
func (t *Reader) decodeBlock(i int, b []byte, out *[]byte) ([]byte, error) {
	const what = "data block"
	word, off, head, _ := t.index.place(i)
	r, err := t.record(b, off, what)
	if err != nil {
		return nil, err
	}
	stored := t.compression
	if word&wordCompressed == 0 {
		stored = wal.CompressionNone
	}
	if r.Compression != stored || !t.index.holds(i, r.Key) ||
		int64(len(b)-len(r.Value)-recordCRCSize) != head {
		return nil, t.corrupt(off, what, ErrMisplaced)
	}
	value := r.Value
	if r.Compression != wal.CompressionNone {
		if value, err = wal.DecompressValue(*out, value, r.Compression, wal.MaxValueSize); err != nil {
			return nil, t.corrupt(off, what, err)
		}
		*out = value
	}
	rows, n, err := batch.Parse(value)
	if err == nil && (n != len(value) || rows.SchemaID != schemaRows || rows.Count == 0) {
		err = errMalformed
	}
	if err != nil {
		return nil, t.corrupt(off, what, err)
	}
	return value[:n:n], nil
}

// page returns the slots of hash page i, verified. They stay as they are until s is used again or the table is closed.
func (t *Reader) page(i int, s *scratch) ([]byte, error) {
	if t.mem == nil {
		return t.loadPage(i, s)
	}
	if !t.pages.has(i) {
		if _, err := t.checkPage(i, nil); err != nil {
			return nil, err
		}
		t.pages.add(i)
	}
	off := t.foot.hash.off + int64(i)*pageSize + pageHeader
	return t.mem[off+pageSlotsStart : off+pageNumber : off+pageNumber], nil
}

// loadPage gets a hash page from the cache, or reads and checks it.
func (t *Reader) loadPage(i int, s *scratch) ([]byte, error) {
	key := cacheKey(t.cacheID, cachePage|i)
	if b, ok := s.cache.get(key); ok {
		return b, nil
	}
	buf := &s.page
	if s.cache != nil {
		buf = new([]byte)
	}
	b, err := t.checkPage(i, buf)
	if err == nil {
		s.cache.set(key, b)
	}
	return b, err
}

// checkPage checks hash page i and returns its slots, which alias the mapping or *buf.
func (t *Reader) checkPage(i int, buf *[]byte) ([]byte, error) {
	s := section{t.foot.hash.off + int64(i)*pageSize, pageSize}
	b, err := t.control(s, typeHashPage, "hash page", buf)
	if err != nil {
		return nil, err
	}
	if len(b) != pagePayload || binary.LittleEndian.Uint32(b[pageNumber:]) != uint32(i) {
		return nil, t.corrupt(s.off, "hash page", ErrMisplaced)
	}
	return b[pageSlotsStart:pageNumber:pageNumber], nil
}
