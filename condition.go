package ebb

import (
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// latestEntry is the entry that the newest operation on a key has left, visible or not.
type latestEntry struct {
	kv.Entry // Value only if it was asked for
	found    bool
	tables   *lsm.Version // the tables that were asked; nil if a memtable knew the key
}

// beginUpdate begins a turn for a write that depends on the entry it replaces, and returns the turn and that entry. If the
// condition of the write does not hold, beginUpdate returns an error and no turn. The value is not the caller's to change.
//
// The key is looked up twice: before the turn, so that tables are read while others write, and once more in the turn, when
// as a rule only memtables have to be asked.
func (p *pipeline) beginUpdate(key []byte, want lsm.Wanted, w *params) (turn, latestEntry, error) {
	var cur latestEntry
	if err := p.lookLatest(key, want, &cur); err != nil {
		return turn{}, cur, err
	}
	t, err := p.begin()
	if err != nil {
		return t, cur, err
	}
	if err := p.lookLatest(key, want, &cur); err != nil {
		t.end()
		return t, cur, err
	}
	if cur.found && cur.Deadline != 0 {
		cur.found = !kv.Expired(cur.Deadline, t.now())
	}
	w.found = cur.found
	if err := w.check(&cur); err != nil {
		return t, cur, t.refuse(err, w)
	}
	return t, cur, nil
}

// lookLatest looks a key up and stores the answer in cur, which holds the answer of an earlier look-up or is empty.
func (p *pipeline) lookLatest(key []byte, want lsm.Wanted, cur *latestEntry) error {
	ticket, ok := p.live.Enter(uint32(key[len(key)-1]))
	if !ok {
		return ErrClosed
	}
	defer p.live.Exit(ticket)
	return cur.look(p.live.View(), key, want)
}

// look stores in cur the newest entry of a key in the view. If cur holds the answer of the same tables, they are not asked
// again. An entry that was evicted is not found.
func (cur *latestEntry) look(v *lsm.View, key []byte, want lsm.Wanted) error {
	err := cur.lookAll(v, key, want)
	cur.found = cur.found && !v.Evicted(&cur.Entry, math.MaxUint64)
	return err
}

// lookAll is look without regard to evictions.
func (cur *latestEntry) lookAll(v *lsm.View, key []byte, want lsm.Wanted) error {
	var e kv.Entry
	if known, found := v.GetMem(key, math.MaxUint64, &e); known {
		cur.Entry, cur.found, cur.tables = e, found, nil
		return nil
	}
	if cur.tables == v.Version {
		return nil
	}
	value, found, err := v.Version.Get(nil, key, want, &e)
	e.Value = value
	cur.Entry, cur.found, cur.tables = e, found, v.Version
	return err
}

// check returns nil if the condition of the write holds for the present entry.
func (p *params) check(cur *latestEntry) error {
	switch p.condition {
	case optionIfAbsent:
		if cur.found {
			return ErrConditionFailed
		}
	case optionIfPresent:
		if !cur.found {
			return ErrConditionFailed
		}
	case optionIfVersion:
		if cur.found && cur.Seq != p.version || !cur.found && p.version != 0 {
			return ErrConditionFailed
		}
	}
	return nil
}
