package resp

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/ebbdb/ebb"
)

// What ebb has and Redis has not.
func ebbCommands() []*command {
	return grouped("ebb", []*command{
		{name: "ebb.size", arity: 1, flags: flagRead | flagFast, since: "7.0.0", cost: "O(1)",
			summary: "Returns about how many keys there are.", conn: ebbSize},
		{name: "ebb.range", arity: -3, flags: flagRead, since: "7.0.0", cost: "O(N) with N being the number of keys returned",
			summary: "Returns the keys from start up to but not including end, in order.", data: ebbRange},
		{name: "ebb.delrange", arity: 3, flags: flagWrite, since: "7.0.0", cost: "O(1)",
			summary: "Deletes the keys from start up to but not including end.", data: ebbDelRange, fast: fastDelRange},
		{name: "ebb.watch", arity: 2, flags: flagNoMulti | flagNoScript, since: "7.0.0",
			cost:    "O(1) for each change",
			summary: "Sends every change of the database from a sequence on, until the connection is closed.", conn: ebbWatch},
	})
}

func ebbSize(c *client, _ [][]byte) {
	n, err := c.srv.store.EstimateCount(c.srv.ctx)
	if err != nil {
		c.storeError(err)
		return
	}
	c.out.int(int64(n))
}

// rangeBounds returns the bounds of a range: "-" as a start and "+" as an end are none.
func rangeBounds(args [][]byte) (start, end []byte) {
	start, end = args[1], args[2]
	if string(start) == "-" {
		start = nil
	}
	if string(end) == "+" {
		end = nil
	}
	return start, end
}

func ebbRange(x *exec, args [][]byte) {
	start, end := rangeBounds(args)
	o := &ebb.IterOptions{Start: start, End: end, KeysOnly: true}
	for i := 3; i < len(args); i++ {
		switch {
		case equalFold(args[i], "rev"):
			o.Reverse = true
		case equalFold(args[i], "withvalues"):
			o.KeysOnly = false
		case equalFold(args[i], "limit") && i+1 < len(args):
			i++
			n, ok := parseInt(args[i])
			if !ok || n < 1 || n > math.MaxInt32 {
				x.out.err(errOutOfRange)
				return
			}
			o.Limit = int(n)
		default:
			x.out.err(errSyntax)
			return
		}
	}
	var list reply
	n := 0
	for e, err := range x.tx.Range(o) {
		if x.fail(err) {
			return
		}
		list.bulk(e.Key)
		n++
		if !o.KeysOnly {
			list.bulk(e.Value)
			n++
		}
		if len(list.b) > x.srv.opts.MaxReplyBuffer {
			break // bound makes an error of it
		}
	}
	x.out.array(n)
	x.out.b = append(x.out.b, list.b...)
}

func ebbDelRange(x *exec, args [][]byte) {
	start, end := rangeBounds(args)
	if !x.fail(x.tx.DeleteRange(start, end)) {
		x.out.ok()
	}
}

func fastDelRange(c *client, args [][]byte) {
	start, end := rangeBounds(args)
	err := c.write1(func(opts ...ebb.WriteOption) error { return c.srv.store.DeleteRange(c.srv.ctx, start, end, opts...) })
	if err != nil {
		c.storeError(err)
		return
	}
	c.out.ok()
}

// ebbWatch sends changes until the client closes the connection, or the server does. The reply is OK, and then an array for each
// change: its kind, sequence, key, and what belongs to the kind.
func ebbWatch(c *client, args [][]byte) {
	from, ok := parseCursor(args[1])
	if !ok {
		c.out.err("ERR invalid sequence")
		return
	}
	c.out.ok()
	if c.err = c.flush(); c.err != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.srv.ctx)
	defer cancel()
	go func() { // until the client is gone, or sends something, which has no meaning here
		defer cancel()
		_ = c.nc.SetReadDeadline(time.Time{})
		if c.srv.draining.Load() {
			return
		}
		var one [1]byte
		_, _ = c.nc.Read(one[:])
	}()
	for change, err := range c.srv.store.Watch(ctx, &ebb.WatchOptions{From: from}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				c.storeError(err)
			}
			break
		}
		c.change(&change)
		if !change.More || len(c.out.b) >= flushAt {
			if err = c.write(); err != nil {
				break
			}
		}
	}
	_ = c.write()
	c.err = errQuit
}

func (c *client) change(ch *ebb.Change) {
	pair := func(n int, kind string) {
		c.out.push(n)
		c.out.bulkString(kind)
		c.out.int(int64(ch.Seq))
	}
	switch ch.Kind {
	case ebb.ChangePut:
		pair(5, "put")
		c.out.bulk(ch.Key)
		c.out.bulk(ch.Value)
		c.out.int(ch.Deadline)
	case ebb.ChangeDelete:
		pair(3, "delete")
		c.out.bulk(ch.Key)
	case ebb.ChangeDeleteRange:
		pair(4, "deleterange")
		c.out.bulk(ch.Key)
		c.out.bulk(ch.End)
	case ebb.ChangeExpire:
		pair(4, "expire")
		c.out.bulk(ch.Key)
		c.out.int(ch.Deadline)
	case ebb.ChangeEvict:
		pair(3, "evict")
		c.out.int(ch.Deadline)
	default:
		pair(2, "gap")
	}
}
