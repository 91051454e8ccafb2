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
)

// String returns the kind's name.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return fmt.Sprintf("change %d", uint8(k))
}

var changeNames = [...]string{"put", "delete", "delete range", "expire", "gap"}

// Change is one change of a database.
type Change struct {
	Kind  ChangeKind
	Key   []byte
	Value []byte // of a put
	End   []byte // of a range delete, always: one to the end of all keys ends behind the last that there was
	// Seq is the place of the change in the order of all: a watcher that has dealt with it resumes from Seq + 1. For a put it
	// is the version that Entry tells.
	Seq      uint64
	Version  uint64 // of an expiry: the version that has expired
	Deadline int64  // Unix ms; of a put, 0 if it has none; of an expiry, the one that has passed
	// More says that the next change was made together with this one, by one batch or transaction.
	More bool
}

// WatchOptions say what a watcher gets. The zero value, and nil, are all changes from now on.
type WatchOptions struct {
	// From is the sequence of the first change to report: one more than that of the last that was dealt with, or than
	// Snapshot.Seq to go on from a snapshot. 0: what reads do not show yet when Watch is called, which in a read-only database
	// is what came after Open or Refresh.
	From uint64
	// Prefix limits it to changes of keys that begin so, and range deletes that may delete some.
	Prefix []byte
}

// Watch returns the changes of the database in the order in which they were made, and waits for more, until ctx is done or
// the loop is left. Every change is reported once; a change that is reported can be read. Under SyncAlways it is on the
// disk, so that a write with NoSync is reported after the next that syncs; under other policies a power cut may take what
// has been reported.
//
// The last pair has an error: ctx's, ErrClosed, ErrLogTrimmed if what comes next is no longer in the log, ErrSequenceAhead
// if the database never came to From, or ErrFailed if the log has failed, after all that is on the disk. The slices of a
// change are valid until the next. The sequence that Watch returns may be used by one goroutine at a time, and begins anew
// with each loop.
//
// A watcher reads the log's files and nothing waits for it. One that is slower than the writers falls behind as far as the
// log reaches: Options.RetainLog makes it reach further. One that stops reading without leaving its loop keeps one log file
// from being freed, and no more.
//
// A database that is read-only is watched, too: Watch follows what its owner writes, and goes on with the next owner when
// that has gone. It looks at the files for more, ten times a second where nothing happens. What it reports need not be on
// the disk, and can be read after Refresh. If a write was reported that the owner's full disk has then refused, the error is
// ErrLogTrimmed; if another database has taken the place of this one, ErrNotDatabase.
func (db *DB) Watch(ctx context.Context, o *WatchOptions) iter.Seq2[Change, error] {
	w := watcher{db: db}
	if o != nil {
		w.next = o.From
		w.prefix = append([]byte(nil), o.Prefix...)
		w.prefixEnd = appendPrefixEnd(nil, o.Prefix)
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
	prefixEnd []byte // empty: none
	yield     func(Change, error) bool

	next  uint64 // the sequence of the first change that was not reported
	log   changeLog
	entry wal.Entry
	ops   op.Ops
}

// errLeft ends a watcher whose loop was left.
var errLeft = errors.New("loop left")

// run reports until there is an error, which it returns, or the loop is left.
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

// tail reports what the log has, and then what it gets.
func (w *watcher) tail(ctx context.Context) error {
	for {
		if w.db.health.closed.Load() {
			return ErrClosed // ctx may lag behind
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

// report reports the changes that the entry makes.
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
	var held Change // the one before, until it is known whether there are more
	for w.ops.Next() {
		c, err := changeOf(&w.ops.Op)
		if err != nil {
			return w.damaged(err)
		}
		if c.Seq < w.next || !w.wants(&c) {
			continue
		}
		if held.Seq != 0 {
			held.More = held.Kind != ChangeExpire // expiries are together only in the log
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

// damaged says of an entry of the log that it cannot be read.
func (w *watcher) damaged(err error) error {
	return corrupt.New(fmt.Sprintf("log position %v", w.entry.Pos), int64(w.entry.Pos.Offset), "log entry", err)
}

// reportGap reports that sequences before seq are not in the log, if there are some that were not reported.
func (w *watcher) reportGap(seq uint64) error {
	if seq <= w.next {
		return nil
	}
	if err := w.log.await(seq - 1); err != nil { // an Ingest has its turn until reads see it
		return err
	}
	w.next = seq
	return w.send(&Change{Kind: ChangeGap, Seq: seq - 1})
}

// send gives the loop a change that it wants.
func (w *watcher) send(c *Change) error {
	if w.wants(c) && !w.yield(*c, nil) {
		return errLeft
	}
	return nil
}

// wants reports whether a change is of a key that begins with the prefix.
func (w *watcher) wants(c *Change) bool {
	switch c.Kind {
	case ChangeGap:
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
	case op.Expired:
		return Change{Kind: ChangeExpire, Key: o.Key, Seq: o.Seq, Version: o.Version, Deadline: o.Deadline}, nil
	}
	return Change{}, op.Unknown(o.Kind)
}
