package ebb

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// batchOverhead bounds the bytes that an encoded batch adds to a key and a value: lengths and deadline.
const batchOverhead = 4 + 2*binary.MaxVarintLen32 + binary.MaxVarintLen64

// Batch collects puts and deletes that DB.Apply makes all at once or not at all. Later operations on a key win. The zero
// Batch is empty and ready. A batch is for one goroutine at a time. It copies the keys and values that it is given. After
// Apply a batch may be applied again, or emptied by Reset and used anew, which keeps its memory.
type Batch struct {
	ops     batchOps
	size    int64 // as MaxBatchSize counts
	writer  writerBatch
	encoder op.Encoder
}

// Put adds a put. Of the options it takes TTL and ExpireAt; a TTL counts from Apply.
func (b *Batch) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	g, err := parseOptions(opts, deadlineOptions)
	if err != nil {
		return err
	}
	return b.add(&batchOp{key, value, kv.Put, g.ttl})
}

// Delete adds a delete.
func (b *Batch) Delete(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return b.add(&batchOp{key: key, kind: kv.Delete})
}

// opSize is what an operation counts towards MaxBatchSize.
func opSize(key, value []byte) int64 { return int64(len(key)) + int64(len(value)) + batchOverhead }

func (b *Batch) add(o *batchOp) error {
	size := opSize(o.key, o.value)
	if b.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	b.size += size
	b.ops.add(o)
	return nil
}

// Len returns the number of operations.
func (b *Batch) Len() int { return b.ops.count }

// Reset empties the batch and undoes SetWriter.
func (b *Batch) Reset() {
	b.ops.reset()
	b.size, b.writer = 0, writerBatch{}
}

// encode returns the batch as an entry for the log, with deadlines as of now. The entry is in b's memory.
func (b *Batch) encode(now int64) (wal.Entry, error) {
	if err := b.encoder.Begin(); err != nil {
		return wal.Entry{}, err
	}
	if b.writer.set {
		if err := b.encoder.SetWriter(op.Writer{ID: b.writer.id, Sequence: b.writer.sequence}); err != nil {
			return wal.Entry{}, err
		}
	}
	b.encoder.Grow(b.ops.encodedSize())
	var err error
	for o := range b.ops.all {
		deadline, past := o.ttl.deadline(now)
		if o.kind == kv.Delete || past {
			err = b.encoder.Delete(o.key)
		} else {
			err = b.encoder.Put(o.key, o.value, deadline)
		}
		if err != nil {
			return wal.Entry{}, err
		}
	}
	return b.encoder.Entry(), nil
}

// Apply makes the operations of a batch, all at once: no read sees a part of them, and no crash leaves a part. Of the
// options Apply takes VersionTo, Sync and NoSync. An empty batch does nothing; with SetWriter the error is ErrBatchEmpty.
//
// Other writes wait while a batch is written, for about a microsecond an operation: where that matters, apply several
// batches.
func (db *DB) Apply(b *Batch, opts ...WriteOption) error {
	p, err := evaluate(opts, 0, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	if b.ops.count == 0 {
		if b.writer.set {
			return ErrBatchEmpty
		}
		return nil
	}
	e, err := b.encode(db.clock.Now())
	if err != nil {
		return err
	}
	t, err := db.pipeline.begin()
	if err != nil {
		return err
	}
	if b.writer.set {
		if repeated, err := t.checkWriter(b.writer, db.clock.Now(), &p); repeated || err != nil {
			return err
		}
	}
	return t.write(e, &p)
}

// SetWriter makes the batch the one with this sequence of a writer. The batch is then applied once even if Apply is called
// again, by a caller that does not know whether the first call, before a crash or a broken connection, has succeeded.
//
// A writer's first batch has sequence 0, each later one the next number, and after math.MaxInt32 comes 0 again. A batch that
// repeats the sequence of the writer's last is acknowledged and not applied, whatever operations it has. For any other
// sequence that is not the next the error is ErrWriterSequence. The database remembers the last batch of a writer until the
// writer has been idle for Options.WriterIdle, across crashes, flushes and backups. After that the writer is a new one: its
// next sequence is refused, as 0 is expected, and a repeat of 0 is applied again. Neither id nor sequence may be negative.
func (b *Batch) SetWriter(id int64, sequence int32) error {
	if id < 0 || sequence < 0 {
		return fmt.Errorf("ebb: writer %d, sequence %d: neither may be negative", id, sequence)
	}
	b.writer = writerBatch{true, id, sequence}
	return nil
}

// WriterSequence returns the sequence of a writer's last batch, or ErrNotFound for a writer that the database does not
// remember: the first batch of such a writer has sequence 0.
func (db *DB) WriterSequence(id int64) (int32, error) {
	p, err := evaluate(nil, 0, db.clock, db.opts.Sync)
	if err != nil {
		return 0, err
	}
	p.sync = p.sync && !db.opts.ReadOnly
	t := db.pipeline.lock()
	if db.health.closed.Load() {
		t.end()
		return 0, ErrClosed
	}
	s, ok := t.writers().get(id, db.clock.Now())
	if err := t.leave(&p); err != nil {
		return 0, err
	}
	if !ok {
		return 0, ErrNotFound
	}
	return s.sequence, nil
}

// WriterSequenceError says which batch of a writer was expected. It matches ErrWriterSequence.
type WriterSequenceError struct {
	Writer             int64
	Sequence, Expected int32
}

func (e *WriterSequenceError) Error() string {
	return fmt.Sprintf("%v: writer %d, batch %d, expected %d", ErrWriterSequence, e.Writer, e.Sequence, e.Expected)
}

// Is makes the error match ErrWriterSequence.
func (e *WriterSequenceError) Is(target error) bool { return target == ErrWriterSequence }

// writerBatch says which batch of a writer a batch is.
type writerBatch struct {
	set      bool
	id       int64
	sequence int32
}

// checkWriter decides whether a batch is the next of its writer. If so the turn goes on, for the caller to write the batch.
// If the batch is a repetition, or is refused, checkWriter has ended the turn.
func (t turn) checkWriter(b writerBatch, now int64, p *params) (repeated bool, err error) {
	w := t.writers()
	s, known := w.get(b.id, now)
	expected := int32(0)
	if known && s.sequence != math.MaxInt32 {
		expected = s.sequence + 1
	}
	switch {
	case known && b.sequence == s.sequence:
		if err := t.leave(p); err != nil {
			return true, err
		}
		if p.versionTo != nil {
			*p.versionTo = s.version
		}
		return true, nil
	case b.sequence != expected:
		return false, t.refuse(&WriterSequenceError{b.id, b.sequence, expected}, p)
	case !known && w.full(now):
		return false, t.refuse(ErrTooManyWriters, p)
	}
	return false, nil
}

// batchOp is one operation of a batch.
type batchOp struct {
	key, value []byte
	kind       kv.Kind
	ttl        WriteOption // of a put; the zero option: no deadline
}

// batchOps are the operations of a batch, one after the other in chunks. Chunks never move: each operation is copied once,
// and a batch of any size takes little more memory than its keys and values. The zero value is empty.
//
// An operation is one byte with its kind and the kind of its ttl, the uvarint lengths of key and value, the key, the value,
// and eight bytes of the ttl if it has one. No operation spans two chunks.
type batchOps struct {
	chunks [][]byte
	last   int // index of the chunk that add writes to; the chunks behind it are empty
	count  int
}

const (
	firstOpChunk = 512
	maxOpChunk   = 1 << 20

	opDelete   = 1 << 7 // the rest of the byte is the kind of the ttl
	maxOpExtra = 1 + 2*binary.MaxVarintLen32 + 8
)

// add copies an operation behind the others.
func (l *batchOps) add(o *batchOp) {
	c := l.room(maxOpExtra + len(o.key) + len(o.value))
	head := byte(o.ttl.kind)
	if o.kind == kv.Delete {
		head |= opDelete
	}
	b := append(*c, head)
	b = binary.AppendUvarint(b, uint64(len(o.key)))
	b = binary.AppendUvarint(b, uint64(len(o.value)))
	b = append(append(b, o.key...), o.value...)
	if o.ttl.kind != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(o.ttl.value))
	}
	*c = b
	l.count++
}

// room returns the first chunk from last on that has room for n bytes, and makes it last.
func (l *batchOps) room(n int) *[]byte {
	size := firstOpChunk
	for ; l.last < len(l.chunks); l.last++ {
		c := &l.chunks[l.last]
		if cap(*c)-len(*c) >= n {
			return c
		}
		size = min(2*cap(*c), maxOpChunk)
	}
	l.chunks = append(l.chunks, make([]byte, 0, max(size, n)))
	return &l.chunks[l.last]
}

// reset removes all operations and keeps the chunks.
func (l *batchOps) reset() {
	for i := range l.chunks {
		l.chunks[i] = l.chunks[i][:0]
	}
	l.last, l.count = 0, 0
}

// encodedSize bounds the size of a log entry with the operations. Per operation the entry has four bytes more for the length
// of its record, up to ten bytes of deadline for eight of ttl, or one for none, and a longer length of the value.
func (l *batchOps) encodedSize() int {
	n := 6 * l.count
	for _, c := range l.chunks {
		n += len(c)
	}
	return n
}

// memory returns how many bytes the chunks take.
func (l *batchOps) memory() (n int) {
	for _, c := range l.chunks {
		n += cap(c)
	}
	return n
}

// all yields the operations, in the order in which they were added. Their slices point into the chunks.
func (l *batchOps) all(yield func(*batchOp) bool) {
	var o batchOp
	for _, c := range l.chunks {
		for len(c) > 0 {
			head := c[0]
			o.kind, o.ttl = kv.Put, WriteOption{kind: optionKind(head &^ opDelete)}
			if head&opDelete != 0 {
				o.kind = kv.Delete
			}
			c = c[1:]
			key, n := binary.Uvarint(c)
			c = c[n:]
			value, n := binary.Uvarint(c)
			c = c[n:]
			o.key, o.value, c = c[:key], c[key:key+value], c[key+value:]
			if o.ttl.kind != 0 {
				o.ttl.value = int64(binary.LittleEndian.Uint64(c))
				c = c[8:]
			}
			if !yield(&o) {
				return
			}
		}
	}
}
