package compaction

import (
	"context"
	"errors"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
)

// InputError says which input of a Rewrite could not be read. Err says why, and matches ErrCorrupt if it is damaged.
type InputError struct {
	Table *Table
	Err   error
}

// Error is that of Err, which names the file.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *InputError) Unwrap() error { return e.Err }

// input reads an input.
type input struct {
	*table.Iterator
	table *Table
}

// Err returns an *InputError.
func (in input) Err() error {
	if err := in.Iterator.Err(); err != nil {
		return &InputError{in.table, err}
	}
	return nil
}

// Run carries a Rewrite out and returns the new tables. The owner commits them in the place of the inputs, which must stay
// open until then, or discards them. It is an *InputError if an input cannot be read.
func Run(ctx context.Context, p *Plan, now int64, out Output) (Result, error) {
	result, err := run(ctx, p, now, out)
	if in := (*InputError)(nil); !errors.Is(err, vfs.ErrFault) || errors.As(err, &in) {
		return result, err
	}
	for _, t := range p.Tables() { // the fault was outside of an iterator: which table it was in, verifying tells
		if verr := t.Reader.Verify(ctx); verr != nil && ctx.Err() == nil {
			return result, &InputError{t, verr}
		}
	}
	return result, err
}

func run(ctx context.Context, p *Plan, now int64, out Output) (Result, error) {
	in := Input{Older: p.older.Overlap, Now: now, Evictions: p.evicted, BaseSeq: math.MaxUint64}
	var sources []kv.Iterator
	for _, run := range p.Inputs {
		source := new(merge.Concat[*Table])
		source.Reset(run, func(t *Table) kv.Iterator { return input{t.Reader.NewScanner(), t} })
		sources = append(sources, source)
		for _, t := range run {
			in.Deletes = append(in.Deletes, t.props.RangeDeletes...)
			in.BaseSeq = min(in.BaseSeq, t.props.MinSeq)
		}
	}
	merged := new(merge.Iterator)
	merged.Reset(sources)
	defer merged.Close()
	in.Source = merged
	return Build(ctx, in, p.output(out))
}

// scan returns an iterator that leaves the cache alone. (Reset would give it the cache back.)
func scan(t *Table) kv.Iterator { return t.Reader.NewScanner() }

// Scan returns iterators over all tables, newest first, that leave the cache alone.
func (l *Levels) Scan() []kv.Iterator {
	var list []kv.Iterator
	for _, t := range l[0] {
		list = append(list, scan(t))
	}
	for _, tables := range l[1:] {
		if len(tables) > 0 {
			level := new(merge.Concat[*Table])
			level.Reset(tables, scan)
			list = append(list, level)
		}
	}
	return list
}
