package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/corrupt"
)

// Reader reads a log that is being written, across segments, up to its live end: the last entry that was appended or, under
// SyncAlways, that is on the disk. It is for one goroutine. It takes no lock that appends need.
type Reader struct {
	log  *Log
	from Position // entries before it are skipped,
	seq  uint64   // and those that take lower sequences only
	pos  Position // after the last entry
	scan segmentScan
	open bool // scan has a file
	err  error
}

// NewReader returns a reader that begins with the record at from, which is First, the End of some moment, or the Pos of an
// entry.
func (l *Log) NewReader(from Position) (*Reader, error) {
	if from.Compare(l.End()) > 0 {
		return nil, fmt.Errorf("wal: read from %v: the log ends at %v", from, l.End())
	}
	if from.Segment < l.First().Segment {
		return nil, fmt.Errorf("%w: %v", ErrDeleted, from)
	}
	return &Reader{log: l, from: from, pos: from}, nil
}

// NewReaderAt returns a reader that begins with the operation of a sequence, or with the batch that it is in. It is
// ErrDeleted if the log begins later, and ErrAhead if not even the next operation will have the sequence.
func (l *Log) NewReaderAt(seq uint64) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := l.active.Load().nextSeq(); seq > next {
		return nil, fmt.Errorf("%w: %d, the next is %d", ErrAhead, seq, next)
	}
	segments := l.mu.segments
	i := sort.Search(len(segments), func(i int) bool { return segments[i].baseSeq > seq })
	if i == 0 {
		return nil, fmt.Errorf("%w: sequence %d, the oldest is %d", ErrDeleted, seq, segments[0].baseSeq)
	}
	from := Position{segments[i-1].id, 0}
	return &Reader{log: l, from: from, seq: seq, pos: from}, nil
}

// Next fills e with the next entry, whose slices are valid until the call after. At the live end it returns io.EOF, and
// may be called again: see Wait. Any other error is final. A gap in the sequences comes from SkipTo.
func (r *Reader) Next(e *Entry) error {
	if r.err != nil {
		return r.err
	}
	for {
		err := r.step(e)
		switch {
		case err == nil && (e.Pos.Compare(r.from) < 0 || e.LastSeq() < r.seq):
			continue
		case err == nil:
			r.pos = Position{r.scan.head.segment, uint32(r.scan.offset())}
			return nil
		case err != io.EOF:
			r.err = err
		}
		return err
	}
}

// Position returns where Next goes on: NewReader takes it to go on from here.
func (r *Reader) Position() Position { return r.pos }

// NextSeq returns the sequence of the next operation that Next can return.
func (r *Reader) NextSeq() uint64 { return max(r.seq, r.scan.nextSeq()) }

// step is Next without skipping.
func (r *Reader) step(e *Entry) error {
	for {
		end := r.log.visible()
		if end.Segment < r.pos.Segment {
			return io.EOF // it was begun, but is not on the disk
		}
		if !r.open {
			if err := r.openSegment(r.pos.Segment, end); err != nil {
				return err
			}
		}
		if err := r.extend(end); err != nil {
			return err
		}
		err := r.scan.next(e)
		var bad *badBytes
		if errors.As(err, &bad) {
			return corrupt.New(r.scan.name, bad.offset, "record", bad.err)
		}
		if err != io.EOF || end.Segment == r.scan.head.segment {
			return err
		}
		if err := r.advance(end); err != nil {
			return err
		}
	}
}

// openSegment starts the scan of a segment.
func (r *Reader) openSegment(number uint32, end Position) error {
	name := segmentName(r.log.dir, number)
	f, err := r.log.opts.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r.log.missing(name, number)
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	limit := int64(end.Offset)
	if number < end.Segment {
		limit, err = f.Size()
	}
	if err == nil {
		err = r.scan.start(f, name, number, limit)
	}
	if err == nil && r.scan.head.id != r.log.id {
		err = corrupt.New(name, 0, "segment header", ErrForeign)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.open = true
	return nil
}

// missing returns the error of a segment that has no file: ErrDeleted if the log has deleted it, else damage.
func (l *Log) missing(name string, number uint32) error {
	if number < l.First().Segment {
		return fmt.Errorf("%w: segment %d", ErrDeleted, number)
	}
	return corrupt.New(name, 0, "segment", ErrGap)
}

// extend lets the scan read the bytes that have become visible.
func (r *Reader) extend(end Position) error {
	if r.scan.head.segment == end.Segment {
		r.scan.limit = int64(end.Offset)
		return nil
	}
	size, err := r.scan.file.Size() // sealed: it does not change any more
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	r.scan.limit = size
	return nil
}

// advance moves from the end of a sealed segment to the next.
func (r *Reader) advance(end Position) error {
	if !r.scan.sealed {
		return corrupt.New(r.scan.name, r.scan.offset(), "end of segment", errors.New("not sealed, but a segment follows"))
	}
	last, seq := r.scan.link(), r.scan.nextSeq()
	r.open = false
	if err := r.scan.closeFile(); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	if err := r.openSegment(last.segment+1, end); err != nil {
		return err
	}
	if r.scan.head.prev != last || r.scan.head.baseSeq < seq {
		return corrupt.New(r.scan.name, 0, "segment header", ErrChain)
	}
	r.pos = Position{r.scan.head.segment, 0}
	return nil
}

// Wait returns when there may be more to read than at the last call of Next: nil, the context's error, ErrClosed, or the
// failure after which there never will be.
func (r *Reader) Wait(ctx context.Context) error {
	var failed error
	err := r.log.tail.wait(ctx, r.log.stop, func() bool {
		failed = r.log.Err() // before the look at the end: entries from before the failure are still to be read
		read := r.pos
		if r.open {
			read.Offset = uint32(r.scan.offset()) // behind the entry there may be a mark
		}
		if r.log.visible().Compare(read) > 0 {
			failed = nil
			return true
		}
		return failed != nil
	})
	return cmp.Or(err, failed)
}

// Close lets go of the reader's file.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = ErrClosed
	}
	if !r.open {
		return nil
	}
	r.open = false
	return r.scan.closeFile()
}

// visible returns the end of the entries that readers may see.
func (l *Log) visible() Position {
	if l.opts.Sync == SyncAlways {
		return l.Synced()
	}
	return l.End()
}

// tail wakes the readers that wait for the log to grow. While no reader waits, growing costs one atomic load.
//
// No wake-up is lost: a waiter first adds itself to waiting, then takes the channel, then looks at the end once more; an
// appender first moves the end, then looks at waiting. The operations are sequentially consistent, so either the waiter sees
// the new end or the appender sees the waiter; and in the latter case it either finds the channel and closes it, or came
// before the channel was made, and then the waiter's look comes after.
type tail struct {
	waiting atomic.Int32

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		grown chan struct{} // closed and forgotten when the log grows
	}
}

func (t *tail) wake() {
	if t.waiting.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.grown != nil {
		close(t.mu.grown)
		t.mu.grown = nil
	}
}

func (t *tail) wait(ctx context.Context, stop <-chan struct{}, ready func() bool) error {
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for {
		t.mu.Lock()
		if t.mu.grown == nil {
			t.mu.grown = make(chan struct{})
		}
		grown := t.mu.grown
		t.mu.Unlock()
		if ready() {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return ErrClosed
		}
	}
}
