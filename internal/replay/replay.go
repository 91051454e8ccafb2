// Package replay shares the replay of a log between two goroutines: one reads the log and checks it, the other applies the
// entries. Each has about half of the work.
//
// A [Pipe] owns copies of the entries that are on their way, at most some [Batch] times four of them. It knows nothing of what
// applying is, and keeps nothing when it has ended. The reader's methods are for one goroutine; the entries are applied in
// their order, by one goroutine at a time.
package replay

import (
	"sync"

	"github.com/ebbdb/ebb/wal"
)

const (
	// Batch is the size of a batch in bytes of keys and values: large enough that handing it on costs nothing, and small enough
	// for the processor's cache.
	Batch = 256 << 10
	// perEntry is how many bytes of a batch an entry takes at least: with many small ones the copies of their fields are not
	// much more than the batch.
	perEntry = 64
	// batches is how many there are: one is filled, one applied, and the others wait for either.
	batches = 4
	// alone is the part of a batch from which on an entry is applied by the reader, without a copy.
	alone = 4
)

// Pipe takes entries as they are read. The reader calls Entry for each, then Applied before it relies on the log, and in the
// end Finish, whether there was an error or not. A log of less than a batch starts no goroutine.
type Pipe struct {
	apply func(*wal.Entry) error
	size  int // of a batch

	filling *batch
	full    chan *batch // nil: there was none yet
	spare   chan *batch
	under   sync.WaitGroup // counts full batches until they are applied
	workers sync.WaitGroup // counts goroutines

	failed error // of the first entry that could not be applied; nothing after it was. For whoever applies
}

// batch holds copies of entries.
type batch struct {
	entries []wal.Entry
	bytes   []byte // of keys and values; never longer than its capacity, so that it stays in place
	failed  error  // of an entry in this batch or before
}

// New returns a pipe to a function, which is called with one entry after another, each valid during the call only, until it
// returns an error. size is that of a batch; 0: Batch.
func New(size int, apply func(*wal.Entry) error) *Pipe {
	if size == 0 {
		size = Batch
	}
	return &Pipe{apply: apply, size: size, filling: new(batch)}
}

// Entry takes an entry, which is valid during the call only. The error may be that of an earlier one.
func (p *Pipe) Entry(e *wal.Entry) error {
	size := len(e.Key) + len(e.Value)
	if size >= p.size/alone {
		if err := p.Applied(); err != nil {
			return err
		}
		p.one(e)
		return p.failed
	}
	if b := p.filling; len(b.bytes)+size > p.size || len(b.entries) >= max(1, p.size/perEntry) {
		if err := p.handOn(); err != nil {
			return err
		}
	}
	p.filling.add(e, p.size)
	return nil
}

// Applied waits until all entries are applied, or one could not be: then it returns the error of the first.
func (p *Pipe) Applied() error {
	p.under.Wait()
	for i := range p.filling.entries {
		p.one(&p.filling.entries[i])
	}
	p.filling.reset()
	return p.failed
}

// Finish is Applied, and waits for all that runs. Nothing else is called after it.
func (p *Pipe) Finish() error {
	err := p.Applied()
	if p.full != nil {
		close(p.full)
	}
	p.workers.Wait()
	return err
}

// handOn gives the batch that is full to the goroutine that applies, and takes another to fill.
func (p *Pipe) handOn() error {
	if p.full == nil {
		p.full, p.spare = make(chan *batch, batches), make(chan *batch, batches)
		for range batches - 1 {
			p.spare <- new(batch)
		}
		p.workers.Go(p.run)
	}
	p.under.Add(1)
	p.full <- p.filling
	p.filling = <-p.spare
	err := p.filling.failed
	p.filling.reset()
	return err
}

// run applies batches until there are no more.
func (p *Pipe) run() {
	for b := range p.full {
		for i := range b.entries {
			p.one(&b.entries[i])
		}
		b.failed = p.failed
		p.spare <- b // there is room for all
		p.under.Done()
	}
}

// one applies an entry, unless one before it could not be.
func (p *Pipe) one(e *wal.Entry) {
	if p.failed == nil {
		p.failed = p.apply(e)
	}
}

// add adds a copy of an entry, for which there is room in a batch of a size.
func (b *batch) add(e *wal.Entry, size int) {
	if b.bytes == nil {
		b.bytes = make([]byte, 0, size)
	}
	c := *e
	c.Key, c.Value = b.copy(e.Key), b.copy(e.Value)
	b.entries = append(b.entries, c)
}

func (b *batch) copy(s []byte) []byte {
	from := len(b.bytes)
	b.bytes = append(b.bytes, s...)
	return b.bytes[from:len(b.bytes):len(b.bytes)]
}

func (b *batch) reset() { b.entries, b.bytes, b.failed = b.entries[:0], b.bytes[:0], nil }
