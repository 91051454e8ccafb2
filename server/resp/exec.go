package resp

import (
	"errors"
	"syscall"
	"time"

	"github.com/ebbdb/ebb"
)

// exec is a command in a transaction.
type exec struct {
	*client
	tx  Txn
	now int64 // the transaction's moment, Unix ms
	err error // of the store: the transaction is given up
}

// transact runs a command in a transaction of its own.
func (c *client) transact(cmd *command, args [][]byte) {
	c.inTxn(cmd.flags&flagWrite != 0, func(x *exec) { cmd.data(x, args) })
}

// inTxn calls fn with a transaction, perhaps more than once: the replies and events of a call that did not count are taken back.
func (c *client) inTxn(writes bool, fn func(x *exec)) {
	mark, events := len(c.out.b), len(c.events)
	call := func(tx Txn) error {
		c.out.b = c.out.b[:mark]
		c.events = c.events[:events]
		x := &c.exec
		*x = exec{client: c, tx: tx}
		t, err := tx.Time()
		if err != nil {
			return err
		}
		x.now = t.UnixMilli()
		fn(x)
		return x.err
	}
	var err error
	if writes {
		err = c.write1(func(opts ...ebb.WriteOption) error { return c.srv.store.Update(c.srv.ctx, call, opts...) })
	} else {
		err = c.srv.store.View(c.srv.ctx, call)
	}
	c.exec = exec{}
	if err != nil && !errors.Is(err, errUndo) {
		c.out.b = c.out.b[:mark]
		c.events = c.events[:events]
		c.storeError(err)
	}
}

// errUndo gives a transaction up whose reply is written.
var errUndo = errors.New("resp: nothing to write")

// write1 makes a write with the options for its place in the pipeline: all but the last write of one return without a sync, for
// which flush makes up. opts is good until the next write.
func (c *client) write1(write func(opts ...ebb.WriteOption) error) error {
	err := write(c.writeOptions()...)
	c.wrote(err)
	return err
}

// writeOptions returns the options of the write that comes, behind which others may be appended.
func (c *client) writeOptions() []ebb.WriteOption {
	c.version = 0
	c.opts[0] = ebb.VersionTo(&c.version)
	if c.srv.opts.Sync != ebb.SyncAlways || c.lastWrite {
		return c.opts[:1]
	}
	c.opts[1] = ebb.NoSync
	return c.opts[:2]
}

// wrote notes whether the write has to be synced. One that has written with the policy of the store has synced what was before
// it.
func (c *client) wrote(err error) {
	switch {
	case c.srv.opts.Sync != ebb.SyncAlways:
	case !c.lastWrite:
		c.dirty = c.dirty || c.version != 0 || err != nil
	case err == nil && c.version != 0:
		c.dirty = false
	}
}

// outOfBound reports whether an error says that the database is as large as it may be, and not that the disk is full.
func (c *client) outOfBound(err error) bool {
	return errors.Is(err, ebb.ErrNoSpace) && !errors.Is(err, syscall.ENOSPC) && c.srv.settings.params["maxmemory"].Get() != "0"
}

// storeError replies with what an error of the store means to a client.
func (c *client) storeError(err error) {
	var known interface{ RedisError() string }
	oom := c.outOfBound(err)
	switch {
	case errors.As(err, &known):
		c.out.err(known.RedisError())
	case errors.Is(err, ebb.ErrKeyEmpty):
		c.out.err("ERR empty key, which ebb does not have")
	case errors.Is(err, ebb.ErrKeyTooLarge):
		c.out.err("ERR key exceeds maximum allowed size of 65536 bytes")
	case errors.Is(err, ebb.ErrValueTooLarge), errors.Is(err, ebb.ErrBatchTooLarge):
		c.out.err(errStringTooBig)
	case errors.Is(err, ebb.ErrReadOnly):
		c.out.err("READONLY You can't write against a read only replica.")
	case oom:
		c.out.err("OOM command not allowed when used memory > 'maxmemory': the database has no room, and no key with a TTL to evict")
	case errors.Is(err, ebb.ErrNoSpace):
		c.out.err("MISCONF the disk is full: the write was not made")
	case errors.Is(err, ebb.ErrFailed):
		c.out.err("MISCONF writing to the disk has failed: no write is taken until the server is started again")
	case errors.Is(err, ebb.ErrConflict):
		c.out.err("TRYAGAIN others have written the same keys again and again: nothing was written")
	default:
		c.out.err("ERR " + string(printable([]byte(err.Error()))))
	}
	if !oom && !errors.Is(err, ebb.ErrKeyEmpty) && !errors.Is(err, ebb.ErrKeyTooLarge) {
		c.srv.counts.storeErrors.Add(1)
		c.srv.opts.Logger.Warn("store refused", "client", c.about.addr, "err", err)
	}
}

// isAbsent reports whether an error of a read says that there is no such key.
func isAbsent(err error) bool {
	return errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyEmpty) || errors.Is(err, ebb.ErrKeyTooLarge)
}

// fail gives the transaction up if err is an error, and reports whether it is.
func (x *exec) fail(err error) bool {
	if err != nil && x.err == nil {
		x.err = err
	}
	return err != nil
}

// entry reads a key with its value.
func (x *exec) entry(key []byte) (ebb.Entry, bool) {
	e, err := x.tx.GetEntry(key)
	return e, x.present(err)
}

// stat reads a key without its value.
func (x *exec) stat(key []byte) (ebb.Entry, bool) {
	e, err := x.tx.Stat(key)
	return e, x.present(err)
}

func (x *exec) present(err error) bool {
	if isAbsent(err) {
		return false
	}
	return !x.fail(err)
}

// put writes a key that expires at a deadline, Unix ms; 0: never. A deadline that has passed deletes it.
func (x *exec) put(key, value []byte, deadline int64) bool {
	if len(value) > x.srv.opts.MaxRequest {
		x.out.err(errStringTooBig)
		return false
	}
	var err error
	switch {
	case deadline == 0:
		err = x.tx.Put(key, value)
	case deadline <= x.now:
		err = x.tx.Delete(key)
	default:
		err = x.tx.Put(key, value, ebb.ExpireAt(time.UnixMilli(deadline)))
	}
	return !x.fail(err)
}

func (x *exec) del(key []byte) bool { return !x.fail(x.tx.Delete(key)) }
