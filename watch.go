package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// ChangeKind says what a Change did.
type ChangeKind uint8

const (
	ChangePut         ChangeKind = iota // Key got Value, until Deadline if it is not 0
	ChangeDelete                        // Key was deleted
	ChangeDeleteRange                   // the keys from Key up to but not including End were deleted
	ChangeExpire                        // the version Version of Key has expired: see Options.ExpiryEvents
	ChangeGap                           // up to Seq the content may have been replaced from outside the log: read it anew
	ChangeEvict                         // what was written before it and has a deadline up to Deadline was evicted: absent
)

// String returns the kind's name.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return fmt.Sprintf("change %d", uint8(k))
}

var changeNames = [...]string{"put", "delete", "delete range", "expire", "gap", "evict"}

// Change is one change of a database.
type Change struct {
	Kind  ChangeKind
	Key   []byte
	Value []byte // of a put
	End   []byte // of a range delete, never nil: a delete without end ends behind the last key that there was
	// Seq is the place of the change in the order of all changes: a watcher that has dealt with the change resumes from
	// Seq + 1. For a put Seq is the Version of the Entry.
	Seq      uint64
	Version  uint64 // of an expiry: the version that has expired
	Deadline int64  // Unix ms; of a put, 0 if it has none; of an expiry, the deadline that has passed; of an eviction, the last
	// More says that the next change was made together with this one, by one batch or transaction.
	More bool
}

// WatchOptions say which changes a watcher gets. The zero value, and nil, are all changes from now on.
type WatchOptions struct {
	// From is the sequence of the first change to report: one more than Change.Seq of the last change that was dealt with,
	// or than Snapshot.Seq to go on from a snapshot. 0: the first change that is not visible yet when Watch is called. In a
	// read-only database that is the first after Open or the last Refresh.
	From uint64
	// Prefix limits the changes to those of keys that begin with it, and range deletes that may delete such keys.
	Prefix []byte
}

// Watch returns the changes of the database in the order in which they were made, and waits for more, until ctx is done or
// the loop is left. Every change is reported once. A reported change is visible to reads. Under SyncAlways it is durable: a
// write with NoSync is reported after the next write that syncs. Under other policies a power cut may undo reported changes.
//
// The last pair has an error: ctx's; ErrClosed; ErrLogTrimmed if the next change is no longer in the log; ErrSequenceAhead
// if the database never came to From; or ErrFailed if the log has failed, after all changes that are durable. The slices of
// a change are valid until the next. The sequence that Watch returns may be used by one goroutine at a time, and begins anew
// with each loop.
//
// A watcher reads the log's files, and nothing waits for it. A watcher that is slower than the writers can fall behind as
// far as the log reaches: Options.RetainLog makes the log reach further. A watcher that stops reading without leaving its
// loop keeps one log file from being freed, and no more.
//
// A read-only database can be watched, too: Watch follows the log that the owner writes, and goes on with the next owner
// after that. It looks for more in the files, ten times a second where nothing happens. A reported change need not be
// durable, and is visible to reads after Refresh. If a change was reported that the owner's full disk then refused, the
// error is ErrLogTrimmed. If another database has taken the place of this one, the error is ErrNotDatabase.
func (db *DB) Watch(ctx context.Context, o *WatchOptions) iter.Seq2[Change, error] {
	w := watcher{db: db}
	if o != nil {
		w.next = o.From
		w.prefix = append([]byte(nil), o.Prefix...)
		w.prefixEnd = PrefixEnd(o.Prefix)
	}
	if w.next == 0 {
		w.next = db.live.Visible() + 1
	}
	return func(yield func(Change, error) bool) {
		w := w
		w.yield = yield
		if err := w.run(ctx); err != nil {
			yield(Change{}, err)
		}
	}
}

// watcher reports changes from the log to one loop.
type watcher struct {
	db        *DB
	prefix    []byte
	prefixEnd []byte // end of the keys with prefix, exclusive; empty: no bound
	yield     func(Change, error) bool

	next  uint64 // the sequence of the first change that was not reported
	log   changeLog
	entry wal.Entry
	ops   op.Ops
}

// errLeft ends a watcher whose loop was left.
var errLeft = errors.New("loop left")

// run reports changes until the loop is left, when it returns nil, or until an error, which it returns.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(w.db.health.work, func() { cancel(ErrClosed) })()
	defer cancel(nil)
	log, err := w.db.changeLogAt(w.next)
	if err == nil {
		w.log = log
		defer log.Close()
		err = w.tail(ctx)
	}
	switch {
	case errors.Is(err, errLeft):
		return nil
	case w.db.health.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return w.db.explainWatch(err, w.next)
}

// tail reports the changes that the log has, and then those that are written.
func (w *watcher) tail(ctx context.Context) error {
	for {
		if w.db.health.closed.Load() {
			return ErrClosed // ctx may be done only later
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := w.log.Next(&w.entry)
		if err == io.EOF {
			if err = w.reportGap(w.log.NextSeq()); err == nil {
				err = w.log.wait(ctx)
			}
		} else if err == nil {
			err = w.report()
		}
		if err != nil {
			return err
		}
	}
}

// report reports the changes of the entry, once they are visible.
func (w *watcher) report() error {
	e := &w.entry
	if e.Kind == wal.KindClock {
		return nil
	}
	if err := w.reportGap(e.Seq); err != nil {
		return err
	}
	last := e.LastSeq()
	if err := w.log.await(last); err != nil {
		return err
	}
	err := w.reportOps()
	w.next = last + 1
	return err
}

// reportOps reports the operations of the entry, from w.next on.
func (w *watcher) reportOps() error {
	if err := w.ops.Decode(&w.entry); err != nil {
		return w.damaged(err)
	}
	var held Change // the last change, until it is known whether More follow
	for w.ops.Next() {
		c, err := changeOf(&w.ops.Op)
		if err != nil {
			return w.damaged(err)
		}
		if c.Seq < w.next || !w.wants(&c) {
			continue
		}
		if held.Seq != 0 {
			held.More = held.Kind != ChangeExpire // one entry of the log may hold expiries that do not belong together
			if err := w.send(&held); err != nil {
				return err
			}
		}
		held = c
	}
	if held.Seq == 0 {
		return nil
	}
	return w.send(&held)
}

// damaged returns the error for an entry of the log that cannot be decoded.
func (w *watcher) damaged(err error) error {
	return corrupt.New(fmt.Sprintf("log position %v", w.entry.Pos), int64(w.entry.Pos.Offset), "log entry", err)
}

// reportGap reports that the sequences from w.next up to but not including seq are not in the log, if there are any.
func (w *watcher) reportGap(seq uint64) error {
	if seq <= w.next {
		return nil
	}
	if err := w.log.await(seq - 1); err != nil { // an Ingest ends its turn only when it is visible
		return err
	}
	w.next = seq
	return w.send(&Change{Kind: ChangeGap, Seq: seq - 1})
}

// send yields a change to the loop, if the watcher wants it.
func (w *watcher) send(c *Change) error {
	if w.wants(c) && !w.yield(*c, nil) {
		return errLeft
	}
	return nil
}

// wants reports whether a change may concern a key that begins with the prefix. An eviction may concern any.
func (w *watcher) wants(c *Change) bool {
	switch c.Kind {
	case ChangeGap, ChangeEvict:
		return true
	case ChangeDeleteRange:
		return kv.Compare(c.End, w.prefix) > 0 && (len(w.prefixEnd) == 0 || kv.Compare(c.Key, w.prefixEnd) < 0)
	}
	return bytes.HasPrefix(c.Key, w.prefix)
}

// changeOf returns an operation of the log as a change.
func changeOf(o *op.Op) (Change, error) {
	switch o.Kind {
	case op.Put:
		return Change{Kind: ChangePut, Key: o.Key, Value: o.Value, Seq: o.Seq, Deadline: o.Deadline}, nil
	case op.Delete:
		return Change{Kind: ChangeDelete, Key: o.Key, Seq: o.Seq}, nil
	case op.DeleteRange:
		return Change{Kind: ChangeDeleteRange, Key: o.Key, End: o.End, Seq: o.Seq}, nil
	case op.Evict:
		return Change{Kind: ChangeEvict, Seq: o.Seq, Deadline: o.Deadline}, nil
	case op.Expired:
		return Change{Kind: ChangeExpire, Key: o.Key, Seq: o.Seq, Version: o.Version, Deadline: o.Deadline}, nil
	}
	return Change{}, op.Unknown(o.Kind)
}
