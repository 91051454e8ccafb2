package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"github.com/ebbdb/ebb"
)

// Watch returns the changes on this node in the order in which they were made, and waits for more, as ebb.DB.Watch does:
// what a call, a batch or a transaction has changed has ebb.Change.More set but for the last. Sequences are the same on every
// node: a watcher can go on on another where it has ended on one, as far as that one's log reaches (ebb.Options.RetainLog).
//
// If the leader has ebb.Options.ExpiryEvents, what expires is told as ebb.ChangeExpire, with the same sequences too.
//
// A node that gets a snapshot has no changes up to it: they are told as one ebb.ChangeGap, up to which the data is to be read
// anew.
func (db *DB) Watch(ctx context.Context, o *ebb.WatchOptions) iter.Seq2[ebb.Change, error] {
	var w watcher
	if o != nil {
		w.next, w.prefix = o.From, bytes.Clone(o.Prefix)
	}
	if w.next == 0 {
		w.next = db.seq() + 1
	}
	return func(yield func(ebb.Change, error) bool) {
		w := w
		w.db, w.yield = db, yield
		if err := w.run(ctx); err != nil && err != errLeft {
			yield(ebb.Change{}, db.explain(err))
		}
	}
}

// seq returns the newest version of this node.
func (db *DB) seq() uint64 {
	snap, err := consistent(db.machine, (*ebb.DB).Snapshot, (*ebb.Snapshot).Close)
	if err != nil {
		return 0
	}
	defer snap.Close()
	return snap.Seq()
}

// watcher tells one loop of changes.
type watcher struct {
	db     *DB
	prefix []byte
	yield  func(ebb.Change, error) bool
	next   uint64
	held   ebb.Change // until it is known whether More follow
}

func (w *watcher) run(ctx context.Context) error {
	for {
		state := w.db.machine.db.Load()
		err := w.follow(ctx, state)
		if !errors.Is(err, ebb.ErrClosed) || !w.db.machine.replaced(state) {
			return err
		}
		// The state is that of a snapshot now, whose log begins behind it.
		if err := w.flush(false); err != nil {
			return err
		}
		if seq := w.db.seq(); seq >= w.next {
			w.next = seq + 1
			if !w.yield(ebb.Change{Kind: ebb.ChangeGap, Seq: seq}, nil) {
				return errLeft
			}
		}
	}
}

// follow tells of the changes of a state. Each entry of the log ends with a record of the cluster's own.
func (w *watcher) follow(ctx context.Context, state *ebb.DB) error {
	for c, err := range state.Watch(ctx, &ebb.WatchOptions{From: w.next}) {
		if err != nil {
			return err
		}
		w.next = c.Seq + 1
		switch {
		case c.Kind != ebb.ChangeGap && isReserved(c.Key):
			err = w.flush(false)
		case w.wants(&c):
			err = w.flush(true)
			c.Key, c.Value, c.End = bytes.Clone(c.Key), bytes.Clone(c.Value), bytes.Clone(c.End)
			w.held = c
		}
		if err == nil && !c.More {
			err = w.flush(false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flush tells of the change that was held.
func (w *watcher) flush(more bool) error {
	if w.held.Seq == 0 {
		return nil
	}
	c := w.held
	c.More, w.held = more, ebb.Change{}
	if !w.yield(c, nil) {
		return errLeft
	}
	return nil
}

// wants reports whether a change may concern a key that begins with the prefix.
func (w *watcher) wants(c *ebb.Change) bool {
	switch c.Kind {
	case ebb.ChangeGap, ebb.ChangeEvict:
		return true
	case ebb.ChangeDeleteRange:
		end := ebb.PrefixEnd(w.prefix)
		return bytes.Compare(c.End, w.prefix) > 0 && (end == nil || bytes.Compare(c.Key, end) < 0)
	}
	return bytes.HasPrefix(c.Key, w.prefix)
}

// Backup writes the state of this node as a snapshot file, as ebb.DB.Backup does: ebb.Restore makes a database of it, with the
// cluster's own keys at its end.
func (db *DB) Backup(ctx context.Context, to io.Writer, o *ebb.BackupOptions) (ebb.BackupInfo, error) {
	if err := db.refusal(); err != nil {
		return ebb.BackupInfo{}, err
	}
	info, err := db.machine.db.Load().Backup(ctx, to, o)
	return info, db.explain(err)
}
