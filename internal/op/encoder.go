package op

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

// Encoder makes batches for the log, one after another in memory that it keeps. Begin starts one of puts and deletes,
// BeginWithRanges one that has range deletes too, BeginExpiries one of expiries. The zero Encoder is ready. It is for one
// goroutine.
type Encoder struct {
	builder *batch.Builder
	schema  int
}

// Begin starts a batch of puts and deletes. The last entry's bytes become invalid.
func (c *Encoder) Begin() error { return c.begin(schemaOperations) }

// BeginWithRanges starts a batch of puts, deletes and range deletes. The last entry's bytes become invalid.
func (c *Encoder) BeginWithRanges() error { return c.begin(schemaRanges) }

// BeginExpiries starts a batch of expiries. The last entry's bytes become invalid.
func (c *Encoder) BeginExpiries() error { return c.begin(schemaExpiries) }

func (c *Encoder) begin(schema int) error {
	c.schema = schema
	if c.builder != nil {
		return c.builder.Reset(schema)
	}
	b, err := batch.NewBuilder(nil, schema, batch.MaxSize)
	if err == nil {
		c.builder = b
	}
	return err
}

// Grow makes room for operations of so many bytes in all, as the batch has them.
func (c *Encoder) Grow(n int) { c.builder.Grow(n) }

var errWrongSchema = errors.New("an operation of another schema than that of the batch")

// check says whether a put or a delete with this key can be added.
func (c *Encoder) check(key []byte) error {
	if !hasOperations(c.schema) {
		return fmt.Errorf("%w: %d", errWrongSchema, c.schema)
	}
	if len(key) == 0 {
		return errKey
	}
	return nil
}

// SetWriter says which batch of a writer the batch is. Neither number is negative.
func (c *Encoder) SetWriter(w Writer) error {
	if !hasOperations(c.schema) || w.ID < 0 || w.Sequence < 0 {
		return fmt.Errorf("%w: %d, batch %d, schema %d", errWriter, w.ID, w.Sequence, c.schema)
	}
	return c.builder.SetWriter(w.ID, w.Sequence)
}

// Put adds a put with a deadline in Unix ms, 0 for none. key and value are copied.
func (c *Encoder) Put(key, value []byte, deadline int64) error {
	if err := c.check(key); err != nil {
		return err
	}
	if deadline < 0 {
		return errDeadline
	}
	var prefix [binary.MaxVarintLen64]byte
	if c.schema == schemaRanges {
		return c.builder.Put(key, binary.AppendUvarint(prefix[:0], uint64(deadline)+1), value)
	}
	return c.builder.Put(key, appendDeadline(prefix[:0], deadline), value)
}

// DeleteRange adds a range delete. start and end are copied; start is before end.
func (c *Encoder) DeleteRange(start, end []byte) error {
	if c.schema != schemaRanges {
		return fmt.Errorf("%w: %d", errWrongSchema, c.schema)
	}
	if kv.Compare(start, end) >= 0 {
		return errRange
	}
	return c.builder.Put(start, []byte{0}, end)
}

// Delete adds a delete. key is copied.
func (c *Encoder) Delete(key []byte) error {
	if err := c.check(key); err != nil {
		return err
	}
	return c.builder.Delete(key)
}

// Expired adds that a version of a key has expired, at a deadline in Unix ms. key is copied.
func (c *Encoder) Expired(key []byte, version uint64, deadline int64) error {
	switch {
	case c.schema != schemaExpiries:
		return fmt.Errorf("%w: %d", errWrongSchema, c.schema)
	case len(key) == 0:
		return errKey
	case deadline < 0:
		return errExpiry
	}
	var value [2 * binary.MaxVarintLen64]byte
	return c.builder.Put(key, appendExpiry(value[:0], version, deadline))
}

// Entry completes the batch and returns it as an entry for the log. Its bytes are the encoder's own, valid until the next
// batch begins.
func (c *Encoder) Entry() wal.Entry {
	return wal.Entry{Kind: wal.KindBatch, Value: c.builder.Build(), Ops: c.builder.Count()}
}
