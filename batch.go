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
	ops     batchOps
	size    int64 // as MaxBatchSize counts
	writer  writerBatch
	encoder op.Encoder
}

// Put adds a put. It takes TTL or ExpireAt; a TTL counts from Apply.
func (b *Batch) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	put := batchOp{key: key, value: value, kind: kv.Put}
	for _, o := range opts {
		if o.kind != optionTTL && o.kind != optionExpireAt {
			return fmt.Errorf("%w: in a batch a put takes a deadline only", ErrInvalidOption)
		}
		put.ttl = o
	}
	return b.add(&put)
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

// Reset empties the batch, which is then no writer's any more.
func (b *Batch) Reset() {
	b.ops.reset()
	b.size, b.writer = 0, writerBatch{}
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

// Apply makes the operations of a batch, all at once: no read and no crash sees a part of them. Of the options it takes
// VersionTo, Sync and NoSync. An empty batch does nothing.
//
// Other writes wait while a batch is written, for about a microsecond an operation: where that matters, apply several.
func (db *DB) Apply(b *Batch, opts ...WriteOption) error {
	p, err := db.params(opts, 0)
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
