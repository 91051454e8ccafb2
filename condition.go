package ebb

import (
	"bytes"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// latest is what the newest operation on a key has left, whether reads see it already or not.
type latest struct {
	kv.Entry // Value only if it was asked for
	found    bool
	tables   *lsm.Version // that were asked; nil if a memtable knew
}

// beginUpdate takes the commit lock for a write that depends on what it replaces, and returns that, once the condition is
// known to hold. Otherwise the lock is free and the error tells. The value is not the caller's to change.
//
// It looks twice: first without the lock, so that what has to come from the disk does so while others write, and again
// under it, where as a rule only memtables need to be asked.
func (db *DB) beginUpdate(key []byte, want lsm.Wanted, p *params) (latest, error) {
	var cur latest
	if err := db.latest(key, want, &cur); err != nil {
		return cur, err
	}
	if err := db.beginWrite(); err != nil {
		return cur, err
	}
	if err := db.latest(key, want, &cur); err != nil {
		db.commit.Unlock()
		return cur, err
	}
	if cur.found && cur.Deadline != 0 {
		db.commit.now = db.clock.Now()
		cur.found = !kv.Expired(cur.Deadline, db.commit.now)
	}
	if err := p.check(&cur); err != nil {
		return cur, db.refuseLocked(err, p)
	}
	return cur, nil
}

// refuseLocked frees the commit lock and returns err, or why nobody should rely on it.
func (db *DB) refuseLocked(err error, p *params) error {
	if syncErr := db.leaveLocked(p); syncErr != nil {
		return syncErr
	}
	return err
}

// latest is one look.
func (db *DB) latest(key []byte, want lsm.Wanted, cur *latest) error {
	ticket, ok := db.live.Enter(uint32(key[len(key)-1]))
	if !ok {
		return ErrClosed
	}
	defer db.live.Exit(ticket)
	return cur.look(db.live.View(), key, want)
}

// look finds the newest that the view knows of a key. What was found in the same tables before is not looked for again.
func (cur *latest) look(v *lsm.View, key []byte, want lsm.Wanted) error {
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

// check returns nil if the condition holds for what is there.
func (p *params) check(cur *latest) error {
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

// CompareAndSwap replaces the value of a key by new if it is old, and reports whether it was. An absent key has no value:
// for that there is IfAbsent. The write is a Put, and takes its options; to tell two equal values apart use IfVersion.
func (db *DB) CompareAndSwap(key, old, new []byte, opts ...WriteOption) (swapped bool, err error) {
	if err := checkEntry(key, new); err != nil {
		return false, err
	}
	p, err := db.params(opts, deadlineOptions|keepOption|conditionOptions)
	if err != nil {
		return false, err
	}
	cur, err := db.beginUpdate(key, lsm.WithValue, &p)
	if err != nil {
		return false, err
	}
	if !cur.found || !bytes.Equal(cur.Value, old) {
		return false, db.leaveLocked(&p)
	}
	if p.keepTTL {
		p.deadline = cur.Deadline
	}
	err = db.putLocked(key, new, &p)
	return err == nil, err
}
