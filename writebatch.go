package ebb

import (
	"fmt"
	"iter"
	"time"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/op"
)

// Batch collects operations that DB.Apply makes all at once or not at all. They are made in their order: a later operation on
// a key wins, and a range delete covers what was put before it and nothing that is put after it.
//
// IfAbsent, IfPresent and IfVersion make the whole batch depend on a key: if one of them does not hold, nothing is written,
// and Apply returns a *ConditionError. They are about the database as it is before the batch, whatever the batch itself does
// to the key: so their order means nothing.
//
// The zero Batch is empty and ready. A batch is for one goroutine at a time. It copies the keys and values that it is given.
// After Apply a batch may be applied again, or emptied by Reset and used anew, which keeps its memory.
type Batch struct {
	ops    draft.List
	size   int64 // as MaxBatchSize counts
	writer writerBatch

	resolver draft.Resolver
	found    lookups
	encoder  op.Encoder
}

// Put adds a put. It takes TTL, ExpireAt and KeepTTL, IfAbsent, IfPresent and IfVersion. A TTL counts from Apply, and KeepTTL
// keeps the deadline that the key has by then, or has got by an earlier operation of the batch.
func (b *Batch) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	g, err := parseOptions(opts, deadlineOptions|keepOption|conditionOptions)
	if err != nil {
		return err
	}
	return b.add(&draft.Op{Kind: draft.Put, Key: key, Value: value, Life: g.ttl.drafted(), Condition: g.condition.drafted()})
}

// Delete adds a delete. Deleting an absent key is no error, unless the options ask for a present one. It takes IfPresent and
// IfVersion.
func (b *Batch) Delete(key []byte, opts ...WriteOption) error {
	return b.addOn(draft.Op{Kind: draft.Delete, Key: key}, opts)
}

// Expire adds that a key gets a new deadline, d from Apply, and keeps the value that it has by then, or has got by an earlier
// operation of the batch. A d of 0 takes the deadline away, a negative d deletes the key. Where the key is absent the
// operation does nothing, as a delete would: unlike DB.Expire it is no error, as one entry that has expired meanwhile would
// undo the whole batch. To have that ask for IfPresent. Of the options Expire takes IfPresent and IfVersion.
//
// The values that Expire finds are written anew, and count towards MaxBatchSize in Apply.
func (b *Batch) Expire(key []byte, d time.Duration, opts ...WriteOption) error {
	return b.addOn(draft.Op{Kind: draft.Expire, Key: key, Life: TTL(d).drafted()}, opts)
}

// Persist adds that a key loses its deadline. It is Expire with a duration of 0.
func (b *Batch) Persist(key []byte, opts ...WriteOption) error { return b.Expire(key, 0, opts...) }

// addOn adds an operation on a key that has no value of its own.
func (b *Batch) addOn(o draft.Op, opts []WriteOption) error {
	if err := checkKey(o.Key); err != nil {
		return err
	}
	g, err := parseOptions(opts, presentOptions)
	if err != nil {
		return err
	}
	o.Condition = g.condition.drafted()
	return b.add(&o)
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
		return batchTooLarge(o.Key)
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

// SetWriter makes the batch the one with this sequence of a writer. The batch is then applied once even if Apply is called
// again, by a caller that does not know whether the first call, before a crash or a broken connection, has succeeded.
//
// A writer's first batch has sequence 0, each later one the next number, and after math.MaxInt32 comes 0 again. A batch that
// repeats the sequence of the writer's last is acknowledged and not applied, whatever operations and conditions it has. One
// that is refused for a condition does not count: its sequence is still that of the writer's next batch. For any other
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

// BatchOpKind is the kind of an operation of a batch.
type BatchOpKind uint8

const (
	BatchPut         BatchOpKind = iota // Key gets Value
	BatchDelete                         // Key is deleted
	BatchDeleteRange                    // the keys from Key up to but not including End are deleted
	BatchExpire                         // Key gets another deadline if it is present; Persist adds one with no TTL
)

var batchOpNames = [...]string{"put", "delete", "delete range", "expire"}

// String returns the name of the kind.
func (k BatchOpKind) String() string {
	if int(k) < len(batchOpNames) {
		return batchOpNames[k]
	}
	return fmt.Sprintf("BatchOpKind(%d)", uint8(k))
}

// BatchOp is one operation of a batch. Its slices are the batch's: they are valid until Reset, and not to be changed.
type BatchOp struct {
	Kind      BatchOpKind
	Key       []byte        // of a range delete its start, which may be empty
	Value     []byte        // of a put
	End       []byte        // of a range delete; nil: no bound
	TTL       time.Duration // of a put or an expire: what was given, which counts from Apply; 0: none
	Deadline  int64         // of a put: what ExpireAt was given, Unix ms; 0: none
	KeepTTL   bool          // of a put
	Condition WriteOption   // IfAbsent, IfPresent or IfVersion; the zero WriteOption: none
}

// All returns the operations in the order in which they were added. The batch is not to be changed in the loop.
func (b *Batch) All() iter.Seq[BatchOp] {
	return func(yield func(BatchOp) bool) {
		for o := range b.ops.All {
			shown := BatchOp{Kind: BatchOpKind(o.Kind), Key: o.Key, Value: o.Value, End: o.End, KeepTTL: o.Life.Kind == draft.KeepTTL}
			if o.Condition.Kind != 0 {
				shown.Condition = WriteOption{kind: optionKind(o.Condition.Kind), value: o.Condition.Value}
			}
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
