package resp

import (
	"bytes"
	"errors"

	"github.com/ebbdb/ebb"
)

func keyCommands() []*command {
	return grouped("generic", []*command{
		{name: "del", arity: -2, flags: flagWrite, keys: allKeys, since: "1.0.0", cost: "O(N) where N is the number of keys.",
			summary: "Deletes one or more keys.", data: del, fast: fastDel},
		{name: "unlink", arity: -2, flags: flagWrite | flagFast, keys: allKeys, since: "4.0.0",
			cost: "O(N) where N is the number of keys.", summary: "Asynchronously deletes one or more keys.", data: del, fast: fastDel},
		{name: "exists", arity: -2, flags: flagRead | flagFast, keys: allKeys, since: "1.0.0",
			cost: "O(N) where N is the number of keys to check.", summary: "Determines whether one or more keys exist.",
			data: exists, fast: fastExists},
		{name: "touch", arity: -2, flags: flagRead | flagFast, keys: allKeys, since: "3.2.1",
			cost: "O(N) where N is the number of keys.", summary: "Returns the number of existing keys out of those specified.",
			data: exists, fast: fastExists},
		{name: "type", arity: 2, flags: flagRead | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Determines the type of value stored at a key.", data: typeOf},
		{name: "rename", arity: 3, flags: flagWrite, keys: twoKeys, since: "1.0.0", cost: "O(1)",
			summary: "Renames a key and overwrites the destination.", data: func(x *exec, args [][]byte) { rename(x, args, false) }},
		{name: "renamenx", arity: 3, flags: flagWrite | flagFast, keys: twoKeys, since: "1.0.0", cost: "O(1)",
			summary: "Renames a key only when the target key name doesn't exist.",
			data:    func(x *exec, args [][]byte) { rename(x, args, true) }},
		{name: "copy", arity: -3, flags: flagWrite | flagDenyOOM, keys: twoKeys, since: "6.2.0", cost: "O(1)",
			summary: "Copies the value of a key to a new key.", data: copyKey},
		{name: "randomkey", arity: 1, flags: flagRead, since: "1.0.0", cost: "O(1)",
			summary: "Returns a random key name from the database.", data: randomKey},
		{name: "keys", arity: 2, flags: flagRead | flagDangerous, since: "1.0.0",
			cost:    "O(N) with N being the number of keys that begin as the pattern does.",
			summary: "Returns all key names that match a pattern.", data: keys},
		{name: "scan", arity: -2, flags: flagRead, since: "2.8.0",
			cost:    "O(1) for every call. O(N) for a complete iteration.",
			summary: "Iterates over the key names in the database.", data: scan},
		{name: "move", arity: 3, flags: flagWrite | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Moves a key to another database.", conn: move},
		{name: "dump", arity: 2, flags: flagRead, keys: oneKey, since: "2.6.0", cost: "O(N) where N is the length of the value.",
			summary: "Returns a serialized representation of the value stored at a key.", data: dump},
		{name: "restore", arity: -4, flags: flagWrite | flagDenyOOM | flagDangerous, keys: oneKey, since: "2.6.0",
			cost:    "O(N) where N is the length of the value.",
			summary: "Creates a key from the serialized representation of a value.", data: restore},
		{name: "wait", arity: 3, flags: flagNoScript, since: "3.0.0", cost: "O(1)",
			summary: "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
			conn:    wait},
		objectCommand(),
	})
}

func fastDel(c *client, args [][]byte) {
	if len(args) != 2 {
		c.transact(c.srv.table.byName["del"], args)
		return
	}
	err := c.srv.store.Delete(c.srv.ctx, args[1], append(c.writeOptions(), ebb.IfPresent)...)
	absent := isAbsent(err) || errors.Is(err, ebb.ErrConditionFailed)
	if absent {
		err = nil
	}
	c.wrote(err)
	if err != nil {
		c.storeError(err)
		return
	}
	if !absent {
		c.notify(notifyGeneric, "del", args[1])
	}
	c.out.bool(!absent)
}

func del(x *exec, args [][]byte) {
	n := int64(0)
	for _, key := range args[1:] {
		if _, ok := x.stat(key); !ok {
			continue
		}
		if !x.del(key) {
			return
		}
		n++
		x.notify(notifyGeneric, "del", key)
	}
	x.out.int(n)
}

func delEx(x *exec, args [][]byte) {
	var cmp comparison
	switch len(args) {
	case 2:
	case 4:
		cmp = comparison{compareWord(args[2]), args[3]}
		if cmp.kind == compareNone {
			x.out.err("ERR Invalid condition. Use IFEQ or IFNE")
			return
		}
	default:
		x.out.err("ERR wrong number of arguments for 'delex' command")
		return
	}
	e, ok := x.entry(args[1])
	if !ok || !cmp.holds(e.Value, ok) {
		x.out.int(0)
		return
	}
	if x.del(args[1]) {
		x.notify(notifyGeneric, "del", args[1])
		x.out.int(1)
	}
}

func fastExists(c *client, args [][]byte) {
	if len(args) != 2 {
		c.transact(c.srv.table.byName["exists"], args)
		return
	}
	ok, err := c.srv.store.Has(c.srv.ctx, args[1])
	if err != nil && !isAbsent(err) {
		c.storeError(err)
		return
	}
	c.srv.counts.hit(ok)
	c.out.bool(ok)
}

func exists(x *exec, args [][]byte) {
	n := int64(0)
	for _, key := range args[1:] {
		_, ok := x.stat(key)
		x.srv.counts.hit(ok)
		if ok {
			n++
		}
	}
	x.out.int(n)
}

func typeOf(x *exec, args [][]byte) {
	if _, ok := x.stat(args[1]); ok {
		x.out.simple("string")
	} else {
		x.out.simple("none")
	}
}

func rename(x *exec, args [][]byte, onlyNew bool) {
	e, ok := x.entry(args[1])
	if x.err != nil {
		return
	}
	if !ok {
		x.out.err(errNoSuchKey)
		return
	}
	if string(args[1]) != string(args[2]) {
		if _, there := x.stat(args[2]); onlyNew && there {
			x.out.int(0)
			return
		}
		if !x.put(args[2], e.Value, e.Deadline) || !x.del(args[1]) {
			return
		}
		x.notify(notifyGeneric, "rename_from", args[1])
		x.notify(notifyGeneric, "rename_to", args[2])
	} else if onlyNew {
		x.out.int(0)
		return
	}
	if onlyNew {
		x.out.int(1)
	} else {
		x.out.ok()
	}
}

func copyKey(x *exec, args [][]byte) {
	replace := false
	for i := 3; i < len(args); i++ {
		switch {
		case equalFold(args[i], "replace"):
			replace = true
		case equalFold(args[i], "db") && i+1 < len(args):
			i++
			if refusal := checkDB(args[i]); refusal != "" {
				x.out.err(refusal)
				return
			}
		default:
			x.out.err(errSyntax)
			return
		}
	}
	if string(args[1]) == string(args[2]) {
		x.out.err("ERR source and destination objects are the same")
		return
	}
	e, ok := x.entry(args[1])
	if !ok {
		x.out.int(0)
		return
	}
	if _, there := x.stat(args[2]); there && !replace {
		x.out.int(0)
		return
	}
	if x.put(args[2], e.Value, e.Deadline) {
		x.notify(notifyGeneric, "copy_to", args[2])
		x.out.int(1)
	}
}

func move(c *client, args [][]byte) {
	if refusal := checkDB(args[2]); refusal != "" {
		c.out.err(refusal)
		return
	}
	c.out.err("ERR source and destination objects are the same")
}

// wait replies that no replica has the writes: there is none.
func wait(c *client, args [][]byte) {
	replicas, ok := parseInt(args[1])
	timeout, ok2 := parseInt(args[2])
	switch {
	case !ok:
		c.out.err(errNotInteger)
	case replicas < 0:
		c.out.err(errOutOfRange)
	case !ok2:
		c.out.err("ERR timeout is not an integer or out of range")
	case timeout < 0:
		c.out.err("ERR timeout is negative")
	default:
		c.out.int(0)
	}
}

const errNoLFU = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching " +
	"between policies at runtime LRU and LFU data will take some time to adjust."

func objectCommand() *command {
	sub := func(name, since, summary string, tell func(x *exec, e ebb.Entry)) *command {
		return &command{name: name, arity: 3, flags: flagRead, keys: keySpec{2, 2, 1}, since: since, cost: "O(1)", summary: summary,
			data: func(x *exec, args [][]byte) {
				if e, ok := x.entry(args[2]); ok {
					tell(x, e)
				} else {
					x.out.null()
				}
			}}
	}
	return &command{name: "object", arity: -2, since: "2.2.3", cost: "Depends on subcommand.",
		summary: "A container for object introspection commands.", subs: []*command{
			sub("encoding", "2.2.3", "Returns the internal encoding of a Redis object.",
				func(x *exec, e ebb.Entry) { x.out.bulkString(encodingOf(e.Value)) }),
			sub("freq", "4.0.0", "Returns the logarithmic access frequency counter of a Redis object.",
				func(x *exec, _ ebb.Entry) { x.out.err(errNoLFU) }),
			sub("idletime", "2.2.3", "Returns the time since the last access to a Redis object.",
				func(x *exec, _ ebb.Entry) { x.out.int(0) }),
			sub("refcount", "2.2.3", "Returns the reference count of a value of a key.",
				func(x *exec, _ ebb.Entry) { x.out.int(1) }),
			help("object", "6.2.0",
				"ENCODING <key>", "    Return the kind of internal representation used in order to store the value",
				"    associated with a <key>.",
				"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is",
				"    proportional to the logarithm of the recent access frequency of the key.",
				"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of",
				"    seconds elapsed since the last access to the key.",
				"REFCOUNT <key>", "    Return the number of references of the value associated with the specified",
				"    <key>."),
		}}
}

// encodingOf is what Redis would make of a value that SET has put.
func encodingOf(value []byte) string {
	if _, ok := parseInt(value); ok {
		return "int"
	}
	if len(value) <= 44 {
		return "embstr"
	}
	return "raw"
}

func refused(text string) func(c *client, args [][]byte) {
	return func(c *client, _ [][]byte) { c.out.err(text) }
}

func badOption(arg []byte) string {
	return "ERR Unsupported option " + string(printable(bytes.TrimRight(upToZero(arg), "\r\n")))
}
