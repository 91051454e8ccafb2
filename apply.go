package ebb

import (
	"errors"
	"math"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Apply makes the operations of a batch, all at once: no read sees a part of them, and no crash leaves a part. Of the
// options Apply takes VersionTo, Sync and NoSync. An empty batch does nothing; with SetWriter the error is ErrBatchEmpty. A
// batch of nothing but Expires of absent keys does nothing either, but is remembered as its writer's if it has one.
//
// If a condition of an operation does not hold nothing is written, and the error is a *ConditionError.
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
		return db.health.refusal()
	}
	e, err := b.prepare(db.clock)
	if err != nil {
		return err
	}
	defer b.forget()
	t, err := b.begin(&db.pipeline, db.reporter)
	if err != nil {
		return err
	}
	if b.writer.set {
		if repeated, err := t.checkWriter(b.writer, db.clock.Now(), &p); repeated || err != nil {
			return err
		}
	}
	if b.depends() {
		if err := b.checkConditions(t.now()); err != nil {
			return t.refuse(err, &p)
		}
		if e, err = b.encodeIn(t); err != nil {
			t.end()
			return err
		}
	}
	if e.Ops == 0 {
		return t.leave(&p)
	}
	return t.write(e, &p)
}

// depends reports whether what the batch does depends on what is there in its turn.
func (b *Batch) depends() bool {
	t := b.ops.Traits()
	return t.Endless || t.Looks
}

// begin returns a turn to write the batch, with the keys looked up that it depends on. r may be nil.
func (b *Batch) begin(p *pipeline, r *reporter) (turn, error) {
	if !b.ops.Traits().Looks {
		return b.beginTurn(p, r)
	}
	return b.found.begin(p, b.resolver.Keys, func() (turn, error) {
		b.encoder.Grow(b.ops.EncodedSize() + int(b.found.size))
		return b.beginTurn(p, r)
	})
}

func (b *Batch) beginTurn(p *pipeline, r *reporter) (turn, error) {
	if b.ops.Traits().Ranges {
		return beginRange(p, r, b.claim(p))
	}
	return p.beginFor(b.claim(p))
}

// claim returns what the batch claims of a bounded directory.
func (b *Batch) claim(p *pipeline) claim {
	if p.bound == nil {
		return claimRoom
	}
	for o := range b.ops.All {
		if o.Kind != draft.Delete && o.Kind != draft.DeleteRange {
			return claimRoom
		}
	}
	return claimReserve
}

// checkConditions tells the operations what their keys have at a time, and returns an error if a condition does not hold.
func (b *Batch) checkConditions(now int64) error {
	b.found.settle(b.resolver.Keys, now)
	if !b.ops.Traits().Looks {
		return nil
	}
	for o := range b.ops.All {
		if o.Condition.Kind == 0 {
			continue
		}
		condition := WriteOption{kind: optionKind(o.Condition.Kind), value: o.Condition.Value}
		if cur := &b.found.found[b.resolver.Find(o.Key)]; !condition.holds(cur) {
			return conditionFailed(o.Key, condition, cur)
		}
	}
	return nil
}

// prepare begins an entry for the log. If the batch depends on nothing, the entry is complete, with deadlines as of now: it is
// in b's memory. Otherwise encodeIn completes it.
func (b *Batch) prepare(clock clock) (wal.Entry, error) {
	begin := b.encoder.Begin
	if b.ops.Traits().Ranges {
		begin = b.encoder.BeginWithRanges
	}
	if err := begin(); err != nil {
		return wal.Entry{}, err
	}
	if b.writer.set {
		if err := b.encoder.SetWriter(op.Writer{ID: b.writer.id, Sequence: b.writer.sequence}); err != nil {
			return wal.Entry{}, err
		}
	}
	if !b.ops.Traits().Looks {
		b.encoder.Grow(b.ops.EncodedSize())
	}
	b.resolver.Begin(&b.ops)
	if b.depends() {
		return wal.Entry{}, nil
	}
	return b.encode(draft.Moment{Now: clock.Now(), Limit: MaxBatchSize})
}

// encodeIn completes the entry that prepare has begun, with what is there in a turn.
func (b *Batch) encodeIn(t turn) (wal.Entry, error) {
	// The batch of a writer has an operation, for its sequence to be remembered.
	m := draft.Moment{Now: t.now(), Limit: MaxBatchSize, Some: b.writer.set}
	if b.ops.Traits().Endless {
		m.Last = b.resolver.Reach(t.lastKey())
		m.After = keyAfter(m.Last)
	}
	return b.encode(m)
}

func (b *Batch) encode(m draft.Moment) (wal.Entry, error) {
	err := b.resolver.Encode(&b.encoder, m)
	if err == nil {
		return b.encoder.Entry(), nil
	}
	if tooLarge := (*draft.TooLargeError)(nil); errors.As(err, &tooLarge) {
		err = batchTooLarge(tooLarge.Key)
	}
	return wal.Entry{}, err
}

// forget lets go of what was looked up.
func (b *Batch) forget() {
	b.resolver.Reset()
	b.found = lookups{}
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
