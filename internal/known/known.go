package known

import (
	"container/list"
	"math"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
)

// Set is the keys that loads know something of. Begin, Touch, TouchRange and Forget are for whoever keeps writes in order; the
// other methods for any goroutine. Make one with NewSet.
type Set struct {
	count atomic.Int64 // keys: with none a write has nothing to look for
	mu    struct {
		sync.Mutex
		// +checklocks:Mutex
		keys map[string]*entry
		// +checklocks:Mutex
		absent list.List // of *entry: those that were found to be nowhere, the oldest first
		// +checklocks:Mutex
		memory int64 // of absent, in bytes
		// +checklocks:Mutex
		limit int64 // of memory
		// +checklocks:Mutex
		ranges *kv.RangeDeletes // that were deleted while there were keys
		// +checklocks:Mutex
		floor uint64 // what was known before this sequence is not known any more
	}
}

// entry is what is known of a key. It is guarded by the Set's mutex, but for key.
type entry struct {
	key    string
	loads  int    // under way
	writes uint64 // to the key alone, since there is the entry

	absence *list.Element // its place in absent; nil: the key was not found to be nowhere
	err     error         // what says so
	since   uint64        // the sequence as of which that was so
	until   int64         // Unix ms from which it is not known any more
}

const (
	// entryBytes is what a key takes beside its bytes, with the error that a load has returned.
	entryBytes = 256
	// rangeBytes is what ranges may take before all that is known is given up for them.
	rangeBytes = 64 << 10
)

// NewSet returns an empty set, whose absences take memory bytes at most.
func NewSet(memory int64) *Set {
	s := new(Set)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.keys, s.mu.limit = make(map[string]*entry), memory
	return s
}

// Mark is one load of one key.
type Mark struct {
	entry  *entry
	writes uint64
	since  uint64
}

// Begin begins a load of a key, which it copies. All writes up to sequence since were told, and none after it. The load ends
// with End.
func (s *Set) Begin(key []byte, since uint64) Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.mu.keys[string(key)]
	if e == nil {
		e = &entry{key: string(key)}
		s.mu.keys[e.key] = e
		s.count.Add(1)
	}
	e.loads++
	return Mark{e, e.writes, since}
}

// End ends a load.
func (s *Set) End(m Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.entry.loads--
	s.dropLocked(m.entry)
}

// Unchanged reports whether the key of a load was not written to since it began.
func (s *Set) Unchanged(m Mark) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unchangedLocked(m)
}

// +checklocks:s.mu.Mutex
func (s *Set) unchangedLocked(m Mark) bool {
	return m.entry.writes == m.writes && !s.sweptLocked(m.entry.key, m.since)
}

// sweptLocked reports whether a range with a key in it was deleted after a sequence.
//
// +checklocks:s.mu.Mutex
func (s *Set) sweptLocked(key string, since uint64) bool {
	if since < s.mu.floor {
		return true
	}
	return s.mu.ranges.Newest() > since && s.mu.ranges.Seq([]byte(key), math.MaxUint64) > since
}

// Keep keeps for others that a load has found its key to be nowhere, as err says, until a time, in Unix ms. All writes up to
// sequence now were told. If the key was written to since the load began, Keep keeps nothing and returns false.
func (s *Set) Keep(m Mark, now uint64, err error, at, until int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unchangedLocked(m) {
		return false
	}
	e := m.entry
	s.forgetLocked(e)
	s.mu.memory += e.size()
	for f := s.mu.absent.Front(); f != nil; f = s.mu.absent.Front() {
		old := f.Value.(*entry)
		if s.mu.memory <= s.mu.limit && old.until > at {
			break
		}
		s.forgetLocked(old)
		s.dropLocked(old)
	}
	if s.mu.memory > s.mu.limit { // it is too large alone
		s.mu.memory -= e.size()
		return true
	}
	e.err, e.since, e.until, e.absence = err, now, until, s.mu.absent.PushBack(e)
	return true
}

func (e *entry) size() int64 { return int64(len(e.key)) + entryBytes }

// Get returns the error of the load that has found a key to be nowhere, nil if none has, or it is no longer known.
func (s *Set) Get(key []byte, now int64) error {
	if s.count.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.mu.keys[string(key)]
	if e == nil || e.absence == nil {
		return nil
	}
	if e.until <= now || s.sweptLocked(e.key, e.since) {
		s.forgetLocked(e)
		s.dropLocked(e)
		return nil
	}
	return e.err
}

// Touch says that a key is written to.
func (s *Set) Touch(key []byte) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.mu.keys[string(key)]; e != nil {
		e.writes++
		s.forgetLocked(e)
		s.dropLocked(e)
	}
}

// TouchRange says that the keys from start up to end are deleted, with a sequence.
func (s *Set) TouchRange(start, end []byte, seq uint64) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ranges == nil {
		s.mu.ranges = new(kv.RangeDeletes)
	}
	if s.mu.ranges.Add(start, end, seq); s.mu.ranges.Size() > rangeBytes {
		s.mu.ranges, s.mu.floor = nil, seq
	}
}

// Forget says that any key may have been written to, up to a sequence.
func (s *Set) Forget(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ranges, s.mu.floor = nil, seq
}

// forgetLocked forgets that a key was found to be nowhere.
//
// +checklocks:s.mu.Mutex
func (s *Set) forgetLocked(e *entry) {
	if e.absence == nil {
		return
	}
	s.mu.absent.Remove(e.absence)
	s.mu.memory -= e.size()
	e.absence, e.err = nil, nil
}

// dropLocked drops a key of which nothing is known.
//
// +checklocks:s.mu.Mutex
func (s *Set) dropLocked(e *entry) {
	if e.loads > 0 || e.absence != nil || s.mu.keys[e.key] != e {
		return
	}
	delete(s.mu.keys, e.key)
	if s.count.Add(-1) == 0 {
		s.mu.ranges = nil // what they have swept is not there any more
	}
}

// Memory returns the bytes that absences take.
func (s *Set) Memory() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.memory
}
