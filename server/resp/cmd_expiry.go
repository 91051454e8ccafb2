package resp

import (
	"errors"
	"math"
	"time"

	"github.com/ebbdb/ebb"
)

func expiryCommands() []*command {
	setter := func(name string, u unit, since, summary string) *command {
		return &command{name: name, arity: -3, flags: flagWrite | flagFast, keys: oneKey, since: since, cost: "O(1)", summary: summary,
			data: func(x *exec, args [][]byte) { expire(x, args, u, name) },
			fast: func(c *client, args [][]byte) { fastExpire(c, args, u, name) }}
	}
	getter := func(name, since, summary string, tell func(deadline, now int64) int64) *command {
		return &command{name: name, arity: 2, flags: flagRead | flagFast, keys: oneKey, since: since, cost: "O(1)", summary: summary,
			data: func(x *exec, args [][]byte) { ttl(x, args[1], tell) }}
	}
	list := []*command{
		setter("expire", unitEX, "1.0.0", "Sets the expiration time of a key in seconds."),
		setter("pexpire", unitPX, "2.6.0", "Sets the expiration time of a key in milliseconds."),
		setter("expireat", unitEXAT, "1.2.0", "Sets the expiration time of a key to a Unix timestamp."),
		setter("pexpireat", unitPXAT, "2.6.0", "Sets the expiration time of a key to a Unix milliseconds timestamp."),
		getter("ttl", "1.0.0", "Returns the expiration time in seconds of a key.",
			func(deadline, now int64) int64 { return (max(0, deadline-now) + 500) / 1000 }),
		getter("pttl", "2.6.0", "Returns the expiration time in milliseconds of a key.",
			func(deadline, now int64) int64 { return max(0, deadline-now) }),
		getter("expiretime", "7.0.0", "Returns the expiration time of a key as a Unix timestamp.",
			func(deadline, _ int64) int64 { return deadline/1000 + (deadline%1000+500)/1000 }),
		getter("pexpiretime", "7.0.0", "Returns the expiration time of a key as a Unix milliseconds timestamp.",
			func(deadline, _ int64) int64 { return deadline }),
		{name: "persist", arity: 2, flags: flagWrite | flagFast, keys: oneKey, since: "2.2.0", cost: "O(1)",
			summary: "Removes the expiration time of a key.", data: persist},
	}
	return grouped("generic", list)
}

func ttl(x *exec, key []byte, tell func(deadline, now int64) int64) {
	e, ok := x.stat(key)
	x.srv.counts.hit(ok)
	switch {
	case !ok:
		x.out.int(-2)
	case e.Deadline == 0:
		x.out.int(-1)
	default:
		x.out.int(tell(e.Deadline, x.now))
	}
}

func persist(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	if !ok || e.Deadline == 0 {
		x.out.int(0)
		return
	}
	if x.put(args[1], e.Value, 0) {
		x.notify(notifyGeneric, "persist", args[1])
		x.out.int(1)
	}
}

// expireArgs are the arguments of EXPIRE and its kin.
type expireArgs struct {
	nx, xx, gt, lt bool
	ms             int64 // from now or Unix, as the unit says
}

func parseExpire(args [][]byte, u unit, command string) (a expireArgs, refusal string) {
	for _, arg := range args[3:] {
		switch {
		case equalFold(arg, "nx"):
			a.nx = true
		case equalFold(arg, "xx"):
			a.xx = true
		case equalFold(arg, "gt"):
			a.gt = true
		case equalFold(arg, "lt"):
			a.lt = true
		default:
			return a, badOption(arg)
		}
	}
	switch {
	case a.nx && (a.xx || a.gt || a.lt):
		return a, "ERR NX and XX, GT or LT options at the same time are not compatible"
	case a.gt && a.lt:
		return a, "ERR GT and LT options at the same time are not compatible"
	}
	n, ok := parseInt(args[2])
	if !ok {
		return a, errNotInteger
	}
	if u == unitEX || u == unitEXAT {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return a, invalidExpire(command)
		}
		n *= 1000
	}
	a.ms = n
	return a, ""
}

// fastExpire is EXPIRE with a time to live and no condition.
func fastExpire(c *client, args [][]byte, u unit, name string) {
	if len(args) == 3 && (u == unitEX || u == unitPX) && c.srv.settings.notify() == 0 {
		a, refusal := parseExpire(args, u, name)
		if refusal == "" && a.ms > 0 && a.ms < longTTL {
			err := c.srv.store.Expire(c.srv.ctx, args[1], time.Duration(a.ms)*time.Millisecond, c.writeOptions()...)
			c.wrote(err)
			switch {
			case err == nil:
				c.out.bool(true)
			case isAbsent(err):
				c.out.bool(false)
			case errors.Is(err, ebb.ErrConditionFailed):
				c.out.bool(false)
			default:
				c.storeError(err)
			}
			return
		}
	}
	c.inTxn(true, func(x *exec) { expire(x, args, u, name) })
}

func expire(x *exec, args [][]byte, u unit, name string) {
	a, refusal := parseExpire(args, u, name)
	until, ok := deadline(u, a.ms, x.now)
	if refusal == "" && !ok {
		refusal = invalidExpire(name)
	}
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	e, ok := x.entry(args[1])
	if !ok || !a.allow(e.Deadline, until) {
		x.out.int(0)
		return
	}
	if until <= x.now {
		if x.del(args[1]) {
			x.notify(notifyGeneric, "del", args[1])
			x.out.int(1)
		}
		return
	}
	if x.put(args[1], e.Value, until) {
		x.notify(notifyGeneric, "expire", args[1])
		x.out.int(1)
	}
}

// allow reports whether a deadline may replace another one, of which 0 is none, the farthest of all.
func (a expireArgs) allow(old, until int64) bool {
	switch {
	case a.nx && old != 0, a.xx && old == 0:
		return false
	case a.gt && (old == 0 || until <= old):
		return false
	case a.lt && old != 0 && until >= old:
		return false
	}
	return true
}
