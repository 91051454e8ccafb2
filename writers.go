package ebb

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
)

// writerState is the state of a writer: what the database remembers of its last batch.
type writerState struct {
	sequence int32
	version  uint64 // of the batch
	used     int64  // when the batch was applied, Unix ms
}

// writers remembers the writers that are not idle, in a list in the order of their last use. So idle writers are found
// without looking at others: each use of a writer forgets up to two idle ones, and full costs as little. The zero value
// needs idle set.
type writers struct {
	idle  int64           // a writer is idle if it was not used for longer than this, ms
	index map[int64]int32 // by writer id: indexes into known
	known []knownWriter   // [0] begins and ends the list, whose first writer is unused for longest
	free  int32           // first of the unused elements of known, which next links; 0: there is none
	past  writersPast
}

// writersPast is what writers were before their last batches, as far as the backup of a snapshot may ask.
//
// A snapshot as of a sequence needs the state whose version is the last up to there. A state is kept when the next one
// replaces it, under the commit lock, and dropped at the earliest when that one is visible: no snapshot that begins from then
// on needs it. What is visible is read before the open snapshots are, so that each that is not among them began later.
type writersPast struct {
	snapshots *openSnapshots // nil: nobody asks
	visible   func() uint64
	states    []pastState
	dropAt    int // so many states are worth a look: twice what the last look has left, or as many as there were snapshots
}

// pastState is the state of a writer before another one.
type pastState struct {
	id int64
	writerState
	next uint64 // the version of the other
}

// openSnapshots counts the snapshots that are open, by sequence. Any goroutine may use it.
type openSnapshots struct {
	mu struct {
		sync.Mutex
		seqs map[uint64]int
	}
}

// begin counts a snapshot as of the sequence that pin returns. The lock is held over pin: whoever lists the open snapshots
// finds the snapshot, or it is as of what is visible by then.
func (o *openSnapshots) begin(pin func() (seq uint64, err error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	seq, err := pin()
	if err != nil {
		return err
	}
	if o.mu.seqs == nil {
		o.mu.seqs = make(map[uint64]int)
	}
	o.mu.seqs[seq]++
	return nil
}

// end takes a snapshot away.
func (o *openSnapshots) end(seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.seqs[seq]--; o.mu.seqs[seq] == 0 {
		delete(o.mu.seqs, seq)
	}
}

// list returns the sequences of the open snapshots, ascending.
func (o *openSnapshots) list() []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.mu.seqs))
}

// keep keeps a state that another replaces.
func (p *writersPast) keep(id int64, old writerState, next uint64) {
	if p.snapshots == nil {
		return
	}
	if len(p.states) >= p.dropAt {
		p.drop(p.visible())
	}
	p.states = append(p.states, pastState{id, old, next})
}

// drop drops the states that neither an open snapshot needs nor one that begins later, as of visible at least.
func (p *writersPast) drop(visible uint64) {
	open := p.snapshots.list()
	p.states = slices.DeleteFunc(p.states, func(s pastState) bool {
		i, _ := slices.BinarySearch(open, s.version)
		return s.next <= visible && (i == len(open) || open[i] >= s.next)
	})
	p.dropAt = max(16, 2*len(p.states), len(open))
}

// knownWriter is an element of the list.
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

// set notes the last batch of a writer. No writer has been used later than s.used.
func (w *writers) set(id int64, s writerState) {
	if w.known == nil {
		w.known, w.index = make([]knownWriter, 1), make(map[int64]int32)
	}
	i, ok := w.index[id]
	switch {
	case ok:
		w.past.keep(id, w.known[i].writerState, s.version)
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

// full reports whether there is no room for another writer. If need be it first forgets up to two idle writers.
func (w *writers) full(now int64) bool {
	if len(w.index) < MaxWriters {
		return false
	}
	w.forget(now)
	return len(w.index) >= MaxWriters
}

// list returns the writers that are not idle, the most recently used first.
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

// listAt is list as of a sequence.
func (w *writers) listAt(seq uint64, now int64) []knownWriter {
	list := slices.DeleteFunc(w.list(now), func(k knownWriter) bool { return k.version > seq })
	for _, s := range w.past.states {
		if s.version <= seq && seq < s.next && now-s.used <= w.idle {
			list = append(list, knownWriter{id: s.id, writerState: s.writerState})
		}
	}
	return list
}

// replace takes over what another owner's writers have come to: the view that they belong to comes after.
func (w *writers) replace(next writers) {
	next.past = w.past
	p := &next.past
	p.drop(math.MaxUint64) // a snapshot that begins is as of w, or later
	for id, i := range w.index {
		if j, ok := next.index[id]; ok && next.known[j].version > w.known[i].version {
			p.states = append(p.states, pastState{id, w.known[i].writerState, next.known[j].version})
		}
	}
	*w = next
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

// open sets idle and remembers the writers of the manifest.
func (w *writers) open(list []manifest.Writer, idle time.Duration) {
	w.idle = idle.Milliseconds()
	list = slices.SortedFunc(slices.Values(list), func(a, b manifest.Writer) int { return cmp.Compare(a.Used, b.Used) })
	for _, e := range list {
		w.set(e.ID, writerState{e.Sequence, e.Version, e.Used})
	}
}

// WriterSequenceError says which batch of a writer was expected. It matches ErrWriterSequence.
type WriterSequenceError struct {
	Writer             int64
	Sequence, Expected int32
}

func (e *WriterSequenceError) Error() string {
	return fmt.Sprintf("%v: writer %d, batch %d, expected %d", ErrWriterSequence, e.Writer, e.Sequence, e.Expected)
}

// Is makes the error match ErrWriterSequence.
func (e *WriterSequenceError) Is(target error) bool { return target == ErrWriterSequence }

// writerBatch says which batch of a writer a batch is.
type writerBatch struct {
	set      bool
	id       int64
	sequence int32
}
