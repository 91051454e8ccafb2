package ebb

import (
	"errors"
	"fmt"

	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Put gives a key a value, which replaces the one before together with its deadline. It takes any of the write options but
// those that are for Expire.
//
// When Put returns nil the write is as durable as the policy says. On ErrNoSpace it has not happened. After any other
// failure of the disk it may or may not have, and the database takes no more writes: see ErrFailed.
func (db *DB) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	p, err := db.params(opts, deadlineOptions|keepOption|conditionOptions)
	if err != nil {
		return err
	}
	if p.condition == 0 && !p.keepTTL {
		if err := db.beginWrite(); err != nil {
			return err
		}
		return db.putLocked(key, value, &p)
	}
	cur, err := db.beginUpdate(key, lsm.WithoutValue, &p)
	if err != nil {
		return err
	}
	if p.keepTTL && cur.found {
		p.deadline = cur.Deadline
	}
	return db.putLocked(key, value, &p)
}

// Delete makes a key absent. Deleting an absent key is no error, unless the write options ask for a present one: it takes
// IfPresent, IfVersion, VersionTo, Sync and NoSync.
func (db *DB) Delete(key []byte, opts ...WriteOption) error {
	if err := checkKey(key); err != nil {
		return err
	}
	p, err := db.params(opts, presentOptions)
	if err != nil {
		return err
	}
	if p.condition == 0 {
		err = db.beginWrite()
	} else {
		_, err = db.beginUpdate(key, lsm.WithoutValue, &p)
	}
	if err != nil {
		return err
	}
	return db.writeLocked(wal.Entry{Kind: wal.KindDelete, Key: key}, &p)
}

// DeleteRange makes the keys from start up to but not including end absent, at the cost of one record whatever the range
// holds. Of the options it takes VersionTo, Sync and NoSync.
func (db *DB) DeleteRange(start, end []byte, opts ...WriteOption) error {
	if len(start) > MaxKeySize || len(end) > MaxKeySize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrKeyTooLarge, MaxKeySize)
	}
	if kv.Compare(start, end) >= 0 {
		return ErrInvalidRange
	}
	p, err := db.params(opts, 0)
	if err != nil {
		return err
	}
	if err := db.beginDeleteRange(); err != nil {
		return err
	}
	return db.writeLocked(wal.Entry{Kind: wal.KindRangeDelete, Key: start, Value: end}, &p)
}

// Sync makes every write that has returned durable.
func (db *DB) Sync() error {
	if db.health.closed.Load() {
		return ErrClosed
	}
	if db.opts.ReadOnly {
		return ErrReadOnly
	}
	return closedLog(db.log.Sync())
}

// closedLog makes the error of a log that was closed meanwhile the database's.
func closedLog(err error) error {
	if errors.Is(err, wal.ErrClosed) {
		return ErrClosed
	}
	return err
}

func checkKey(key []byte) error {
	if len(key) == 0 {
		return ErrKeyEmpty
	}
	if len(key) > MaxKeySize {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrKeyTooLarge, len(key), MaxKeySize)
	}
	return nil
}

func checkEntry(key, value []byte) error {
	if len(value) > MaxValueSize {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrValueTooLarge, len(value), MaxValueSize)
	}
	return checkKey(key)
}

// beginWrite takes the commit lock. It first lets the background catch up where that is behind, and an Update with precedence commit.
func (db *DB) beginWrite() error { return db.beginWriteIn(nil) }

// beginWriteIn is beginWrite for an Update that may have precedence.
func (db *DB) beginWriteIn(own *precedence) error {
	if db.stall.pressure.Load() != 0 {
		if err := db.stall.throttle(); err != nil {
			return err
		}
	}
	db.commit.Lock()
	db.awaitPrecedenceLocked(own)
	db.commit.now = 0
	if db.health.closed.Load() {
		db.commit.Unlock()
		return ErrClosed
	}
	if err := db.health.failure(); err != nil {
		db.commit.Unlock()
		return err
	}
	return nil
}

// putLocked writes a put, or a delete if its deadline has passed, and frees the commit lock.
func (db *DB) putLocked(key, value []byte, p *params) error {
	e := wal.Entry{Key: key, Value: value, Deadline: p.deadline}
	if p.past {
		e = wal.Entry{Kind: wal.KindDelete, Key: key}
	}
	return db.writeLocked(e, p)
}

// writeLocked appends an operation to the log, applies it to the memtable, frees the commit lock, and waits for the disk
// if asked to.
//
//  1. The log takes the operation and gives it its sequence. From here it survives the death of the process.
//  2. The memtable takes it, under that sequence; reads do not see it yet.
//  3. The lock goes to the next write. Their order in the log and in the memtable is the same.
//  4. The log is synced up to the operation, for all that wait together.
//  5. Reads see it, and all before it: who has read a value can rely on it as much as who wrote it.
//
// A crash before 1 loses it, which nobody was promised; after 1 the next open replays it.
func (db *DB) writeLocked(e wal.Entry, p *params) error {
	c := &db.commit
	c.entries[0] = e
	var end wal.Position
	err := db.marks.beforeLocked()
	if err == nil {
		err = db.expiries.beforeLocked(&c.entries[0])
	}
	if err == nil {
		end, err = db.log.Write(c.entries[:])
	}
	lastSeq := op.LastSeq(&c.entries[0])
	if err == nil {
		err = db.applyLocked(&c.entries[0])
	}
	c.entries[0] = wal.Entry{} // the caller's slices are not ours to keep
	if err != nil {
		c.Unlock()
		return err
	}
	return db.finishWrite(lastSeq, end, p)
}

// finishWrite takes steps 3 to 5 of writeLocked.
func (db *DB) finishWrite(lastSeq uint64, end wal.Position, p *params) error {
	c := &db.commit
	c.lastSeq = lastSeq
	if !p.sync {
		db.live.Show(lastSeq)
	}
	if !c.sweeps && c.mem.Deadlines.Entries() > 0 {
		c.sweeps = true
		db.sweeps.request()
		db.marks.wantLocked()
	}
	if !c.settling {
		c.settling = true
		db.settles.request()
	}
	db.freezeIfFullLocked()
	if invariant.On {
		db.checkLocked()
	}
	db.commit.Unlock()
	if p.sync {
		if err := db.log.SyncTo(end); err != nil {
			return closedLog(err)
		}
		db.live.Show(lastSeq)
	}
	if p.versionTo != nil {
		*p.versionTo = lastSeq
	}
	return nil
}

// leaveLocked frees the commit lock without a write. What it has read there may be on no disk yet, and who is told of it
// has to be able to rely on it as much as a reader, and to read it: so it waits for the disk as its write would have, or
// shows what does, unless that has failed.
func (db *DB) leaveLocked(p *params) error {
	if !p.sync {
		defer db.commit.Unlock()
		if db.live.Visible() >= db.commit.lastSeq {
			return nil
		}
		if err := db.log.Err(); err != nil {
			return closedLog(err)
		}
		db.live.Show(db.commit.lastSeq)
		return nil
	}
	seq, end := db.commit.lastSeq, db.log.End()
	db.commit.Unlock()
	if err := db.log.SyncTo(end); err != nil {
		return closedLog(err)
	}
	db.live.Show(seq)
	return nil
}

// applyLocked takes what the log has taken into the memtable. It cannot fail for anything that was checked before; if it
// does, the log and the memtable have parted, and nothing more may be written.
func (db *DB) applyLocked(e *wal.Entry) error {
	c := &db.commit
	before := c.mem.PutBytes()
	if err := c.apply(c.mem, e, db.clock); err != nil {
		return db.health.fail(err)
	}
	c.userBytes += c.mem.PutBytes() - before
	db.expiries.noteLocked(e)
	return nil
}

// apply takes an entry of the log into a memtable, and what c keeps of the newest.
func (c *commit) apply(m *lsm.Mem, e *wal.Entry, clock clock) error {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return err
	}
	for ops.Next() {
		o := &ops.Op
		c.note(o.Seq, o.Key, o.End)
		if err := m.Apply(o); err != nil {
			return err
		}
		switch o.Kind {
		case op.Put:
			c.gaps.Cut(o.Key)
		case op.DeleteRange:
			c.offerRange(m, o)
		}
	}
	if w, ok := ops.Writer(); ok {
		s := writerState{w.Sequence, op.LastSeq(e), clock.Now()}
		m.SetWriter(manifest.Writer{ID: w.ID, Sequence: s.sequence, Version: s.version, Used: s.used})
		c.writers.set(w.ID, s)
	}
	return nil
}

// note notes an operation for transactions.
func (c *commit) note(seq uint64, start, end []byte) {
	if c.scans.Load() > 0 {
		c.last.note(seq, start, end)
	}
}
