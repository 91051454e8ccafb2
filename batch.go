package ebb

import (
	"encoding/binary"
	"fmt"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// batchOverhead bounds what the KV batch adds to a key and a value: lengths and deadline.
const batchOverhead = 4 + 2*binary.MaxVarintLen32 + binary.MaxVarintLen64

// Batch collects puts and deletes that DB.Apply makes all at once or not at all. Later operations on a key win. The zero
// Batch is empty and ready. It is for one goroutine, and copies what it is given. After Apply it may be applied again, or
// emptied by Reset and used anew, which keeps its memory.
type Batch struct {
	ops     []batchOp
	data    []byte // keys and values, one after the other
	size    int64  // as MaxBatchSize counts
	writer  writerBatch
	encoder op.Encoder
}

// batchOp is one operation: a key and a value of these lengths in Batch.data.
type batchOp struct {
	key, value int
	kind       kv.Kind
	ttl        WriteOption // of a put; the zero option if it has no deadline
}

// Put adds a put. It takes TTL or ExpireAt; a TTL counts from Apply.
func (b *Batch) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	put := batchOp{len(key), len(value), kv.Put, WriteOption{}}
	for _, o := range opts {
		if o.kind != optionTTL && o.kind != optionExpireAt {
			return fmt.Errorf("%w: in a batch a put takes a deadline only", ErrInvalidOption)
		}
		put.ttl = o
	}
	return b.add(put, key, value)
}

// Delete adds a delete.
func (b *Batch) Delete(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return b.add(batchOp{key: len(key), kind: kv.Delete}, key, nil)
}

// opSize is what an operation counts towards MaxBatchSize.
func opSize(key, value []byte) int64 { return int64(len(key)) + int64(len(value)) + batchOverhead }

func (b *Batch) add(o batchOp, key, value []byte) error {
	size := opSize(key, value)
	if b.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	b.size += size
	b.ops = append(b.ops, o)
	b.data = append(append(b.data, key...), value...)
	return nil
}

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// Reset empties the batch, which is then no writer's any more.
func (b *Batch) Reset() {
	b.ops, b.data, b.size, b.writer = b.ops[:0], b.data[:0], 0, writerBatch{}
}

// encode returns the batch as an entry for the log, in b's own memory, with deadlines as of now.
func (b *Batch) encode(now int64) (wal.Entry, error) {
	if err := b.encoder.Begin(); err != nil {
		return wal.Entry{}, err
	}
	if b.writer.set {
		if err := b.encoder.SetWriter(op.Writer{ID: b.writer.id, Sequence: b.writer.sequence}); err != nil {
			return wal.Entry{}, err
		}
	}
	rest := b.data
	for _, o := range b.ops {
		key, value := rest[:o.key], rest[o.key:o.key+o.value]
		rest = rest[o.key+o.value:]
		deadline, past := o.ttl.deadline(now)
		var err error
		if o.kind == kv.Delete || past {
			err = b.encoder.Delete(key)
		} else {
			err = b.encoder.Put(key, value, deadline)
		}
		if err != nil {
			return wal.Entry{}, err
		}
	}
	return b.encoder.Entry(), nil
}

// Apply makes the operations of a batch, all at once: no read and no crash sees a part of them. Of the options it takes
// VersionTo, Sync and NoSync. An empty batch does nothing.
func (db *DB) Apply(b *Batch, opts ...WriteOption) error {
	p, err := db.params(opts, 0)
	if err != nil {
		return err
	}
	if len(b.ops) == 0 {
		if b.writer.set {
			return ErrBatchEmpty
		}
		return nil
	}
	e, err := b.encode(db.clock.Now())
	if err != nil {
		return err
	}
	if err := db.beginWrite(); err != nil {
		return err
	}
	if b.writer.set {
		if repeated, err := db.checkWriterLocked(b.writer, &p); repeated || err != nil {
			return err
		}
	}
	return db.writeLocked(e, &p)
}
