package resp

func stringCommands() []*command {
	const write = flagWrite | flagDenyOOM
	return grouped("string", append(counterCommands(), []*command{
		{name: "get", arity: 2, flags: flagRead | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Returns the string value of a key.", data: get, fast: fastGet},
		{name: "set", arity: -3, flags: write, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
			data:    set, fast: fastSet},
		{name: "setex", arity: 4, flags: write, keys: oneKey, since: "2.0.0", cost: "O(1)",
			summary: "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
			data:    func(x *exec, args [][]byte) { setFor(x, args, unitEX) }},
		{name: "psetex", arity: 4, flags: write, keys: oneKey, since: "2.6.0", cost: "O(1)",
			summary: "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
			data:    func(x *exec, args [][]byte) { setFor(x, args, unitPX) }},
		{name: "setnx", arity: 3, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Set the string value of a key only when the key doesn't exist.", data: setNX},
		{name: "getset", arity: 3, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Returns the previous string value of a key after setting it to a new value.", data: getSet},
		{name: "getdel", arity: 2, flags: flagWrite | flagFast, keys: oneKey, since: "6.2.0", cost: "O(1)",
			summary: "Returns the string value of a key after deleting the key.", data: getDel},
		{name: "getex", arity: -2, flags: flagWrite | flagFast, keys: oneKey, since: "6.2.0", cost: "O(1)",
			summary: "Returns the string value of a key after setting its expiration time.", data: getEx},
		{name: "delex", arity: -2, flags: flagWrite | flagFast, keys: oneKey, since: "8.4.0",
			cost: "O(1)", summary: "Conditionally removes the specified key based on value comparison.", data: delEx},
		{name: "mget", arity: -2, flags: flagRead | flagFast, keys: allKeys, since: "1.0.0",
			cost:    "O(N) where N is the number of keys to retrieve.",
			summary: "Atomically returns the string values of one or more keys.",
			data:    mget},
		{name: "mset", arity: -3, flags: write, keys: pairs, since: "1.0.1", cost: "O(N) where N is the number of keys to set.",
			summary: "Atomically creates or modifies the string values of one or more keys.", data: mset},
		{name: "msetnx", arity: -3, flags: write, keys: pairs, since: "1.0.1", cost: "O(N) where N is the number of keys to set.",
			summary: "Atomically modifies the string values of one or more keys only when all keys don't exist.", data: msetNX},
		{name: "append", arity: 3, flags: write | flagFast, keys: oneKey, since: "2.0.0",
			cost:    "O(N) where N is the length of the value.",
			summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.", data: appendTo},
		{name: "strlen", arity: 2, flags: flagRead | flagFast, keys: oneKey, since: "2.2.0", cost: "O(1)",
			summary: "Returns the length of a string value.", data: strLen},
		{name: "getrange", arity: 4, flags: flagRead, keys: oneKey, since: "2.4.0", cost: "O(N) where N is the length of the value.",
			summary: "Returns a substring of the string stored at a key.", data: getRange},
		{name: "substr", arity: 4, flags: flagRead, keys: oneKey, since: "1.0.0", cost: "O(N) where N is the length of the value.",
			summary: "Returns a substring from a string value.", data: getRange},
		{name: "setrange", arity: 4, flags: write, keys: oneKey, since: "2.2.0", cost: "O(N) where N is the length of the value.",
			summary: "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
			data:    setRange},
		{name: "lcs", arity: -3, flags: flagRead, keys: twoKeys, since: "7.0.0",
			cost:    "O(N*M) where N and M are the lengths of s1 and s2.",
			summary: "Finds the longest common substring.", data: lcs},
	}...))
}

// counterCommands are those of strings that count.
func counterCommands() []*command {
	const write = flagWrite | flagDenyOOM
	return []*command{
		{name: "incr", arity: 2, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
			data:    func(x *exec, args [][]byte) { incr(x, args[1], 1) },
			fast:    func(c *client, args [][]byte) { fastIncr(c, args[1], 1) }},
		{name: "decr", arity: 2, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
			data:    func(x *exec, args [][]byte) { incr(x, args[1], -1) },
			fast:    func(c *client, args [][]byte) { fastIncr(c, args[1], -1) }},
		{name: "incrby", arity: 3, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
			data:    incrBy, fast: fastIncrBy},
		{name: "decrby", arity: 3, flags: write | flagFast, keys: oneKey, since: "1.0.0", cost: "O(1)",
			summary: "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
			data:    decrBy, fast: fastDecrBy},
		{name: "incrbyfloat", arity: 3, flags: write | flagFast, keys: oneKey, since: "2.6.0", cost: "O(1)",
			summary: "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
			data:    incrByFloat},
	}
}

// fastGet reads straight into the reply.
func fastGet(c *client, args [][]byte) {
	mark := c.out.beginBulk()
	b, err := c.srv.store.AppendGet(c.srv.ctx, c.out.b, args[1])
	c.out.endBulk(mark, b, err)
	c.gotten(args[1], err)
}

// gotten finishes the reply of a read that has failed, if it has, and counts it.
func (c *client) gotten(key []byte, err error) {
	switch {
	case err == nil:
	case isAbsent(err):
		c.out.null()
		c.notify(notifyMiss, "keymiss", key)
	default:
		c.storeError(err)
		return
	}
	c.srv.counts.hit(err == nil)
}

func get(x *exec, args [][]byte) {
	mark := x.out.beginBulk()
	b, err := x.tx.AppendGet(x.out.b, args[1])
	x.out.endBulk(mark, b, err)
	x.readDone(args[1], err)
}

// readDone is gotten in a transaction.
func (x *exec) readDone(key []byte, err error) {
	if err != nil && !isAbsent(err) {
		x.fail(err)
		return
	}
	x.gotten(key, err)
}

func mget(x *exec, args [][]byte) {
	mark := len(x.out.b)
	x.out.array(len(args) - 1)
	for _, key := range args[1:] {
		at := x.out.beginBulk()
		b, err := x.tx.AppendGet(x.out.b, key)
		x.out.endBulk(at, b, err)
		if x.readDone(key, err); x.err != nil || x.full(mark) {
			return
		}
	}
}

func strLen(x *exec, args [][]byte) {
	e, ok := x.stat(args[1])
	x.srv.counts.hit(ok)
	if !ok {
		x.notify(notifyMiss, "keymiss", args[1])
	}
	x.out.int(int64(e.ValueSize))
}

func getDel(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	x.srv.counts.hit(ok)
	if !ok {
		x.notify(notifyMiss, "keymiss", args[1])
		x.out.null()
		return
	}
	if x.del(args[1]) {
		x.notify(notifyGeneric, "del", args[1])
		x.out.bulk(e.Value)
	}
}

func getSet(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	if !x.put(args[1], args[2], 0) {
		return
	}
	if ok {
		x.out.bulk(e.Value)
	} else {
		x.out.null()
	}
	x.isNew(ok, args[1])
	x.notify(notifyString, "set", args[1])
}

// isNew notifies of a key that was not there.
func (x *exec) isNew(was bool, key []byte) {
	if !was {
		x.notify(notifyNew, "new", key)
	}
}

func setNX(x *exec, args [][]byte) {
	if _, ok := x.stat(args[1]); ok {
		x.out.int(0)
		return
	}
	if x.put(args[1], args[2], 0) {
		x.isNew(false, args[1])
		x.notify(notifyString, "set", args[1])
		x.out.int(1)
	}
}

func mset(x *exec, args [][]byte) {
	if len(args)%2 == 0 {
		x.out.err("ERR wrong number of arguments for 'mset' command")
		return
	}
	x.msetAll(args)
	if x.err == nil {
		x.out.ok()
	}
}

func (x *exec) msetAll(args [][]byte) {
	for i := 1; i < len(args); i += 2 {
		if !x.put(args[i], args[i+1], 0) {
			return
		}
		x.notify(notifyString, "set", args[i])
	}
}

func msetNX(x *exec, args [][]byte) {
	if len(args)%2 == 0 {
		x.out.err("ERR wrong number of arguments for 'msetnx' command")
		return
	}
	for i := 1; i < len(args); i += 2 {
		if _, ok := x.stat(args[i]); ok {
			x.out.int(0)
			return
		}
	}
	x.msetAll(args)
	if x.err == nil {
		x.out.int(1)
	}
}

func appendTo(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	if x.err != nil {
		return
	}
	value := append(e.Value, args[2]...)
	if !x.put(args[1], value, e.Deadline) {
		return
	}
	x.isNew(ok, args[1])
	x.notify(notifyString, "append", args[1])
	x.out.int(int64(len(value)))
}

func getRange(x *exec, args [][]byte) {
	start, ok1 := parseInt(args[2])
	end, ok2 := parseInt(args[3])
	if !ok1 || !ok2 {
		x.out.err(errNotInteger)
		return
	}
	e, ok := x.entry(args[1])
	x.srv.counts.hit(ok)
	if !ok {
		x.notify(notifyMiss, "keymiss", args[1])
	}
	x.out.bulk(subrange(e.Value, start, end))
}

// subrange returns what GETRANGE does: from start to end, that included, negative ones counted from the end.
func subrange(b []byte, start, end int64) []byte {
	n := int64(len(b))
	if start < 0 && end < 0 && start > end {
		return nil
	}
	if start < 0 {
		start = max(0, start+n)
	}
	if end < 0 {
		end = max(0, end+n)
	}
	end = min(end, n-1)
	if start > end || n == 0 {
		return nil
	}
	return b[start : end+1]
}

func setRange(x *exec, args [][]byte) {
	offset, ok := parseInt(args[2])
	switch {
	case !ok:
		x.out.err(errNotInteger)
		return
	case offset < 0:
		x.out.err("ERR offset is out of range")
		return
	}
	e, ok := x.entry(args[1])
	if x.err != nil {
		return
	}
	if len(args[3]) == 0 {
		x.out.int(int64(len(e.Value)))
		return
	}
	if offset > int64(x.srv.opts.MaxRequest-len(args[3])) {
		x.out.err(errStringTooBig)
		return
	}
	value := e.Value
	if need := int(offset) + len(args[3]); need > len(value) {
		value = append(value, make([]byte, need-len(value))...)
	}
	copy(value[offset:], args[3])
	if !x.put(args[1], value, e.Deadline) {
		return
	}
	x.isNew(ok, args[1])
	x.notify(notifyString, "setrange", args[1])
	x.out.int(int64(len(value)))
}
