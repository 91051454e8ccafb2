package table

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Options describe the table to write.
type Options struct {
	ID Identity
	// BaseSeq is a sequence that no entry and no range delete is below. The closer it is, the shorter the rows.
	BaseSeq uint64
	// Created is the time of creation in Unix ms, not negative. Deadlines are stored relative to it.
	Created int64
	// Compression is tried on every block, and kept where it saves at least an eighth.
	Compression wal.Compression
	// BlockSize is the size of a block in bytes before compression, up to 64 KiB; 0 is 4 KiB, or 32 KiB with
	// compression. An entry that is larger gets a block of its own.
	BlockSize int
	// Huge has the file written so that Linux caches it in huge pages, where the file system lets it, and maps each by one entry of
	// its tables: that takes an eighth more of the processor than smaller writes, which leave its near cache less.
	Huge bool
}

const (
	// defaultBlockSize: a seek decodes a whole block and takes 1.7, 2.0 and 3.8 us with 4, 8 and 16 KiB (1 M entries,
	// mapped). Point reads took 450 to 460 ns and scans 29 to 34 ns an entry with any of them, which is within the noise.
	defaultBlockSize = 4 << 10
	// compressedBlockSize: at 4 KiB, LZ4 gets a ratio of 2.1 and Zstandard one of 3.7 out of JSON, at 32 KiB 2.4 and 4.2.
	compressedBlockSize = 32 << 10
	maxBlockSize        = 64 << 10 // so that every row begins in reach of a slot

	// leastWrite is the size of a write to the file. With Options.Huge writes grow with it, so that none takes more than what is
	// there, up to hugeWrite, and each begins at a multiple of its size. A random look at a mapped table of 1 GiB takes 0.05 us
	// then instead of 0.08, and there is one page fault for each instead of up to thirty.
	leastWrite    = 256 << 10
	hugeWrite     = 2 << 20
	largeValue    = 256 << 10 // a value of this size is written from where it is
	writeBackSize = 1 << 20   // measured: 840 MB/s against 610 for one sync at the end
	maxEntries    = 1 << 32   // keeps the hash pages within the cache's key
	maxSeparators = 1 << 29   // bytes; keeps the block index within a record
	EntryMemory   = 22        // bytes of memory that a Writer needs for an entry at most: see Memory
)

// Writer makes one table file. Add the entries in ascending order, then Finish; Abort when something went wrong.
type Writer struct {
	fs   vfs.FS
	name string
	file vfs.File // nil once finished
	base base

	compression wal.Compression
	blockSize   int
	mostWrite   int64
	batch       *batch.Builder
	rows        []hashedRow // of the block being filled
	prefix      []byte      // of the row being added
	lastKey     []byte

	buf         []byte // records not yet written, which begin at offset written
	written     int64
	writtenBack int64
	err         error // the first failure of the file: nothing more is written

	index blockIndexBuilder
	hash  hashIndex
	sum   *summary
}

// hashedRow is an entry whose place is not known before its block is complete.
type hashedRow struct {
	hash   uint64
	offset int // in the block
}

// NewWriter creates the named file, which must not exist, and returns a Writer for the table in it.
func NewWriter(fs vfs.FS, name string, o Options) (*Writer, error) {
	if o.BlockSize == 0 {
		o.BlockSize = defaultBlockSize
		if o.Compression != wal.CompressionNone {
			o.BlockSize = compressedBlockSize
		}
	}
	if o.BlockSize < 0 || o.BlockSize > maxBlockSize || o.Created < 0 || o.Compression > wal.CompressionZstd {
		return nil, fmt.Errorf("%w options", ErrInvalid)
	}
	rows, err := batch.NewBuilder(nil, schemaRows, batch.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	file, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	w := &Writer{
		fs: fs, name: name, file: file, base: base{seq: o.BaseSeq, time: o.Created},
		compression: o.Compression, blockSize: o.BlockSize, mostWrite: leastWrite, batch: rows,
		buf: make([]byte, 0, leastWrite), sum: newSummary(o.Created),
	}
	if o.Huge {
		w.mostWrite = hugeWrite
	}
	h := header{id: o.ID, base: w.base, compression: o.Compression}
	w.append(&wal.Record{Value: h.append(nil)})
	return w, nil
}

// Add appends an entry, which it copies. Its key must be greater than that of the entry before. A tombstone's value and
// deadline are not kept. After ErrOrder, ErrInvalid and ErrFull the Writer is as it was; any other error is final.
func (w *Writer) Add(e *kv.Entry) error {
	if err := w.check(e); err != nil {
		return err
	}
	w.prefix = w.base.appendRowPrefix(w.prefix[:0], e)
	if w.batch.Count() > 0 && w.batch.Size()+len(e.Key)+len(e.Value)+rowFrame > w.blockSize {
		if err := w.finishBlock(); err != nil {
			return err
		}
	}
	if w.batch.Count() == 0 && len(w.index.blocks) > 0 {
		w.index.separate(w.lastKey, e.Key)
	}
	w.rows = append(w.rows, hashedRow{xxhash.Sum64(e.Key), w.batch.Size()})
	w.sum.add(e)
	w.lastKey = append(w.lastKey[:0], e.Key...)
	if len(e.Value) >= largeValue && e.Kind == kv.Put && w.compression == wal.CompressionNone {
		return w.addLarge(e)
	}
	if err := w.appendRow(e); err != nil {
		return w.fail(err)
	}
	return nil
}

// addLarge writes the block of an entry that gets one of its own, without a copy of the value.
func (w *Writer) addLarge(e *kv.Entry) error {
	rows, err := w.batch.PutLast(e.Key, w.prefix, e.Value)
	if err != nil {
		return w.fail(err)
	}
	start := len(w.buf)
	var after [4]byte
	if w.buf, after, err = wal.AppendRecordSplit(w.buf, &wal.Record{Key: w.lastKey}, rows, e.Value); err != nil {
		return w.fail(err)
	}
	head := len(w.buf) - start - len(rows)
	place := uint64(w.written) + uint64(start+head)
	if err := w.flushAll(); err != nil {
		return err
	}
	if err := w.write(e.Value); err != nil {
		return err
	}
	w.buf = append(w.buf, after[:]...)
	return w.blockDone(place, blockSize{head: head, rest: len(rows) + len(e.Value) + recordCRCSize})
}

func (w *Writer) check(e *kv.Entry) error {
	switch {
	case w.file == nil:
		return ErrFinished
	case w.err != nil:
		return w.err
	case len(e.Key) == 0 || len(e.Key) > MaxKeySize || len(e.Value) > MaxValueSize:
		return fmt.Errorf("%w entry: key of %d bytes, value of %d", ErrInvalid, len(e.Key), len(e.Value))
	case e.Seq < w.base.seq || e.Deadline < 0 || e.Kind > kv.Delete:
		return fmt.Errorf("%w entry: sequence %d, base %d, deadline %d, kind %d",
			ErrInvalid, e.Seq, w.base.seq, e.Deadline, e.Kind)
	case w.sum.Entries > 0 && bytes.Compare(e.Key, w.lastKey) <= 0:
		return ErrOrder
	case w.sum.Entries >= maxEntries || len(w.index.blocks) >= maxBlocks-1 ||
		len(w.index.separators) >= maxSeparators || w.EstimatedSize() >= maxFileSize-2*MaxValueSize:
		return ErrFull
	}
	return nil
}

// appendRow appends the row of an entry to the block.
func (w *Writer) appendRow(e *kv.Entry) error {
	if e.Kind == kv.Put {
		return w.batch.Put(e.Key, w.prefix, e.Value)
	}
	if err := w.batch.Delete(e.Key); err != nil {
		return err
	}
	return w.batch.Put(nil, w.prefix)
}

// AddRangeDelete adds a range delete, which it copies, at any time before Finish.
func (w *Writer) AddRangeDelete(d kv.RangeDelete) error {
	switch {
	case w.file == nil:
		return ErrFinished
	case w.err != nil:
		return w.err
	case kv.Compare(d.Start, d.End) >= 0 || d.Seq < w.base.seq:
		return fmt.Errorf("%w range delete: sequence %d, base %d", ErrInvalid, d.Seq, w.base.seq)
	}
	w.sum.addRangeDelete(kv.RangeDelete{Start: bytes.Clone(d.Start), End: bytes.Clone(d.End), Seq: d.Seq})
	return nil
}

// EstimatedSize returns about how many bytes the file would have if it were finished now.
func (w *Writer) EstimatedSize() int64 {
	const perBlock = 8 // of the block index, beside the separator
	return w.written + int64(len(w.buf)+w.batch.Size()+len(w.index.separators)+perBlock*len(w.index.blocks)) +
		int64(w.sum.Entries)*pageSize/pageLoad
}

// Memory returns about how many bytes of memory the writer needs until Finish for the entries that were added. The block that is
// being filled and the write buffer come on top.
func (w *Writer) Memory() int64 {
	const perBlock = 24 // a blockSize
	x := &w.index
	return w.hash.memory() + int64(cap(x.separators)) + perBlock*int64(cap(x.blocks)) + 8*int64(cap(x.ends))
}

// finishBlock writes the block that was being filled.
func (w *Writer) finishBlock() error {
	if w.err != nil {
		return w.err
	}
	size, err := w.appendBlock(w.batch.Build())
	if err != nil {
		return w.fail(err)
	}
	place := uint64(w.written) + uint64(len(w.buf)-size.rest)
	if w.compression != wal.CompressionNone {
		place = uint64(len(w.index.blocks)) << placeOffsetBits
	}
	return w.blockDone(place, size)
}

// appendBlock adds the record of a block to the buffer.
func (w *Writer) appendBlock(rows []byte) (blockSize, error) {
	before := len(w.buf)
	if w.compression == wal.CompressionNone {
		buf, after, err := wal.AppendRecordSplit(w.buf, &wal.Record{Key: w.lastKey}, rows)
		if err != nil {
			return blockSize{}, err
		}
		w.buf = append(append(buf, rows...), after[:]...)
		return blockSize{head: len(buf) - before, rest: len(rows) + len(after)}, nil
	}
	var err error
	w.buf, err = wal.AppendRecord(w.buf, &wal.Record{Key: w.lastKey, Value: rows, Compression: w.compression})
	if err != nil {
		return blockSize{}, err
	}
	stored, n, err := wal.DecodeStored(w.buf[before:])
	rest := len(stored.Value) + recordCRCSize
	return blockSize{n - rest, rest, stored.Compression != wal.CompressionNone}, err
}

// blockDone takes note of a block whose record is on its way to the file, and whose rows are at offsets from place.
func (w *Writer) blockDone(place uint64, size blockSize) error {
	for _, r := range w.rows {
		w.hash.add(r.hash, place+uint64(r.offset))
	}
	w.rows = w.rows[:0]
	w.index.blocks = append(w.index.blocks, size)
	if err := w.batch.Reset(schemaRows); err != nil {
		return w.fail(err)
	}
	return w.flush()
}

// append adds a record to the buffer.
func (w *Writer) append(r *wal.Record) {
	if w.err != nil {
		return
	}
	var err error
	if w.buf, err = wal.AppendRecord(w.buf, r); err != nil {
		w.fail(err)
	}
}

// flush writes the buffer up to where writes begin: see leastWrite.
func (w *Writer) flush() error {
	for w.err == nil {
		size := int64(1) << (bits.Len64(uint64(min(max(w.written, leastWrite), w.mostWrite))) - 1)
		n := int(size - w.written%size)
		if len(w.buf) < n {
			break
		}
		if w.write(w.buf[:n]) == nil {
			w.buf = w.buf[:copy(w.buf, w.buf[n:])]
		}
	}
	return w.err
}

// flushAll writes the whole buffer.
func (w *Writer) flushAll() error {
	if w.flush() == nil && len(w.buf) > 0 && w.write(w.buf) == nil {
		w.buf = w.buf[:0]
	}
	return w.err
}

// write appends bytes to the file, and lets the system begin to write back what would otherwise all wait for the sync.
func (w *Writer) write(p []byte) error {
	if _, err := w.file.WriteAt(p, w.written); err != nil {
		return w.fail(err)
	}
	w.written += int64(len(p))
	if n := w.written - w.writtenBack; n >= writeBackSize {
		w.file.WriteBack(w.writtenBack, n)
		w.writtenBack = w.written
	}
	return nil
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = fmt.Errorf("table: %s: %w", w.name, err)
	}
	return w.err
}
