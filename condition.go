package ebb

import (
	"fmt"
	"math"

	"github.com/ebbdb/ebb/internal/draft"
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
func (p *pipeline) beginUpdate(key []byte, want lsm.Wanted, w *params, c claim) (turn, latestEntry, error) {
	var cur latestEntry
	if err := p.lookLatest(key, want, &cur); err != nil {
		return turn{}, cur, err
	}
	t, err := p.beginFor(c)
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
	if err := w.check(key, &cur); err != nil {
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

// check returns nil if the condition of the write holds for the present entry of a key.
func (p *params) check(key []byte, cur *latestEntry) error {
	if (WriteOption{kind: p.condition, value: int64(p.version)}).holds(cur) {
		return nil
	}
	return p.failed(key, cur)
}

// failed returns the error that the condition of the write does not hold for the present entry of a key.
func (p *params) failed(key []byte, cur *latestEntry) error {
	return conditionFailed(key, WriteOption{kind: p.condition, value: int64(p.version)}, cur)
}

// holds reports whether the option, if it is a condition of what is there, holds for the present entry.
func (o WriteOption) holds(cur *latestEntry) bool {
	switch o.kind {
	case optionIfAbsent:
		return !cur.found
	case optionIfPresent:
		return cur.found
	case optionIfVersion:
		return cur.found && cur.Seq == uint64(o.value) || !cur.found && o.value == 0
	}
	return true
}

// ConditionError says which condition of a write does not hold. It matches ErrConditionFailed.
type ConditionError struct {
	Key       []byte      // the key that the write is about, as a copy
	Condition WriteOption // IfAbsent, IfVersion(7), ...
	Version   uint64      // the version that the key has; 0: it is absent
}

// Error returns a text with the condition, the key and what it has.
func (e *ConditionError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("%v: %v, but %s is absent", ErrConditionFailed, e.Condition, quoted(e.Key))
	}
	return fmt.Sprintf("%v: %v, but %s has version %d", ErrConditionFailed, e.Condition, quoted(e.Key), e.Version)
}

// Is makes the error match ErrConditionFailed.
func (e *ConditionError) Is(target error) bool { return target == ErrConditionFailed }

func conditionFailed(key []byte, condition WriteOption, cur *latestEntry) error {
	e := &ConditionError{Key: append([]byte(nil), key...), Condition: condition}
	if cur.found {
		e.Version = cur.Seq
	}
	return e
}

// lookups are the look-ups of the keys that a batch depends on. The zero value is ready.
type lookups struct {
	found  []latestEntry // one for each key
	tables *lsm.Version  // those of when looking began
	size   int64         // bytes of the values
}

// lookAttempts is how often a batch begins, at most, before it reads tables in its turn.
const lookAttempts = 4

// begin looks keys up and returns the turn that next begins. As beginUpdate does it looks twice: before the turn and in it.
// If the tables have changed in between it begins again, so that others do not wait while they are read: but not for ever.
// Values count towards MaxBatchSize.
func (l *lookups) begin(p *pipeline, keys []draft.Looked, next func() (turn, error)) (turn, error) {
	l.found = make([]latestEntry, len(keys))
	for n := 1; ; n++ {
		if err := l.look(p, keys); err != nil {
			return turn{}, err
		}
		t, err := next()
		if err != nil {
			return t, err
		}
		if n < lookAttempts && l.tables != p.live.View().Version {
			t.end()
			continue
		}
		if err := l.look(p, keys); err != nil {
			t.end()
			return t, err
		}
		return t, nil
	}
}

// look looks keys up, or looks whether the answer is still the same.
func (l *lookups) look(p *pipeline, keys []draft.Looked) error {
	l.tables, l.size = p.live.View().Version, 0
	for i := range keys {
		k, cur := &keys[i], &l.found[i]
		want := lsm.WithoutValue
		if k.WantValue {
			want = lsm.WithValue
		}
		if err := p.lookLatest(k.Key, want, cur); err != nil {
			return err
		}
		if k.WantValue && cur.found {
			l.size += int64(len(cur.Value))
		}
		if l.size > MaxBatchSize {
			return batchTooLarge(k.Key)
		}
	}
	return nil
}

// settle tells keys what they have at the time of a write.
func (l *lookups) settle(keys []draft.Looked, now int64) {
	for i := range keys {
		cur := &l.found[i]
		cur.found = cur.found && !kv.Expired(cur.Deadline, now)
		keys[i].Set(draft.Entry{Present: cur.found, Value: cur.Value, Deadline: cur.Deadline})
	}
}
