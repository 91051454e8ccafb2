package resp

// queue is the commands after MULTI.
type queue struct {
	cmds   []*command
	args   [][][]byte
	bytes  int
	failed bool // a command was refused: EXEC will be
	writes bool
}

func transactionCommands() []*command {
	const flags = flagNoScript | flagLoading | flagStale
	return grouped("transactions", []*command{
		{name: "multi", arity: 1, flags: flags | flagFast | flagNow, since: "1.2.0", cost: "O(1)",
			summary: "Starts a transaction.", conn: multi},
		{name: "exec", arity: 1, flags: flags | flagCommit | flagNow, since: "1.2.0",
			cost: "Depends on commands in the transaction", summary: "Executes all commands in a transaction.", conn: execute},
		{name: "discard", arity: 1, flags: flags | flagFast | flagNow, since: "2.0.0",
			cost: "O(N), when N is the number of queued commands", summary: "Discards a transaction.",
			conn: func(c *client, _ [][]byte) {
				if c.multi == nil {
					c.out.err("ERR DISCARD without MULTI")
					return
				}
				c.discard()
				c.out.ok()
			}},
		{name: "watch", arity: -2, flags: flags | flagFast | flagNow, keys: allKeys, since: "2.2.0",
			cost: "O(1) for every key.", summary: "Monitors changes to keys to determine the execution of a transaction.", conn: watch},
		{name: "unwatch", arity: 1, flags: flags | flagFast, since: "2.2.0", cost: "O(1)",
			summary: "Forgets about watched keys of a transaction.", conn: func(c *client, _ [][]byte) {
				if c.exec.tx == nil {
					c.unwatch()
				}
				c.out.ok()
			}},
	})
}

func multi(c *client, _ [][]byte) {
	if c.multi != nil {
		c.out.err("ERR MULTI calls can not be nested")
		return
	}
	c.multi = new(queue)
	c.about.queued.Store(0)
	c.out.ok()
}

// enqueue keeps a command for EXEC.
func (c *client) enqueue(cmd *command, args [][]byte) {
	q := c.multi
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	cost := size + (len(args)+2)*argOverhead
	if q.bytes+cost > c.srv.opts.MaxRequest {
		q.failed = true
		c.out.err("ERR commands of a transaction exceed the limit of a request")
		return
	}
	q.bytes += cost
	all := make([]byte, 0, size)
	kept := make([][]byte, len(args))
	for i, arg := range args {
		from := len(all)
		all = append(all, arg...)
		kept[i] = all[from:len(all):len(all)]
	}
	q.cmds = append(q.cmds, cmd)
	q.args = append(q.args, kept)
	q.writes = q.writes || cmd.flags&flagWrite != 0
	c.about.queued.Store(int32(len(q.cmds)))
	c.out.simple("QUEUED")
}

// discard forgets the transaction and what is watched.
func (c *client) discard() {
	c.multi = nil
	c.about.queued.Store(-1)
	c.unwatch()
}

func (c *client) unwatch() {
	clear(c.watched)
	c.about.watching.Store(0)
}

// watch remembers the versions of keys.
func watch(c *client, args [][]byte) {
	if c.multi != nil {
		c.out.err("ERR WATCH inside MULTI is not allowed")
		return
	}
	for _, key := range args[1:] {
		if _, ok := c.watched[string(key)]; ok {
			continue
		}
		if len(c.watched) >= maxWatched {
			c.out.err("ERR too many watched keys")
			return
		}
		version := uint64(0)
		e, err := c.srv.store.Stat(c.srv.ctx, key)
		switch {
		case err == nil:
			version = e.Version
		case !isAbsent(err):
			c.storeError(err)
			return
		}
		if c.watched == nil {
			c.watched = make(map[string]uint64)
		}
		c.watched[string(key)] = version
	}
	c.about.watching.Store(int32(len(c.watched)))
	c.out.ok()
}

// maxWatched bounds the memory that WATCH takes.
const maxWatched = 1 << 16

// execute runs the commands after MULTI in one transaction, as of one moment, unless a watched key has changed or expired.
func execute(c *client, _ [][]byte) {
	q := c.multi
	if q == nil {
		c.out.err("ERR EXEC without MULTI")
		return
	}
	defer c.discard()
	if q.failed {
		c.out.err(errExecAbort)
		return
	}
	if len(q.cmds) == 0 && len(c.watched) == 0 {
		c.out.array(0)
		return
	}
	mark := len(c.out.b)
	c.multi = nil // what runs is not enqueued
	c.inTxn(q.writes, func(x *exec) {
		if !x.unchanged() {
			x.err = errUndo
			x.out.nullArray()
			return
		}
		x.out.array(len(q.cmds))
		for i, cmd := range q.cmds {
			x.queued(cmd, q.args[i])
			if x.err != nil || x.full(mark) {
				break
			}
		}
	})
}

// queued runs one command of a transaction.
func (x *exec) queued(cmd *command, args [][]byte) {
	mark := len(x.out.b)
	switch {
	case cmd.data != nil:
		cmd.data(x, args)
	case cmd.conn != nil:
		cmd.conn(x.client, args)
	default:
		x.out.err("ERR wrong number of arguments for '" + cmd.full + "' command")
	}
	x.srv.counts.ran(cmd, 0, len(x.out.b) > mark && x.out.b[mark] == '-')
}

// unchanged reports whether all watched keys are as they were.
func (x *exec) unchanged() bool {
	for key, version := range x.watched {
		e, ok := x.stat([]byte(key))
		if x.err != nil {
			return true // which the transaction ends with
		}
		if !ok {
			e.Version = 0
		}
		if e.Version != version {
			return false
		}
	}
	return true
}
