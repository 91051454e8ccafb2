package ebb

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Batch collects operations that DB.Apply makes all at once or not at all. They are made in their order: a later operation on
// a key wins, and a range delete covers what was put before it and nothing that is put after it. The zero Batch is empty and
// ready. A batch is for one goroutine at a time. It copies the keys and values that it is given. After Apply a batch may be
// applied again, or emptied by Reset and used anew, which keeps its memory.
type Batch struct {
	ops    draft.List
	size   int64 // as MaxBatchSize counts
	writer writerBatch

	resolver draft.Resolver
	encoder  op.Encoder
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
	return b.add(&draft.Op{Kind: draft.Put, Key: key, Value: value, Life: g.ttl.life()})
}

// Delete adds a delete.
func (b *Batch) Delete(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return b.add(&draft.Op{Kind: draft.Delete, Key: key})
}

// DeleteRange adds a delete of the keys from start up to but not including end, those among them that the batch has put
// before. A nil end is no bound. A range whose end is not behind its start is no error, and adds nothing.
func (b *Batch) DeleteRange(start, end []byte) error {
	if err := checkRange(start, end); err != nil {
		return err
	}
	if isEmpty(start, end) {
		return nil
	}
	return b.add(&draft.Op{Kind: draft.DeleteRange, Key: start, End: end})
}

// DeletePrefix adds a delete of all keys that begin with a prefix. It is DeleteRange from prefix to PrefixEnd(prefix).
func (b *Batch) DeletePrefix(prefix []byte) error { return b.DeleteRange(prefix, PrefixEnd(prefix)) }

// opSize is what an operation counts towards MaxBatchSize.
func opSize(key, value []byte) int64 { return draft.Size(key, value) }

func (b *Batch) add(o *draft.Op) error {
	size := opSize(o.Key, o.Value) + int64(len(o.End))
	if b.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	b.size += size
	b.ops.Add(o)
	return nil
}

// Append adds the operations of another batch behind those of b. It takes no writer over. If all together are too large b
// stays as it was, and the error is ErrBatchTooLarge.
func (b *Batch) Append(other *Batch) error {
	if b.size+other.size > MaxBatchSize {
		return fmt.Errorf("%w: %d and %d bytes, the limit is %d", ErrBatchTooLarge, b.size, other.size, int64(MaxBatchSize))
	}
	b.size += other.size
	b.ops.Append(&other.ops)
	return nil
}

// Len returns the number of operations.
func (b *Batch) Len() int { return b.ops.Len() }

// Size returns how many of MaxBatchSize bytes the operations take: all keys and values, and a few bytes for each operation.
func (b *Batch) Size() int64 { return b.size }

// Reset empties the batch and undoes SetWriter.
func (b *Batch) Reset() {
	b.ops.Reset()
	b.size, b.writer = 0, writerBatch{}
}

// BatchOpKind is the kind of an operation of a batch.
type BatchOpKind uint8

const (
	BatchPut         BatchOpKind = iota // Key gets Value
	BatchDelete                         // Key is deleted
	BatchDeleteRange                    // the keys from Key up to but not including End are deleted
)

var batchOpNames = [...]string{"put", "delete", "delete range"}

// String returns the name of the kind.
func (k BatchOpKind) String() string {
	if int(k) < len(batchOpNames) {
		return batchOpNames[k]
	}
	return fmt.Sprintf("BatchOpKind(%d)", uint8(k))
}

// BatchOp is one operation of a batch. Its slices are the batch's: they are valid until Reset, and not to be changed.
type BatchOp struct {
	Kind     BatchOpKind
	Key      []byte        // of a range delete its start, which may be empty
	Value    []byte        // of a put
	End      []byte        // of a range delete; nil: no bound
	TTL      time.Duration // of a put: what TTL was given, which counts from Apply; 0: none
	Deadline int64         // of a put: what ExpireAt was given, Unix ms; 0: none
}

// All returns the operations in the order in which they were added. The batch is not to be changed in the loop.
func (b *Batch) All() iter.Seq[BatchOp] {
	return func(yield func(BatchOp) bool) {
		for o := range b.ops.All {
			shown := BatchOp{Kind: BatchOpKind(o.Kind), Key: o.Key, Value: o.Value, End: o.End}
			switch o.Life.Kind {
			case draft.TTL:
				shown.TTL = time.Duration(o.Life.Value)
			case draft.At:
				shown.Deadline = o.Life.Value
			}
			if !yield(shown) {
				return
			}
		}
	}
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
	if b.ops.Len() == 0 {
		if b.writer.set {
			return ErrBatchEmpty
		}
		return nil
	}
	defer b.resolver.Reset()
	var e wal.Entry
	if !b.ops.Traits().Endless {
		e, err = b.encode(db.clock.Now())
	} else {
		err = b.prepare()
	}
	if err != nil {
		return err
	}
	t, err := b.begin(&db.pipeline, db.reporter)
	if err != nil {
		return err
	}
	if b.writer.set {
		if repeated, err := t.checkWriter(b.writer, db.clock.Now(), &p); repeated || err != nil {
			return err
		}
	}
	if b.ops.Traits().Endless {
		if e, err = b.encodeIn(t); err != nil {
			t.end()
			return err
		}
	}
	return t.write(e, &p)
}

// begin returns a turn to write the batch. r may be nil.
func (b *Batch) begin(p *pipeline, r *reporter) (turn, error) {
	if b.ops.Traits().Ranges {
		return beginRange(p, r)
	}
	return p.begin()
}

// encode returns the batch as an entry for the log, with deadlines as of now. The batch depends on nothing that is there. The
// entry is in b's memory.
func (b *Batch) encode(now int64) (wal.Entry, error) {
	if err := b.prepare(); err != nil {
		return wal.Entry{}, err
	}
	return b.finish(draft.Moment{Now: now, Limit: MaxBatchSize})
}

// encodeIn is encode for a batch that depends on what is there in its turn. prepare was called before the turn.
func (b *Batch) encodeIn(t turn) (wal.Entry, error) {
	m := draft.Moment{Now: t.now(), Limit: MaxBatchSize}
	if b.ops.Traits().Endless {
		m.Last = b.resolver.Reach(t.lastKey())
		m.After = keyAfter(m.Last)
	}
	return b.finish(m)
}

// prepare begins an entry for the log, and makes room for it.
func (b *Batch) prepare() error {
	b.resolver.Begin(&b.ops)
	begin := b.encoder.Begin
	if b.ops.Traits().Ranges {
		begin = b.encoder.BeginWithRanges
	}
	if err := begin(); err != nil {
		return err
	}
	if b.writer.set {
		if err := b.encoder.SetWriter(op.Writer{ID: b.writer.id, Sequence: b.writer.sequence}); err != nil {
			return err
		}
	}
	b.encoder.Grow(b.ops.EncodedSize())
	return nil
}

// finish encodes the operations and returns the entry that prepare has begun.
func (b *Batch) finish(m draft.Moment) (wal.Entry, error) {
	err := b.resolver.Encode(&b.encoder, m)
	if err == nil {
		return b.encoder.Entry(), nil
	}
	if tooLarge := (*draft.TooLargeError)(nil); errors.As(err, &tooLarge) {
		err = fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	return wal.Entry{}, err
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
