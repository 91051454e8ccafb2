package ebb

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// batchSchema is the schema id of batches in the log: each value is preceded by its deadline as a uvarint, Unix ms, 0 for
// none.
const batchSchema = 1

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
	builder *batch.Builder
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
	op := batchOp{len(key), len(value), kv.Put, WriteOption{}}
	for _, o := range opts {
		if o.kind != optionTTL && o.kind != optionExpireAt {
			return fmt.Errorf("%w: in a batch a put takes a deadline only", ErrInvalidOption)
		}
		op.ttl = o
	}
	return b.add(op, key, value)
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

func (b *Batch) add(op batchOp, key, value []byte) error {
	size := opSize(key, value)
	if b.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	b.size += size
	b.ops = append(b.ops, op)
	b.data = append(append(b.data, key...), value...)
	return nil
}

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// Reset empties the batch, which is then no writer's any more.
func (b *Batch) Reset() {
	b.ops, b.data, b.size, b.writer = b.ops[:0], b.data[:0], 0, writerBatch{}
}

// encode returns the batch as a KV batch in b's own memory, with deadlines as of now.
func (b *Batch) encode(now int64) ([]byte, error) {
	if b.builder == nil {
		builder, err := batch.NewBuilder(nil, batchSchema, batch.MaxSize)
		if err != nil {
			return nil, err
		}
		b.builder = builder
	}
	if err := b.builder.Reset(batchSchema); err != nil {
		return nil, err
	}
	if b.writer.set {
		if err := b.builder.SetWriter(b.writer.id, b.writer.sequence); err != nil {
			return nil, err
		}
	}
	var prefix [binary.MaxVarintLen64]byte
	rest := b.data
	for _, op := range b.ops {
		key, value := rest[:op.key], rest[op.key:op.key+op.value]
		rest = rest[op.key+op.value:]
		deadline, past := op.ttl.deadline(now)
		var err error
		if op.kind == kv.Delete || past {
			err = b.builder.Delete(key)
		} else {
			err = b.builder.Put(key, binary.AppendUvarint(prefix[:0], uint64(deadline)), value)
		}
		if err != nil {
			return nil, err
		}
	}
	return b.builder.Build(), nil
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
	encoded, err := b.encode(db.clock.Now())
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
	return db.writeLocked(wal.Entry{Kind: wal.KindBatch, Value: encoded, Ops: len(b.ops)}, &p)
}

var errBatchCount = errors.New("batch holds another number of operations than the log says")

// decodeBatch reads the batch of a log entry. Its records can be walked without an error.
func decodeBatch(e *wal.Entry) (batch.Batch, error) {
	b, n, err := batch.Decode(e.Value)
	if err == nil && (n != len(e.Value) || b.SchemaID != batchSchema && b.SchemaID != expirySchema || b.Count != e.Ops) {
		err = errBatchCount
	}
	return b, err
}

// applyBatch takes a batch from the log into the memtable. The operations take consecutive sequences.
func (m *mem) applyBatch(e *wal.Entry, c *commit, clock clock) error {
	b, err := decodeBatch(e)
	if err != nil {
		return err
	}
	seq := e.Seq
	for it := b.Records(); it.Next(); seq++ {
		r := &it.Record
		c.note(seq, r.Key, nil)
		if r.Delete || b.SchemaID == expirySchema {
			err = m.Set(r.Key, nil, seq, 0, kv.Delete)
		} else {
			deadline, n := binary.Uvarint(r.Value)
			if n <= 0 {
				return errBatchCount
			}
			err = m.put(r.Key, r.Value[n:], seq, int64(deadline))
		}
		if err != nil {
			return err
		}
	}
	if b.WriterID != batch.NoWriterID {
		s := writerState{b.BatchSequence, seq - 1, clock.Now()}
		m.setWriter(b.WriterID, s)
		c.writers.set(b.WriterID, s)
	}
	return nil
}
