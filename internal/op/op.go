package op

import (
	"fmt"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// Kind is the kind of an operation.
type Kind uint8

const (
	Put         Kind = iota // Key gets Value, until Deadline if it is not 0
	Delete                  // Key is deleted
	DeleteRange             // the keys from Key up to but not including End are deleted
	Expired                 // Version of Key was the newest, and has expired: it is absent from here on, as if deleted
	Evict                   // what was written before and has a deadline up to Deadline is gone
	Kinds                   // how many there are
)

// Op is one operation. The slices alias the log's entry.
type Op struct {
	Kind     Kind
	Seq      uint64
	Key      []byte
	Value    []byte // of a Put
	End      []byte // of a DeleteRange
	Deadline int64  // of a Put, Unix ms, 0 for none; of an Expired the one that has passed; of an Evict the last that is gone
	Version  uint64 // of an Expired
}

// Ops walks the operations of one entry of the log, in their order:
//
//	var ops op.Ops
//	if err := ops.Decode(e); err != nil { ... }
//	for ops.Next() { use(&ops.Op) }
//
// It allocates nothing. An Ops may be used for one entry after another.
type Ops struct {
	// Op is the operation that Next moved to, and means nothing before Next or after it returned false. The walker changes it
	// with each step, so a consumer that keeps it copies it.
	Op Op

	left    int // operations that Next has not come to
	schema  int // of the batch; 0 if the entry is none
	writer  Writer
	records batch.Iterator
}

// Writer says which batch of which writer a batch is.
type Writer struct {
	ID       int64
	Sequence int32
}

// Decode begins with an entry and checks all of it: where it returns nil, Next finds as many operations as the entry takes
// sequences, and each is right. With an error there is none. A mark of the clock has no operations.
func (o *Ops) Decode(e *wal.Entry) error {
	o.left, o.schema = 0, 0
	p := &o.Op
	p.Seq, p.Key, p.Value, p.End, p.Deadline, p.Version = e.Seq, e.Key, nil, nil, 0, 0
	switch e.Kind {
	case wal.KindPut:
		p.Kind, p.Value, p.Deadline = Put, e.Value, e.Deadline
	case wal.KindDelete:
		p.Kind = Delete
	case wal.KindRangeDelete:
		if p.Kind, p.End = DeleteRange, e.Value; kv.Compare(e.Key, e.Value) >= 0 {
			return errRange
		}
	case wal.KindEvict:
		if p.Kind, p.Key, p.Deadline = Evict, nil, e.Deadline; e.Deadline <= 0 {
			return errHorizon
		}
	case wal.KindClock:
		return nil
	case wal.KindBatch:
		return o.decodeBatch(e)
	default:
		return fmt.Errorf("%w: kind %d of the log's entries", ErrUnknown, e.Kind)
	}
	o.left = 1
	return nil
}

func (o *Ops) decodeBatch(e *wal.Entry) error {
	b, n, err := batch.Parse(e.Value)
	switch {
	case err != nil:
		return err
	case n != len(e.Value):
		return fmt.Errorf("%w: %d", errBytesAfter, len(e.Value)-n)
	case !hasOperations(b.SchemaID) && b.SchemaID != schemaExpiries:
		return fmt.Errorf("%w: %d", errSchema, b.SchemaID)
	case b.Count != e.Ops || b.Count == 0:
		return fmt.Errorf("%w: %d, not %d", errCount, b.Count, e.Ops)
	case b.WriterID != batch.NoWriterID && (b.WriterID < 0 || b.BatchSequence < 0 || b.SchemaID == schemaExpiries):
		return fmt.Errorf("%w: %d, batch %d, schema %d", errWriter, b.WriterID, b.BatchSequence, b.SchemaID)
	}
	o.records = b.Records()
	for i := 0; o.records.Next(); i++ {
		if err := o.Op.decode(b.SchemaID, &o.records.Record); err != nil {
			return fmt.Errorf("operation %d of %d: %w", i, b.Count, err)
		}
	}
	if err := o.records.Err(); err != nil {
		return err
	}
	o.Op = Op{Seq: e.Seq - 1}
	o.left, o.schema, o.writer, o.records = b.Count, b.SchemaID, Writer{b.WriterID, b.BatchSequence}, b.Records()
	return nil
}

// Next moves to the next operation. It returns false after the last.
func (o *Ops) Next() bool {
	if o.left == 0 {
		return false
	}
	o.left--
	if o.schema == 0 {
		return true // Decode has made the only one
	}
	o.Op.Seq++
	return o.records.Next() && o.Op.decode(o.schema, &o.records.Record) == nil // neither fails after Decode
}

// Len returns how many operations Next has not come to.
func (o *Ops) Len() int { return o.left }

// Ranges reports whether there may be range deletes among the operations.
func (o *Ops) Ranges() bool { return o.Op.Kind == DeleteRange || o.schema == schemaRanges }

// Writer returns whose batch it is, if it is one of a writer.
func (o *Ops) Writer() (w Writer, ok bool) {
	return o.writer, o.schema != 0 && o.writer.ID != batch.NoWriterID
}
