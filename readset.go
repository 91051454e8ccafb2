package ebb

import (
	"math"
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/memtable"
)

// readSet is what a transaction has read of the database, to tell whether that has changed since. (Kung and Robinson, On
// Optimistic Methods for Concurrency Control, 1981: backward validation.)
type readSet struct {
	keys     []byte // one after the other
	lengths  []int  // of the keys
	scans    []*scan
	deadline int64 // the first of the entries that were got; 0: none had one
}

// scan is what one iterator has walked over.
type scan struct {
	stretches []stretch
	deadline  int64 // the first of the entries that it has shown
}

// stretch is a range of keys: from start, inclusive, up to end, exclusive.
type stretch struct {
	start   []byte // empty: from the first key
	end     []byte
	endless bool // there is no end
}

func (r *readSet) reset() {
	clear(r.scans)
	r.keys, r.lengths, r.scans, r.deadline = r.keys[:0], r.lengths[:0], r.scans[:0], 0
}

func (r *readSet) addKey(key []byte) {
	r.keys = append(r.keys, key...)
	r.lengths = append(r.lengths, len(key))
}

func (r *readSet) addDeadline(deadline int64) { r.deadline = first(r.deadline, deadline) }

// first returns the earlier of two deadlines.
func first(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// addScan returns a scan for an iterator to keep.
func (r *readSet) addScan() *scan {
	s := new(scan)
	r.scans = append(r.scans, s)
	return s
}

// note takes the move of an iterator down, which has come to key, or to its bound if key is nil.
func (s *scan) note(c *cursor, key []byte) {
	if c.found && c.entry().Version != 0 {
		s.deadline = first(s.deadline, c.entry().Deadline)
	}
	if len(s.stretches) == 0 && (c.op == moveNext || c.op == movePrev) {
		return // it stood nowhere
	}
	switch c.op {
	case moveFirst, moveSeek:
		s.stretches = append(s.stretches, stretch{start: slices.Clone(c.lower)})
		if c.op == moveSeek && kv.Compare(c.key, c.lower) > 0 {
			s.last().start = slices.Clone(c.key)
		}
		s.last().endAt(c, key)
	case moveNext:
		s.last().endAt(c, key)
	case moveLast, moveSeekBefore:
		s.stretches = append(s.stretches, stretch{})
		s.last().endAt(c, nil)
		if c.op == moveSeekBefore && (len(c.upper) == 0 || kv.Compare(c.key, c.upper) < 0) {
			s.last().end, s.last().endless = slices.Clone(c.key), false
		}
		if key == nil {
			key = c.lower
		}
		s.last().start = slices.Clone(key)
	case movePrev:
		s.last().startAt(c, key)
	}
}

func (s *scan) last() *stretch { return &s.stretches[len(s.stretches)-1] }

// endAt moves the end behind key, or to the upper bound. An iterator that has turned round is inside already.
func (t *stretch) endAt(c *cursor, key []byte) {
	switch {
	case key == nil:
		t.end, t.endless = append(t.end[:0], c.upper...), len(c.upper) == 0
	case !t.endless && kv.Compare(key, t.end) >= 0:
		t.end = append(append(t.end[:0], key...), 0)
	}
}

// startAt moves the start to key, or to the lower bound.
func (t *stretch) startAt(c *cursor, key []byte) {
	if key == nil {
		key = c.lower
	} else if kv.Compare(key, t.start) >= 0 {
		return
	}
	t.start = append(t.start[:0], key...)
}

// overlaps reports whether the stretch has keys in common with [start, end).
func (t *stretch) overlaps(start, end []byte) bool {
	return kv.Compare(end, t.start) > 0 && (t.endless || kv.Compare(start, t.end) < 0)
}

func (t *stretch) contains(key []byte) bool {
	return kv.Compare(key, t.start) >= 0 && (t.endless || kv.Compare(key, t.end) < 0)
}

// firstDeadline returns the first deadline of what was read and was there, 0 if nothing has one.
func (r *readSet) firstDeadline() int64 {
	deadline := r.deadline
	for _, s := range r.scans {
		deadline = first(deadline, s.deadline)
	}
	return deadline
}

// check reports whether nothing that was read has been written to after a sequence, and up to which sequence that is so.
// m is the memtable that was active at that sequence, or an older one; all that has been written since is in it and in those after it,
// deletes among them, which are not all to be found in tables. last, if not nil, may spare it a walk.
func (r *readSet) check(m *lsm.Mem, since uint64, last *lastWrites) (checked uint64, ok bool) {
	checked = since
	for next := m; next != nil; {
		m = next
		var whole bool
		if next, whole = m.Next(); !whole {
			return 0, false
		}
		upTo := m.Stats().MaxSeq
		if upTo <= since {
			continue
		}
		if r.changedKey(m, since) || r.changedScan(m, since, upTo, last) {
			return 0, false
		}
		checked = upTo
	}
	return checked, true
}

// changedKey reports whether a key that was got has been written to in a memtable.
func (r *readSet) changedKey(m *lsm.Mem, since uint64) bool {
	deletes := m.RangeDeletes()
	rest := r.keys
	for _, n := range r.lengths {
		key := rest[:n]
		rest = rest[n:]
		if e, ok := m.Get(key, math.MaxUint64); ok && e.Seq > since || deletes.Newest() > since && deletes.Seq(key, math.MaxUint64) > since {
			return true
		}
	}
	return false
}

// changedScan reports whether anything that was scanned has been written to in a memtable between two sequences.
func (r *readSet) changedScan(m *lsm.Mem, since, upTo uint64, last *lastWrites) bool {
	if len(r.scans) == 0 {
		return false
	}
	if last != nil && last.has(since, upTo) {
		return r.anyStretch(func(t *stretch) bool { return last.touch(t, since, upTo) })
	}
	var it memtable.Iterator
	it.Reset(m.Memtable, upTo) // while others write, the iterator is whole up to here only
	defer it.Close()
	deletes := m.RangeDeletes()
	return r.anyStretch(func(t *stretch) bool { return t.changed(&it, since) || t.deleted(deletes, since) })
}

// anyStretch reports whether anything holds of any of the stretches that were scanned.
func (r *readSet) anyStretch(holds func(*stretch) bool) bool {
	for _, s := range r.scans {
		for i := range s.stretches {
			if holds(&s.stretches[i]) {
				return true
			}
		}
	}
	return false
}

func (t *stretch) changed(it *memtable.Iterator, since uint64) bool {
	var ok bool
	if len(t.start) == 0 {
		ok = it.First()
	} else {
		ok = it.SeekGE(t.start)
	}
	for ; ok; ok = it.Next() {
		e := it.Entry()
		if !t.endless && kv.Compare(e.Key, t.end) >= 0 {
			return false
		}
		if e.Seq > since {
			return true
		}
	}
	return false
}

// deleted reports whether a range delete after a sequence reaches into the stretch.
func (t *stretch) deleted(deletes *kv.RangeDeletes, since uint64) bool {
	if t.endless {
		return deletes.Touched(t.start, nil, since)
	}
	return len(t.end) > 0 && deletes.Touched(t.start, t.end, since)
}
