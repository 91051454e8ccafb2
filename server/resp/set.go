package resp

import (
	"bytes"
	"errors"
	"math"
	"time"

	"github.com/ebbdb/ebb"
)

// unit says how a time to live is given.
type unit uint8

const (
	unitNone unit = iota
	unitEX        // seconds from now
	unitPX        // milliseconds from now
	unitEXAT      // Unix seconds
	unitPXAT      // Unix milliseconds
	unitKeep      // the deadline stays
	unitDrop      // PERSIST
)

var unitWords = []struct {
	word string
	unit unit
	arg  bool
}{
	{"ex", unitEX, true}, {"px", unitPX, true}, {"exat", unitEXAT, true}, {"pxat", unitPXAT, true},
	{"keepttl", unitKeep, false}, {"persist", unitDrop, false},
}

// comparison is a condition on the value that is there.
type comparison struct {
	kind  compareKind
	value []byte
}

type compareKind uint8

const (
	compareNone compareKind = iota
	ifEqual
	ifNotEqual
)

var compareWords = []struct {
	word string
	kind compareKind
}{{"ifeq", ifEqual}, {"ifne", ifNotEqual}}

// holds reports whether the condition holds for a key: an absent one is equal to nothing.
func (cmp comparison) holds(value []byte, present bool) bool {
	switch cmp.kind {
	case ifEqual:
		return present && bytes.Equal(value, cmp.value)
	case ifNotEqual:
		return !present || !bytes.Equal(value, cmp.value)
	}
	return true
}

// setArgs are the options of SET.
type setArgs struct {
	nx, xx, get bool
	unit        unit
	time        int64
	compare     comparison
}

// parseSet reads the options of SET, or returns an error text.
func parseSet(args [][]byte, command string) (a setArgs, refusal string) {
	var timeArg []byte
	for i := 0; i < len(args); i++ {
		arg, more := args[i], i+1 < len(args)
		switch {
		case equalFold(arg, "nx") && !a.xx && a.compare.kind == compareNone:
			a.nx = true
			continue
		case equalFold(arg, "xx") && !a.nx && a.compare.kind == compareNone:
			a.xx = true
			continue
		case equalFold(arg, "get"):
			a.get = true
			continue
		}
		if kind := compareWord(arg); kind != compareNone {
			if !more || a.nx || a.xx || a.compare.kind != compareNone {
				return a, errSyntax
			}
			a.compare = comparison{kind, args[i+1]}
			i++
			continue
		}
		u, takes := unitWord(arg)
		if u == unitNone || u == unitDrop || a.unit != unitNone && a.unit != u || takes && !more {
			return a, errSyntax
		}
		a.unit = u
		if takes {
			timeArg = args[i+1]
			i++
		}
	}
	if timeArg != nil {
		a.time, refusal = parseTime(timeArg, a.unit, command)
	}
	return a, refusal
}

func compareWord(arg []byte) compareKind {
	for _, w := range compareWords {
		if equalFold(arg, w.word) {
			return w.kind
		}
	}
	return compareNone
}

func unitWord(arg []byte) (u unit, takes bool) {
	for _, w := range unitWords {
		if equalFold(arg, w.word) {
			return w.unit, w.arg
		}
	}
	return unitNone, false
}

// parseTime reads a time to live in milliseconds, which has to be positive.
func parseTime(arg []byte, u unit, command string) (ms int64, refusal string) {
	n, ok := parseInt(arg)
	if !ok {
		return 0, errNotInteger
	}
	seconds := u == unitEX || u == unitEXAT
	if n <= 0 || seconds && n > math.MaxInt64/1000 {
		return 0, invalidExpire(command)
	}
	if seconds {
		n *= 1000
	}
	return n, ""
}

func invalidExpire(command string) string {
	return "ERR invalid expire time in '" + command + "' command"
}

// deadline returns when a time to live ends, in Unix ms, or false if that is beyond all numbers.
func deadline(u unit, ms, now int64) (int64, bool) {
	if u == unitEXAT || u == unitPXAT {
		return ms, true
	}
	if ms > math.MaxInt64-now {
		return 0, false
	}
	return now + ms, true
}

// longTTL is from where on a time to live is no time.Duration.
const longTTL = int64(math.MaxInt64 / time.Millisecond)

// fastSet is SET with the options that one Put has.
func fastSet(c *client, args [][]byte) {
	a, refusal := setArgs{}, ""
	if len(args) > 3 {
		a, refusal = parseSet(args[3:], "set")
	}
	switch {
	case refusal != "":
		c.out.err(refusal)
		return
	case a.get, a.compare.kind != compareNone, a.time >= longTTL, c.srv.settings.notify() != 0:
		c.transact(c.srv.table.byName["set"], args)
		return
	case len(args[2]) > c.srv.opts.MaxRequest:
		c.out.err(errStringTooBig)
		return
	}
	opts := c.writeOptions()
	switch a.unit {
	case unitEX, unitPX:
		opts = append(opts, ebb.TTL(time.Duration(a.time)*time.Millisecond))
	case unitEXAT, unitPXAT:
		opts = append(opts, ebb.ExpireAt(time.UnixMilli(a.time)))
	case unitKeep:
		opts = append(opts, ebb.KeepTTL)
	}
	if a.nx {
		opts = append(opts, ebb.IfAbsent)
	} else if a.xx {
		opts = append(opts, ebb.IfPresent)
	}
	err := c.srv.store.Put(c.srv.ctx, args[1], args[2], opts...)
	c.wrote(err)
	switch {
	case err == nil:
		c.out.ok()
	case errors.Is(err, ebb.ErrConditionFailed):
		c.out.null()
	default:
		c.storeError(err)
	}
}

// set is SET with all options.
func set(x *exec, args [][]byte) {
	a, refusal := parseSet(args[3:], "set")
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	var until int64
	if a.time != 0 {
		var ok bool
		if until, ok = deadline(a.unit, a.time, x.now); !ok {
			x.out.err(invalidExpire("set"))
			return
		}
	}
	var (
		e       ebb.Entry
		present bool
	)
	if a.get || a.compare.kind != compareNone {
		e, present = x.entry(args[1])
	} else {
		e, present = x.stat(args[1])
	}
	if a.unit == unitKeep {
		until = e.Deadline
	}
	if x.err != nil {
		return
	}
	if a.get {
		if present {
			x.out.bulk(e.Value)
		} else {
			x.out.null()
		}
	}
	if a.nx && present || a.xx && !present || !a.compare.holds(e.Value, present) {
		if !a.get {
			x.out.null()
		}
		return
	}
	if !x.put(args[1], args[2], until) {
		return
	}
	x.isNew(present, args[1])
	x.notify(notifyString, "set", args[1])
	if a.time != 0 {
		x.notify(notifyGeneric, "expire", args[1])
	}
	if !a.get {
		x.out.ok()
	}
}

// setFor is SETEX and PSETEX.
func setFor(x *exec, args [][]byte, u unit) {
	name := "setex"
	if u == unitPX {
		name = "psetex"
	}
	ms, refusal := parseTime(args[2], u, name)
	until, ok := deadline(u, ms, x.now)
	if refusal == "" && !ok {
		refusal = invalidExpire(name)
	}
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	was := true
	if x.srv.settings.notify()&notifyNew != 0 {
		_, was = x.stat(args[1])
	}
	if x.put(args[1], args[3], until) {
		x.isNew(was, args[1])
		x.notify(notifyString, "set", args[1])
		x.notify(notifyGeneric, "expire", args[1])
		x.out.ok()
	}
}

func getEx(x *exec, args [][]byte) {
	var (
		u   unit
		arg []byte
	)
	for i := 2; i < len(args); i++ {
		next, takes := unitWord(args[i])
		if next == unitNone || next == unitKeep || u != unitNone && u != next || takes && i+1 == len(args) {
			x.out.err(errSyntax)
			return
		}
		if u = next; takes {
			i++
			arg = args[i]
		}
	}
	e, ok := x.entry(args[1])
	x.srv.counts.hit(ok)
	if !ok {
		x.notify(notifyMiss, "keymiss", args[1])
		x.out.null()
		return
	}
	if arg != nil {
		x.getUntil(args[1], e, u, arg)
		return
	}
	if u == unitDrop && e.Deadline != 0 && x.put(args[1], e.Value, 0) {
		x.notify(notifyGeneric, "persist", args[1])
	}
	x.out.bulk(e.Value)
}

// getUntil is GETEX with a time.
func (x *exec) getUntil(key []byte, e ebb.Entry, u unit, arg []byte) {
	ms, refusal := parseTime(arg, u, "getex")
	until, ok := deadline(u, ms, x.now)
	if refusal == "" && !ok {
		refusal = invalidExpire("getex")
	}
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	if x.put(key, e.Value, until) {
		if until <= x.now {
			x.notify(notifyGeneric, "del", key)
		} else {
			x.notify(notifyGeneric, "expire", key)
		}
		x.out.bulk(e.Value)
	}
}
