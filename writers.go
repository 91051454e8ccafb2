package ebb

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
)

// SetWriter makes the batch number sequence of a writer, so that Apply makes it once even if it is called again: by
// somebody who does not know whether the first call, before a crash or a broken connection, has succeeded.
//
// A writer's first batch has sequence 0, each that follows one more, and after math.MaxInt32 comes 0 again. A batch that
// repeats the sequence of the writer's last is acknowledged and not applied, whatever it holds. Any other that is not the
// next is ErrWriterSequence. The database remembers the last batch of a writer until it has been idle for
// Options.WriterIdle, across crashes, flushes, backups. After that the writer is a new one: its next sequence is refused,
// as 0 is expected, and a repeat of 0 is applied again. Neither id nor sequence may be negative.
func (b *Batch) SetWriter(id int64, sequence int32) error {
	if id < 0 || sequence < 0 {
		return fmt.Errorf("ebb: writer %d, sequence %d: neither may be negative", id, sequence)
	}
	b.writer = writerBatch{true, id, sequence}
	return nil
}

// WriterSequence returns the sequence of a writer's last batch, or ErrNotFound for a writer that is not known, whose first
// batch has sequence 0.
func (db *DB) WriterSequence(id int64) (int32, error) {
	p, err := db.params(nil, 0)
	if err != nil {
		return 0, err
	}
	p.sync = p.sync && !db.opts.ReadOnly
	db.commit.Lock()
	if db.health.closed.Load() {
		db.commit.Unlock()
		return 0, ErrClosed
	}
	s, ok := db.commit.writers.get(id, db.clock.Now())
	if err := db.leaveLocked(&p); err != nil {
		return 0, err
	}
	if !ok {
		return 0, ErrNotFound
	}
	return s.sequence, nil
}

// WriterSequenceError says which batch of a writer was expected. It matches ErrWriterSequence.
type WriterSequenceError struct {
	Writer             int64
	Sequence, Expected int32
}

func (e *WriterSequenceError) Error() string {
	return fmt.Sprintf("%v: writer %d, batch %d, expected %d", ErrWriterSequence, e.Writer, e.Sequence, e.Expected)
}

// Is makes it match ErrWriterSequence.
func (e *WriterSequenceError) Is(target error) bool { return target == ErrWriterSequence }

// writerBatch says which batch of a writer a batch is.
type writerBatch struct {
	set      bool
	id       int64
	sequence int32
}

// writerState is what is remembered of a writer: its last batch.
type writerState struct {
	sequence int32
	version  uint64 // of the batch
	used     int64  // when it was applied, Unix ms
}

// checkWriterLocked decides whether a batch is the next of its writer. If it is, the commit lock stays with the caller,
// who is to write it. If it is a repetition, or out of order, the lock is free.
func (db *DB) checkWriterLocked(b writerBatch, p *params) (repeated bool, err error) {
	w := &db.commit.writers
	now := db.clock.Now()
	s, known := w.get(b.id, now)
	expected := int32(0)
	if known && s.sequence != math.MaxInt32 {
		expected = s.sequence + 1
	}
	switch {
	case known && b.sequence == s.sequence:
		if err := db.leaveLocked(p); err != nil {
			return true, err
		}
		if p.versionTo != nil {
			*p.versionTo = s.version
		}
		return true, nil
	case b.sequence != expected:
		return false, db.refuseLocked(&WriterSequenceError{b.id, b.sequence, expected}, p)
	case !known && w.full(now):
		return false, db.refuseLocked(ErrTooManyWriters, p)
	}
	return false, nil
}

// writers remembers the writers that are not idle, in the order of their last use. So those that are idle are found without
// looking at others: each use forgets up to two of them, and a refusal of one too many costs as little. The zero value needs
// idle set.
type writers struct {
	idle  int64 // ms
	index map[int64]int32
	known []knownWriter // [0] begins and ends the list, which goes from the longest unused on
	free  int32         // the first of those in known that are not in use, by next; 0: none
}

// knownWriter is a writer in the list.
type knownWriter struct {
	id int64
	writerState
	prev, next int32
}

// get returns the state of a writer that is not idle.
func (w *writers) get(id, now int64) (writerState, bool) {
	i, ok := w.index[id]
	if !ok {
		return writerState{}, false
	}
	s := w.known[i].writerState
	return s, now-s.used <= w.idle
}

// set notes a writer's last batch, none of which is newer.
func (w *writers) set(id int64, s writerState) {
	if w.known == nil {
		w.known, w.index = make([]knownWriter, 1), make(map[int64]int32)
	}
	i, ok := w.index[id]
	switch {
	case ok:
		w.unlink(i)
	case w.free != 0:
		i, w.free = w.free, w.known[w.free].next
	default:
		i, w.known = int32(len(w.known)), append(w.known, knownWriter{})
	}
	last := w.known[0].prev
	w.known[i] = knownWriter{id, s, last, 0}
	w.known[last].next, w.known[0].prev = i, i
	w.index[id] = i
	w.forget(s.used)
}

// unlink takes a writer out of the list.
func (w *writers) unlink(i int32) {
	k := &w.known[i]
	w.known[k.prev].next, w.known[k.next].prev = k.next, k.prev
}

// forget forgets up to two writers that are idle.
func (w *writers) forget(now int64) {
	for range 2 {
		i := w.known[0].next
		if i == 0 || now-w.known[i].used <= w.idle {
			return
		}
		w.unlink(i)
		delete(w.index, w.known[i].id)
		w.known[i].next, w.free = w.free, i
	}
}

// full reports whether there is no room for another writer.
func (w *writers) full(now int64) bool {
	if len(w.index) < MaxWriters {
		return false
	}
	w.forget(now)
	return len(w.index) >= MaxWriters
}

// list returns the writers that are not idle, the last used first.
func (w *writers) list(now int64) []knownWriter {
	list := make([]knownWriter, 0, len(w.index))
	if w.known == nil {
		return list
	}
	for i := w.known[0].prev; i != 0 && now-w.known[i].used <= w.idle; i = w.known[i].prev {
		list = append(list, w.known[i])
	}
	return list
}

// writerStates returns writers as a snapshot file has them, in the order of their ids.
func writerStates(list []knownWriter) []snapfile.WriterState {
	slices.SortFunc(list, func(a, b knownWriter) int { return cmp.Compare(a.id, b.id) })
	states := make([]snapfile.WriterState, len(list))
	for i, k := range list {
		states[i] = snapfile.WriterState{ID: k.id, Sequence: k.sequence, Version: k.version, Used: k.used}
	}
	return states
}

// open remembers the writers of the manifest.
func (w *writers) open(list []manifest.Writer, idle time.Duration) {
	w.idle = idle.Milliseconds()
	list = slices.SortedFunc(slices.Values(list), func(a, b manifest.Writer) int { return cmp.Compare(a.Used, b.Used) })
	for _, e := range list {
		w.set(e.ID, writerState{e.Sequence, e.Version, e.Used})
	}
}
